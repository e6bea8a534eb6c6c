"""The commands of migration: `init`, `new`, `up`, `down`, `stamp`, `history`; `check` is in `checking`."""

from __future__ import annotations

import io
import sys
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from compdb import dag, schema
from compdb.database import Database
from compdb.errors import MigrationError
from compdb.migrate.checking import check, refuse_drift, tables_of
from compdb.migrate.environment import Asked
from compdb.migrate.renames import Rename
from compdb.migrate.resuming import cut_off
from compdb.schema import Difference

__all__ = ["Difference", "Rename", "Revision", "activate", "check", "down", "history", "init", "new", "stamp", "up"]

_FITTING: WeakKeyDictionary[Database, set[tuple[str, frozenset[int]]]] = WeakKeyDictionary()
"""By database: the last revisions and the tables that were seen to fit."""

_one_at_a_time = threading.RLock()  # alembic keeps the environment that runs in module globals

ENV = '''"""How alembic learns of the pipelines whose tables these revisions change."""

from compdb import migrate

migrate.run({pipelines})
'''
MAKO = '''<%!
def plain(text):
    """Return the operations without the lines that alembic puts around them."""
    return "\\n".join(line for line in text.split("\\n") if not line.strip().startswith("# ###")).strip() or "pass"
%>"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision or "nothing" | comma,n}
Create Date: ${create_date}
"""

import sqlalchemy as sa
from alembic import op
${"\\n" + imports + "\\n" if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    ${plain(upgrades or "")}


def downgrade() -> None:
    ${plain(downgrades or "")}
'''


@dataclass(frozen=True)
class Revision:
    """One revision of a folder.

    Attributes
    ----------
    id : str
    parent : str or None
        The revision before it; of a merge the first.
    message : str
    path : Path
    applied : bool or None
        Whether the database has it; None if none was asked.
    """

    id: str
    parent: str | None
    message: str
    path: Path
    applied: bool | None


def init(folder: Path, pipelines: Sequence[str]) -> list[Path]:
    """Make a folder of migrations for pipelines, each as 'module:Lab', and return the files written."""
    made = {
        folder / "env.py": ENV.format(pipelines=", ".join(f'"{p}"' for p in pipelines)),
        folder / "script.py.mako": MAKO,
        folder / "versions" / ".gitkeep": "",
    }
    there = [path for path in made if path.exists()]
    if there:
        raise MigrationError(f"{there[0]} is there already; revise it by hand, or choose another folder")
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return list(made)


def new(
    pipelines: Sequence[type[Any]],
    database: Database,
    folder: Path,
    message: str,
    *,
    confirm_rename: Callable[[Rename], bool] | None = None,
) -> Path | None:
    """Write the revision that brings the database to the classes, and return its file; None if nothing has changed.

    Of a folder without revisions the first one makes everything, also where plain `activate` has made the tables: `stamp` then.

    Parameters
    ----------
    confirm_rename : callable, optional
        Asked whether a column that goes while one of its type comes is the same; without it that is an error.

    Raises
    ------
    MigrationError
        If the database is not at the last revision, or a question is open.
    """
    config = _config(folder, Asked(pipelines, database, confirm_rename, compares=True))
    with _one_at_a_time, _told(folder):
        script = _script(folder, None)
        if script.get_heads():
            _refuse_unless_at(_head(script, folder), script, pipelines, database, folder)
        made: Any = command.revision(config, message, autogenerate=True)
    return Path(made.path) if made else None


def up(pipelines: Sequence[type[Any]], database: Database, folder: Path, revision: str = "head") -> list[str]:
    """Bring the database to a revision, under a lock, and return the revisions applied.

    Raises
    ------
    MigrationError
        If database and folder do not go together, or a revision fails.
    """

    def steps(script: ScriptDirectory, heads: tuple[str, ...], connection: sa.Connection) -> list[Any]:
        if not heads:
            _refuse_unversioned(connection, pipelines, database, folder)
        return list(script._upgrade_revs(revision, heads))  # type: ignore[arg-type]  # what alembic's own commands call

    return _move(pipelines, database, folder, steps)


def down(pipelines: Sequence[type[Any]], database: Database, folder: Path, revision: str) -> list[str]:
    """Take the database back to a revision ('base', '-1', an id), and return the revisions taken back."""

    def steps(script: ScriptDirectory, heads: tuple[str, ...], connection: sa.Connection) -> list[Any]:
        return list(script._downgrade_revs(revision, heads))  # type: ignore[arg-type]

    return _move(pipelines, database, folder, steps)


def stamp(pipelines: Sequence[type[Any]], database: Database, folder: Path) -> str:
    """Take over a database that plain `activate` made: note that it has the last revision, once it is seen to match.

    Returns
    -------
    str
        The revision.
    """
    found = [d for d in check(pipelines, database) if d.kind not in ("comment", "lookup")]
    if found:
        raise MigrationError(
            f"{database.url} does not match the classes, so it has not what the revisions make:\n  "
            + "\n  ".join(map(str, found))
            + "\nbring it there by hand, or take the code that made it"
        )

    def steps(script: ScriptDirectory, heads: tuple[str, ...], connection: sa.Connection) -> list[Any]:
        if heads:
            raise MigrationError(
                f"{database.url} is at revision {', '.join(heads)} already; compdb migrate up brings it on"
            )
        return list(script._stamp_revs("head", heads))

    _move(pipelines, database, folder, steps)
    return history(folder)[-1].id


def history(folder: Path, database: Database | None = None) -> list[Revision]:
    """Return the revisions of a folder, the oldest first, and whether the database has each."""
    with _one_at_a_time, _told(folder):
        script = _script(folder, None)
        applied: set[str] | None = None
        if database is not None:
            heads = _heads(folder, database)
            _refuse_unknown(script, heads, database, folder)
            applied = {s.revision for s in script.iterate_revisions(heads, "base")} if heads else set()
        found = [
            Revision(
                s.revision,
                next(iter(s._versioned_down_revisions), None),
                s.doc or "",
                Path(s.path),
                None if applied is None else s.revision in applied,
            )
            for s in script.walk_revisions()
        ]
    return found[::-1]


def activate(pipelines: Sequence[type[Any]], database: Database, folder: Path) -> None:
    """Bring the database to the last revision, and see that the classes fit it: what `Lab.activate(migrations=...)` does first.

    Raises
    ------
    MigrationError
        If database and folder do not go together, or a revision fails.
    SchemaDrift
        If the classes have changed since the last revision.
    """
    with _one_at_a_time, _told(folder):
        script = _script(folder, None)
        head = _head(script, folder)
        tables = frozenset(map(id, tables_of(pipelines)))
        there = _heads(folder, database) == (head,)
    if not there:
        up(pipelines, database, folder)
    if (head, tables) not in _FITTING.setdefault(database, set()):
        refuse_drift(pipelines, database)
        _FITTING[database].add((head, tables))


# ---------------------------------------------------------------- alembic's side


def _move(
    pipelines: Sequence[type[Any]],
    database: Database,
    folder: Path,
    steps: Callable[[ScriptDirectory, tuple[str, ...], sa.Connection], list[Any]],
) -> list[str]:
    done: list[str] = []
    asked = Asked(pipelines, database)
    with _one_at_a_time, _told(folder):
        script = _script(folder, asked)
        _head(script, folder)

        def planned(heads: tuple[str, ...], context: Any) -> list[Any]:
            _refuse_unknown(script, heads, database, folder)
            found = steps(script, heads, context.connection)
            done.extend(s.revision.revision for s in found if hasattr(s, "revision"))
            return found

        with EnvironmentContext(_config(folder, asked), script, fn=planned):
            script.run_env()
    return done


def _heads(folder: Path, database: Database) -> tuple[str, ...]:
    """Return the revisions that the database is at: one, or none, or more where revisions branch."""
    asked = Asked((), database, heads=[])
    script = _script(folder, asked)
    with EnvironmentContext(_config(folder, asked), script):
        script.run_env()
    return tuple(asked.heads or ())


def _head(script: ScriptDirectory, folder: Path) -> str:
    """Return the last revision of a folder; raise where there is none, or more than one."""
    heads = script.get_heads()
    if not heads:
        raise MigrationError(
            f'{folder} has no revision yet; write the first one: compdb migrate new "the first tables"'
            ' (migrate.new([Lab], database, folder, "the first tables")), and apply it: compdb migrate up'
        )
    if len(heads) > 1:
        told = "; ".join(f"{head} ({script.get_revision(head).path})" for head in heads)
        raise MigrationError(
            f"{folder} has several last revisions, written beside each other: {told}. Let one follow the other: write"
            f" down_revision = {heads[0]!r} into the first of the revisions that led to {heads[1]}"
        )
    return heads[0]


def _refuse_unknown(script: ScriptDirectory, heads: tuple[str, ...], database: Database, folder: Path) -> None:
    known = {s.revision for s in script.walk_revisions()}
    unknown = [head for head in heads if head not in known]
    if unknown:
        raise MigrationError(
            f"{database.url} is at revision {', '.join(unknown)}, which {folder} does not have: the database is ahead of this code, or"
            " beside it. Take the code that has it (git pull), or take the database back with that code (compdb migrate down)"
        )


def _refuse_unless_at(
    head: str, script: ScriptDirectory, pipelines: Sequence[type[Any]], database: Database, folder: Path
) -> None:
    heads = _heads(folder, database)
    _refuse_unknown(script, heads, database, folder)
    if heads == (head,):
        return
    if not heads:
        with database.connect() as connection:
            _refuse_unversioned(connection, pipelines, database, folder)
    raise MigrationError(
        f"{database.url} is at {', '.join(heads) or 'no revision'}, and the last one is {head}: what has changed since is seen from"
        " there. Apply it first: compdb migrate up"
    )


def _refuse_unversioned(
    connection: sa.Connection, pipelines: Sequence[type[Any]], database: Database, folder: Path
) -> None:
    """Raise if the tables are there, but no revision is noted."""
    places = schema.homes(tables_of(pipelines), database.engine.dialect)
    there = schema.names(connection, {place[0] for place in places.values()})
    found = [dag.label(table) for table, place in places.items() if place in there]
    if found and cut_off(connection) is None:
        raise MigrationError(
            f"{database.url} has {', '.join(found[:5])}{' and more' if len(found) > 5 else ''}, and no revision is noted there: plain"
            f" activate() has made it. Take it over: compdb migrate stamp (migrate.stamp(pipelines, database, Path({str(folder)!r})))"
        )


def _script(folder: Path, asked: Asked | None) -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(folder, asked))


def _config(folder: Path, asked: Asked | None = None) -> Config:
    config = Config(stdout=io.StringIO(), cmd_opts=Namespace(quiet=True, x=[]))  # alembic would print what it does
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["compdb"] = asked
    return config


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Tell what alembic refuses as our own error."""
    if not (folder / "env.py").is_file():
        raise MigrationError(
            f"{folder} is no folder of migrations; make one: compdb init, or migrate.init(folder, ['module:Lab'])"
        )
    # of a revision that is edited in the second in which it was read, Python would run what it had compiled before
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    except CommandError as error:
        raise MigrationError(f"{folder}: {error}") from error
    finally:
        sys.dont_write_bytecode = before
