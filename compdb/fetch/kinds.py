"""What a column holds, as far as formats care: one word for each kind of value.

>>> kind_of(sa.BigInteger())
<Kind.INT: 'int'>

The kind follows from the column's type, so that an empty result has the same dtypes as a full one. Only an expression without
a type (SQL text: `proj(z="x + 1")`) is `OTHER`, and its kind is that of the values that come.
"""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from compdb.errors import InvalidValue, shorten
from compdb.types import Blob, Choice, Duration, UtcDateTime

__all__ = ["Field", "Kind", "Values", "codes", "fields", "inferred", "kind_of", "whole_numbers"]

Values = Sequence[Any]  # what a driver gives for one column, and what becomes of it


class Kind(enum.Enum):
    """What a column holds."""

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    TEXT = "str"
    DECIMAL = "Decimal"
    DATE = "date"
    TIME = "time"
    DATETIME = "datetime"
    UTC = "moment in UTC"
    DURATION = "timedelta"
    UUID = "UUID"
    CHOICE = "one of a few labels"
    JSON = "dict or list"
    BYTES = "bytes"
    BLOB = "blob"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a result.

    Attributes
    ----------
    labels : tuple of str
        What a `CHOICE` chooses from.
    digits : (int, int) or None
        Precision and scale of a `DECIMAL`, where the database keeps to them.
    long : bool
        Whether single values may be large: blobs, bytes, JSON and text without a length.
    """

    name: str
    type: sa.types.TypeEngine[Any]
    nullable: bool
    kind: Kind
    labels: tuple[str, ...] = ()
    digits: tuple[int, int] | None = None

    @property
    def long(self) -> bool:
        """Whether single values may be large."""
        unbounded = self.kind is Kind.TEXT and getattr(self.type, "length", None) is None
        return unbounded or self.kind in (Kind.BLOB, Kind.BYTES, Kind.JSON)


KINDS: tuple[tuple[type, Kind], ...] = (
    (Blob, Kind.BLOB),
    (UtcDateTime, Kind.UTC),
    (Duration, Kind.DURATION),
    (sa.Interval, Kind.DURATION),
    (sa.Boolean, Kind.BOOL),
    (sa.Integer, Kind.INT),
    (sa.DateTime, Kind.DATETIME),
    (sa.Date, Kind.DATE),
    (sa.Time, Kind.TIME),
    (sa.Uuid, Kind.UUID),
    (sa.JSON, Kind.JSON),
    (sa.LargeBinary, Kind.BYTES),
    (sa.BINARY, Kind.BYTES),
    (sa.VARBINARY, Kind.BYTES),
)
PYTHON: dict[frozenset[type], Kind] = {
    frozenset([int]): Kind.INT,
    frozenset([float]): Kind.FLOAT,
    frozenset([int, float]): Kind.FLOAT,
    frozenset([bool]): Kind.BOOL,
    frozenset([str]): Kind.TEXT,
    frozenset([Decimal]): Kind.DECIMAL,
    frozenset([dt.date]): Kind.DATE,
    frozenset([dt.time]): Kind.TIME,
    frozenset([dt.datetime]): Kind.DATETIME,
    frozenset([dt.timedelta]): Kind.DURATION,
    frozenset([uuid.UUID]): Kind.UUID,
    frozenset([bytes]): Kind.BYTES,
    frozenset([dict]): Kind.JSON,
    frozenset([list]): Kind.JSON,
}


def kind_of(type_: sa.types.TypeEngine[Any]) -> Kind:
    """Return the kind of a type; a user's own `TypeDecorator` is `OTHER`."""
    if isinstance(type_, (sa.Enum, Choice)):
        return Kind.CHOICE if all(isinstance(label, str) for label in _labels(type_)) else Kind.INT
    if isinstance(type_, sa.DateTime) and type_.timezone:
        return Kind.UTC
    if isinstance(type_, (sa.Numeric, sa.Float)):
        return Kind.DECIMAL if type_.asdecimal else Kind.FLOAT
    if isinstance(type_, sa.String):
        return Kind.TEXT
    return next((kind for cls, kind in KINDS if isinstance(type_, cls)), Kind.OTHER)


def fields(select: sa.Select[Any], nullable: Iterable[str] | None = None) -> tuple[Field, ...]:
    """Return what each column of `select` is, without asking the database.

    Parameters
    ----------
    nullable : names, optional
        The columns that may be NULL, where the caller knows better than the columns themselves (outer joins).
    """
    known = None if nullable is None else set(nullable)
    return tuple(_field(c, known) for c in select.selected_columns)


def _field(column: sa.ColumnElement[Any], nullable: set[str] | None) -> Field:
    type_, name = column.type, str(column.key)
    kind = kind_of(type_)
    may_be_null = bool(getattr(column, "nullable", True)) if nullable is None else name in nullable
    digits = None
    if kind is Kind.DECIMAL and isinstance(type_, sa.Numeric) and type_.precision is not None:
        # a sum has the type of what it adds up, and more digits
        digits = (type_.precision if isinstance(column, sa.Column) else max(38, type_.precision), type_.scale or 0)
    return Field(name, type_, may_be_null, kind, _labels(type_) if kind is Kind.CHOICE else (), digits)


def _labels(type_: sa.types.TypeEngine[Any]) -> tuple[Any, ...]:
    return type_.labels if isinstance(type_, Choice) else tuple(getattr(type_, "enums", ()))


def inferred(field: Field, values: Values) -> Field:
    """Return a field of kind `OTHER` with the kind of its values, where they are of one."""
    kind = PYTHON.get(frozenset(map(type, values)) - {type(None)}, Kind.OTHER)
    if kind is Kind.INT and not all(-(2**63) <= v < 2**63 for v in values if v is not None):
        kind = Kind.OTHER
    if kind is Kind.DATETIME and any(v.tzinfo is not None for v in values if v is not None):
        kind = Kind.UTC if all(v.tzinfo is not None for v in values if v is not None) else Kind.OTHER
    return replace(field, kind=kind, nullable=True)


def whole_numbers(field: Field, values: Values) -> Values:
    """Return the values of an `INT` or `BOOL` column as such: what a database gives for a sum may be a Decimal.

    Raises
    ------
    InvalidValue
        If an expression's type promises whole numbers and its values are not.
    """
    right = bool if field.kind is Kind.BOOL else int
    if set(map(type, values)) <= {right, type(None)}:
        return values
    for value in values:
        if value is not None and not (isinstance(value, (int, Decimal, float)) and value == right(value)):
            raise InvalidValue(
                f"{field.name!r} holds {shorten(value)}, and its type is {field.type!r}; give the expression its type with"
                " sqlalchemy.cast or type_coerce",
                value=value,
                attribute=field.name,
            )
    return [None if value is None else right(value) for value in values]


def codes(field: Field, values: Values) -> list[int]:
    """Return, for each stored label of a `CHOICE`, its place among the labels; -1 for NULL.

    Raises
    ------
    InvalidValue
        If the database holds a label that is none.
    """
    place: dict[Any, int] = {label: i for i, label in enumerate(field.labels)} | {None: -1}
    try:
        return [place[v] for v in values]
    except KeyError as error:
        raise InvalidValue(
            f"the database holds {error.args[0]!r}, which is not one of {', '.join(map(repr, field.labels))}; did the choices change?",
            value=error.args[0],
            attribute=field.name,
        ) from None
