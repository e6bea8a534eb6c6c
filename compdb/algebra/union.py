"""Union: `A + B` has the entities of both.

>>> (Session & "quality > 0.5") + (Session & recent)          # a session that is both stands in it once
>>> Litter.proj(parent="mother_id") + Litter.proj(parent="father_id")

Both must have the same primary key. An entity that both have becomes one row, and A's word counts: attributes that both have are
those of A, also where A says NULL and B does not; attributes that only B has come from B. Attributes that a side lacks are NULL in the
rows of entities that only it has. So `A + B` and `B + A` have the same keys, and differ only where the two sides say different
things of one entity. An attribute that both have must be the same by origin.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from compdb.algebra.heading import Attribute, Heading, Place
from compdb.algebra.match import matched
from compdb.algebra.state import Lack
from compdb.errors import JoinError

if TYPE_CHECKING:
    from compdb.algebra.relation import Relation

__all__ = ["unite"]


def unite(left: Relation[Any], right: Relation[Any]) -> Relation[Any]:
    """Return the entities of both relations.

    Raises
    ------
    JoinError
        If their primary keys differ, or namesakes have different origins.
    """
    if set(left.primary_key) != set(right.primary_key):
        raise JoinError(
            f"a union needs one primary key: {left.label} has {_listed(left)}, {right.label} has {_listed(right)}; "
            "rename or project one of them"
        )
    matched(left, right, "{0} + {1}")
    heading = _heading(left.heading, right.heading)
    first = _extended(left, right, heading)
    second = _missing(left, right, heading)
    query = sa.union_all(first, second).subquery()
    return replace(
        left,
        source=query,
        heading=Heading(replace(a, column=query.c[a.name], computed=False) for a in heading),
        where=(),
        equal={},
        window=None,
        distinct=False,
        entity=None,
        table=None,
        tables=left.tables | right.tables,
        verbatim=left.verbatim or right.verbatim,
    )


def _listed(relation: Relation[Any]) -> str:
    return f"({', '.join(relation.primary_key)})"


def _heading(left: Heading, right: Heading) -> Heading:
    attributes = []
    for a in [*left, *(b for b in right if b.name not in left)]:
        both = a.name in left and a.name in right
        theirs = set(right[a.name].places) if both else set()
        places = tuple(p if p in theirs else Place(p.column, None) for p in a.places)
        nullable = a.nullable or not both or right[a.name].nullable
        attributes.append(replace(a, places=places, nullable=nullable))
    return Heading(attributes)


def _extended(left: Relation[Any], right: Relation[Any], heading: Heading) -> sa.Select[Any]:
    """Return the rows of `left`, with what only `right` has where it has the entity too."""
    extra = [n for n in heading.names if n not in left.heading]
    mine = left.joinable()
    if not extra:
        return mine.select_attributes([mine.heading[n] for n in heading.names])
    theirs = right.joinable().apart(mine.tables)
    if theirs.conditions:
        theirs = theirs.enclosed()
    if not mine.primary_key:
        mine, theirs = mine.single(), theirs.single()
    source = mine.source.outerjoin(theirs.source, _same_key(mine, theirs))
    joined = replace(mine, source=source, where=mine.restrictions, equal={})
    chosen = [mine.heading[n] if n in mine.heading else theirs.heading[n] for n in heading.names]
    return joined.select_attributes(chosen)


def _missing(left: Relation[Any], right: Relation[Any], heading: Heading) -> sa.Select[Any]:
    """Return the rows of `right` for entities that `left` lacks."""
    theirs = right.joinable()
    theirs = theirs.veiled()[0] if left.verbatim else theirs
    inner = left.apart(theirs.tables)
    same = _same_key(inner, theirs)
    there = sa.select(sa.literal(1)).select_from(inner.source).where(*inner.conditions, same).exists()
    sure = [inner.heading[n].column for n in inner.primary_key if not inner.heading[n].nullable]
    absent: Any = Lack(~there, inner.source, sa.and_(same, *inner.conditions), sure[0].is_(None)) if sure else ~there
    rest = replace(theirs, where=(*theirs.where, absent), verbatim=theirs.verbatim or left.verbatim)
    chosen = [theirs.heading[n] if n in theirs.heading else _null(heading[n]) for n in heading.names]
    return rest.select_attributes(chosen)


def _same_key(one: Relation[Any], two: Relation[Any]) -> sa.ColumnElement[bool]:
    pairs = [(one.heading[n], two.heading[n]) for n in one.primary_key]
    return sa.and_(
        sa.true(),
        *(  # U gives keys in which NULL is a value
            a.column.is_not_distinct_from(b.column) if a.nullable and b.nullable else a.column == b.column
            for a, b in pairs
        ),
    )


def _null(attribute: Attribute) -> Attribute:
    return replace(attribute, column=sa.type_coerce(sa.null(), attribute.type))
