"""Check: the differences between the classes of pipelines and a database, in words. Neither alembic nor a folder of revisions is needed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from compdb import activation, dag, schema
from compdb.database import Database
from compdb.errors import SchemaDrift
from compdb.migrate import lookups
from compdb.migrate.resuming import cut_off
from compdb.schema import Difference, Place

__all__ = ["check", "lookups_of", "refuse_drift", "tables_of"]


def check(pipelines: Sequence[type[Any]], database: Database) -> list[Difference]:
    """Return the differences between the classes and the database; nothing is changed."""
    tables = tables_of(pipelines)
    dialect = database.engine.dialect
    ours = schema.declared(tables, database)
    with database.reading() as connection:
        names = schema.names(connection, {place[0] for place in ours})
        there = schema.read(connection, {*ours, *_orphans(names, ours)})
        found = [d for place, table in ours.items() for d in _differences(there.get(place), table, dialect)]
        for place, table in there.items():
            if place not in ours:
                words = "is in the database, and no class declares it"
                found.append(Difference("table", table.name, words))
        if cut := cut_off(connection):
            found.append(Difference("migration", "the database", str(cut), fits=False))
        found += lookups.differences(lookups_of(tables, dialect, ours), there, connection)
    return found


def refuse_drift(pipelines: Sequence[type[Any]], database: Database) -> None:
    """Raise if the tables do not fit the classes: for workers, which write results. Comments and rows of lookups do not matter here.

    Raises
    ------
    SchemaDrift
        Names every difference, and the fix.
    """
    found = [d for d in check(pipelines, database) if d.kind not in ("comment", "lookup")]
    if found:
        raise SchemaDrift(
            f"{database.url} does not fit the classes:\n  "
            + "\n  ".join(map(str, found))
            + "\nbring the database to the code (compdb migrate new, compdb migrate up), or the code to the database"
        )


def tables_of(pipelines: Iterable[type[Any]]) -> list[sa.Table]:
    """Return the tables of pipelines and those they refer to, parents first, those of the system once."""
    found: dict[tuple[str | None, str], sa.Table] = {}
    for pipeline in pipelines:
        for table in activation.tables_of(pipeline.__catalog__):
            found.setdefault((table.schema, table.name), table)
    return dag.topological(found.values())


def lookups_of(
    tables: Iterable[sa.Table], dialect: sa.Dialect, state: dict[Place, schema.Table]
) -> list[tuple[type[Any], schema.Table]]:
    """Return the classes of lookups among `tables`, each with its state."""
    places = schema.homes(tables, dialect)
    return [(t.info["class"], state[place]) for t, place in places.items() if dag.tier(t) == "lookup"]


def _differences(there: schema.Table | None, ours: schema.Table, dialect: sa.Dialect) -> Iterator[Difference]:
    if there is None:
        yield Difference("table", ours.label, f"table {ours.name!r} is not in the database", fits=False)
    else:
        yield from schema.compare(there, ours, dialect)


def _orphans(names: Iterable[Place], ours: dict[Place, schema.Table]) -> Iterator[Place]:
    """Return the tables named as parts or jobs of ours that no class declares."""
    for home, name in names:
        master, parted, _ = name.rpartition("__")
        if parted and (home, name) not in ours and (home, master) in ours:
            yield home, name
