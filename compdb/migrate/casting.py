"""Casting: what becomes of values whose column gets another type, where the database would take anything (SQLite).

The servers turn what they can and refuse the rest; SQLite's CAST makes 0 of a word and 2020 of a date. Here it does as they do.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from alembic.operations import ops

from compdb.errors import MigrationError, shorten
from compdb.schema import family

__all__ = ["cast", "refuse_values"]

Type = sa.types.TypeEngine[Any]

NUMBERS = ("whole number", "floating point number", "decimal number")
READERS: dict[str, Callable[[str], Any]] = {
    "whole number": int,
    "floating point number": float,
    "decimal number": Decimal,
    "date": dt.date.fromisoformat,
    "date with time": dt.datetime.fromisoformat,
    "time": dt.time.fromisoformat,
    "UUID": uuid.UUID,
    "JSON": json.loads,
}
"""What is text must be readable as this to become it."""


def cast(dialect: sa.Dialect, existing: sa.Column[Any], transfer: dict[str, Any], new_type: Type) -> None:
    """Say how values are copied into a column of another type; in the place of alembic's own `cast_for_batch_migrate`."""
    old, new = kind(existing.type, dialect), kind(new_type, dialect)
    value = transfer["expr"]
    if (old, new) == ("date", "date with time"):
        transfer["expr"] = sa.type_coerce(value, sa.Text()) + " 00:00:00.000000"
    elif (old, new) == ("date with time", "date"):
        transfer["expr"] = sa.func.substr(value, 1, 10)
    elif (old, new) == ("text", "UUID"):
        transfer["expr"] = sa.func.lower(sa.func.replace(value, "-", ""))
    elif (old, new) == ("floating point number", "whole number"):
        transfer["expr"] = sa.cast(sa.func.round(value), new_type)
    elif old != new and new in (*NUMBERS, "text") and (old in NUMBERS or (old == "text" and new in NUMBERS)):
        transfer["expr"] = sa.cast(value, new_type)


def refuse_values(operation: ops.AlterColumnOp, connection: sa.Connection) -> None:
    """Raise if a column has values that its new type does not take.

    Raises
    ------
    MigrationError
        Names table, column and the first such value.
    """
    former, wanted = operation.existing_type, operation.modify_type
    if former is None or wanted is None or kind(former, connection.dialect) != "text":
        return
    new, length = kind(wanted, connection.dialect), getattr(wanted, "length", None)
    column: sa.ColumnClause[Any] = sa.column(operation.column_name, sa.Text())
    query = sa.select(column).select_from(sa.table(operation.table_name)).where(column.is_not(None)).distinct()
    if new == "text" and length is not None:
        query = query.where(sa.func.length(column) > length).limit(1)
    elif new not in READERS:
        return
    for value in connection.scalars(query):
        if new == "text" or not _readable(value, READERS[new]):
            what = f"text of at most {length} characters" if new == "text" else new
            raise MigrationError(
                f"{operation.table_name}.{operation.column_name} has {shorten(value)}, which cannot become {what}: write into the"
                " revision, before the type changes, what becomes of such values"
            )


def kind(type_: Type, dialect: sa.Dialect) -> str:
    """Return what kind of values a column type holds; of text, also what is written in it."""
    plain = type_.impl_instance if isinstance(type_, sa.types.TypeDecorator) else type_
    if isinstance(plain, sa.Uuid):
        return "UUID"
    return "JSON" if isinstance(plain, sa.JSON) else family(type_, dialect)


def _readable(value: Any, read: Callable[[str], Any]) -> bool:
    try:
        read(str(value).strip())
    except (ValueError, ArithmeticError):
        return False
    return "_" not in str(value) or read is json.loads
