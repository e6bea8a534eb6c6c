"""Types: what a column keeps, alike on every database, and the check of values before they are sent.

    column_type(float)                       what Mapped[float] becomes
    portable(sa.String(16))                  a user's type, made to behave alike on all databases
    adapter(type_, nullable=True).one(3)     a value as the column keeps it, or InvalidValue

Every file of this family is a kind of value, with the same three functions:

    column_type(python_type) -> type or None          None: not mine
    portable(type_) -> type or None                   None: not mine
    adapter(type_, nullable, key) -> Adapter or None

=============  ============================  ====================================================================
Mapped[...]    column                        also taken
=============  ============================  ====================================================================
str            VARCHAR(255), binary order    numpy.str_, StrEnum members
int            BIGINT                        bool, numpy ints, whole Decimals; no floats
float          DOUBLE                        ints and numpy numbers that a double holds exactly; Decimals
bool           BOOLEAN                       0 and 1, numpy.bool_
Decimal        NUMERIC(p, s), to be given    ints, floats by their decimal text, text; rounded half away from zero
date           DATE                          ISO text, midnights
datetime       DATETIME(6), naive            ISO text, dates, numpy.datetime64, pandas.Timestamp
UtcDateTime    DATETIME(6), in UTC           aware datetimes, ISO text with an offset
time           TIME(6)                       ISO text
timedelta      BIGINT, microseconds          numpy.timedelta64, pandas.Timedelta
UUID           UUID, CHAR(32)                text
Enum, Literal  VARCHAR or BIGINT, CHECK      members, names, values
bytes          LONGBLOB, BYTEA               bytearray, memoryview
dict, list     JSON                          numpy scalars inside
ndarray, Blob  LONGBLOB, BYTEA               what compdb.codecs keeps
=============  ============================  ====================================================================

None, NaN, NaT and pandas.NA are NULL everywhere but in a Blob, where NaN is a value.
"""

from __future__ import annotations

import typing
from typing import Any, Protocol

import sqlalchemy as sa

from compdb.types import binary, blob, choice, decimals, json, numbers, text, times, uuids
from compdb.types.adapter import NOTHING, Adapter, Anything, Nothing
from compdb.types.blob import Blob
from compdb.types.choice import Choice
from compdb.types.times import Duration, UtcDateTime

__all__ = [
    "NOTHING",
    "Adapter",
    "Blob",
    "Choice",
    "Duration",
    "Nothing",
    "UtcDateTime",
    "adapter",
    "check_key_type",
    "check_type",
    "column_type",
    "key_bytes",
    "portable",
]

Type = sa.types.TypeEngine[Any]


class Kind(Protocol):
    """What every file of this family offers."""

    def column_type(self, python_type: Any) -> Type | None:
        """Return the column type of an annotation."""

    def portable(self, type_: Type) -> Type | None:
        """Return a SQLAlchemy type as it behaves alike everywhere."""

    def adapter(self, type_: Type, nullable: bool, key: bool) -> Adapter | None:
        """Return the adapter of a column."""


KINDS: tuple[Kind, ...] = (numbers, decimals, choice, text, times, uuids, binary, json, blob)


def column_type(python_type: Any) -> Type | None:
    """Return the column type of `Mapped[python_type]`, or None if there is none.

    Raises
    ------
    InvalidValue
        The type needs more than its name (Decimal), or cannot be a column (Flag).
    """
    if isinstance(python_type, typing.NewType):
        return column_type(python_type.__supertype__)
    if type(python_type).__name__ == "TypeAliasType":  # `type Side = Literal[...]`, Python 3.12
        return column_type(python_type.__value__)
    return next((found for kind in KINDS if (found := kind.column_type(python_type)) is not None), None)


def portable(type_: Type | type[Type]) -> Type:
    """Return a type that behaves as `type_` does, alike on every database.

    Types of one database (`sqlalchemy.dialects...`), the user's own, and variants that the user chose stay as they are.

    Raises
    ------
    InvalidValue
        The type cannot behave alike: decimals without digits, pickles.
    """
    given = sa.types.to_instance(type_)
    return next((found for kind in KINDS if (found := kind.portable(given)) is not None), given)


def adapter(type_: Type, nullable: bool = True, key: bool = False) -> Adapter:
    """Return the check and conversion of a column's values.

    Parameters
    ----------
    nullable : bool
        None, NaN and their like are NULL; otherwise they are refused.
    key : bool
        The column is part of a primary key: a decimal is refused rather than rounded.
    """
    found = (made for kind in KINDS if (made := kind.adapter(type_, nullable, key)) is not None)
    return next(found, None) or Anything(type_, nullable, key)


def check_type(type_: Type, dialect: sa.Dialect) -> str | None:
    """Return why one database (`engine.dialect`) cannot have such a column, or None if it can."""
    return adapter(type_).refused_by(dialect)


def check_key_type(type_: Type) -> str | None:
    """Return why such a column cannot be part of a primary key, or None if it can."""
    return adapter(type_).key_problem


def key_bytes(type_: Type) -> int:
    """Return what the column costs of the 3,072 bytes of a MySQL index; 0 if that is not known."""
    return adapter(type_).key_bytes
