"""bool, int and float.

An `int` is 64 bits wide, a `float` is a double everywhere. What Python calls equal may change its type on the way in: True is
the int 1, and 0 and 1 are bools; a float is no int, and an int that a double cannot hold is no float. Text is never a number.
An infinity is refused, because MariaDB and MySQL cannot hold one; NaN becomes NULL.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import sqlalchemy as sa

from compdb.errors import InvalidValue, shorten
from compdb.types.adapter import Adapter, wrong
from compdb.types.variants import is_generic, vary

__all__ = ["BoolAdapter", "FloatAdapter", "IntAdapter", "adapter", "column_type", "portable"]

Type = sa.types.TypeEngine[Any]


def column_type(python_type: Any) -> Type | None:
    """Return the column type of `bool`, `int` and `float`."""
    types: dict[Any, Type] = {bool: sa.Boolean(), int: sa.BigInteger(), float: sa.Double()}
    return portable(types[python_type]) if isinstance(python_type, type) and python_type in types else None


def portable(type_: Type) -> Type | None:
    """Make floats doubles, and a 64-bit key of SQLite its row id."""
    if not is_generic(type_):
        return None
    if isinstance(type_, sa.BigInteger):
        return vary(type_, sqlite=sa.Integer())
    if isinstance(type_, sa.Float):
        if type(type_) is sa.Double and type_.precision is None:
            return type_
        double: sa.Double[Any] = sa.Double(asdecimal=type_.asdecimal, decimal_return_scale=type_.decimal_return_scale)  # type: ignore[call-overload]
        return vary(double, instead_of=type_)
    return type_ if isinstance(type_, (sa.Boolean, sa.Integer)) else None


def adapter(type_: Type, nullable: bool, key: bool) -> Adapter | None:
    """Return the adapter of a number column."""
    kinds = ((sa.Boolean, BoolAdapter), (sa.Integer, IntAdapter), (sa.Float, FloatAdapter))
    return next((made(type_, nullable, key) for kind, made in kinds if isinstance(type_, kind)), None)


class BoolAdapter(Adapter):
    """True and False; 0 and 1 mean them."""

    exact = bool
    takes = "True or False"
    key_bytes = 1

    def convert(self, value: Any) -> bool:
        """Take numpy's bools, 0 and 1."""
        if isinstance(value, np.bool_) or (isinstance(value, (int, np.integer)) and value in (0, 1)):
            return bool(value)
        raise wrong(value, self.takes)

    def bulk(self, values: list[bool]) -> list[bool]:
        """Every bool fits."""
        return values


_WIDEST = 30
"""Digits of a Decimal beyond which it is not even turned into an int."""

_WIDTHS = {"TINYINT": 8, "MEDIUMINT": 24}
"""Bits of the integers that only MySQL has."""


def _bits(type_: Type) -> int:
    if isinstance(type_, sa.BigInteger):
        return 64
    return 16 if isinstance(type_, sa.SmallInteger) else _WIDTHS.get(type_.__visit_name__, 32)


class IntAdapter(Adapter):
    """Whole numbers within the width of the column."""

    exact = int
    takes = "a whole number (int)"

    def __init__(self, type_: Type, nullable: bool = True, key: bool = False) -> None:
        super().__init__(type_, nullable, key)
        bits = _bits(type_)
        self.bits, self.key_bytes = bits, bits // 8
        unsigned = bool(getattr(type_, "unsigned", False))
        self.low: int = 0 if unsigned else -(2 ** (bits - 1))
        self.high: int = self.low + 2**bits - 1

    def convert(self, value: Any) -> int:
        """Take bools, numpy's integers, and whole Decimals (what a database returns for a sum)."""
        if isinstance(value, (int, np.integer, np.bool_)):
            return int(value)
        if (
            isinstance(value, Decimal)
            and value.is_finite()
            and value.adjusted() < _WIDEST
            and value == value.to_integral_value()
        ):
            return int(value)
        if isinstance(value, (float, np.floating)) and math.isfinite(value) and value == int(value):
            raise wrong(value, self.takes, "write int(value); for a pandas column with gaps, .astype('Int64')")
        raise wrong(value, self.takes)

    def check(self, value: int) -> int:
        """Refuse what is wider than the column."""
        if not self.low <= value <= self.high:
            hint = "; BigInteger holds 64" if self.bits < 64 else ""
            raise InvalidValue(
                f"{shorten(value)} does not fit the {self.bits} bits of the column ({self.low} to {self.high}){hint}",
                value=value,
            )
        return value

    def bulk(self, values: list[int]) -> list[int] | None:
        """Look at the extremes only."""
        return values if self.low <= min(values) and max(values) <= self.high else None


class FloatAdapter(Adapter):
    """Finite doubles."""

    exact = float
    takes = "a number (float)"
    key_bytes = 8
    key_problem = (
        "a float cannot be part of a primary key, since numbers that look alike differ; use int, Decimal with"
        " mapped_column(Numeric(p, s)), or str"
    )

    def convert(self, value: Any) -> float:
        """Take numpy's floats, ints that a double holds exactly, and Decimals (the nearest double)."""
        if isinstance(value, (int, np.integer, np.bool_)):
            return _exact_float(int(value), value)
        if isinstance(value, (float, np.floating)):
            return float(value) if not np.isfinite(value) else _exact_float(value, value)
        if isinstance(value, Decimal):
            return float(value)
        raise wrong(value, self.takes)

    def check(self, value: float) -> Any:
        """Turn NaN into NULL and refuse the infinities."""
        if value != value:
            return self.null(value)
        if math.isinf(value):
            raise InvalidValue(
                "an infinity cannot be stored (MariaDB and MySQL have none); use None, a large number, or a Blob",
                value=value,
            )
        return value

    def bulk(self, values: list[float]) -> list[float] | None:
        """Add them up: the sum is finite only if all are."""
        return values if math.isfinite(sum(values)) else None


def _exact_float(number: Any, value: Any) -> float:  # an int or a numpy float, longdouble too
    try:
        converted = float(number)
    except OverflowError:
        converted = math.inf
    if converted != number:
        raise InvalidValue(
            f"{shorten(value)} has more digits than a float holds; it would come back as {converted!r}", value=value
        )
    return converted
