"""Join: `A * B` pairs the rows that agree on all attributes they have in common; `A.extend(B)` keeps all rows of A.

Namesakes are matched if they have one origin in the foreign keys; namesakes that do not are an error that shows the `proj` to
write. Without common attributes every row of A pairs with every row of B. The primary key of the result: if A has the whole
key of B, that of A; else if B has that of A, that of B; else both together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from compdb.algebra.heading import Attribute, Heading, Place
from compdb.algebra.match import compared, determines, matched, merge_attributes
from compdb.errors import JoinError

if TYPE_CHECKING:
    from compdb.algebra.relation import Relation

__all__ = ["join", "outer"]


def join(left: Relation[Any], right: Relation[Any]) -> Relation[Any]:
    """Return the pairs of rows that agree on all common attributes.

    Raises
    ------
    JoinError
        If namesakes have different origins.
    """
    names = matched(left, right, "{0} * {1}")
    mine = left.joinable()
    theirs = right.joinable().apart(mine.tables)
    on = compared(mine.heading, theirs.heading, names)
    if not on:
        mine, theirs = mine.single(), theirs.single()
    merged = merge_attributes(mine.heading, theirs.heading, names)
    for name, attribute in merged.items():
        nullable = name not in on and attribute.nullable and theirs.heading[name].nullable
        merged[name] = replace(attribute, nullable=nullable)
    return replace(
        mine,
        source=mine.source.join(theirs.source, _on(mine.heading, theirs.heading, on)),
        heading=_heading(mine.heading, theirs.heading, names, merged),
        where=(*mine.restrictions, *theirs.restrictions),
        equal={},
        window=None,
        entity=None,
        table=None,
        tables=mine.tables | theirs.tables,
        verbatim=mine.verbatim or theirs.verbatim,
    )


def outer(left: Relation[Any], right: Relation[Any], operation: str) -> Relation[Any]:
    """Return all rows of `left`, with the attributes of the one row of `right` that matches, or NULL.

    Raises
    ------
    JoinError
        If a row of `left` could have several matches.
    """
    names = matched(left, right, operation)
    if not determines(left.heading, right.heading, names):
        lacking = ", ".join(n for n in right.heading.primary_key if n not in names)
        raise JoinError(
            f"{left.label} lacks {lacking} of the primary key of {right.label}, so a row could have several matches; "
            f"{left.written} * {right.written} pairs them all"
        )
    mine = left.joinable()
    theirs = right.joinable().apart(mine.tables)
    if theirs.conditions:
        theirs = theirs.enclosed()
    on = compared(mine.heading, theirs.heading, names)
    if not on:
        mine, theirs = mine.single(), theirs.single()
    added = [_maybe(a) for a in theirs.heading if a.name not in names]
    return replace(
        mine,
        source=mine.source.outerjoin(theirs.source, _on(mine.heading, theirs.heading, on)),
        heading=Heading([*mine.heading, *added]),
        where=mine.restrictions,
        equal={},
        entity=None,
        table=None,
        tables=mine.tables | theirs.tables,
        verbatim=mine.verbatim or theirs.verbatim,
    )


def _maybe(attribute: Attribute) -> Attribute:
    """Return an attribute of the right side of a left join: NULL where nothing matches, whatever stands in its table."""
    places = tuple(Place(p.column, None) for p in attribute.places)
    return replace(attribute, key=False, nullable=True, places=places)


def _on(left: Heading, right: Heading, names: list[str]) -> sa.ColumnElement[bool]:
    return sa.and_(sa.true(), *(left[n].column == right[n].column for n in names))


def _heading(left: Heading, right: Heading, names: list[str], merged: dict[str, Attribute]) -> Heading:
    first, second = left, right
    if determines(left, right, names):
        key = left.primary_key
    elif determines(right, left, names):
        key, first, second = right.primary_key, right, left
    else:
        key = tuple(dict.fromkeys([*left.primary_key, *right.primary_key]))
    attributes = {a.name: merged.get(a.name, a) for a in [*first, *second]}
    ordered = dict.fromkeys([*key, *attributes])
    return Heading(replace(attributes[n], key=n in key) for n in ordered)
