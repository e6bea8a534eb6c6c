"""Relation: the rows of a table, restricted, joined, projected; a frozen value that asks its database only for rows.

>>> good = Session & "quality > 0.5"
>>> good.fetch1("trace")
>>> (Subject * good).proj("species").to_dicts(order_by="KEY", limit=10)

Operators return a new relation and never touch a database. A relation is generic in the class whose rows it has, so that an editor
knows what `(Session & key).row1().subject.species` is.
"""

from __future__ import annotations

from dataclasses import replace
from types import EllipsisType
from typing import Any, NoReturn, Self, TypeVar

import sqlalchemy as sa

from compdb import dag
from compdb.algebra import aggregate, conditions
from compdb.algebra.heading import heading_of
from compdb.algebra.join import join, outer
from compdb.algebra.project import project
from compdb.algebra.restrict import narrow, restrict
from compdb.algebra.top import Top, take
from compdb.algebra.union import unite
from compdb.algebra.verbs import Verbs
from compdb.algebra.written import Arguments
from compdb.errors import RestrictionError, shorten

__all__ = ["Relation", "to_relation"]

T = TypeVar("T")


class Relation(Verbs[T]):
    """Rows with a heading and a primary key.

    Made by the operators of table classes, or from a table with `Relation.of`.
    """

    __slots__ = ()

    @classmethod
    def of(cls, table: sa.FromClause | type[T], entity: type[T] | None = None) -> Relation[T]:
        """Return all rows of a table.

        Parameters
        ----------
        table : Table or mapped class
        entity : type, optional
            The class whose objects its rows are, if it is not the one that declared the table.
        """
        if isinstance(table, type):
            entity, table = entity or table, sa.inspect(table).local_table
        if not isinstance(table, sa.Table):
            raise RestrictionError(f"a relation begins with a table, not with {shorten(table)}")
        return cls(
            source=table,
            heading=heading_of(table),
            tables=frozenset([table]),
            table=table,
            entity=entity or table.info.get("class"),
            history=dag.label(table),
        )

    def __relation__(self) -> Self:
        """Return itself: how the algebra sees what is a relation, or has one."""
        return self

    # --- restriction

    def restrict(self, condition: Any) -> Relation[T]:
        """Return the rows for which a condition holds: `A & condition`.

        Parameters
        ----------
        condition
            A dict (attributes of other tables' keys are passed over, a list means one of, None means NULL), an SQL string, an SQLAlchemy
            expression, a table or relation (rows that match one of its rows), a list of conditions (one of them holds), `AndList`, `Not`,
            a frame or array of rows, `Top`, True or False.

        Raises
        ------
        UnknownAttribute, RestrictionError, InvalidValue
        JoinError
            If a relation is not related to this one.
        """
        if type(condition) is dict and (narrowed := narrow(self, condition)) is not None:
            return narrowed
        if isinstance(condition, Top):
            found: Relation[T] = take(self, condition)
        else:
            found = restrict(self, conditions.parse(condition, _related))
        return found if found is self else replace(found, history=("{0} & {1}", self, _hold(condition)))

    def __and__(self, condition: Any) -> Relation[T]:
        return self.restrict(condition)

    def __sub__(self, condition: Any) -> Relation[T]:
        """Return the rows that `self & condition` leaves out."""
        if isinstance(condition, Top):
            raise RestrictionError("A - Top(...) is not defined; A - (A & Top(...)) leaves the top rows out")
        found = restrict(self, conditions.Inverse(conditions.parse(condition, _related)))
        return replace(found, history=("{0} - {1}", self, _hold(condition)))

    def __neg__(self) -> conditions.Not:
        """Return the opposite, for use as a condition: `A & -B` is `A - B`."""
        return conditions.Not(self)

    # --- other operators

    def join(self, other: Any, *, left: bool = False) -> Relation[Any]:
        """Return the pairs of rows that agree on all common attributes: `A * B`.

        With `left` all rows of this relation are kept, as `extend` does.

        Raises
        ------
        JoinError
            If namesakes have different origins; shows the `proj` to write.
        """
        there = to_relation(other)
        if left:
            found = outer(self, there, "{0}.join({1}, left=True)")
            return replace(found, history=("{0}.join({1}, left=True)", self, there))
        return replace(join(self, there), history=("{0} * {1}", self, there))

    def __mul__(self, other: Any) -> Relation[Any]:
        return NotImplemented if isinstance(other, conditions.Universal) else self.join(other)

    def extend(self, other: Any) -> Relation[Any]:
        """Return all rows, with the attributes of the one row of `other` that matches, or NULL.

        Raises
        ------
        JoinError
            If a row could have several matches, or namesakes have different origins.
        """
        there = to_relation(other)
        return replace(outer(self, there, "{0}.extend({1})"), history=("{0}.extend({1})", self, there))

    def __add__(self, other: Any) -> Relation[Any]:
        """Return the entities of both relations, each once.

        Of an entity that both have, attributes that both have are those of this relation, also where they are NULL; those that only `other`
        has come from there.

        Raises
        ------
        JoinError
            If their primary keys differ, or namesakes have different origins.
        """
        there = to_relation(other)
        return replace(unite(self, there), history=("{0} + {1}", self, there))

    def proj(self, *attributes: str | EllipsisType, **named: Any) -> Relation[Any]:
        """Return the relation with its primary key and these attributes; see `compdb.algebra.project`.

        Parameters
        ----------
        *attributes : str or ...
            Names to keep; `...` for all; `"-x"` for all others.
        **named : str or SQLAlchemy expression
            `new="old"` renames, `new="(old)"` duplicates, `new="params.gain:float"` reads inside JSON, any other string is SQL.

        Raises
        ------
        UnknownAttribute, RestrictionError
        """
        found = project(self, attributes, named)
        return replace(found, history=("{0}.proj({1})", self, Arguments(attributes, named)))

    def aggr(self, other: Any, *attributes: str | EllipsisType, exclude_nonmatching: bool = False, **named: Any) -> Relation[Any]:
        """Return the relation with attributes computed over the rows of `other` that belong to each row.

        Parameters
        ----------
        other : table or relation
            Must contain the whole primary key of this one.
        *attributes : str or ...
            Attributes of this relation to keep, as for `proj`.
        exclude_nonmatching : bool
            Leave out the rows without any. Otherwise they get the value over no rows: 0 for `count(*)`.
        **named : str or SQLAlchemy expression
            `n="count(*)"`, `best=func.max(Session.quality)`.

        Raises
        ------
        JoinError, UnknownAttribute, RestrictionError
        """
        there = to_relation(other)
        found = aggregate.aggregate(self, there, attributes, named, keep_all=not exclude_nonmatching)
        return replace(found, history=("{0}.aggr({1}, {2})", self, there, Arguments(attributes, named)))

    # --- what it is not

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        raise RestrictionError(_PARENTHESES)

    __hash__ = object.__hash__

    def __lt__(self, other: object) -> NoReturn:
        raise RestrictionError(_PARENTHESES)

    __le__ = __gt__ = __ge__ = __lt__


_PARENTHESES = (
    "a relation cannot be compared; put the comparison in parentheses: `Session & (Session.quality > 0.5)`, "
    "since & binds tighter than >; whether two relations have the same rows, to_dicts() says"
)


def _related(thing: Any) -> Relation[Any] | None:
    """Return the relation of a table, a class, a row without values or a relation; None for anything else."""
    relate = getattr(thing, "__relation__", None)
    if relate is not None:
        found = relate()
        assert isinstance(found, Relation)
        return found
    if isinstance(thing, sa.Table):
        return Relation.of(thing)
    if isinstance(thing, type) and sa.inspect(thing, raiseerr=False) is not None:
        return Relation.of(thing)
    return None


def to_relation(thing: Any) -> Relation[Any]:
    """Return the relation of a table, a mapped class, or anything with `__relation__()`.

    Raises
    ------
    RestrictionError
        If it has none.
    """
    found = _related(thing)
    if found is None:
        raise RestrictionError(f"{shorten(thing)} of type {type(thing).__name__} is no table and no relation")
    return found


def _hold(condition: Any) -> Any:
    """Return what to show of a condition: a relation in place of a class or row, a copy of a dict."""
    if isinstance(condition, dict):
        return dict(condition)
    found = None if isinstance(condition, (str, list)) else _related(condition)
    return condition if found is None or conditions.row_key(condition) else found
