"""Blob: arrays, nested data, anything that `compdb.codecs` can keep exactly.

>>> pixels: Mapped[np.ndarray]                                  # a Blob
>>> movie: Mapped[np.ndarray] = mapped_column(Blob(compression="zstd"))

Values are encoded before any SQL is written, so that what cannot come back unchanged is refused at the insert line. Only None
is NULL: a NaN stays a NaN. Bytes that are a blob already (`codecs.Encoded`) are stored as they are. Fetched arrays are writable.
"""

from __future__ import annotations

import typing
from typing import Any, NoReturn

import numpy as np
import sqlalchemy as sa
from sqlalchemy.sql import operators

from compdb import codecs
from compdb.errors import InvalidValue, RestrictionError
from compdb.types.adapter import Adapter
from compdb.types.variants import Varied, of_mysql, vary

__all__ = ["Blob", "BlobAdapter", "adapter", "column_type", "portable"]

Type = sa.types.TypeEngine[Any]

_NOT_COMPARED = (
    "a Blob cannot be compared or ordered in the database; fetch it and compare in Python, or store what you ask for in an"
    " attribute of its own"
)
_ALLOWED = (operators.is_, operators.is_not, operators.eq, operators.ne)


class _Comparator(sa.types.TypeDecorator.Comparator[Any]):
    """Allows IS NULL and IS NOT NULL, and nothing else."""

    def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
        """Return the comparison with NULL; refuse any other."""
        if op in _ALLOWED and all(o is None or isinstance(o, sa.Null) for o in other):
            return super().operate(op, *other, **kwargs)
        raise RestrictionError(_NOT_COMPARED)

    def reverse_operate(self, op: Any, other: Any, **kwargs: Any) -> NoReturn:
        """Refuse: a Blob stands to the left of IS NULL alone."""
        raise RestrictionError(_NOT_COMPARED)


class Blob(Varied[Any]):
    """Any value that `compdb.codecs` keeps: arrays, numbers, text, and dicts, lists, tuples and sets of them.

    Parameters
    ----------
    compression : "zstd", optional
        Slower to write, smaller to keep.
    """

    impl: Any = sa.LargeBinary
    cache_ok = True
    comparator_factory: Any = _Comparator

    def __init__(self, compression: str | None = None) -> None:
        super().__init__()
        self.impl = vary(sa.LargeBinary(), mysql=of_mysql("LONGBLOB"))
        self.compression = compression

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> bytes | None:
        """Encode a value; an encoded one passes."""
        return value if value is None or isinstance(value, codecs.Encoded) else codecs.encode(value, self.compression)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        """Decode what the database gave; BlobError where it is no blob."""
        return None if value is None else codecs.decode(value)

    def compare_values(self, x: Any, y: Any) -> bool:
        """Say whether two values are the same blob, for the unit of work: arrays have no truth."""
        return x is y

    def __repr__(self) -> str:
        return "Blob()" if self.compression is None else f"Blob(compression={self.compression!r})"


def column_type(python_type: Any) -> Type | None:
    """Return the column type of `np.ndarray`, `NDArray[...]` and `Blob`."""
    return Blob() if (typing.get_origin(python_type) or python_type) in (np.ndarray, Blob) else None


def portable(type_: Type) -> Type | None:
    """Refuse pickles."""
    if isinstance(type_, sa.PickleType):
        raise InvalidValue("a PickleType runs whatever code stands in the database; use Blob")
    return None


def adapter(type_: Type, nullable: bool, key: bool) -> Adapter | None:
    """Return the adapter of a Blob column."""
    return BlobAdapter(type_, nullable, key) if isinstance(type_, Blob) else None


class BlobAdapter(Adapter):
    """Values, encoded."""

    exact = codecs.Encoded
    takes = "a value that a Blob can hold"
    key_problem = (
        "a Blob cannot be part of a primary key, since it cannot be compared; use int, str, or another short type"
    )

    def __init__(self, type_: Blob, nullable: bool = True, key: bool = False) -> None:
        super().__init__(type_, nullable, key)
        self.compression = type_.compression

    def one(self, value: Any) -> Any:
        """Return the value, encoded."""
        return self.null(value) if value is None else self.convert(value)

    def convert(self, value: Any) -> codecs.Encoded:
        """Encode a value; an encoded one passes."""
        if isinstance(value, codecs.Encoded):
            return value
        return codecs.Encoded(codecs.encode(value, self.compression))

    def condition(self, value: Any) -> None:
        """Refuse all but None."""
        if value is not None:
            raise InvalidValue(_NOT_COMPARED, value=value)
