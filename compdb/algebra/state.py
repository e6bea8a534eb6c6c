"""What a relation is: where its rows come from, which of them it has, and under which names.

A relation is a FROM, a heading whose attributes are columns in the scope of that FROM, conditions, and perhaps an order. What cannot
be added to that any more (a condition on a LIMIT, a join with something computed) first *encloses* it: its SELECT becomes the FROM
of a fresh one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self, cast

import sqlalchemy as sa
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.elements import KeyedColumnElement

from compdb import dag
from compdb.algebra.heading import Attribute, Heading
from compdb.algebra.top import Window
from compdb.algebra.written import History, written
from compdb.database import Database, database_of
from compdb.dialects import Dialect
from compdb.errors import CompdbError, RestrictionError

__all__ = ["Lack", "Match", "State"]


@dataclass(frozen=True, slots=True)
class Lack:
    """The condition that nothing in another FROM matches, in its two forms.

    Attributes
    ----------
    absent : ColumnElement
        NOT EXISTS: stands anywhere.
    source, on, missing : FromClause, ColumnElement, ColumnElement
        `LEFT JOIN source ON on WHERE missing`: the form that SQLite and MariaDB answer several times faster where little is left, and no
        database more slowly.
    repeated : bool
        Whether many rows look for the same: a database that keeps the answers of a subquery has NOT EXISTS done sooner.
    """

    absent: sa.ColumnElement[Any]
    source: sa.FromClause
    on: sa.ColumnElement[Any]
    missing: sa.ColumnElement[Any]
    repeated: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Match:
    """The condition that some row of another relation matches, in its forms.

    Attributes
    ----------
    present : ColumnElement
        EXISTS: stands anywhere.
    other : State
        The other relation.
    pairs : sequence of (ColumnElement, ColumnElement)
        Columns of the other relation, and those that they must be equal to.
    single : bool
        Whether at most one row of it matches.
    few : bool
        Whether it is asked of few rows: each is looked up then.
    """

    present: sa.ColumnElement[Any]
    other: State
    pairs: Sequence[tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]]
    single: bool
    few: bool = False

    def joined(self, source: sa.FromClause) -> sa.FromClause:
        """Return a FROM joined with what matches: for a database that would go through it row by row to look for EXISTS."""
        some = (self.keys() if self.single else self.keys().distinct()).subquery()
        return source.join(some, sa.and_(*(a == b for a, (_, b) in zip(some.c, self.pairs))))

    def keys(self) -> sa.Select[Any]:
        """Return the SELECT of what must be equal, from the other relation."""
        return self.other.select_rows(*(a.label(f"m_{i}") for i, (a, _) in enumerate(self.pairs)))

    def listed(self) -> sa.ColumnElement[bool]:
        """Return the condition as IN, which brings no columns that text could mean."""
        mine = [b for _, b in self.pairs]
        return (mine[0] if len(mine) == 1 else sa.tuple_(*mine)).in_(self.keys())


@dataclass(frozen=True, eq=False, slots=True)
class State:
    """The state of a relation.

    Attributes
    ----------
    source : FromClause
        Where its rows come from.
    heading : Heading
    where : tuple of ColumnElement, Lack or Match
        Conditions on its rows.
    equal : mapping
        Attributes and the values they must have: kept as data, so that the same question about another key is the same statement.
    window : Window or None
        Order, limit and offset.
    distinct : bool
        Equal rows count once.
    verbatim : bool
        SQL written as text by the author stands somewhere in it.
    tables : frozenset of Table
        All tables that stand in it, also in its conditions.
    table : Table or None
        The table of which its rows are some rows, whole.
    entity : type or None
        The mapped class of `table`.
    history : str or tuple
        How it was written.
    """

    source: sa.FromClause
    heading: Heading
    where: tuple[sa.ColumnElement[Any] | Lack | Match, ...] = ()
    equal: Mapping[str, Any] = field(default_factory=dict)
    window: Window | None = None
    distinct: bool = False
    verbatim: bool = False
    tables: frozenset[sa.Table] = frozenset()
    table: sa.Table | None = None
    entity: type[Any] | None = None
    history: History = "a relation"
    _derived: sa.Subquery | None = field(default=None, init=False, repr=False)

    def narrowed(self, equal: Mapping[str, Any], history: History) -> Self:
        """Return the rows with these values; every make asks for some, and `dataclasses.replace` would take four times as long."""
        found, put = object.__new__(type(self)), object.__setattr__
        for name in _FIELDS:
            put(found, name, getattr(self, name))
        put(found, "equal", equal)
        put(found, "history", history)
        put(found, "_derived", None)
        return found

    # --- what it says of itself

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The names of the attributes of the primary key."""
        return self.heading.primary_key

    @property
    def few(self) -> bool:
        """Whether part of its key is given, so that it has few rows."""
        return any(name in self.primary_key for name in self.equal)

    @property
    def written(self) -> str:
        """The relation as it was written: `Session & {'subject_id': 'M001'}`."""
        return written(self.history)

    @property
    def label(self) -> str:
        """A short name for messages."""
        text = dag.label(self.table) if self.table is not None else self.written
        return text if len(text) <= 120 else text[:117] + "..."

    @property
    def equality(self) -> Mapping[str, Any] | None:
        """Attributes and their values, if that is all that distinguishes the relation from its table; else None."""
        whole = isinstance(self.source, sa.Table) and self.source is self.table
        return self.equal if whole and not self.where and self.window is None and not self.distinct else None

    @property
    def conditions(self) -> tuple[sa.ColumnElement[Any], ...]:
        """All conditions on its rows, in the form that can stand anywhere."""
        return tuple(map(_anywhere, self.restrictions))

    @property
    def restrictions(self) -> tuple[sa.ColumnElement[Any] | Lack | Match, ...]:
        """All conditions on its rows, those of several forms as they are."""
        columns = ((self.heading[name].column, value) for name, value in self.equal.items())
        equal = (c.is_(None) if value is None else c == value for c, value in columns)
        return (*equal, *self.where)

    @property
    def database(self) -> Database:
        """The database its tables live in.

        Raises
        ------
        NotConnected
            If they were not connected yet.
        RestrictionError
            If they live in several.
        """
        if self.table is not None and len(self.tables) == 1:
            return database_of(self.table)
        found = {database_of(table): table for table in sorted(self.tables, key=lambda t: t.name)}
        if len(found) != 1:
            where = ", ".join(f"{dag.label(table)} in {database.url}" for database, table in found.items())
            raise RestrictionError(f"{self.label} spans several databases ({where}); fetch one side and restrict by its dicts")
        return next(iter(found))

    # --- its SQL

    def select_attributes(self, attributes: Iterable[Attribute]) -> sa.Select[Any]:
        """Return the SELECT of these attributes, which are in the scope of the source."""
        columns = [a.selected for a in attributes]
        query = self.select_rows(*columns or [sa.literal(1).label("_")])
        if self.distinct:
            query = query.distinct()
        if self.window is not None:
            query = query.order_by(*self.window.order)
            if self.window.limit is not None:
                query = query.limit(self.window.limit)
            if self.window.offset:
                query = query.limit(self.window.limit if self.window.limit is not None else _ALL).offset(self.window.offset)
        return query

    def select_rows(self, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
        """Return the SELECT of these columns from its FROM, under its conditions but without its order."""
        source, conditions, restrictions = self.source, [], self.restrictions
        forms = any(isinstance(c, (Lack, Match)) for c in restrictions)
        dialect = self._dialect() if forms else None
        joins = dialect is not None and dialect.semijoin == "join"
        remembers = dialect is not None and dialect.remembers_subqueries
        for c in sorted(restrictions, key=lambda c: isinstance(c, Lack)):
            if isinstance(c, Lack) and not self.verbatim and not (remembers and c.repeated):  # text must see one table only
                source = source.outerjoin(c.source, c.on)
                conditions.append(c.missing)
            elif isinstance(c, Match) and joins and not (c.few or self.few):
                if self.verbatim:
                    conditions.append(c.listed())
                else:
                    source = c.joined(source)
            else:
                conditions.append(_anywhere(c))
        query = sa.select(*columns).select_from(source)
        return query.where(*conditions) if conditions else query

    def _dialect(self) -> Dialect | None:
        """Return what the database answers where databases differ, if there is one already."""
        try:
            return self.database.dialect
        except CompdbError:
            return None

    def select(self) -> sa.Select[Any]:
        """Return the SQLAlchemy Select: the way out to all of SQLAlchemy."""
        return self.select_attributes(self.heading)

    def __clause_element__(self) -> sa.Subquery:
        """Return the relation as a derived table, always the same one: what SQLAlchemy takes it for in a statement of its own."""
        if self._derived is None:
            object.__setattr__(self, "_derived", self.select().subquery())
        return cast("sa.Subquery", self._derived)

    @property
    def c(self) -> ReadOnlyColumnCollection[str, KeyedColumnElement[Any]]:
        """Its columns, for a statement that selects from it: `sa.select(good.c.quality)`."""
        return self.__clause_element__().c

    def keys_select(self) -> sa.Select[Any]:
        """Return the Select of the primary key alone."""
        whole = self.enclosed() if self.distinct else self
        return whole.select_attributes(whole.heading[name] for name in whole.primary_key)

    # --- other forms of the same relation

    @property
    def anonymous(self) -> bool:
        """Whether no table stands in its FROM under its own name."""
        return isinstance(self.source, (sa.Alias, sa.Subquery))

    @property
    def literal(self) -> bool:
        """Whether text that names its attributes means just these where it stands in its WHERE or SELECT."""
        if isinstance(self.source, sa.Join) or self.distinct:
            return False
        columns = {c.name: c for c in self.source.c}
        return columns.keys() == set(self.heading.names) and all(columns[a.name] is a.column for a in self.heading)

    def enclosed(self) -> Self:
        """Return the same rows as a derived table."""
        source = self.select().subquery()
        return self._from(source, [source.c[name] for name in self.heading.names])

    def settled(self) -> Self:
        """Return the same rows in a form that takes conditions."""
        cut = self.window is not None and self.window.cuts
        computed = any(a.computed for a in self.heading)
        return self.enclosed() if cut or computed or self.distinct else self

    def joinable(self) -> Self:
        """Return the same rows in a form that can stand in a join: text has a scope of its own, and order is forgotten."""
        found = self.settled()
        if found.window is not None:
            found = replace(found, window=None)
        return found.enclosed() if found.verbatim and found.where else found

    def renamed(self) -> Self:
        """Return the same rows with no table in the FROM under its own name."""
        return self if self.anonymous else self.afresh()

    def afresh(self) -> Self:
        """Return the same rows from a FROM that stands nowhere else in a statement."""
        computed = any(a.computed for a in self.heading)
        source = self.source
        if isinstance(source, sa.Join) or self.where or self.window is not None or self.distinct or computed:
            return self.enclosed()
        inner = source.element if isinstance(source, sa.Alias) else source
        alias = inner.alias()
        columns = dict(zip(source.c, alias.c))
        heading = Heading(replace(a, column=columns[a.column]) for a in self.heading)  # type: ignore[index]
        return replace(self, source=alias, heading=heading)

    def single(self) -> Self:
        """Return the same rows from a single FROM, not from a join.

        A join without a condition on a join makes SQLAlchemy's linter warn of a cartesian product on MySQL, where its `visit_join` looks
        at the two sides alone (as of SQLAlchemy 2.1).
        """
        return self.enclosed() if isinstance(self.source, sa.Join) else self

    def veiled(self, *conditions: sa.ColumnElement[Any]) -> tuple[Self, list[sa.ColumnElement[Any]]]:
        """Return the same rows under column names that no text can mean, and these conditions as columns beside them.

        Text in a subquery would find the columns of the query around it where it names none of its own: most databases let derived
        tables and common table expressions see them too.
        """
        hidden = [replace(a, name=f"c_{i}") for i, a in enumerate(self.heading)]
        query = self.select_attributes(hidden).add_columns(*(c.label(f"t_{i}") for i, c in enumerate(conditions)))
        source = query.subquery()
        columns: list[sa.ColumnElement[Any]] = list(source.c)
        return self._from(source, columns), columns[len(hidden) :]

    def apart(self, tables: frozenset[sa.Table]) -> Self:
        """Return the same rows in a form that can stand beside these tables."""
        found = self.settled()
        if found.window is not None:
            found = replace(found, window=None)
        return found.afresh() if found.tables & tables else found

    def _from(self, source: sa.FromClause, columns: list[sa.ColumnElement[Any]]) -> Self:
        heading = Heading(replace(a, column=c, computed=False) for a, c in zip(self.heading, columns))
        return replace(self, source=source, heading=heading, where=(), equal={}, window=None, distinct=False)


_FIELDS = tuple(f.name for f in fields(State) if f.init)


def _anywhere(condition: sa.ColumnElement[Any] | Lack | Match) -> sa.ColumnElement[Any]:
    """Return a condition in the form that can stand anywhere."""
    if isinstance(condition, Lack):
        return condition.absent
    return condition.present if isinstance(condition, Match) else condition


_ALL = 2**63 - 1  # MySQL and SQLite have no OFFSET without a LIMIT
