"""Checked rows sent to the database, all or nothing."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from compdb import dag
from compdb.algebra import Relation
from compdb.database import Database
from compdb.errors import InvalidValue
from compdb.insert.checks import Batch, check, check_names, facts, rows_of
from compdb.insert.faults import translate
from compdb.insert.permission import Mode, Row

__all__ = ["check_size", "insert_select", "store", "write"]


def store(database: Database, table: sa.Table, batches: Sequence[Batch], mode: Mode) -> None:
    """Write rows in one transaction.

    Raises
    ------
    DuplicateKey, MissingParent, ConstraintError
        What the database has found.
    """
    if not batches:
        return
    check_size(database, table, batches)
    try:
        with database.transaction() as session:
            connection = session.connection()
            if facts(table).refers_to_itself:
                write(database, connection, table, rows_of(batches), mode)
                return
            for batch in batches:
                _send(database, connection, table, batch, mode)
    except exc.DBAPIError as error:
        raise translate(database, table, rows_of(batches), error, mode) from error


def _send(database: Database, connection: sa.Connection, table: sa.Table, batch: Batch, mode: Mode) -> None:
    skip, replace = mode == "skip", mode == "replace"
    if batch.names:
        database.dialect.insert_columns(
            connection, table, batch.names, batch.columns, skip_duplicates=skip, replace=replace
        )
    else:
        database.dialect.insert_rows(connection, table, batch.rows(), skip_duplicates=skip, replace=replace)


def write(database: Database, connection: sa.Connection, table: sa.Table, rows: Sequence[Row], mode: Mode) -> None:
    """Send checked rows in the order given, parents before children, those with the same attributes together."""
    if facts(table).refers_to_itself:
        rows = dag.parents_first(table, rows)
    for _, group in itertools.groupby(rows, key=tuple):
        database.dialect.insert_rows(
            connection, table, list(group), skip_duplicates=mode == "skip", replace=mode == "replace"
        )


def check_size(database: Database, table: sa.Table, batches: Sequence[Batch]) -> None:
    """Refuse, before anything is sent, a row that the server would not take: it would cost the connection."""
    limit, long = database.dialect.max_row, facts(table).long
    if limit is None or not long:
        return
    for batch in batches:
        large = {name: column for name, column in zip(batch.names, batch.columns) if name in long}
        for place, values in enumerate(zip(*large.values())):
            sizes = {n: len(v) for n, v in zip(large, values) if isinstance(v, (bytes, str))}
            if sum(sizes.values()) > limit:
                _refuse(table, limit, sizes, batch, place)


def _refuse(table: sa.Table, limit: int, sizes: dict[str, int], batch: Batch, place: int) -> None:
    known = facts(table)
    largest = max(sizes, key=sizes.__getitem__)
    row = {name: column[place] for name, column in zip(batch.names, batch.columns)}
    raise InvalidValue(
        f"{sizes[largest]:,} bytes are more than this server takes in one row ({limit:,} bytes; max_allowed_packet);"
        ' raise that limit, compress (Blob(compression="zstd")), or split the value over part rows',
        table=known.label,
        attribute=largest,
        row=batch.numbers[place],
        key={n: row[n] for n in known.key if n in row},
    )


def insert_select(
    database: Database, table: sa.Table, relation: Relation[Any], mode: Mode, extra_is_fine: bool
) -> None:
    """Insert the rows of a relation: INSERT ... SELECT, unless keys are to be made up on this side."""
    known = facts(table)
    names = [a.name for a in relation.heading]
    keep = check_names(known, dict.fromkeys(names), 0, extra_is_fine)
    if any(n not in keep for n in known.key_defaults):
        store(database, table, check(table, list(relation), mode, extra_is_fine), mode)
        return
    rows = relation.select().subquery()
    source = sa.select(*(rows.c[n] for n in keep))
    statement = database.dialect.insert_select(
        table, keep, source, skip_duplicates=mode == "skip", replace=mode == "replace"
    )
    try:
        with database.transaction() as session:
            session.execute(statement)
    except exc.DBAPIError as error:
        raise translate(database, table, list(relation), error, mode) from error
