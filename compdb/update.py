"""Update: change attributes of one existing row.

>>> Session.update1({"subject_id": "M001", "session_idx": 1, "quality": 3})

The key says which row; it cannot be changed. Results that were computed from the row before are not computed again: a warning
says how many there are.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from compdb import cascade, dag, types
from compdb.database import Database
from compdb.dialects import Fault
from compdb.errors import (
    CompdbWarning,
    ConstraintError,
    InvalidValue,
    MissingAttribute,
    MissingParent,
    NotOneRow,
    UnknownAttribute,
    shorten,
)

__all__ = ["update1"]


def update1(database: Database, table: sa.Table, row: Mapping[str, Any], *, stacklevel: int = 3) -> None:
    """Change attributes of one row of `table`.

    Parameters
    ----------
    row : dict
        The full primary key and at least one other attribute; None sets NULL.
    stacklevel : int
        How far up the caller stands whom a warning should name.

    Raises
    ------
    UnknownAttribute, MissingAttribute, InvalidValue
        If the row is not of this form; nothing was sent then.
    NotOneRow
        If there is no row with this key.
    MissingParent, ConstraintError
        If the database refuses the change.

    Warns
    -----
    CompdbWarning
        If computed rows rest on the row; names their tables and how many there are.
    """
    key, changes = _checked(table, row)
    where = sa.and_(*(table.c[name] == value for name, value in key.items()))
    try:
        with database.transaction() as session:
            connection = session.connection()
            values = {
                name: sa.null() if value is None else value for name, value in changes.items()
            }  # SQL's NULL, for JSON too
            if connection.execute(sa.update(table).where(where).values(values)).rowcount != 1:
                raise NotOneRow(f"{dag.label(table)} & {key}", 0)
            resting = _computed_from(connection, table, where)
            session.expire_all()
    except DBAPIError as error:
        raise _told(database, table, where, changes, error) from error
    if resting:
        said = ", ".join(f"{count} {'row' if count == 1 else 'rows'} of {label}" for label, count in resting.items())
        warnings.warn(
            f"{dag.label(table)} {key} was changed, and rows computed from it before stay as they are: {said}; delete them to have"
            " them computed again",
            CompdbWarning,
            stacklevel=stacklevel,
        )


def _checked(table: sa.Table, row: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the key and the changes, converted as their columns take them."""
    label = dag.label(table)
    columns = {column.name: column for column in table.columns}
    if not isinstance(row, Mapping):
        raise InvalidValue(
            f"update1 takes a dict of the key and what to change, not {type(row).__name__}: {shorten(row)}",
            value=row,
            table=label,
        )
    for name in row:
        if name not in columns:
            raise UnknownAttribute(name, label, columns)
    missing = [column.name for column in table.primary_key if row.get(column.name) is None]
    if missing:
        raise MissingAttribute(label, missing, dict(row))
    converted = {name: _converted(columns[name], value, row) for name, value in row.items()}
    key = {column.name: converted.pop(column.name) for column in table.primary_key}
    if not converted:
        raise InvalidValue(
            "update1 needs at least one attribute beside the key, to be changed", value=row, table=label, key=key
        )
    return key, converted


def _converted(column: sa.Column[Any], value: Any, row: Mapping[str, Any]) -> Any:
    label, name = dag.label(column.table), column.name
    key = {c.name: row[c.name] for c in column.table.primary_key}
    if column.computed is not None:
        raise InvalidValue(
            "the database computes this attribute itself", value=value, table=label, attribute=name, key=key
        )
    try:
        return types.adapter(column.type, bool(column.nullable)).one(value)
    except InvalidValue as error:
        raise error.at(table=label, attribute=name, key=key) from error.__cause__


def _computed_from(connection: sa.Connection, table: sa.Table, where: sa.ColumnElement[bool]) -> dict[str, int]:
    """Count the rows that populate has made from those that `where` picks."""
    if not any(dag.tier(other) in dag.AUTO_TIERS for other in dag.descendants(table)):
        return {}
    counts = cascade.dependents(connection, table, sa.select(*table.primary_key).where(where))
    return {dag.label(other): count for other, count in counts.items() if dag.tier(other) in dag.AUTO_TIERS}


def _told(
    database: Database,
    table: sa.Table,
    where: sa.ColumnElement[bool],
    changes: Mapping[str, Any],
    error: DBAPIError,
) -> Exception:
    """Return the error to raise for the driver's own."""
    label = dag.label(table)
    fault = database.dialect.classify(error).fault
    if fault is Fault.FOREIGN_KEY:
        missing = _missing_parent(database, table, where, changes)
        return missing or ConstraintError(f"{label}: other rows refer to the value that {', '.join(changes)} has now")
    if fault is Fault.DUPLICATE:
        return ConstraintError(f"{label}: another row has these values already: {dict(changes)}")
    if fault in (Fault.CHECK, Fault.NOT_NULL):
        said = str(error.orig).strip().splitlines()[0]
        return ConstraintError(f"{label}: {dict(changes)} breaks a constraint: {said}")
    return error


def _missing_parent(
    database: Database, table: sa.Table, where: sa.ColumnElement[bool], changes: Mapping[str, Any]
) -> MissingParent | None:
    with database.reading() as connection:
        there = connection.execute(sa.select(table).where(where)).first()
        now: dict[str, Any] = dict(there._mapping) if there is not None else {}
        now.update(changes)
        for edge in dag.parents(table):
            wanted = {theirs: now.get(mine) for mine, theirs in edge.pairs}
            if changes.keys().isdisjoint(mine for mine, _ in edge.pairs) or None in wanted.values():
                continue
            match = sa.and_(*(edge.parent.c[name] == value for name, value in wanted.items()))
            if not connection.scalar(sa.select(sa.exists().where(match))):
                return MissingParent(dag.label(table), dag.label(edge.parent), wanted, attributes=[mine for mine, _ in edge.pairs])
    return None
