"""The key source of a table, and which of its keys are pending.

By default the key source is the join of the parents in the primary key, projected to the key. A class may say otherwise:

>>> class QualityCheck(cdb.Computed, Lab):
...     session: Key[Session]
...     key_source = Session & "quality > 0"
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import reduce
from typing import Any

import sqlalchemy as sa

from compdb import dag
from compdb.algebra import Relation, to_relation
from compdb.algebra.state import Lack
from compdb.database import Database
from compdb.errors import CompdbError, PopulateError, UnknownAttribute
from compdb.fetch.stream import stream
from compdb.jobs import jobs_of
from compdb.populate.patience import insisting
from compdb.populate.spool import Spool

__all__ = ["ORDERS", "KeySource", "Pending", "default_key_source", "pending"]

ORDERS = ("original", "reverse", "random")


class KeySource:
    """What `Table.key_source` answers: the default, or what the class says as an attribute, a property or a classproperty."""

    def __init__(self, given: Any = None) -> None:
        self.given = given

    def __get__(self, row: Any, owner: type[Any]) -> Relation[Any]:
        if self.given is None:
            return default_key_source(owner)
        given = self.given
        if isinstance(given, property) and given.fget is not None:
            given = given.fget(owner)
        elif isinstance(given, classmethod):
            given = given.__func__(owner)
        elif not isinstance(given, Relation) and not isinstance(given, type) and hasattr(type(given), "__get__"):
            given = given.__get__(None, owner)
        if callable(given) and not isinstance(given, (Relation, type)):
            given = given()
        try:
            return to_relation(given)
        except CompdbError as error:
            raise PopulateError(f"{owner.__name__}.key_source must be a relation or a table, not {given!r}") from error


def default_key_source(cls: type[Any]) -> Relation[Any]:
    """Return the join of the parents in the primary key of `cls`, projected to the key, under the names it has here."""
    table: sa.Table = cls.__table__
    sources = []
    for edge in dag.parents(table):
        if not edge.primary or edge.parent is table:
            continue
        renames = {mine: theirs for mine, theirs in edge.pairs if mine != theirs}
        sources.append(to_relation(edge.parent.info.get("class", edge.parent)).proj(**renames))
    if not sources:
        raise PopulateError(
            f"{dag.label(table)} has no foreign key in its primary key, so it has no key source; add a Key link or a key_source"
        )
    return reduce(lambda a, b: a * b, sources)


class Pending:
    """The keys of a table that its key source has and that the table lacks.

    Attributes
    ----------
    names : tuple of str
        Attributes of the keys.
    source : Relation
        The key source, restricted and projected to its key.
    """

    def __init__(self, cls: type[Any], restrictions: tuple[Any, ...]) -> None:
        self.table: sa.Table = cls.__table__
        self.label = dag.label(self.table)
        whole: Relation[Any] = cls.key_source
        own = [str(c.name) for c in self.table.primary_key]
        self.names = tuple(n for n in own if n in whole.primary_key)
        self._check(cls, whole, own)
        self.source: Relation[Any] = whole.proj()
        for condition in restrictions:
            self.source = self._restrict(condition)

    def _check(self, cls: type[Any], whole: Relation[Any], own: list[str]) -> None:
        inherited = {n for e in dag.parents(self.table) if e.primary and e.parent is not self.table for n, _ in e.pairs}
        lacking = [n for n in own if n in inherited and n not in whole.primary_key]
        foreign = [n for n in whole.primary_key if n not in own]
        if lacking or foreign:
            raise PopulateError(
                f"the key source of {self.label} must supply its key ({', '.join(own)})"
                + (f"; it lacks {', '.join(lacking)}" if lacking else "")
                + (f"; it has {', '.join(foreign)}, which {self.label} lacks" if foreign else "")
            )

    def _restrict(self, condition: Any) -> Relation[Any]:
        with self._hinting():
            return self.source.restrict(condition)

    @contextmanager
    def _hinting(self) -> Iterator[None]:
        """Tell of an attribute that the keys lack and a parent has how to restrict by it."""
        try:
            yield
        except UnknownAttribute as error:
            owners = [
                dag.label(t) for t in dag.ancestors(self.table) if error.attribute in t.c and dag.tier(t) is not None
            ]
            if not owners and set(error.known) != set(self.names):
                raise  # of a relation that the user restricted
            if not owners:
                raise UnknownAttribute(error.attribute, f"the key source of {self.label}", self.names) from error
            raise UnknownAttribute(
                error.attribute,
                f"the key source of {self.label}",
                self.names,
                f"it is an attribute of {owners[0]}: write populate({owners[0]} & ...), as in"
                f' populate({owners[0]} & "{error.attribute} > 0")',
            ) from error

    @contextmanager
    def telling(self) -> Iterator[Database]:
        """Give the database; a name in a restriction that nobody has is told as the attribute it was meant to be."""
        with self._hinting(), self.source.telling() as database:
            yield database

    def _ask(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        def ask() -> Sequence[sa.Row[Any]]:
            with database.reading(query) as connection:
                return connection.execute(query).all()

        with self.telling() as database:
            return insisting(database, self.label, ask)

    def statement(self) -> sa.Select[Any]:
        """Return the pending keys as the anti-join that every database answers well."""
        return self._select(self._lacking(*self._ignored()))

    def missing(self) -> sa.Select[Any]:
        """Return the keys that the table lacks, ignored or not: what jobs are made of."""
        return self._select(self._lacking())

    def _select(self, keys: Relation[Any]) -> sa.Select[Any]:
        return keys.select_attributes(keys.heading[n] for n in self.names)

    def _lacking(self, *others: sa.Select[Any]) -> Relation[Any]:
        """Return the keys of the source that stand neither in the table nor in `others`."""
        found = self.source.joinable()
        lacks = []
        for there in [self.table.alias(), *(other.subquery() for other in others)]:
            on = sa.and_(*(there.c[n] == found.heading[n].column for n in self.names))
            absent = ~sa.exists().where(on).select_from(there).correlate_except(there)
            lacks.append(Lack(absent, there, on, there.c[self.names[0]].is_(None)))
        return replace(found, where=(*found.where, *lacks))

    def _ignored(self) -> list[sa.Select[Any]]:
        """Return the keys to be ignored, where there are any: to look for each among none would cost as much as the rest."""
        jobs = jobs_of(self.table)
        if set(jobs.keys) != set(self.names):
            return []  # a key source that tells its key only when it is asked has no jobs
        ignored = sa.select(*(jobs.table.c[n] for n in self.names)).where(jobs.c["status"] == "ignore")
        return [ignored] if self._ask(ignored.limit(1)) else []

    def in_source(self) -> sa.ColumnElement[bool]:
        """Return the condition that a job is one of the key source, which restrictions have narrowed."""
        source = self.source.select().subquery("source")
        jobs = jobs_of(self.table)
        return sa.exists(sa.select(sa.literal(1)).select_from(source).where(jobs.same_key(source)))

    def definition(self) -> sa.CompoundSelect[Any]:
        """Return the pending keys as they are defined: key source EXCEPT table EXCEPT those to be ignored."""
        source = self.source.select().subquery("source")
        return sa.except_(
            sa.select(*(source.c[n] for n in self.names)),
            sa.select(*(self.table.c[n] for n in self.names)),
            *self._ignored(),
        )

    def count(self) -> int:
        """Count the pending keys."""
        return int(self._ask(self._lacking(*self._ignored()).select_rows(sa.func.count()))[0][0])

    def total(self) -> int:
        """Count the keys of the key source."""
        return len(self.source)

    def pages(self, order: str, limit: int | None) -> Iterator[list[dict[str, Any]]]:
        """Yield the pending keys in pages; they are read before the first one is made, and wait outside memory if they are many."""
        query = self.statement()
        columns = [query.selected_columns[n] for n in self.names]
        query = query.order_by(*(c.desc() if order == "reverse" else c.asc() for c in columns))
        query = query if limit is None else query.limit(limit)

        def read() -> Spool:
            spool = Spool(self.names)
            try:
                with stream(database, query) as source:
                    spool.take(source.columns())
            except BaseException:
                spool.close()
                raise
            return spool

        with self.telling() as database:
            spool = insisting(database, self.label, read)
        with closing(spool):
            yield from spool.pages(shuffled=order == "random")


def pending(cls: type[Any], *restrictions: Any) -> Pending:
    """Return what is pending in `cls`, each restriction narrowing it."""
    return Pending(cls, restrictions)
