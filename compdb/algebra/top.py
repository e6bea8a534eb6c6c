"""Top: the first rows in some order, as a condition: `Session & Top(3, order_by="quality DESC")`.

Orders are attributes (`"quality"`, `"quality DESC"`), `"KEY"` or `"KEY DESC"` for the whole primary key, SQLAlchemy expressions, or
a list of these. NULL is less than any value, on every database, unless `nulls_first()` or `nulls_last()` says otherwise. Tops may be chained: a second one without an order of its own
takes rows from those of the first, in its order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.sql import operators

from compdb.algebra.columns import has_text, rewrite
from compdb.errors import RestrictionError, UnknownAttribute, shorten

if TYPE_CHECKING:
    from compdb.algebra.relation import Relation

__all__ = ["Top", "Window", "ordered", "take"]


@dataclass(frozen=True, slots=True)
class Top:
    """The first `limit` rows in the order `order_by`, after passing over `offset` of them.

    Attributes
    ----------
    limit : int or None
        None takes all of them: the order alone.
    order_by : str, expression, list of these, or None
        None is the order of an earlier Top, else the primary key.
    offset : int
        How many rows to pass over.
    """

    limit: int | None = 1
    order_by: Any = "KEY"  # an attribute name or an SQLAlchemy expression, or a list of them
    offset: int = 0

    def __post_init__(self) -> None:
        for name, value in (("limit", 0 if self.limit is None else self.limit), ("offset", self.offset)):
            if not hasattr(value, "__index__") or isinstance(value, bool) or value < 0:
                raise RestrictionError(f"{name} must be a whole number of rows, not {shorten(value)}")


@dataclass(frozen=True, slots=True)
class Window:
    """An order and which rows of it, compiled for one relation."""

    spec: Any  # the order as it was written, to recognise the same again
    order: tuple[sa.ColumnElement[Any], ...]
    limit: int | None
    offset: int

    @property
    def cuts(self) -> bool:
        """Whether it leaves rows out, and does not only order them."""
        return self.limit is not None or self.offset > 0


_SPEC = re.compile(r"\s*(?P<name>.+?)(?:\s+(?P<way>ASC|DESC))?\s*\Z", re.IGNORECASE | re.DOTALL)


def take(relation: Relation[Any], top: Top) -> Relation[Any]:
    """Return the rows that `top` takes from `relation`."""
    limit = None if top.limit is None else int(top.limit)
    offset = int(top.offset)
    before = relation.window
    spec = _listed(top.order_by)
    if before is None:
        relation = relation.enclosed() if relation.distinct else relation
        order = ordered(relation, spec or ["KEY"])
        return replace(relation, window=Window(spec or ["KEY"], order, limit, offset))
    if spec is None or _same_order(spec, before.spec):
        left = None if before.limit is None else max(before.limit - offset, 0)
        both = [n for n in (left, limit) if n is not None]
        window = replace(before, limit=min(both) if both else None, offset=before.offset + offset)
        return replace(relation, window=window)
    if before.cuts:
        relation = relation.enclosed()
    return replace(relation, window=Window(spec, ordered(relation, spec), limit, offset))


def _listed(order_by: Any) -> list[Any] | None:
    if order_by is None:
        return None
    return list(order_by) if isinstance(order_by, (list, tuple)) else [order_by]


def _same_order(one: list[Any], two: list[Any]) -> bool:
    return len(one) == len(two) and all(a is b or (isinstance(a, str) and isinstance(b, str) and a == b) for a, b in zip(one, two))


def ordered(relation: Relation[Any], spec: list[Any]) -> tuple[sa.ColumnElement[Any], ...]:
    """Return the ORDER BY for a list of attributes and expressions.

    Raises
    ------
    UnknownAttribute
        If one names no attribute.
    """
    return tuple(clause for item in spec for clause in _ordered(relation, item))


def _ordered(relation: Relation[Any], item: Any) -> Iterator[sa.ColumnElement[Any]]:
    if not isinstance(item, str):
        yield from _by_expression(relation, item)
        return
    found = _SPEC.match(item)
    if found is None:
        raise UnknownAttribute(item, relation.label, relation.heading.names)
    name, down = found["name"], (found["way"] or "").upper() == "DESC"
    if name in relation.heading:
        yield from _by_attribute(relation, name, down)
    elif name == "KEY":
        for part in relation.primary_key:
            yield from _by_attribute(relation, part, down)
    else:
        hint = 'an expression is written with SQLAlchemy, order_by=func.abs(Session.quality), or first named: proj(..., x="...")'
        raise UnknownAttribute(name, relation.label, relation.heading.names, hint)


def _by_attribute(relation: Relation[Any], name: str, down: bool) -> Iterator[sa.ColumnElement[Any]]:
    attribute = relation.heading[name]
    if isinstance(attribute.type, sa.JSON):
        raise RestrictionError(
            f"{name!r} of {relation.label} is JSON, which has no order; order by what is in it: proj(..., x='{name}.member:int')"
        )
    if attribute.nullable:  # the databases differ in where NULL stands
        yield attribute.column.is_(None).asc() if down else attribute.column.is_(None).desc()
    yield attribute.column.desc() if down else attribute.column.asc()


def _by_expression(relation: Relation[Any], item: Any) -> Iterator[sa.ColumnElement[Any]]:
    clause = item.__clause_element__() if hasattr(item, "__clause_element__") else item
    if not isinstance(clause, sa.ColumnElement) or has_text(clause):
        raise RestrictionError(f"cannot order by {shorten(item)}; an attribute, 'KEY' or an SQLAlchemy expression can")
    ways = []
    while isinstance(clause, sa.UnaryExpression) and clause.modifier in _WAYS:
        ways.append(clause.modifier)
        clause = clause.element
    name = getattr(clause, "element", None)
    if isinstance(name, str):  # sa.desc("quality")
        clause = sa.column(name)
    told, down = rewrite(relation, clause), operators.desc_op in ways
    explicit = next((way for way in ways if way in _PLACES_OF_NULL), None)
    if explicit is not None or all(a.nullable for a in relation.heading if a.column is told):
        first = explicit is operators.nulls_first_op or (explicit is None and not down)
        yield told.is_(None).desc() if first else told.is_(None).asc()
    yield told.desc() if down else told.asc()


_PLACES_OF_NULL = (operators.nulls_first_op, operators.nulls_last_op)
_WAYS = (operators.asc_op, operators.desc_op, *_PLACES_OF_NULL)
