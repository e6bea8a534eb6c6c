"""Values in conditions: made canonical for their attribute, and always bound.

A few values of one attribute are a parameter each; rows, and many values, are one for all of them (`compdb.dialects.listed`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import sqlalchemy as sa

from compdb.dialects import listed
from compdb.errors import InvalidValue, RestrictionError
from compdb.types import NOTHING, Adapter, adapter

__all__ = ["canonical", "is_one", "is_one_of", "is_row_of", "is_value", "python_value"]

FEW = 100
"""Values of one attribute that are a parameter each."""

_PLAIN = frozenset({int, str, float, bool, bytes})
_VIEWS: tuple[type, ...] = (type({}.keys()), type({}.values()))


def is_one(value: object) -> bool:
    """Say whether a value of a dict is one value, not a choice of several."""
    if type(value) in _PLAIN:
        return True
    if isinstance(value, (list, tuple, set, frozenset, range, Iterator, *_VIEWS)):
        return False
    if isinstance(value, np.ndarray):
        return value.ndim == 0
    return not (hasattr(value, "to_numpy") and hasattr(value, "__len__"))  # columns of frames


def canonical(name: str, type_: sa.types.TypeEngine[Any], value: Any, label: str) -> Any:
    """Return a value as it is to be bound; None for NULL, `NOTHING` for what the attribute can never have.

    Parameters
    ----------
    name, label : str
        The attribute, and the relation that has it.
    type_ : TypeEngine
        Its type; the null type where SQL text computes it.

    Raises
    ------
    InvalidValue
        If the attribute can have no such value; names it.
    RestrictionError
        If it is no value at all, but a relation or an expression.
    """
    if value is None:
        return None
    if type(value) not in _PLAIN:
        if isinstance(value, np.ndarray):
            value = value[()]
        if isinstance(value, sa.ClauseElement) or hasattr(value, "__relation__") or hasattr(value, "__clause_element__"):
            raise RestrictionError(
                f"the value of {name!r} is a {type(value).__name__}, not a value; restrict by it directly: `A & (A.{name} == ...)`"
            )
    if isinstance(type_, sa.types.NullType):
        return value.item() if isinstance(value, np.generic) else value
    try:
        return _adapter(type_).condition(value)
    except InvalidValue as error:
        raise error.at(table=label, attribute=name) from error


def python_value(value: Any) -> Any:
    """Return the Python value of a numpy scalar, and any other value as it is: SQLite would bind `np.int64(3)` as bytes."""
    if isinstance(value, np.ndarray) and not value.ndim:
        value = value[()]
    if not isinstance(value, np.generic):
        return value
    if isinstance(value, np.datetime64 | np.timedelta64) and np.datetime_data(value.dtype)[0] in ("ns", "ps", "fs", "as"):
        value = value.astype(f"{value.dtype.kind}8[us]")  # numpy would give a number
    return value.item()


@functools.lru_cache(maxsize=4096)
def _adapter(type_: sa.types.TypeEngine[Any]) -> Adapter:
    return adapter(type_, True)


def is_value(column: sa.ColumnElement[Any], value: Any) -> sa.ColumnElement[bool]:
    """Return the condition that a column has a canonical value."""
    if value is NOTHING:
        return sa.false()
    return column.is_(None) if value is None else column == sa.bindparam(None, value, type_=_type(column, [value]))


def is_one_of(column: sa.ColumnElement[Any], values: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Return the condition that a column has one of some canonical values."""
    given = [v for v in values if v is not None and v is not NOTHING]
    inside: sa.ColumnElement[bool] = sa.false()
    if len(given) > FEW:
        inside = _in([column], [(v,) for v in given])
    elif given:
        inside = column.in_(sa.bindparam(None, given, type_=_type(column, given), expanding=True))
    return sa.or_(inside, column.is_(None)) if any(v is None for v in values) else inside


def is_row_of(columns: Sequence[sa.ColumnElement[Any]], rows: Sequence[tuple[Any, ...]]) -> Iterator[sa.ColumnElement[bool]]:
    """Yield conditions of which one holds if the columns have one of some rows of canonical values: one IN for each set of NULLs."""
    by_nulls: dict[tuple[bool, ...], list[tuple[Any, ...]]] = {}
    for row in _distinct(rows):
        if not any(v is NOTHING for v in row):
            by_nulls.setdefault(tuple(v is None for v in row), []).append(row)
    for nulls, some in by_nulls.items():
        empty = [c.is_(None) for c, null in zip(columns, nulls) if null]
        there = [c for c, null in zip(columns, nulls) if not null]
        given = [tuple(v for v in row if v is not None) for row in some]
        inside: sa.ColumnElement[bool] = sa.true()
        if len(there) == 1:
            inside = is_one_of(there[0], [value for (value,) in given])
        elif there:
            inside = _in(there, given)
        yield sa.and_(sa.true(), *empty, inside)


def _type(column: sa.ColumnElement[Any], values: Sequence[Any]) -> sa.types.TypeEngine[Any] | None:
    """Return the type to bind values with: a whole number that text computes may be a large one."""
    if not isinstance(column.type, sa.types.NullType):
        return column.type
    return sa.BigInteger() if all(type(v) is int for v in values) else None


def _in(columns: Sequence[sa.ColumnElement[Any]], rows: list[tuple[Any, ...]]) -> sa.ColumnElement[bool]:
    types = [_type(c, [row[i] for row in rows]) or sa.types.NULLTYPE for i, c in enumerate(columns)]
    return listed(columns, rows, types)


def _distinct(rows: Sequence[tuple[Any, ...]]) -> Sequence[tuple[Any, ...]]:
    try:
        return list(dict.fromkeys(rows))
    except TypeError:
        return rows
