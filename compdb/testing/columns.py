"""Hypothesis strategies for the values of a column, by its type.

>>> from hypothesis import given
>>> @given(values(column_type(str)))
... def test_text_comes_back(text): ...

Values are such as the column takes; with them come the hazards on which databases have been seen to differ: blanks at the end, letters
composed and decomposed, quotes, the ends of every range.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compdb.types import Adapter, Blob, Choice, Duration, UtcDateTime, adapter
from compdb.types.decimals import DecimalAdapter
from compdb.types.numbers import IntAdapter

__all__ = ["HARD_TEXT", "same", "values"]

Type = sa.types.TypeEngine[Any]
Strategy = st.SearchStrategy[Any]

HARD_TEXT = (
    "", " ", "a", "A", "a ", "a  ", " a", "\u00e1", "a\u0301", "\u00c0", "\u00df", "ss", "SS", "i", "I", "\u0131", "\u0130",
    "\u0153", "oe", "\u03a9", "\u2126", "\u200b", "\ufeff", "a\u200d", "\U0001f600", "\U0001f601", "\U0010ffff", "\uffff", "\ue000",
    "\x01", "\x1a", "\x7f", "\t", "\n", "\r\n", "\\", "\\'", "'", '"', "`", "%", "%%", "%s", "%(a)s", ":a", "_", ";--", "NULL", "null",
    "nan", "0", "00", "1e5", "1E5", "0x10", "-1", "true",
)  # fmt: skip
"""Texts that some database, collation, driver or escape has been known to confuse."""


def values(type_: Type, nullable: bool = False) -> Strategy:
    """Return a strategy for values that a column of this type takes and gives back equal.

    Parameters
    ----------
    type_ : TypeEngine
        A portable type.
    nullable : bool
        None too.
    """
    checked = adapter(type_, nullable)
    found = next((make(checked) for kind, make in _MAKERS if isinstance(type_, kind)), None)
    if found is None:
        raise TypeError(f"no strategy for {type_!r}")
    return st.one_of(st.none(), found) if nullable else found


def same(one: Any, other: Any) -> bool:  # any two values of a column
    """Say whether a value came back: equal, of the same type; for arrays also dtype, shape and order."""
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and one.dtype == other.dtype
            and one.shape == other.shape
            and one.flags.f_contiguous == other.flags.f_contiguous
            and bool(np.array_equal(one, other, equal_nan=one.dtype.kind in "fcmM"))
        )
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(v, other[k]) for k, v in one.items())
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or (one != one and other != other)


def _numbers(column: Adapter) -> Strategy:
    assert isinstance(column, IntAdapter)
    return st.integers(column.low, column.high)


def _decimals(column: Adapter) -> Strategy:
    assert isinstance(column, DecimalAdapter)
    most = 10**column.digits - 1
    return st.integers(-most, most).map(lambda n: Decimal(n).scaleb(-column.places))


def _text(column: Adapter) -> Strategy:
    longest: int | None = getattr(column, "length", None)
    hard = [text for text in HARD_TEXT if longest is None or len(text) <= longest]
    alphabet = st.characters(codec="utf-8", exclude_characters="\0")
    return st.one_of(st.sampled_from(hard), st.text(alphabet, max_size=min(longest or 60, 60)))


def _bytes(column: Adapter) -> Strategy:
    longest: int | None = getattr(column, "length", None)
    least = longest if getattr(column, "fixed", False) else 0
    return st.binary(min_size=least or 0, max_size=min(longest or 200, 200))


def _uuids(column: Adapter) -> Strategy:
    ids = st.integers(0, 2**128 - 1).map(lambda n: uuid.UUID(int=n))
    return ids if getattr(column.type, "as_uuid", True) else ids.map(str)


def _moments(column: Adapter) -> Strategy:
    zones: st.SearchStrategy[Any] = st.integers(-14 * 60, 14 * 60).map(
        lambda minutes: dt.timezone(dt.timedelta(minutes=minutes))
    )
    inside = {"min_value": dt.datetime(1, 1, 2), "max_value": dt.datetime(9999, 12, 30)}
    return st.datetimes(**inside, timezones=zones)


def _durations(column: Adapter) -> Strategy:
    return st.integers(-(2**63) + 1, 2**63 - 1).map(lambda n: dt.timedelta(microseconds=n))


def _json(column: Adapter) -> Strategy:
    text = _text(column)
    leaves = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), _FLOATS, text)

    def around(inner: Strategy) -> Strategy:
        return st.one_of(st.lists(inner, max_size=4), st.dictionaries(text, inner, max_size=4))

    return around(st.recursive(leaves, around, max_leaves=12))


def _blobs(column: Adapter) -> Strategy:
    dtypes = st.sampled_from(["f8", "f4", "i8", "u1", "?", "c16", ">i4", "M8[us]"])
    shapes = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
    numeric = dtypes.flatmap(lambda dtype: arrays.arrays(dtype, shapes))
    leaves = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.binary(max_size=8), numeric
    )
    nested = st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    )
    return nested.filter(lambda value: value is not None)


_FLOATS = st.floats(allow_nan=False, allow_infinity=False)

_MAKERS: tuple[tuple[type, Callable[[Adapter], Strategy]], ...] = (
    (Blob, _blobs),
    (Choice, lambda column: st.sampled_from(list(column.type.members.values()))),  # type: ignore[attr-defined]
    (UtcDateTime, _moments),
    (Duration, _durations),
    (sa.Boolean, lambda column: st.booleans()),
    (sa.Integer, _numbers),
    (sa.Float, lambda column: _FLOATS),
    (sa.Numeric, _decimals),
    (sa.String, _text),
    (sa.Date, lambda column: st.dates()),
    (sa.DateTime, lambda column: st.datetimes()),
    (sa.Time, lambda column: st.times()),
    (sa.Uuid, _uuids),
    (sa.JSON, _json),
    (sa.LargeBinary, _bytes),
    (sa.BINARY, _bytes),
    (sa.VARBINARY, _bytes),
)
