"""`compdb status`: what of each table is done, pending and failed, and whether the database fits the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from compdb.cli.answer import DONE, FAILED, OPEN, Answer, address, count, table
from compdb.cli.choice import tables
from compdb.cli.place import HERE, Place
from compdb.cli.standing import Standing, drift, fix, nothing_there, standing, waiting
from compdb.database import database_of

__all__ = ["status"]


def status(*, place: Place = HERE) -> Answer:
    """Show what of each table is done, pending and failed, and where the database does not fit the pipeline.

    The exit code is 2 if keys are pending or reserved, if a migration is not applied, or if a table does not fit its class (has
    drifted) or cannot be asked; 1 if all that is left has failed; else 0.
    """
    pipelines = place.connect()
    database = database_of(pipelines[0].metadata)
    found = drift(pipelines)
    revisions = waiting(place, database)
    lines = [standing(cls) for cls in tables(pipelines)]
    pending = sum((line.pending or 0) + (line.reserved or 0) for line in lines)
    failed = sum(line.errors or 0 for line in lines)
    names = [pipeline.__name__ for pipeline in pipelines]
    problems = [line for line in lines if line.problem is not None and line.table not in {d.table for d in found}]
    document = {
        "pipelines": names,
        "database": database.url,
        "tables": [asdict(line) for line in lines],
        "pending": pending,
        "errors": failed,
        "migrations": [{"revision": r.id, "message": r.message} for r in revisions],
        "drift": [{"kind": d.kind, "table": d.table, "words": d.words} for d in found],
    }
    shown: list[RenderableType] = [f"{', '.join(names)} in {address(database.url)}", _drawn(lines)]
    if failed:
        shown.append(f"{failed} failed: compdb jobs errors shows why, compdb jobs retry makes them pending again")
    shown += [Text(f"{line.table}: {line.problem}", style="red") for line in problems]
    if nothing_there(pipelines, found):
        shown.append("no table is there yet: compdb activate makes them")
    else:
        shown += [f"drift: {d}" for d in found]
        if found or revisions:
            shown.append(fix(place, revisions))
    return Answer(document, shown, OPEN if pending or revisions or found or problems else FAILED if failed else DONE)


def _drawn(lines: Sequence[Standing]) -> Table:
    extra = [name for name in ("reserved", "ignored") if any(getattr(line, name) for line in lines)]
    names = ["rows", "done", "pending", *extra, "errors"]
    drawn = table("table", "tier", *names, numbers=names)
    styles = {"pending": "yellow", "reserved": "yellow", "errors": "red"}
    for line in lines:
        cells = [
            count(getattr(line, n), styles.get(n, "")) if n == "rows" or line.total is not None else "" for n in names
        ]
        drawn.add_row(line.table, line.tier, *cells)
    return drawn
