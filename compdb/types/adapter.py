"""What a column takes: values checked and made canonical before any SQL is written.

>>> adapter(sa.Numeric(3, 2), nullable=False).one(0.4567)
Decimal('0.46')

A value is `exact` when it already has the one Python type of its column; all others are converted, without loss, or refused.
What stands for "nothing there" (None, NaN, NaT, pandas.NA, a masked element) is None in a nullable column and refused in others.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import numpy as np
import sqlalchemy as sa

from compdb.errors import InvalidValue, shorten

__all__ = ["NOTHING", "Adapter", "Anything", "Nothing", "is_null", "wrong"]

_NUMPY_NUMBERS: tuple[type, ...] = (np.bool_, np.integer, np.float64, np.float32, np.float16)


class Nothing:
    """The type of `NOTHING`; no driver takes it for a value."""

    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Final = Nothing()
"""Said by `Adapter.condition` of a value that the column never holds and that some database would not even take as a parameter
(2**70, text with NUL, an infinity): the comparison is false for every row, `sa.false()`."""


def is_null(value: Any) -> bool:  # any object that a user puts in a row
    """Say whether `value` stands for a missing one: None, NaN, NaT, pandas.NA or numpy's `masked`."""
    if value is None:
        return True
    if isinstance(value, (float, np.floating)):
        return bool(value != value)
    if isinstance(value, Decimal):
        return value.is_nan()
    if isinstance(value, (np.datetime64, np.timedelta64)):
        return bool(np.isnat(value))
    kind = type(value)
    return value is np.ma.masked or (kind.__name__ in ("NAType", "NaTType") and kind.__module__.startswith("pandas"))


def wrong(value: Any, takes: str, hint: str = "") -> InvalidValue:
    """Return the error for a value of the wrong type."""
    return InvalidValue(
        f"{shorten(value)} ({type(value).__name__}) is not {takes}" + (f"; {hint}" if hint else ""), value=value
    )


class Adapter:
    """Checks and converts the values of one column.

    Subclasses say `exact`, `takes`, and override `convert`, `check`, `comparable` and, for speed, `bulk`.

    Attributes
    ----------
    exact : type
        The Python type that values of the column have after `one`.
    takes : str
        That, in the words of an error message.
    nullable : bool
    key : bool
        The column is part of a primary key: rounding is refused.
    key_bytes : int
        What the column costs in an index of MySQL or MariaDB; 0 where that is not known.
    key_problem : str or None
        Why such a column cannot be part of a primary key.
    """

    exact: type = object
    takes: str = "a value"
    key_bytes: int = 0
    key_problem: str | None = None

    def __init__(self, type_: sa.types.TypeEngine[Any], nullable: bool = True, key: bool = False) -> None:
        self.type, self.nullable, self.key = type_, nullable, key

    def one(self, value: Any) -> Any:
        """Return `value` as it is to be handed to SQLAlchemy.

        Raises
        ------
        InvalidValue
            The reason says what is wrong and how to mend it; the caller adds the place.
        """
        if type(value) is not self.exact:
            if is_null(value):
                return self.null(value)
            value = self.convert(value)
        return self.check(value)

    def many(self, values: Sequence[Any]) -> list[Any]:
        """Return a column of values, each as `one` gives it; quick where all have the exact type.

        Raises
        ------
        InvalidValue
            With `.row`, the index of the value.
        """
        kinds = set(map(type, values))
        found = self._quick(values, kinds)
        if found is not None:
            return found
        result = []
        for row, value in enumerate(values):
            try:
                result.append(self.one(value))
            except InvalidValue as error:
                raise error.at(row=row) from error.__cause__
        return result

    def condition(self, value: Any) -> Any:
        """Return `value` for a comparison with the column.

        None stands for IS NULL; `NOTHING` for a value of the right type that the column can never hold (too large, say). Text
        and bytes that are too long are returned as they are: every database finds that they match nothing.

        Raises
        ------
        InvalidValue
            The value has the wrong type, or the column cannot be compared.
        """
        if type(value) is not self.exact:
            if is_null(value):
                return None
            value = self.convert(value)
        self.comparable(value)
        try:
            return self.check(value)
        except InvalidValue:
            return NOTHING

    def null(self, value: Any) -> Any:
        """Return None for a missing value, where the column may be NULL."""
        if not self.nullable:
            said = "NULL (None)" if value is None else f"{shorten(value)}, which is stored as NULL,"
            raise InvalidValue(
                f"{said} is not allowed here; give a value, or declare the attribute Mapped[... | None]", value=value
            )

    def convert(self, value: Any) -> Any:
        """Return a value of another type as one of the exact type, without loss, or raise InvalidValue."""
        raise wrong(value, self.takes)

    def check(self, value: Any) -> Any:
        """Return a value of the exact type as the column keeps it, or raise InvalidValue."""
        return value

    def comparable(self, value: Any) -> None:
        """Raise InvalidValue for a value of the exact type that no value of the column can be compared with."""

    def bulk(self, values: list[Any]) -> list[Any] | None:
        """Return values of the exact type as the column keeps them, or None if any does not fit."""
        return [self.check(value) for value in values]

    def refused_by(self, dialect: sa.Dialect) -> str | None:
        """Return why a database cannot have this type of column, or None if it can."""
        return None

    def _quick(self, values: Sequence[Any], kinds: set[type]) -> list[Any] | None:
        """Return the column if its values are of one type, or that and None, and need no closer look."""
        plain = kinds - {type(None)}
        if not plain and self.nullable:
            return list(values)
        if len(plain) != 1 or (len(kinds) > 1 and not self.nullable):
            return None
        (kind,) = plain
        present = [v for v in values if v is not None] if len(kinds) > 1 else list(values)
        if kind is not self.exact:
            if not issubclass(kind, _NUMPY_NUMBERS):
                return None
            present = np.array(present).tolist()
            if type(present[0]) is not self.exact:
                return None
        try:
            found = self.bulk(present)
        except InvalidValue:
            return None
        if found is None or len(kinds) == 1:
            return found
        rest = iter(found)
        return [None if v is None else next(rest) for v in values]


class Anything(Adapter):
    """A type of the user's own, or one we do not know: only None is looked at."""

    def one(self, value: Any) -> Any:
        """Return `value` as it is."""
        return self.null(value) if value is None else value

    def condition(self, value: Any) -> Any:
        """Return `value` as it is."""
        return value
