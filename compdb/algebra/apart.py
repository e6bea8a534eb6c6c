"""An expression of `aggr`, taken apart: its aggregates, and the rest, which speaks of the left side alone.

>>> taken_apart("coalesce(max(rt), quality)", left, right, {"quality"}, name)
Apart(rest=("coalesce(", "a0", ", quality)"), aggregates={"a0": "max(rt)"})

The aggregates are computed over the rows of the right side, the rest for each row of the left: no database needs to know that what an
expression says of the left side is the same for all the rows that belong to one of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.sql import visitors
from sqlalchemy.sql.functions import FunctionElement

from compdb.algebra.columns import attribute_of, own_tables, rewrite, verbatim
from compdb.algebra.jsonpath import json_path

if TYPE_CHECKING:
    from compdb.algebra.relation import Relation

__all__ = ["Apart", "attributes_beside", "attributes_in", "taken_apart"]

_AGGREGATES = (
    r"count|sum|total|avg|min|max|median|mode|any_value|every|(bit|bool)_(and|or|xor)|corr|regr_\w+|percentile_(cont|disc)"
    r"|std|stddev(_pop|_samp)?|variance|(var|covar)_(pop|samp)|range_agg|range_intersect_agg|xmlagg"
    r"|group_concat|string_agg|aggregate_strings|array_agg|jsonb?_(object_)?agg|json_(array|object)agg|jsonb?_group_(array|object)"
)
"""Those of all databases: what is none of them is taken for a function of one row."""

_AGGREGATE = re.compile(_AGGREGATES, re.IGNORECASE)
_CALL = re.compile(rf"\b(?P<name>{_AGGREGATES})\s*\(|(?P<select>\(\s*select\b)", re.IGNORECASE)
_MORE = re.compile(r"\s*(filter|within\s+group)\s*\(", re.IGNORECASE)
_STRING = re.compile(r"'(?:[^']|'')*'")
_WHOLE = re.compile(r"[\"\\]|\$\$|--|/\*|\bover\b", re.IGNORECASE)
"""What makes text one that is not taken apart; in strings it does not."""


@dataclass(frozen=True)
class Apart:
    """The aggregates of an expression under new names, and the rest of it, in which these names stand for them.

    Of text, `rest` is the pieces, each second one a name. Else its columns are those of the left side, and of `aggregates` the author's.
    """

    rest: tuple[str, ...] | sa.ColumnElement[Any]
    aggregates: dict[str, Any]

    def put_together(
        self, column: Callable[[str], sa.ColumnElement[Any]], text: Callable[[str], str], type_: sa.types.TypeEngine[Any]
    ) -> sa.ColumnElement[Any]:
        """Return the expression with what stands for its aggregates: columns, or in text their SQL."""
        if isinstance(self.rest, tuple):
            return verbatim("".join(text(piece) if i % 2 else piece for i, piece in enumerate(self.rest)), type_)

        def resolve(element: Any, **_: Any) -> Any:
            ours = isinstance(element, sa.ColumnClause) and element.name in self.aggregates and element.table is None
            return column(element.name) if ours else None

        return sa.type_coerce(visitors.replacement_traverse(self.rest, {}, resolve), type_)


def taken_apart(
    value: Any, left: Relation[Any], right: Relation[Any], known: Collection[str], name: Callable[[], str]
) -> Apart | None:
    """Take an expression apart.

    Parameters
    ----------
    value : str or ColumnElement
        The expression.
    known : collection of str
        The attributes of `left` that the expression may speak of beside its aggregates: for their namesakes in `right`, they are the same.
    name : callable
        Returns a name not used before.

    Returns
    -------
    Apart or None
        None where what stands beside the aggregates speaks of other attributes of `right`, or cannot be told from them.
    """
    if not isinstance(value, str):
        return _clause_apart(value, left, right, known, name)
    path = json_path(left.heading, value)
    if path is not None and re.match(r"\w*", value.strip())[0] in known:  # type: ignore[index]
        return Apart(path, {})
    return _text_apart(value, known, [n for n in right.heading.names if n not in known], name)


def attributes_in(left: Relation[Any], right: Relation[Any], value: Any) -> list[str]:
    """Return the attributes that only `left` has and that an expression speaks of."""
    if isinstance(value, str):
        return [n for n in _of_left_alone(left, right) if _names(value, n)]
    return _named_by(left, right, [e for e in visitors.iterate(_clause(value)) if isinstance(e, sa.ColumnClause)])


def attributes_beside(left: Relation[Any], right: Relation[Any], value: Any) -> list[str]:
    """Return the attributes that only `left` has and that stand beside the aggregates of an expression, not inside them."""
    if isinstance(value, str):
        rest = _beside_aggregates(_without_strings(value))
        return [n for n in _of_left_alone(left, right) if _names(rest, n)]
    return _named_by(left, right, list(_columns(_clause(value), frozenset())))


def _of_left_alone(left: Relation[Any], right: Relation[Any]) -> list[str]:
    return [n for n in left.heading.names if n not in right.heading]


def _named_by(left: Relation[Any], right: Relation[Any], columns: list[sa.ColumnClause[Any]]) -> list[str]:
    found = set()
    for column in columns:
        if not column.is_literal and attribute_of(right, column) is None:
            attribute = attribute_of(left, column)
            found.add(attribute and attribute.name)
    return [n for n in _of_left_alone(left, right) if n in found]


# ---------------------------------------------------------------- text


def _text_apart(value: str, known: Collection[str], foreign: Collection[str], name: Callable[[], str]) -> Apart | None:
    plain = _without_strings(value)
    if _WHOLE.search(plain):
        return None
    beside = _beside_aggregates(plain)
    if any(_names(beside, n) for n in foreign) or any(_names(a, n) for a in _aggregates_in_selects(beside) for n in known):
        return None  # an aggregate in a SELECT inside the rest, of what is outside that, would be one of the query around it
    aggregates: dict[str, Any] = {}
    rest, end = [], 0
    for start, stop in _calls(plain):
        new = name()
        aggregates[new] = value[start:stop]
        rest += [value[end:start], new]
        end = stop
    return Apart((*rest, value[end:]), aggregates)


def _calls(plain: str) -> Iterator[tuple[int, int]]:
    """Yield where in text its aggregates begin and end, not those of a SELECT inside it."""
    return ((start, stop) for start, stop, select in _spans(plain) if not select)


def _aggregates_in_selects(plain: str) -> Iterator[str]:
    for start, stop, select in _spans(plain):
        if select:
            inside = plain[start + 1 : stop]
            yield from (inside[a:b] for a, b in _calls(inside))
            yield from _aggregates_in_selects(inside)


def _spans(plain: str) -> Iterator[tuple[int, int, bool]]:
    """Yield where in text aggregates and SELECTs in parentheses begin and end, and whether it is a SELECT.

    `max(a, b)` is no aggregate, but what SQLite calls the greater one.
    """
    start = 0
    while found := _CALL.search(plain, start):
        inside = found.start() + 1 if found["select"] else found.end()
        stop, several = _closed(plain, inside)
        if not found["select"] and several and found["name"].lower() in ("min", "max"):
            start = inside
            continue
        while not found["select"] and (more := _MORE.match(plain, stop)):
            stop, _ = _closed(plain, more.end())
        yield found.start(), stop, bool(found["select"])
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


def _names(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE) is not None


# ---------------------------------------------------------------- SQLAlchemy


def _clause(value: Any) -> Any:
    return value.__clause_element__() if hasattr(value, "__clause_element__") else value


def _columns(element: Any, own: frozenset[int]) -> Iterator[sa.ColumnClause[Any]]:
    """Yield the columns that stand beside aggregates, but in a SELECT not those that it selects from itself."""
    if isinstance(element, sa.ColumnClause):
        yield from [element] * (hash(element.table) not in own)
    elif not _is_aggregate(element):
        own = own.union(own_tables(element)) if isinstance(element, sa.Select) else own
        for child in element.get_children():
            yield from _columns(child, own)


def _asks_left_alone(select: sa.Select[Any], left: Relation[Any], known: Collection[str]) -> bool:
    """Say whether a SELECT inside an expression correlates with attributes of `left` and nothing else."""
    outer = [attribute_of(left, column) for column in _columns(select, frozenset()) if not column.is_literal]
    return all(attribute is not None and attribute.name in known for attribute in outer)


def _clause_apart(
    value: Any, left: Relation[Any], right: Relation[Any], known: Collection[str], name: Callable[[], str]
) -> Apart | None:
    clause = _clause(value)
    todo: list[Any] = [clause]
    while todo:  # first see whether it can be done
        element = todo.pop()
        if _is_aggregate(element) or (isinstance(element, sa.Select) and _asks_left_alone(element, left, known)):
            continue
        if isinstance(element, (sa.SelectBase, sa.Over, sa.TextClause)):
            return None
        if isinstance(element, sa.ColumnClause) and (element.is_literal or _of_left(element, left, right, known) is None):
            return None
        todo.extend(element.get_children())
    aggregates: dict[str, Any] = {}

    def resolve(element: Any, **_: Any) -> Any:
        if _is_aggregate(element):
            new = name()
            aggregates[new] = element
            return sa.column(new, element.type)
        if isinstance(element, sa.Select):
            return rewrite(left, element)
        return _of_left(element, left, right, known) if isinstance(element, sa.ColumnClause) else None

    return Apart(visitors.replacement_traverse(clause, {}, resolve), aggregates)


def _of_left(
    column: sa.ColumnClause[Any], left: Relation[Any], right: Relation[Any], known: Collection[str]
) -> sa.ColumnElement[Any] | None:
    """Return the column of `left` that a column of the author's means, if it has it or shares it with the other side."""
    found = attribute_of(right, column) or attribute_of(left, column)
    return left.heading[found.name].column if found is not None and found.name in known else None


def _is_aggregate(element: Any) -> bool:
    if isinstance(element, (sa.FunctionFilter, sa.WithinGroup)):
        return True
    name = getattr(element, "name", "").lower() if isinstance(element, FunctionElement) else ""
    return _AGGREGATE.fullmatch(name) is not None and not (name in ("min", "max") and len(element.clauses) > 1)
