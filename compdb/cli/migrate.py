"""`compdb migrate`: write down how the tables change, and change them."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter
from rich.console import RenderableType
from rich.prompt import Confirm

from compdb import migrate as migrations
from compdb.cli.answer import DONE, OPEN, Answer, address, short, table
from compdb.cli.place import HERE, Place
from compdb.database import Database, database_of
from compdb.errors import SettingsError
from compdb.pipeline import Pipeline

if TYPE_CHECKING:
    from compdb.migrate import Rename, Revision

__all__ = ["migrate"]

migrate = App(name="migrate", help="Write down how the tables change, and change them.")
STEPS = re.compile(r"(?P<sign>[+-])(?P<count>\d+)")
NAMED = ("head", "heads", "base")
RENAME = re.compile(r"(?P<table>.+)\.(?P<old>\w+)=(?P<new>\w+)")


@migrate.command
def init(*, place: Place = HERE) -> Answer:
    """Make the folder of migrations of a pipeline that has none; `compdb init` does so for a new project."""
    names = place.names()
    written = migrations.init(_folder(place), names)
    shown = [
        *map(short, written),
        'next: compdb migrate new "the first tables"; for a database that has them: compdb migrate stamp',
    ]
    return Answer({"files": [str(path) for path in written]}, shown)


@migrate.command
def new(message: str, *, rename: Sequence[str] = (), no_renames: bool = False, place: Place = HERE) -> Answer:
    """Write the revision that brings the database to the classes; nothing is changed yet.

    Look at the file before `compdb migrate up` applies it. A column that goes while one of its type comes may be the same under
    another name: at a terminal that is asked.

    Parameters
    ----------
    message : str
        What changes, in a few words.
    rename : str, optional
        A column that was renamed, as in --rename Image.name=title; may be given several times.
    no_renames : bool
        No other column was renamed: what goes is dropped, and what comes is new.
    """
    pipelines, database, folder = _all(place)
    renames = Renames(rename, no_renames, ask=sys.stdin.isatty() and not place.json)
    path = migrations.new(pipelines, database, folder, message, confirm_rename=renames)
    if path is None:
        return Answer({"file": None}, ["nothing has changed: the database fits the pipeline"])
    if renames.unused:
        path.unlink()
        raise SettingsError(
            f"--rename {renames.unused[0]}: no such column goes while one of its type comes, so nothing was written"
        )
    return Answer({"file": str(path)}, [short(path), "look at it, then: compdb migrate up"])


@migrate.command
def up(revision: str = "head", *, place: Place = HERE) -> Answer:
    """Apply the revisions that the database does not have yet, in their order.

    Parameters
    ----------
    revision : str
        Up to this one: its id, +1 for the next one, or head for all.
    """
    pipelines, database, folder = _all(place)
    _check(revision, folder, database)
    done = migrations.up(pipelines, database, folder, revision)
    return _moved(done, folder, database, "applied")


@migrate.command
def down(revision: Annotated[str, Parameter(allow_leading_hyphen=True)] = "-1", *, place: Place = HERE) -> Answer:
    """Take revisions back, the last one first.

    Parameters
    ----------
    revision : str
        Down to this one, which stays: its id, -1 for all but the last one, or base for none.
    """
    pipelines, database, folder = _all(place)
    _check(revision, folder, database)
    done = migrations.down(pipelines, database, folder, revision)
    return _moved(done, folder, database, "taken back")


@migrate.command
def stamp(*, place: Place = HERE) -> Answer:
    """Note that a database made without migrations has them all, once it is seen to fit the pipeline."""
    pipelines, database, folder = _all(place)
    revision = migrations.stamp(pipelines, database, folder)
    return Answer({"revision": revision, "database": database.url}, [f"{address(database.url)} is at {revision} now"])


@migrate.command
def history(*, place: Place = HERE) -> Answer:
    """Show the revisions, the oldest first, and which the database has."""
    _, database, folder = _all(place)
    found = migrations.history(folder, database)
    drawn = table("revision", "applied", "message", "file")
    for r in found:
        drawn.add_row(r.id, "yes" if r.applied else "no", r.message, short(r.path))
    shown: list[RenderableType] = (
        [drawn] if found else ['there is no revision yet: compdb migrate new "the first tables"']
    )
    return Answer({"database": database.url, "revisions": [_entry(r) for r in found]}, shown)


@migrate.command
def check(*, place: Place = HERE) -> Answer:
    """Show where the database does not fit the pipeline, comments included; the exit code is 2 then."""
    pipelines = place.connect()
    database = database_of(pipelines[0].metadata)
    found = migrations.check(pipelines, database)
    document = {
        "database": database.url,
        "drift": [{"kind": d.kind, "table": d.table, "words": d.words} for d in found],
    }
    if not found:
        return Answer(document, [f"{address(database.url)} fits the pipeline"], DONE)
    drawn = table("table", "what", "difference")
    for d in found:
        drawn.add_row(d.table, d.kind, d.words)
    return Answer(document, [drawn], OPEN)


class Renames:
    """Whether a column was renamed: as the command line says, else as the user at the terminal does.

    Attributes
    ----------
    unused : list of str
        What the command line names and nobody asked for.

    Raises
    ------
    SettingsError
        If neither says so; with what to write.
    """

    def __init__(self, given: Sequence[str], no_others: bool, *, ask: bool) -> None:
        self.no_others, self.ask = no_others, ask
        self.unused = list(given)
        self._given: dict[tuple[str, str, str], str] = {}
        for text in given:
            parts = RENAME.fullmatch(text)
            if parts is None:
                raise SettingsError(f"--rename {text}: write Table.old=new, as in --rename Image.name=title")
            self._given[parts["table"], parts["old"], parts["new"]] = text

    def __call__(self, rename: Rename) -> bool:
        """Say whether this one is one."""
        named = self._given.get((rename.table, rename.old, rename.new))
        if named is not None:
            self.unused = [text for text in self.unused if text != named]
            return True
        taken = any(t == rename.table and (o == rename.old or n == rename.new) for t, o, n in self._given)
        if self.no_others or taken:
            return False
        if self.ask:
            return Confirm.ask(f"{rename.table}: was {rename.old} renamed to {rename.new}?", default=False)
        raise SettingsError(
            f"{rename.table}.{rename.old} goes while {rename.new} of its type comes; is it the same column? Say --rename"
            f" {rename.table}.{rename.old}={rename.new}, or --no-renames to drop it with its values"
        )


def _all(place: Place) -> tuple[list[type[Pipeline]], Database, Path]:
    folder, project = _folder(place), place.project
    if place.pipeline and project is not None and folder == project.migrations:
        others = [name for name in project.pipelines if name not in place.pipeline]
        if others:
            raise SettingsError(
                f"{short(folder)} holds the migrations of {', '.join(others)}, too: leave --pipeline out"
            )
    pipelines = place.connect()
    return pipelines, database_of(pipelines[0].metadata), folder


def _folder(place: Place) -> Path:
    folder = place.folder
    if folder is None:
        raise SettingsError(
            'where are the migrations? Write migrations = "migrations" under [tool.compdb] in pyproject.toml, or give --migrations'
        )
    return folder


def _check(revision: str, folder: Path, database: Database) -> None:
    """Refuse a revision that there is not, in words of what there is."""
    found = migrations.history(folder, database)
    steps = STEPS.fullmatch(revision)
    if steps is not None:
        down = steps["sign"] == "-"
        there = sum(bool(r.applied) == down for r in found)
        if int(steps["count"]) > there:
            what = "applied" if down else "to apply"
            raise SettingsError(
                f"{address(database.url)} has {there} revision{'' if there == 1 else 's'} {what}, not {steps['count']}"
            )
    elif revision not in NAMED and not any(r.id.startswith(revision) for r in found):
        raise SettingsError(
            f"there is no revision {revision!r}; there are: {', '.join(f'{r.id} ({r.message})' for r in found) or 'none'}"
        )


def _moved(done: Sequence[str], folder: Path, database: Database, what: str) -> Answer:
    messages = {r.id: r.message for r in migrations.history(folder)}
    shown = [f"{what} {id_}: {messages.get(id_, '')}" for id_ in done] or [
        f"nothing to do: {address(database.url)} is there already"
    ]
    return Answer({"database": database.url, what.replace(" ", "_"): list(done)}, shown)


def _entry(revision: Revision) -> dict[str, object]:
    return {
        "revision": revision.id,
        "parent": revision.parent,
        "message": revision.message,
        "file": str(revision.path),
        "applied": revision.applied,
    }
