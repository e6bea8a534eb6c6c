"""Aggregation: `A.aggr(B, n="count(*)")` says something about the rows of B that belong to each row of A.

>>> Subject.aggr(Session & "quality > 0.5", n="count(*)", best="max(quality)")

B is grouped by what it has in common with A, which must include the whole primary key of A. All rows of A are kept, however B is
restricted: a row without any gets what the expression is over no rows at all, so `count(*)` is 0 and `max(x)` NULL.
With `exclude_nonmatching=True` it is left out. Expressions may name attributes of B and of A.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from compdb.algebra.apart import Apart, attributes_beside, attributes_in, taken_apart
from compdb.algebra.columns import rewrite, verbatim
from compdb.algebra.heading import Attribute, Heading
from compdb.algebra.join import join
from compdb.algebra.match import common, compared, refuse_json
from compdb.algebra.nothing import row_over_nothing, value_over_nothing
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
    extra = list(dict.fromkeys(n for value in computed.values() for n in attributes_in(left, right, value)))
    mine = scope(mine, list(computed.values())) if extra else mine
    mine = mine if by and not extra else mine.single()
    kept = project(mine, chosen, renames)
    clash = [n for n in computed if n in kept.heading]
    if clash:
        raise RestrictionError(f"{left.label}.aggr would have two attributes {clash[0]!r}; give the new one another name")
    told = _Expressions(left, right, mine, computed, {*names, *extra} if extra else set())
    beside = told.beside()
    if beside:
        _refuse_beside(left, right, beside, over_nothing=keep_all and bool(by))
    groups = told.grouped(by, list(beside))
    on = sa.and_(sa.true(), *(mine.heading[n].column == groups.c[f"compdb_g{i}"] for i, n in enumerate(by)))
    nothing = groups.c.compdb_g0.is_(None) if keep_all and by else None
    attributes, empty = told.attributes(groups, nothing)
    source = mine.source if empty is None else mine.source.join(empty, sa.true())
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
        verbatim=mine.verbatim or right.verbatim or told.text,
    )


class _Expressions:
    """The expressions of one `aggr`: what of them is computed in the groups, and what they are for a row of the left side.

    Parameters
    ----------
    mine : Relation
        The left side as it stands in the FROM.
    known : set of str
        The attributes of the left side and of both that expressions may speak of beside aggregates; empty where none does.
    """

    def __init__(
        self, left: Relation[Any], right: Relation[Any], mine: Relation[Any], named: dict[str, Any], known: set[str]
    ) -> None:
        self.left, self.right, self.mine, self.named = left, right, mine, named
        numbers = itertools.count()
        self.parts: dict[str, Apart] = {}
        for name, value in named.items() if known else ():
            part = taken_apart(value, mine, right, known, lambda: f"compdb_a{next(numbers)}")
            if part is not None:
                self.parts[name] = part
        self.whole = {name: value for name, value in named.items() if name not in self.parts}
        self.aggregates = {name: value for part in self.parts.values() for name, value in part.aggregates.items()}
        inside = [*self.whole.values(), *self.aggregates.values()]
        needed = tuple(dict.fromkeys(n for value in inside for n in attributes_in(left, right, value)))
        self.rows = join(right, project(left, needed, {}).settled()) if needed else right
        self.pool = scope(self.rows.joinable(), inside)
        seen = [a for a in mine.heading if a.name in known and a.name not in self.pool.heading]
        both = replace(self.pool, heading=Heading([*self.pool.heading, *seen]))
        self.values, self.text = computed_attributes(both, named)

    def beside(self) -> dict[str, str]:
        """Return the attributes of the left side alone that stand beside aggregates not taken apart, with the names of these."""
        return {n: name for name, value in self.whole.items() for n in attributes_beside(self.left, self.right, value)}

    def grouped(self, by: list[str], beside: list[str]) -> sa.Subquery:
        """Return the groups, by the attributes `by` and `beside`, with what is computed in them."""
        values = {f"compdb_v{i}": v.column for i, v in enumerate(self.values) if v.name in self.whole}
        for name, value in self.aggregates.items():
            values[name] = verbatim(value) if isinstance(value, str) else rewrite(self.pool, value)
        return _grouped(self.pool, [self.pool.heading[n].column for n in [*by, *beside]], values, self.text)

    def attributes(
        self, groups: sa.Subquery, nothing: sa.ColumnElement[bool] | None
    ) -> tuple[list[Attribute], sa.Subquery | None]:
        """Return the computed attributes for a row of the left side, and a FROM of one row that they need beside it.

        Parameters
        ----------
        nothing : ColumnElement, optional
            What tells a row that has no group, if there can be one.
        """
        empty = row_over_nothing(self.rows, self.mine, self.aggregates) if nothing is not None and self.aggregates else None

        def column(name: str) -> sa.ColumnElement[Any]:
            if nothing is None or empty is None:
                return groups.c[name]
            return sa.case((nothing, empty.c[f"{name}_nothing"]), else_=groups.c[name])

        def text(name: str) -> str:
            return name if empty is None else f"(case when compdb_g0 is null then {name}_nothing else {name} end)"

        found = []
        for i, value in enumerate(self.values):
            if value.name in self.parts:
                whole = self.parts[value.name].put_together(column, text, value.type)
            else:
                whole = groups.c[f"compdb_v{i}"]
                if nothing is not None:
                    whole = sa.case((nothing, value_over_nothing(self.rows, self.mine, self.named[value.name])), else_=whole)
            found.append(replace(value, column=whole))
        return found, empty


def _refuse_beside(left: Relation[Any], right: Relation[Any], beside: dict[str, str], *, over_nothing: bool) -> None:
    """Refuse what no database, or not every one, groups by or says of a row without a group."""
    name, new = next(iter(beside.items()))
    if over_nothing or isinstance(left.heading[name].type, sa.JSON):
        raise RestrictionError(
            f"{new}= names {name!r} of {left.label} beside an aggregate over {right.label} in a way that cannot be taken apart; aggregate"
            f" first and compute from that: {left.written}.aggr({right.written}, {name!r}, a=...).proj({new}=...)"
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


def _grouped(
    pool: Relation[Any], by: list[sa.ColumnElement[Any]], values: Mapping[str, sa.ColumnElement[Any]], text: bool
) -> sa.Subquery:
    """Group `pool` and compute; the names of the groups and values cannot be mistaken for attributes."""
    columns = [c.label(f"compdb_g{i}") for i, c in enumerate(by)] + [c.label(name) for name, c in values.items()]
    query = replace(pool, verbatim=pool.verbatim or text).select_rows(*columns or [sa.func.count().label("compdb_n")])
    return (query.group_by(*by) if by else query).subquery()


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
    values, text = computed_attributes(pool, named)
    columns = [pool.heading[n].column for n in names]
    groups = _grouped(pool, columns, {f"compdb_v{i}": v.column for i, v in enumerate(values)}, text)
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
