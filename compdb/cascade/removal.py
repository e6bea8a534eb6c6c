"""Drop tables and everything that depends on them, children first; their classes stay declared."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from compdb import dag
from compdb.cascade.consent import agree, must_ask, named
from compdb.cascade.loops import empty
from compdb.cascade.surroundings import Surroundings, present
from compdb.database import Database
from compdb.dialects.references import place
from compdb.errors import DeleteError

__all__ = ["drop"]

_log = logging.getLogger("compdb")


def drop(database: Database, tables: Iterable[sa.Table], *, prompt: bool | None = None) -> None:
    """Drop `tables`, all tables that depend on them, and their jobs tables.

    Where DDL is part of a transaction, all go or none; elsewhere (MySQL) those dropped before an error stay dropped.

    Parameters
    ----------
    prompt : bool, optional
        Ask first, with the counts per table; by default at a terminal or in a notebook. Elsewhere `prompt=False` is needed.

    Raises
    ------
    DeleteError
        If nobody is there to confirm, a transaction is open, a part would be dropped without its master, or a table that no loaded
        pipeline declares depends on these. Nothing was dropped then.
    """
    if database.in_transaction():
        raise DeleteError(
            "tables cannot be dropped inside a transaction: some databases would commit it; drop them outside"
        )
    ask = must_ask(prompt, "drop", in_transaction=False)
    with database.snapshot() as connection:
        jobs, going = _doomed(connection, tables)
        counts = named(_counts(connection, going)) if ask and going else {}
    if not (jobs or going) or (counts and not agree("drop", "Drop these tables, with so many rows?", counts)):
        return
    with database.transaction() as session:
        for table in [*jobs, *reversed(going)]:
            _drop(session.connection(), table)
    _log.info("dropped %s", ", ".join(map(dag.label, [*going, *jobs])))


def _doomed(connection: sa.Connection, tables: Iterable[sa.Table]) -> tuple[list[sa.Table], list[sa.Table]]:
    """Return the jobs tables and the other tables to drop, those that the database has."""
    asked = present(connection, tables)
    around = Surroundings(connection, [t for t in asked if dag.tier(t) != "jobs"], always=True)
    for table in around.tables:
        master = dag.master(table)
        if master is not None and master not in around.tables:
            raise DeleteError(
                f"{dag.label(table)} would be dropped without its master {dag.label(master)}; drop {dag.label(master)}, and"
                " its parts go with it"
            )
    if around.outside:
        names = sorted({str(r) for r in around.outside})
        raise DeleteError(
            f"tables that no loaded pipeline declares depend on these: {', '.join(names)}; import their pipeline, or drop"
            " them first"
        )
    jobs = {place(connection, t): t for t in asked if dag.tier(t) == "jobs"}
    guessed = [sa.Table(f"{t.name}__jobs", sa.MetaData(), schema=t.schema) for t in around.tables]
    for table in present(connection, guessed):
        jobs.setdefault(place(connection, table), table)
    for reference in around.jobs:
        table = sa.Table(reference.table, sa.MetaData(), schema=reference.schema)
        jobs.setdefault(place(connection, table), table)
    return list(jobs.values()), around.tables


def _counts(connection: sa.Connection, tables: list[sa.Table]) -> Mapping[sa.Table, int]:
    return {t: connection.scalar(sa.select(sa.func.count()).select_from(t)) or 0 for t in tables}


def _drop(connection: sa.Connection, table: sa.Table) -> None:
    try:
        table.drop(connection, checkfirst=False)
    except IntegrityError as error:
        loops = [e for e in dag.parents(table) if e.parent is table]
        if not loops:
            raise DeleteError(
                f"{dag.label(table)}: a table that this user may not see depends on it, so it cannot be dropped"
            ) from error
        empty(connection, table, loops)  # SQLite first deletes the rows, in an order that offends self-references
        table.drop(connection, checkfirst=False)
