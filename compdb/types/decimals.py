"""Decimal numbers with a fixed number of digits after the point.

>>> adapter(sa.Numeric(3, 2), nullable=False, key=False).one(0.125)
Decimal('0.13')

Values are rounded here, half away from zero as MySQL and PostgreSQL do it, so that every database stores the same digits; a
float is taken by its decimal text (0.285 is 0.29). In a primary key nothing is rounded: the key must be found again.
SQLite keeps a decimal as a number of 15 digits, so that it compares and adds as a number; longer ones are refused there.
"""

from __future__ import annotations

import decimal
import re
from decimal import Decimal
from typing import Any

import numpy as np
import sqlalchemy as sa

from compdb.errors import InvalidValue, shorten
from compdb.types.adapter import NOTHING, Adapter, is_null, wrong
from compdb.types.variants import is_generic, vary

__all__ = ["DecimalAdapter", "adapter", "column_type", "portable"]

Type = sa.types.TypeEngine[Any]

MOST_DIGITS, MOST_PLACES = 65, 30
"""What MySQL allows in a DECIMAL(p, s)."""

DIGITS_OF_A_DOUBLE = 15
"""Decimal digits that every double gives back unchanged."""

_EXACT = decimal.Context(
    prec=120, rounding=decimal.ROUND_HALF_UP, Emin=-999999, Emax=999999, traps=[decimal.InvalidOperation]
)
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII)


def column_type(python_type: Any) -> Type | None:
    """Refuse a bare `Decimal`: its digits must be given."""
    if python_type is Decimal:
        raise InvalidValue(
            "a Decimal needs its digits, the same on every database: Mapped[Decimal] = mapped_column(Numeric(10, 2))"
            " has 10 digits, 2 of them after the point"
        )
    return None


def portable(type_: Type) -> Type | None:
    """Refuse decimals without digits, or with more than every server has."""
    if not is_generic(type_) or not isinstance(type_, sa.Numeric):
        return None
    digits, places = type_.precision, type_.scale or 0
    if digits is None:
        raise InvalidValue(f"{type_!r} needs its digits: Numeric(10, 2) has 10 digits, 2 of them after the point")
    if not (0 < digits <= MOST_DIGITS and 0 <= places <= min(digits, MOST_PLACES)):
        raise InvalidValue(
            f"{type_!r}: the digits are 1 to {MOST_DIGITS}, those after the point 0 to {MOST_PLACES} and no more than the digits"
        )
    if type_.scale is None:
        whole: sa.Numeric[Any] = sa.Numeric(digits, 0, asdecimal=type_.asdecimal)  # type: ignore[call-overload]
        return vary(whole, instead_of=type_)
    return type_


def adapter(type_: Type, nullable: bool, key: bool) -> Adapter | None:
    """Return the adapter of a decimal column."""
    return DecimalAdapter(type_, nullable, key) if isinstance(type_, sa.Numeric) else None


def _packed(digits: int) -> int:
    """Return the bytes of so many digits in MySQL's DECIMAL."""
    return digits // 9 * 4 + (digits % 9 + 1) // 2


class DecimalAdapter(Adapter):
    """Decimals of p digits, s of them after the point."""

    exact = Decimal
    takes = "a decimal number"

    def __init__(self, type_: Any, nullable: bool = True, key: bool = False) -> None:
        super().__init__(type_, nullable, key)
        self.digits: int = type_.precision if type_.precision is not None else MOST_DIGITS
        self.places: int = type_.scale or 0 if type_.precision is not None else MOST_PLACES
        self.unit = Decimal(1).scaleb(-self.places)
        self.limit = Decimal(1).scaleb(self.digits - self.places)
        self.key_bytes = _packed(self.digits - self.places) + _packed(self.places)

    def convert(self, value: Any) -> Decimal:
        """Take ints, floats by their decimal text, and decimal text itself."""
        if isinstance(value, (int, np.integer, np.bool_)):
            return Decimal(int(value))
        if isinstance(value, float):
            return Decimal(float.__repr__(value))
        if isinstance(value, np.floating):
            return Decimal(str(value))
        if isinstance(value, Decimal):
            return Decimal(value)
        if isinstance(value, str):
            if _NUMBER.fullmatch(value):
                return Decimal(str.__str__(value))
            raise InvalidValue(f"{shorten(value)} is no decimal number; write it as '12.50'", value=value)
        raise wrong(value, self.takes)

    def check(self, value: Decimal) -> Any:
        """Round to the places of the column; refuse what has too many digits before the point."""
        if value.is_nan():
            return self.null(value)
        rounded = self._rounded(value)
        if rounded is None:
            raise InvalidValue(
                f"{shorten(value)} does not fit Numeric({self.digits}, {self.places}), which ends before {self.limit:f}",
                value=value,
            )
        if self.key and rounded != value:
            raise InvalidValue(
                f"{shorten(value)} has more than {self.places} places, and a key is not rounded, since it would not be found"
                f" again; write round(Decimal(...), {self.places})",
                value=value,
            )
        return rounded

    def condition(self, value: Any) -> Any:
        """Return the number; one with more places than the column is equal to none of its values."""
        if is_null(value):
            return None
        number = self.convert(value)
        rounded = self._rounded(number)
        return rounded if rounded is not None and rounded == number else NOTHING

    def bulk(self, values: list[Decimal]) -> list[Decimal] | None:
        """Round all of them at once."""
        unit, limit = self.unit, self.limit
        try:
            with decimal.localcontext(_EXACT):
                rounded = [v.quantize(unit) for v in values]
                fits = -limit < min(rounded) and max(rounded) < limit
        except decimal.InvalidOperation:  # NaN, an infinity, or far too many digits
            return None
        return rounded if fits and (not self.key or rounded == values) else None

    def refused_by(self, dialect: sa.Dialect) -> str | None:
        """Refuse more digits than a float keeps, where decimals travel as floats."""
        if self.digits <= DIGITS_OF_A_DOUBLE:
            return None
        sent = self.type.dialect_impl(dialect).bind_processor(dialect)
        if sent is None or not isinstance(sent(self.unit), float):
            return None
        return (
            f"Numeric({self.digits}, {self.places}) has more than the {DIGITS_OF_A_DOUBLE} digits that this database keeps;"
            f" use Numeric({DIGITS_OF_A_DOUBLE}, ...) or fewer, str, or a database with decimals of its own"
        )

    def _rounded(self, value: Decimal) -> Decimal | None:
        if not value.is_finite() or (value and value.adjusted() > MOST_DIGITS):
            return None
        if not value or value.adjusted() < -MOST_DIGITS:
            return Decimal(0).quantize(self.unit)
        rounded = value.quantize(self.unit, context=_EXACT)
        return rounded if -self.limit < rounded < self.limit else None
