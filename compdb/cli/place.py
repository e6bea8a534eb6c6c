"""Which pipeline, in which database: `--pipeline`, else `[tool.compdb]` of the project that the working directory lies in.

>>> place = Place(pipeline=["my_lab.pipeline:Lab"], url="sqlite:///lab.db")
>>> place.pipelines()
[<class 'my_lab.pipeline.Lab'>]
"""

from __future__ import annotations

import importlib
import sys
import sysconfig
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclopts import Parameter

from compdb.cli.answer import short
from compdb.errors import SettingsError, nearest
from compdb.pipeline import Pipeline
from compdb.settings import Project, project

__all__ = ["HERE", "Place", "where"]

NOT_THEIRS = (
    str(Path(__file__).parent.parent),
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
)
"""Where code lies that is not the user's."""
HOW = (
    "name it with --pipeline my_lab.pipeline:Lab, or in pyproject.toml under [tool.compdb]:"
    ' pipeline = "my_lab.pipeline:Lab"; compdb init makes a new project'
)


@Parameter(name="*", group="Pipeline, database, answer")
@dataclass(frozen=True)
class Place:
    """Which pipeline, in which database, and how to answer.

    Parameters
    ----------
    pipeline : sequence of str
        Where it is declared, as in my_lab.pipeline:Lab, if not as pyproject.toml says; may be given several times.
    url : str, optional
        Its database, if not the one that the module connects to, that of COMPDB_URL, or as pyproject.toml says.
    migrations : Path, optional
        The folder of its migrations, if not as pyproject.toml says.
    json : bool
        Answer with one JSON document.
    """

    pipeline: Sequence[str] = ()
    url: str | None = None
    migrations: Path | None = None
    json: bool = False

    @property
    def project(self) -> Project | None:
        """What `[tool.compdb]` says, if there is one."""
        return project()

    @property
    def folder(self) -> Path | None:
        """The folder of the migrations, if there is one: where `--pipeline` names others than the project, it has none of these."""
        found = self.project
        if self.migrations is not None or found is None:
            return self.migrations
        return found.migrations if not self.pipeline or set(self.pipeline) <= set(found.pipelines) else None

    def names(self) -> tuple[str, ...]:
        """Return where the pipelines are declared.

        Raises
        ------
        SettingsError
            If nothing says so; with how to say it.
        """
        found = self.project
        named = tuple(self.pipeline) or (found.pipelines if found is not None else ())
        if not named:
            where = f"{found.folder / 'pyproject.toml'} names no pipeline" if found is not None else "which pipeline?"
            raise SettingsError(f"{where}: {HOW}")
        return named

    def pipelines(self) -> list[type[Pipeline]]:
        """Import the pipelines.

        Raises
        ------
        SettingsError
            If one cannot be imported, or is no pipeline.
        """
        named = self.names()
        found = self.project
        folders = [] if found is None else [found.folder, found.folder / "src"]
        for folder in [*reversed(folders), *([Path.cwd()] if self.pipeline else [])]:
            _search(folder)
        return [_load(name) for name in named]

    def connect(self) -> list[type[Pipeline]]:
        """Import the pipelines and connect them to their database; tables are neither made nor looked at."""
        pipelines = self.pipelines()
        for pipeline in pipelines:
            pipeline.connect(self.url)
        return pipelines


HERE = Place()
"""As pyproject.toml says."""


def _search(folder: Path) -> None:
    """Have modules found in `folder`, before all others."""
    if folder.is_dir() and sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))


def _load(name: str) -> type[Pipeline]:
    """Return the pipeline that `module:Lab` names."""
    module, _, path = name.partition(":")
    if not module or not path:
        raise SettingsError(f"{name!r} does not name a pipeline: write module:Pipeline, as in my_lab.pipeline:Lab")
    found: Any = _import(module)
    try:
        for step in path.split("."):
            found = getattr(found, step)
    except AttributeError:
        found = None
    if not _is_pipeline(found):
        raise SettingsError(f"{name!r} is no pipeline: {_instead(module, path)}")
    return found  # type: ignore[no-any-return]


def _is_pipeline(found: Any) -> bool:
    return isinstance(found, type) and issubclass(found, Pipeline) and "__catalog__" in vars(found)


def _import(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module}.".startswith(f"{error.name}."):
            raise SettingsError(f"there is no module {error.name!r} in {' or '.join(sys.path[:2])}: {HOW}") from error
        raise SettingsError(f"{module} cannot be imported{where(error)}: {error}; install it") from error
    except Exception as error:  # whatever a module of the user's does when it is imported
        raise SettingsError(f"{module} cannot be imported{where(error)}: {type(error).__name__}: {error}") from error


def where(error: BaseException) -> str:
    """Return file and line of the user's code that raised, in parentheses; nothing if none of it did."""
    if isinstance(error, SyntaxError):
        return f" ({short(Path(error.filename or '?'))}, line {error.lineno})"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(("<", *NOT_THEIRS))]
    return f" ({short(Path(frames[-1].filename))}, line {frames[-1].lineno})" if frames else ""


def _instead(module: str, name: str) -> str:
    """Say which pipelines a module has."""
    there = [n for n, v in vars(sys.modules[module]).items() if _is_pipeline(v)]
    if not there:
        return f"{module} has none; write class {name}(cdb.Pipeline) there"
    return f"{module} has {', '.join(there)}; did you mean {module}:{nearest(name, there) or there[0]}?"
