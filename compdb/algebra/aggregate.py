"""Aggregation: `A.aggr(B, n="count(*)")` says something about the rows of B that belong to each row of A.

>>> Subject.aggr(Session & "quality > 0.5", n="count(*)", best="max(quality)")

B is grouped by what it has in common with A, which must include the whole primary key of A. All rows of A are kept, however B is
restricted: a row without any gets what the expression is over no rows at all, so `count(*)` is 0 and `max(x)` NULL.
With `exclude_nonmatching=True` it is left out. Expressions may name attributes of B and of A.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.sql import visitors

from compdb.algebra.heading import Attribute, Heading
from compdb.algebra.join import join
from compdb.algebra.match import common, compared, refuse_json
from compdb.algebra.nothing import of_left_alone, over_nothing
from compdb.algebra.project import computed_attributes, moved_to, project, refuse_no_expression, scope
from compdb.errors import JoinError, RestrictionError, UnknownAttribute

if TYPE_CHECKING:
    from compdb.algebra.relation import Relation

__all__ = ["aggregate", "group"]


def aggregate(
    left: Relation[Any], right: Relation[Any], chosen: tuple[Any, ...], named: dict[str, Any], *, keep_all: bool
) -> Relation[Any]:
    """Return `left` with attributes computed over the rows of `right` that belong to each of its rows.

    Raises
    ------
    JoinError
        If `right` lacks part of the primary key of `left`.
    """
    names = _group_names(left, right)
    renames = {new: old for new, old in named.items() if _is_name(left, old)}
    computed = {new: value for new, value in named.items() if new not in renames}
    if not computed:
        return project(left if keep_all else left & right, chosen, renames)
    for name, value in computed.items():
        refuse_no_expression(name, value)
    mine = left.joinable()
    by = compared(mine.heading, right.heading, names)
    extra = _mentioned(left, right, computed)
    mine = scope(mine, list(computed.values())) if extra else mine
    mine = mine if by and not extra else mine.single()
    kept = project(mine, chosen, renames)
    clash = [n for n in computed if n in kept.heading]
    if clash:
        raise RestrictionError(f"{left.label}.aggr would have two attributes {clash[0]!r}; give the new one another name")
    rows = join(right, project(left, tuple(extra), {}).settled()) if extra else right
    pool = scope(rows.joinable(), list(computed.values()))
    groups, values, text = _groups(pool, [*by, *extra], computed)
    on = sa.and_(sa.true(), *(mine.heading[n].column == groups.c[f"compdb_g{i}"] for i, n in enumerate(by)))
    told, empty = over_nothing(rows, right, mine, computed, names, extra) if keep_all and by else ({}, None)
    source = mine.source if empty is None else mine.source.join(empty, sa.true())
    attributes = []
    for i, value in enumerate(values):
        column: sa.ColumnElement[Any] = groups.c[f"compdb_v{i}"]
        if value.name in told:
            column = sa.case((groups.c.compdb_g0.is_(None), told[value.name]), else_=column)
        attributes.append(replace(value, column=column, computed=True))
    some = () if keep_all or by else (right.select().exists(),)  # a group of everything is there even if it is empty
    return replace(
        kept,
        source=source.join(groups, on, isouter=keep_all),
        heading=Heading([*kept.heading, *attributes]),
        where=(*kept.restrictions, *some),
        equal={},
        entity=None,
        table=None,
        tables=mine.tables | right.tables,
        verbatim=mine.verbatim or right.verbatim or text,
    )


def _is_name(left: Relation[Any], value: Any) -> bool:
    """Say whether a named argument renames or duplicates an attribute of the left side: `m="mother_id"`, `m="(mother_id)"`."""
    return isinstance(value, str) and value.strip("() \n") in left.heading


def _group_names(left: Relation[Any], right: Relation[Any]) -> list[str]:
    same, _ = common(left.heading, right.heading)
    lacking = [n for n in left.primary_key if n not in same]
    if lacking:
        strange = [n for n in lacking if n in right.heading]
        what = f"has another {strange[0]!r}" if strange else f"lacks {', '.join(map(repr, lacking))}"
        raise JoinError(
            f"{right.label} {what}, so its rows do not belong to rows of {left.label}; "
            f"aggr needs the whole primary key of {left.label} in it"
        )
    return same


def _mentioned(left: Relation[Any], right: Relation[Any], named: dict[str, Any]) -> list[str]:
    """Return the attributes that only `left` has and the expressions speak of."""
    found = []
    for name in left.heading.names:
        if name in right.heading:
            continue
        for value in named.values():
            if isinstance(value, str):
                used = re.search(rf"\b{re.escape(name)}\b", value) is not None
            else:
                used = any(of_left_alone(left, right, column, name) for column in _columns(value))
            if used:
                found.append(name)
                break
    return found


def _columns(value: Any) -> list[sa.ColumnClause[Any]]:
    clause = value.__clause_element__() if hasattr(value, "__clause_element__") else value
    return [e for e in visitors.iterate(clause) if isinstance(e, sa.ColumnClause) and not e.is_literal]


def _groups(pool: Relation[Any], by: list[str], named: dict[str, Any]) -> tuple[sa.Subquery, list[Attribute], bool]:
    """Group `pool` and compute; the names of the groups and values cannot be mistaken for attributes."""
    values, text = computed_attributes(pool, named)
    columns = [pool.heading[n].column for n in by]
    named_columns = [c.label(f"compdb_g{i}") for i, c in enumerate(columns)]
    named_columns += [v.column.label(f"compdb_v{i}") for i, v in enumerate(values)]
    query = replace(pool, verbatim=pool.verbatim or text).select_rows(*named_columns)
    if columns:
        query = query.group_by(*columns)
    return query.subquery(), values, text


def group(names: tuple[str, ...], right: Relation[Any], named: dict[str, Any]) -> Relation[Any]:
    """Return one row for each combination of the attributes `names` in `right`, with attributes computed over its rows."""
    for name in names:
        if name not in right.heading:
            raise UnknownAttribute(name, right.label, right.heading.names)
    refuse_json(right.heading, names)
    clash = [n for n in named if n in names]
    if clash:
        raise RestrictionError(f"aggr would have two attributes {clash[0]!r}; give the new one another name")
    for name, value in named.items():
        refuse_no_expression(name, value)
    pool = scope(right.joinable(), list(named.values()))
    groups, values, text = _groups(pool, list(names), named)
    keys = [
        replace(moved_to(pool.heading, n, names), column=groups.c[f"compdb_g{i}"]) for i, n in enumerate(names)
    ]
    attributes = [replace(v, column=groups.c[f"compdb_v{i}"], computed=False) for i, v in enumerate(values)]
    return replace(
        pool,
        source=groups,
        heading=Heading([*keys, *attributes]),
        where=(),
        equal={},
        entity=None,
        table=None,
        verbatim=pool.verbatim or text,
    )
