"""`compdb init`: a new pipeline project, which runs."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from pathlib import Path
from string import Template

from rich.table import Table

from compdb import migrate
from compdb.cli.answer import Answer
from compdb.cli.place import Place
from compdb.database import connect
from compdb.errors import SettingsError

__all__ = ["init"]

PROJECT = Template("""\
[project]
name = "$name"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["compdb[cli]"]
""")
SETTINGS = Template("""\
[tool.compdb]
pipeline = "$package.pipeline:Lab"
url = "$url"  # the environment's COMPDB_URL goes before it
migrations = "migrations"
""")
IGNORED = "__pycache__/\n*.db\n*.db-shm\n*.db-wal\n"
PACKAGE = Template('"""$name: a pipeline; its tables are in `pipeline`."""\n')
PIPELINE = Template('''\
"""The tables of $name: a table is a class, and its tier says who fills it.

    compdb activate     makes the tables, and fills the lookups
    compdb populate     calls `make` for every key that is missing
    compdb status       says what is left to do

After a change of the classes: compdb migrate new "what changed", and compdb migrate up.
"""

import numpy as np

import compdb as cdb
from compdb import Key, Mapped, mapped_column


class Lab(cdb.Pipeline):
    """$name."""


class Tone(cdb.Lookup, Lab):
    """A tone to record. Rows of a Lookup are part of the pipeline; those of a Manual table are inserted."""

    frequency: Key[int] = mapped_column(comment="Hz")
    contents = [(5,), (20,), (80,)]


class Window(cdb.Lookup, Lab):
    """How to cut out the signal before its spectrum is computed."""

    window: Key[str]
    contents = [("box",), ("hann",)]


class Recording(cdb.Imported, Lab):
    """One second of one tone. Here it is simulated; yours comes from a file."""

    tone: Key[Tone]  # a foreign key: frequency becomes part of our key
    signal: Mapped[np.ndarray] = mapped_column(comment="1 kHz")

    def make(self, key):
        noise = np.random.default_rng(key["frequency"]).normal(scale=0.5, size=1000)
        times = np.arange(1000) / 1000
        self.insert1({**key, "signal": np.sin(2 * np.pi * key["frequency"] * times) + noise})


class Peak(cdb.Computed, Lab):
    """The strongest frequency of one recording, seen through one window."""

    recording: Key[Recording]
    shape: Key[Window]
    peak: Mapped[float] = mapped_column(comment="Hz")

    def make(self, key):
        signal = (Recording & key).fetch1("signal")
        if key["window"] == "hann":
            signal = signal * np.hanning(len(signal))
        spectrum = np.abs(np.fft.rfft(signal))
        self.insert1({**key, "peak": np.fft.rfftfreq(len(signal), 1 / 1000)[spectrum.argmax()]})
''')


def init(name: str | None = None, *, folder: Path = Path(), url: str | None = None, json: bool = False) -> Answer:
    """Make a new pipeline project: a package with a small pipeline that runs, its settings, and its first migration.

    Parameters
    ----------
    name : str, optional
        Of the project and its package; by default that of the folder.
    folder : Path
        Where to; by default the working directory. A pyproject.toml that is there already gets a section, other files stay.
    url : str, optional
        The database; by default a SQLite file in the folder. A password is better kept in COMPDB_URL.
    json : bool
        Answer with one JSON document.
    """
    folder = folder.resolve()
    name = name or folder.name
    settings = folder / "pyproject.toml"
    former = settings.read_text(encoding="utf-8") if settings.exists() else None
    if former is not None and re.search(r"^\[tool\.compdb\]", former, re.MULTILINE):
        raise SettingsError(f"{settings} has [tool.compdb]: this is a compdb project already; compdb status shows it")
    package = _package(name)
    words = {"name": name, "package": package, "url": url or f"sqlite:///{package}.db"}
    files = {
        folder / package / "__init__.py": PACKAGE.substitute(words),
        folder / package / "pipeline.py": PIPELINE.substitute(words),
        folder / ".gitignore": IGNORED,
    }
    there = [path for path in [*files, folder / "migrations"] if path.exists()]
    if there:
        raise SettingsError(f"{there[0]} is there already; begin in an empty folder, or choose another name")
    files[settings] = f"{former or PROJECT.substitute(words)}\n{SETTINGS.substitute(words)}"
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    where = f"{package}.pipeline:Lab"
    written = [*files, *migrate.init(folder / "migrations", [where])]
    revision = migrate.new(_imported(folder, where), connect("sqlite://"), folder / "migrations", "the first tables")
    written += [revision] if revision is not None else []
    shown = Table.grid(padding=(0, 2, 0, 0))
    for place, what in (
        (f"{package}/pipeline.py", "the tables, to be changed"),
        ("pyproject.toml", "[tool.compdb] says which pipeline, and which database"),
        ("migrations/", "how the tables change: compdb migrate --help"),
    ):
        shown.add_row(place, what)
    document = {"name": name, "folder": str(folder), "files": [str(path.relative_to(folder)) for path in written]}
    return Answer(document, [shown, "next: compdb activate, then compdb populate, then compdb status"])


def _package(name: str) -> str:
    """Return the name of the package."""
    package = name.replace("-", "_").replace(" ", "_").lower()
    if not package.isidentifier() or keyword.iskeyword(package):
        raise SettingsError(
            f"{name!r} cannot be the name of a package: take letters, digits and _, beginning with a letter"
        )
    if package in sys.stdlib_module_names or _is_installed(package):
        raise SettingsError(f"there is a package {package!r} already, which this one would hide; choose another name")
    return package


def _is_installed(package: str) -> bool:
    try:
        found = importlib.util.find_spec(package)
    except ValueError:  # __main__
        return True
    return found is not None and found.origin is not None  # a mere folder of that name is no package


def _imported(folder: Path, where: str) -> list[type]:
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    return list(Place(pipeline=[where]).pipelines())
