"""A polars DataFrame.

==============================  =====================================================
column                          dtype
==============================  =====================================================
int, bool, float, str           Int64, Boolean, Float64, String
date, time                      Date, Time
datetime, UtcDateTime           Datetime("us"), Datetime("us", "UTC")
timedelta                       Duration("us")
Decimal                         Decimal(p, s)
Enum, Literal of text           Enum, of the labels in the database
UUID                            String
dict, list (JSON)               String: JSON text, for `.str.json_decode()`
bytes                           Binary
arrays and other blobs          Object: the decoded values, as in dicts
==============================  =====================================================

NULL is null, and an empty frame has the dtypes of a full one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from compdb.database import Database
from compdb.errors import MissingExtra
from compdb.fetch import fast
from compdb.fetch.arrow import text_of
from compdb.fetch.kinds import Field, Kind, Values

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

__all__ = ["to_polars"]

STORED = (Kind.CHOICE,)


def to_polars(database: Database, select: sa.Select[Any]) -> pl.DataFrame:
    """Return all rows as a polars DataFrame."""
    try:
        import polars as pl  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtra("to_polars", "polars", "polars") from error
    found = fast.gather(database, select, _series, _taken, STORED)
    return pl.DataFrame([_joined(field, parts) for field, parts in found])


def _series(field: Field, values: Values) -> pl.Series:
    """Return a part of a column."""
    import polars as pl  # noqa: PLC0415

    if field.kind in (Kind.JSON, Kind.UUID):
        values = text_of(field, values)
    return pl.Series(field.name, values, _dtype(field), strict=field.kind is not Kind.FLOAT)


def _taken(field: Field, column: pa.Array) -> pl.Series:
    """Return a part of a column that came as Arrow."""
    import polars as pl  # noqa: PLC0415

    return pl.Series(field.name, pl.from_arrow(column)).cast(_dtype(field))


def _dtype(field: Field) -> Any:  # a polars data type, or None to let polars see
    import polars as pl  # noqa: PLC0415

    match field.kind:
        case Kind.CHOICE:
            return pl.Enum(field.labels)
        case Kind.DECIMAL:
            return pl.Decimal(*field.digits) if field.digits and field.digits[0] <= 38 else None
        case Kind.OTHER:
            return pl.Object
    return {
        Kind.INT: pl.Int64,
        Kind.BOOL: pl.Boolean,
        Kind.FLOAT: pl.Float64,
        Kind.TEXT: pl.String,
        Kind.UUID: pl.String,
        Kind.JSON: pl.String,
        Kind.DATE: pl.Date,
        Kind.TIME: pl.Time,
        Kind.DATETIME: pl.Datetime("us"),
        Kind.UTC: pl.Datetime("us", "UTC"),
        Kind.DURATION: pl.Duration("us"),
        Kind.BYTES: pl.Binary,
        Kind.BLOB: pl.Object,
    }[field.kind]


def _joined(field: Field, parts: list[pl.Series]) -> pl.Series:
    import polars as pl  # noqa: PLC0415

    return pl.concat(parts) if parts else pl.Series(field.name, [], _dtype(field))
