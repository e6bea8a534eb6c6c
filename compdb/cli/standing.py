"""How a pipeline stands: whether its database fits it, and what of each table is done, pending, failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import exc

from compdb import dag, migrate
from compdb.cli.answer import address
from compdb.cli.place import Place
from compdb.database import Database, database_of
from compdb.errors import CompdbError, SchemaDrift
from compdb.pipeline import Pipeline

if TYPE_CHECKING:
    from compdb.migrate import Difference, Revision

__all__ = ["Standing", "drift", "fix", "nothing_there", "ready", "standing", "waiting"]

TOLD = 3


@dataclass(frozen=True)
class Standing:
    """How one table stands.

    Attributes
    ----------
    table, tier : str
    rows : int or None
        How many it has; None if the table cannot be asked.
    total, done, pending, reserved, errors, ignored : int or None
        Keys of its key source; None for a table that is not populated. `pending` waits for a worker, `reserved` has one.
    problem : str or None
        Why it cannot be asked.
    """

    table: str
    tier: str
    rows: int | None = None
    total: int | None = None
    done: int | None = None
    pending: int | None = None
    reserved: int | None = None
    errors: int | None = None
    ignored: int | None = None
    problem: str | None = None


def standing(cls: type[Any]) -> Standing:
    """Count the rows of a table, and the keys that it has and lacks."""
    label, tier = dag.label(cls.__table__), str(cls.__tier__)
    try:
        rows = len(cls())
        if tier not in dag.AUTO_TIERS:
            return Standing(label, tier, rows)
        remaining, total = cls.progress(display=False)
        jobs = cls.jobs.progress()
        source = cls.key_source.proj()
        errors = len((source & cls.jobs.errors) - cls) if jobs["error"] else 0
        ignored = len((source & cls.jobs.ignored) - cls) if jobs["ignore"] else 0
        reserved = jobs["reserved"]
    except (exc.DBAPIError, CompdbError) as error:  # the other tables are to be counted all the same
        return Standing(label, tier, problem=str(getattr(error, "orig", None) or error))
    pending = max(0, remaining - errors - reserved)
    return Standing(label, tier, rows, total, total - remaining - ignored, pending, reserved, errors, ignored)


def drift(pipelines: Sequence[type[Pipeline]]) -> list[Difference]:
    """Return where the database of connected pipelines does not fit them.

    Comments do no harm to what is computed, nor do rows that somebody has added to a lookup.
    """
    found = migrate.check(pipelines, database_of(pipelines[0].metadata))
    return [d for d in found if d.kind != "comment" and not (d.kind == "lookup" and d.fits)]


def waiting(place: Place, database: Database) -> list[Revision]:
    """Return the migrations that the database does not have yet."""
    folder = place.folder
    return [] if folder is None else [r for r in migrate.history(folder, database) if not r.applied]


def fix(place: Place, revisions: Sequence[Revision]) -> str:
    """Say how a database that does not fit is made to, where these revisions are not applied yet."""
    if place.folder is None:
        return "compdb activate makes tables that are missing; others change by hand, or by migrations: compdb migrate --help"
    if revisions:
        return f"compdb migrate up applies {len(revisions)} revision{'s' * (len(revisions) > 1)}"
    return 'compdb migrate new "what changed" writes a revision, and compdb migrate up applies it'


def ready(place: Place) -> list[type[Pipeline]]:
    """Return the pipelines, connected to a database that fits them: what runs makes begins so.

    Without migrations tables that are missing are made, as `Lab.activate()` does; with them the database must be up to date.

    Raises
    ------
    SchemaDrift
        If the database does not fit; names the first differences, and the fix.
    """
    pipelines = place.connect()
    if place.folder is None:
        for pipeline in pipelines:
            pipeline.activate()
    found = drift(pipelines)
    if not found:
        return pipelines
    database = database_of(pipelines[0].metadata)
    if nothing_there(pipelines, found):
        raise SchemaDrift(f"{address(database.url)} has no tables yet; compdb activate makes them")
    told = "; ".join(map(str, found[:TOLD])) + (f"; and {len(found) - TOLD} more" if len(found) > TOLD else "")
    how = fix(place, waiting(place, database))
    raise SchemaDrift(f"{address(database.url)} does not fit the pipeline, so nothing is run: {told}; {how}")


def nothing_there(pipelines: Sequence[type[Pipeline]], found: Sequence[Difference]) -> bool:
    """Say whether all tables are missing: the database was not activated."""
    missing = {d.table for d in found if d.kind == "table"}
    return all(dag.label(cls.__table__) in missing for pipeline in pipelines for cls in pipeline.__catalog__)
