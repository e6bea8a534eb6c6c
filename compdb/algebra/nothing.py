"""What the expressions of `aggr` are for a row of the left side that has no rows on the right.

`count(*)` is 0 there and `max(x)` NULL, and what an expression says of the left side besides is that of its row. Such an expression is
taken apart: its aggregates, computed over no rows, are one row of a FROM of their own, and the rest of it speaks of the left side.
Inside a subquery, an aggregate that names attributes of the left side alone would be one of the query around it, and MariaDB (as of
10.11) repeats there what it found for the row before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.sql import visitors
from sqlalchemy.sql.functions import FunctionElement

from compdb.algebra.columns import attribute_of, rewrite, verbatim
from compdb.algebra.heading import Heading
from compdb.algebra.project import computed_attributes, scope

if TYPE_CHECKING:
    from compdb.algebra.relation import Relation

__all__ = ["of_left_alone", "over_nothing"]

_AGGREGATES = ("count", "sum", "avg", "min", "max", "group_concat", "string_agg", "aggregate_strings", "array_agg")
_AGGREGATED = re.compile(rf"\b({'|'.join(_AGGREGATES)})\s*\(([^()]|\([^()]*\))*\)", re.IGNORECASE)
_WHOLE = re.compile(r"['\"]|--|/\*|\b(select|filter|over|within|separator)\b", re.IGNORECASE)
"""What makes text one that is not taken apart."""


def over_nothing(
    rows: Relation[Any], right: Relation[Any], left: Relation[Any], named: Mapping[str, Any], extra: Collection[str]
) -> tuple[dict[str, sa.ColumnElement[Any]], sa.Subquery | None]:
    """Return what expressions are for a row of `left` without any of `right`, and a FROM of one row that they need beside `left`.

    Parameters
    ----------
    rows : Relation
        The rows of `right`, with what the expressions say of `left` alone.
    extra : collection of str
        The attributes that only `left` has and that the expressions speak of.
    """
    found: dict[str, sa.ColumnElement[Any]] = {}
    columns: list[Any] = []
    pool = _bare(rows, left, list(named.values())) if extra else None
    rests = {} if pool is None else {name: _apart(value, pool, left, columns) for name, value in named.items()}
    empty = None
    if pool is not None and columns:
        empty = sa.select(*columns).select_from(pool.source).where(sa.false()).subquery()
    for name, value in named.items():
        rest = rests.get(name)
        if rest is None:
            alone = _only_aggregated(left, right, value, extra)
            found[name] = _subquery(rows if alone else right, left, value)
        else:
            found[name] = verbatim(rest) if isinstance(rest, str) else _placed(rest, empty)
    return found, empty


def of_left_alone(left: Relation[Any], right: Relation[Any], column: sa.ColumnClause[Any], name: str) -> bool:
    """Say whether a column is the attribute `name` of `left`, and none of `right`."""
    if attribute_of(right, column) is not None:
        return False
    found = attribute_of(left, column)
    return found is not None and found.name == name


def _bare(rows: Relation[Any], left: Relation[Any], values: list[Any]) -> Relation[Any]:
    """Return the relation beside `left`, where these expressions can be computed; which rows it has no longer matters."""
    return scope(replace(rows.joinable(), where=(), equal={}).apart(left.tables), values)


# ---------------------------------------------------------------- taken apart


def _apart(value: Any, pool: Relation[Any], left: Relation[Any], columns: list[Any]) -> Any:
    """Return an expression with its aggregates replaced by names, which are added to `columns`, and its columns by those of `left`.

    None is returned where what stands beside the aggregates speaks of `pool`, or cannot be told from them.
    """

    def named(aggregate: Any) -> str:
        column = verbatim(aggregate) if isinstance(aggregate, str) else rewrite(pool, aggregate)
        columns.append(column.label(f"nothing_{len(columns)}"))
        return str(columns[-1].name)

    return _text_apart(value, pool, left, named) if isinstance(value, str) else _clause_apart(value, pool, left, named)


def _text_apart(value: str, pool: Relation[Any], left: Relation[Any], named: Callable[[str], str]) -> str | None:
    rest = _AGGREGATED.sub("", value)
    foreign = [n for n in pool.heading.names if n not in left.heading]
    if _WHOLE.search(value) or any(_names(rest, name) for name in foreign):
        return None
    return _AGGREGATED.sub(lambda match: named(match[0]), value)


def _clause_apart(
    value: Any, pool: Relation[Any], left: Relation[Any], named: Callable[[Any], str]
) -> sa.ColumnElement[Any] | None:
    clause = value.__clause_element__() if hasattr(value, "__clause_element__") else value
    todo: list[Any] = [clause]
    while todo:  # first see whether it can be done
        element = todo.pop()
        if _is_aggregate(element):
            continue
        if isinstance(element, (sa.SelectBase, sa.Over, sa.TextClause)):
            return None
        if isinstance(element, sa.ColumnClause) and (element.is_literal or _of_left(element, pool, left) is None):
            return None
        todo.extend(element.get_children())

    def resolve(element: Any, **_: Any) -> Any:
        if _is_aggregate(element):
            return sa.column(named(element), element.type)
        return _of_left(element, pool, left) if isinstance(element, sa.ColumnClause) else None

    found: sa.ColumnElement[Any] = visitors.replacement_traverse(clause, {}, resolve)
    return found


def _placed(rest: sa.ColumnElement[Any], empty: sa.Subquery | None) -> sa.ColumnElement[Any]:
    """Return the expression with the names of aggregates replaced by the columns of the row that has them."""
    if empty is None:
        return rest

    def resolve(element: Any, **_: Any) -> Any:
        ours = isinstance(element, sa.ColumnClause) and element.table is None
        return empty.c.get(element.name) if ours else None

    found: sa.ColumnElement[Any] = visitors.replacement_traverse(rest, {}, resolve)
    return found


def _of_left(column: sa.ColumnClause[Any], pool: Relation[Any], left: Relation[Any]) -> sa.ColumnElement[Any] | None:
    """Return the column of `left` that a column of the author's means, if it has it or shares it with the other side."""
    found = attribute_of(left, column) or attribute_of(pool, column)
    attribute = left.heading.get(found.name) if found is not None else None
    return None if attribute is None else attribute.column


def _is_aggregate(element: Any) -> bool:
    return isinstance(element, (sa.FunctionFilter, sa.WithinGroup)) or (
        isinstance(element, FunctionElement) and getattr(element, "name", "").lower() in _AGGREGATES
    )


def _names(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


# ---------------------------------------------------------------- in a subquery


def _subquery(rows: Relation[Any], left: Relation[Any], value: Any) -> sa.ColumnElement[Any]:
    """Return what an aggregate is over none of `rows`, as a subquery of the row of `left`."""
    pool = _bare(rows, left, [value])
    beside = [a for a in left.heading if a.name not in pool.heading]
    seen = replace(pool, heading=Heading([*pool.heading, *beside]))
    (attribute,), _ = computed_attributes(seen, {"value": value})
    return sa.select(attribute.column).select_from(pool.source).where(sa.false()).scalar_subquery()


def _only_aggregated(left: Relation[Any], right: Relation[Any], value: Any, extra: Collection[str]) -> bool:
    """Say whether what an expression says of `left` alone stands in its aggregates, as in `count(species)`, and not beside them."""
    if isinstance(value, str):
        rest = _AGGREGATED.sub("", value)
        return not any(_names(rest, name) for name in extra)
    todo, beside = [value.__clause_element__() if hasattr(value, "__clause_element__") else value], []
    while todo:
        element = todo.pop()
        if isinstance(element, sa.ColumnClause) and not element.is_literal:
            beside.append(element)
        elif not (isinstance(element, FunctionElement) and getattr(element, "name", "").lower() in _AGGREGATES):
            todo.extend(element.get_children())
    return not any(of_left_alone(left, right, column, name) for column in beside for name in extra)
