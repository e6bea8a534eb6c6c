"""What the expressions of `aggr` are for a row of the left side that has no rows on the right.

`count(*)` is 0 there and `max(x)` NULL, and what an expression says of the left side besides is that of its row. Such an expression is
taken apart: its aggregates, computed over no rows, are one row of a FROM of their own, and the rest of it speaks of the left side.
Inside a subquery, an aggregate that names attributes of the left side alone would be one of the query around it, and MariaDB (as of
10.11) repeats there what it found for the row before.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.sql import visitors
from sqlalchemy.sql.functions import FunctionElement

from compdb.algebra.columns import attribute_of, rewrite, verbatim
from compdb.algebra.heading import Heading
from compdb.algebra.jsonpath import json_path
from compdb.algebra.project import computed_attributes, scope

if TYPE_CHECKING:
    from compdb.algebra.relation import Relation

__all__ = ["of_left_alone", "over_nothing"]

_AGGREGATES = (
    r"count|sum|total|avg|min|max|median|mode|any_value|every|(bit|bool)_(and|or|xor)|corr|regr_\w+|percentile_(cont|disc)"
    r"|std|stddev(_pop|_samp)?|variance|(var|covar)_(pop|samp)|range_agg|range_intersect_agg|xmlagg"
    r"|group_concat|string_agg|aggregate_strings|array_agg|jsonb?_(object_)?agg|json_(array|object)agg|jsonb?_group_(array|object)"
)
"""Those of all databases: what is none of them is taken for a function of one row."""

_AGGREGATE = re.compile(_AGGREGATES, re.IGNORECASE)
_CALL = re.compile(rf"\b(?P<name>{_AGGREGATES})\s*\(", re.IGNORECASE)
_STRING = re.compile(r"'(?:[^']|'')*'")
_WHOLE = re.compile(r"[\"\\]|\$\$|--|/\*|\b(select|filter|over|within)\b", re.IGNORECASE)
"""What makes text one that is not taken apart; in strings it does not."""


def over_nothing(
    rows: Relation[Any],
    right: Relation[Any],
    left: Relation[Any],
    named: Mapping[str, Any],
    shared: Collection[str],
    extra: Collection[str],
) -> tuple[dict[str, sa.ColumnElement[Any]], sa.Subquery | None]:
    """Return what expressions are for a row of `left` without any of `right`, and a FROM of one row that they need beside `left`.

    Parameters
    ----------
    rows : Relation
        The rows of `right`, with what the expressions say of `left` alone.
    shared : collection of str
        The attributes that `left` and `right` have in common.
    extra : collection of str
        The attributes that only `left` has and that the expressions speak of.
    """
    found: dict[str, sa.ColumnElement[Any]] = {}
    columns: list[Any] = []
    pool = _bare(rows, left, list(named.values())) if extra else None
    known = {*shared, *extra}
    rests = {} if pool is None else {name: _apart(value, pool, left, known, columns) for name, value in named.items()}
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


def _apart(value: Any, pool: Relation[Any], left: Relation[Any], known: Collection[str], columns: list[Any]) -> Any:
    """Return an expression with its aggregates replaced by names, which are added to `columns`, and its columns by those of `left`.

    The attributes `known` are the same on both sides. None is returned where what stands beside the aggregates speaks of others of
    `pool`, or cannot be told from them.
    """

    def named(aggregate: Any) -> str:
        column = verbatim(aggregate) if isinstance(aggregate, str) else rewrite(pool, aggregate)
        columns.append(column.label(f"compdb_nothing_{len(columns)}"))
        return str(columns[-1].name)

    if isinstance(value, str):
        path = json_path(left.heading, value)
        if path is not None and re.match(r"\w*", value.strip())[0] in known:  # type: ignore[index]
            return path
        return _text_apart(value, [n for n in pool.heading.names if n not in known], named)
    return _clause_apart(value, pool, left, known, named)


def _text_apart(value: str, foreign: Collection[str], named: Callable[[str], str]) -> str | None:
    plain = _without_strings(value)
    if _WHOLE.search(plain) or any(_names(_beside_aggregates(plain), name) for name in foreign):
        return None
    found, end = "", 0
    for start, stop in _calls(plain):
        found, end = found + value[end:start] + named(value[start:stop]), stop
    return found + value[end:]


def _calls(plain: str) -> Iterator[tuple[int, int]]:
    """Yield where in text the aggregates begin and end; `max(a, b)` is none, but what SQLite calls the greater one."""
    start = 0
    while found := _CALL.search(plain, start):
        stop, several = _closed(plain, found.end())
        if several and found["name"].lower() in ("min", "max"):
            start = found.end()
        else:
            yield found.start(), stop
            start = stop


def _closed(plain: str, start: int) -> tuple[int, bool]:
    """Return where the parenthesis that was opened before `start` has been closed, and whether several arguments stand in it."""
    depth, several = 1, False
    for place in range(start, len(plain)):
        sign = plain[place]
        depth += (sign == "(") - (sign == ")")
        several |= sign == "," and depth == 1
        if not depth:
            return place + 1, several
    return len(plain), several


def _without_strings(text: str) -> str:
    """Return text of the same length with nothing in its strings."""
    return _STRING.sub(lambda match: "'" + " " * (len(match[0]) - 2) + "'", text)


def _beside_aggregates(plain: str) -> str:
    found, end = "", 0
    for start, stop in _calls(plain):
        found, end = f"{found}{plain[end:start]} ", stop
    return found + plain[end:]


def _clause_apart(
    value: Any, pool: Relation[Any], left: Relation[Any], known: Collection[str], named: Callable[[Any], str]
) -> sa.ColumnElement[Any] | None:
    clause = value.__clause_element__() if hasattr(value, "__clause_element__") else value
    todo: list[Any] = [clause]
    while todo:  # first see whether it can be done
        element = todo.pop()
        if _is_aggregate(element):
            continue
        if isinstance(element, (sa.SelectBase, sa.Over, sa.TextClause)):
            return None
        if isinstance(element, sa.ColumnClause) and (element.is_literal or _of_left(element, pool, left, known) is None):
            return None
        todo.extend(element.get_children())

    def resolve(element: Any, **_: Any) -> Any:
        if _is_aggregate(element):
            return sa.column(named(element), element.type)
        return _of_left(element, pool, left, known) if isinstance(element, sa.ColumnClause) else None

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


def _of_left(
    column: sa.ColumnClause[Any], pool: Relation[Any], left: Relation[Any], known: Collection[str]
) -> sa.ColumnElement[Any] | None:
    """Return the column of `left` that a column of the author's means, if it has it or shares it with the other side."""
    found = attribute_of(pool, column) or attribute_of(left, column)
    return left.heading[found.name].column if found is not None and found.name in known else None


def _is_aggregate(element: Any) -> bool:
    if isinstance(element, (sa.FunctionFilter, sa.WithinGroup)):
        return True
    name = getattr(element, "name", "").lower() if isinstance(element, FunctionElement) else ""
    return _AGGREGATE.fullmatch(name) is not None and not (name in ("min", "max") and len(element.clauses) > 1)


def _names(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE) is not None


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
        rest = _beside_aggregates(_without_strings(value))
        return not any(_names(rest, name) for name in extra)
    todo, beside = [value.__clause_element__() if hasattr(value, "__clause_element__") else value], []
    while todo:
        element = todo.pop()
        if isinstance(element, sa.ColumnClause) and not element.is_literal:
            beside.append(element)
        elif not _is_aggregate(element):
            todo.extend(element.get_children())
    return not any(of_left_alone(left, right, column, name) for column in beside for name in extra)
