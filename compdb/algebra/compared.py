"""Comparisons in SQLAlchemy expressions: a value is that of its column, as it is in a dict.

>>> Session & (Session.session_time >= "2026-01-02T10:00")

SQLAlchemy binds a value by its own type, so text beside a date would be compared as text on SQLite, converted by MariaDB and
refused by PostgreSQL. Here it becomes what the column holds, or is refused in the words of the column. A number beside a column
of numbers stays as it is: `Session.trials > 1.5` is a question, though no row has that value.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.sql import operators
from sqlalchemy.sql.elements import ExpressionClauseList

from compdb import dag
from compdb.algebra.values import python_value
from compdb.database import Database
from compdb.errors import InvalidValue, RestrictionError
from compdb.types import NOTHING, adapter
from compdb.types.times import Duration, UtcDateTime

__all__ = ["ARITHMETIC", "compared", "refuse_arithmetic"]

ARITHMETIC: frozenset[Any] = frozenset({operators.add, operators.sub})
_COMPARISONS: frozenset[Any] = frozenset(
    {
        operators.eq,
        operators.ne,
        operators.lt,
        operators.le,
        operators.gt,
        operators.ge,
        operators.in_op,
        operators.not_in_op,
        operators.between_op,
        operators.not_between_op,
        operators.is_distinct_from,
        operators.is_not_distinct_from,
    }
)
_MOMENTS = (sa.Date, sa.DateTime, sa.Time, UtcDateTime)


def compared(comparison: sa.BinaryExpression[Any]) -> sa.BinaryExpression[Any] | None:
    """Return a comparison with its values as the column holds them; None if they are so already.

    Raises
    ------
    InvalidValue
        If the column can have no such value; names it.
    """
    if comparison.operator not in _COMPARISONS:
        return None
    column, other = comparison.left, comparison.right
    if isinstance(column, sa.BindParameter):
        column, other = other, column
    if isinstance(column, sa.BinaryExpression):
        return None  # SQLAlchemy says that the difference of two moments is one
    found = {p: _fitting(column, p) for p in _parameters(other)}
    if all(new is old for old, new in found.items()):
        return None
    told = comparison._clone()
    if isinstance(other, sa.BindParameter):
        new = found[other]
        told.left, told.right = (new, column) if comparison.left is other else (column, new)
    else:
        both: Any = cast("Any", other)._clone()
        both.clauses = tuple(found.get(c, c) for c in both.clauses)
        told.right = both
    return told


def refuse_arithmetic(database: Database, operation: sa.BinaryExpression[Any]) -> None:
    """Refuse sums and differences of dates and times where the database would calculate with their digits.

    Raises
    ------
    RestrictionError
    """
    sides = (operation.left, operation.right)
    if operation.operator not in ARITHMETIC or not any(isinstance(s.type, _MOMENTS) for s in sides):
        return
    if any(isinstance(s.type, sa.types.NullType) for s in sides):
        return  # SQL of the database's own, as in `Session.begun + text("INTERVAL 1 DAY")`
    if not database.dialect.calculates_with_moments:
        raise RestrictionError(
            f"{operation}: {database.dialect.name} does not add and subtract dates and times; compare with what Python has"
            " calculated, as in Session.begun > moment - timedelta(days=1), calculate after fetching, or write the database's own"
            " SQL as a text"
        )


def _parameters(side: sa.ClauseElement) -> Iterator[sa.BindParameter[Any]]:
    """Yield the parameters of one side: it is one, or those of BETWEEN."""
    if isinstance(side, sa.BindParameter):
        yield side
    elif isinstance(side, ExpressionClauseList):
        yield from (c for c in side.clauses if isinstance(c, sa.BindParameter))


def _fitting(column: sa.ColumnElement[Any], parameter: sa.BindParameter[Any]) -> sa.BindParameter[Any]:
    given = parameter.value
    if given is None or parameter.callable is not None:
        return parameter
    if not isinstance(given, list):
        value = _value(column, given)
        return parameter if value is given else _bound(column, parameter, value)
    values = [_value(column, v) for v in given]
    return parameter if all(a is b for a, b in zip(values, given)) else _bound(column, parameter, values)


def _bound(column: sa.ColumnElement[Any], parameter: sa.BindParameter[Any], value: Any) -> sa.BindParameter[Any]:
    return sa.bindparam(None, value, type_=column.type, expanding=parameter.expanding)


def _value(column: sa.ColumnElement[Any], given: Any) -> Any:
    value = python_value(given)
    if value is None or not _is_in_question(column.type, value):
        return given
    kind: sa.types.TypeEngine[Any] = column.type
    if isinstance(kind, sa.Integer) and not isinstance(column, sa.ColumnClause):
        kind = sa.BigInteger()  # a count or a sum is wider than its type says
    fits = adapter(kind, True)
    try:
        found = fits.condition(value)
        if found is NOTHING:
            found = fits.one(value)
        if found is None:
            raise InvalidValue(f"{value!r} is stored as NULL; ask for it by .is_(None)", value=value)
    except InvalidValue as error:
        table = getattr(column, "table", None)
        name = getattr(column, "name", None) or str(column)
        raise error.at(table=dag.label(table) if isinstance(table, sa.Table) else None, attribute=name) from error
    return value if found == value and type(found) is type(value) else found


def _is_in_question(type_: sa.types.TypeEngine[Any], value: Any) -> bool:
    """Say whether the databases would differ on a value beside a column of that type, or refuse it in their own words."""
    if isinstance(value, str):
        return isinstance(type_, (*_MOMENTS, Duration, sa.Uuid, sa.Boolean, sa.Integer, sa.Numeric, sa.Float))
    if isinstance(type_, sa.Date) and isinstance(value, dt.datetime):
        return value.tzinfo is not None or value.time() == dt.time()
    if isinstance(type_, sa.Boolean):
        return type(value) is not bool
    if isinstance(type_, sa.Integer) and type(value) is int:
        return True
    if isinstance(type_, (sa.Integer, sa.Numeric, sa.Float)) and isinstance(value, float):
        return not math.isfinite(value)
    return isinstance(type_, _MOMENTS)
