"""What a deletion takes with it: for every table downstream, which rows.

A `Plan` goes down the foreign keys, parents before children. A child is restricted by the key columns that it inherits (all
`Detection.Blob` with `image_id IN (1, 2)`), so rows downstream need not be fetched. Only where the columns are lost on the way (a
secondary foreign key), where several sets meet in many batches, or where a table refers to itself, are keys fetched.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from compdb import dag
from compdb.cascade.keys import ALL, Key, Keys, Term, absorb, raw
from compdb.cascade.loops import close, untie
from compdb.cascade.surroundings import Surroundings, follows

__all__ = ["Plan", "Stray", "fetch"]

_TERMS = 20  # in one statement that counts several tables: at most 20,000 bound values, and SQLite takes 32,766
_FEW = 5_000  # parents whose keys are fetched to spare a scan of their children


@dataclass(frozen=True)
class Stray:
    """Part rows that would go without their master.

    Attributes
    ----------
    part, master : Table
    count : int
        How many rows of the part.
    masters : Term
        The rows of the master.
    """

    part: sa.Table
    master: sa.Table
    count: int
    masters: Term


def fetch(connection: sa.Connection, table: sa.Table, keys: sa.Select[Any] | None) -> Term:
    """Return the rows of `table` whose primary keys `keys` finds now; None means every row."""
    if keys is None:
        return Term(ALL, ())
    names = _key(table)
    found = keys.subquery()
    rows = connection.execute(sa.select(*(raw(found.c[name]) for name in names)))
    return Term(Keys([dict.fromkeys(map(tuple, rows))]), names)


class Plan:
    """The rows that go when `seeds` go.

    Parameters
    ----------
    seeds : dict of Table to terms
        The rows that the deletion begins with.
    lock : bool
        Whether to lock the rows from the top down, so that nobody can add children to them meanwhile.

    Attributes
    ----------
    terms : dict of Table to list of Term
        Which rows go, parents before children; a row may answer several terms.
    """

    def __init__(
        self,
        connection: sa.Connection,
        around: Surroundings,
        seeds: Mapping[sa.Table, Sequence[Term]],
        *,
        lock: bool = False,
    ) -> None:
        self._connection = connection
        self._around = around
        self._arrived: dict[sa.Table, list[tuple[dag.Edge | None, Term]]] = {
            table: [(None, term) for term in terms] for table, terms in seeds.items()
        }
        self._conditions: dict[sa.Table, list[sa.ColumnElement[bool]]] = {}
        self._fetched: dict[tuple[sa.Table, tuple[str, ...]], Keys] = {}
        self._knots: dict[sa.Table, Keys] = {}
        self.terms: dict[sa.Table, list[Term]] = {}
        for table in around.tables:
            if terms := absorb(term for _, term in self._arrived.get(table, ())):
                self._take(table, terms, lock)

    def counts(self) -> dict[sa.Table, int]:
        """Count the rows of each table, many tables in one statement."""
        tables = list(self.terms)
        found = dict.fromkeys(tables, 0)
        asked: list[sa.Select[*tuple[Any, ...]]] = []
        weight = 0
        for number, table in enumerate(tables):
            if (table, _key(table)) in self._fetched:
                found[table] = len(self._fetched[table, _key(table)])
                continue
            for where in self._where(table):
                asked.append(sa.select(sa.literal_column(str(number)), sa.func.count()).select_from(table).where(where))
                weight += len(self.terms[table])
                if weight >= _TERMS:
                    self._add(asked, tables, found)
                    asked, weight = [], 0
        if asked:
            self._add(asked, tables, found)
        return found

    def delete(self) -> dict[sa.Table, int]:
        """Delete the rows, children before parents; return how many went from each table."""
        found = {}
        for table in reversed(self.terms):
            if table in self._knots:
                untie(self._connection, table, _loops(table), self._knots[table])
            found[table] = sum(
                self._connection.execute(sa.delete(table).where(where)).rowcount for where in self._where(table)
            )
        return dict(reversed(found.items()))

    def strays(self) -> Iterator[Stray]:
        """Yield the part rows that would go while the row of their master stays."""
        for part in list(self.terms):
            master = dag.master(part)
            if master is None:
                continue
            edge = next(e for e in sorted(dag.parents(part), key=lambda e: not e.primary) if e.parent is master)
            with_master = [t for e, t in self._arrived[part] if e is not None and e.constraint is edge.constraint]
            others = [t for e, t in self._arrived[part] if not any(m.covers(t) for m in with_master)]
            if others and (stray := self._stray(part, edge, others)):
                yield stray

    def outside(self) -> dict[str, int]:
        """Count the rows that refer to ours from tables that no loaded pipeline declares: at least so many."""
        found: dict[str, int] = {}
        for reference in self._around.outside:
            parent = self._around.parent(reference)
            if parent not in self.terms:
                continue
            mine = [name for name, _ in reference.pairs]
            child = sa.Table(reference.table, sa.MetaData(), *map(sa.Column, mine), schema=reference.schema)
            terms = self._passed(parent, child, reference.pairs, frozenset(mine))
            count = max((self._count(child, term.conditions(child)) for term in terms), default=0)
            if count:
                found[str(reference)] = max(count, found.get(str(reference), 0))
        return found

    # ---- from parents to children

    def _take(self, table: sa.Table, terms: list[Term], lock: bool) -> None:
        """Settle which rows of `table` go, and hand them on to its children."""
        self.terms[table] = terms
        key = _key(table)
        if loops := _loops(table):
            starts = [condition for term in terms for condition in term.conditions(table)]
            layers, knots = close(self._connection, table, loops, starts)
            self._settle(table, Keys([*layers, knots]))
            if knots:
                self._knots[table] = Keys([knots])
        if lock:
            for where in self._where(table):
                self._connection.execute(sa.select(*(table.c[n] for n in key)).where(where).with_for_update()).all()
        for edge in dag.children(table):
            if edge.child is not table and follows(edge) and edge.child in self._around.tables:
                nullable = frozenset(mine for mine, _ in edge.pairs if edge.child.c[mine].nullable)
                arrived = self._arrived.setdefault(edge.child, [])
                arrived += [(edge, term) for term in self._passed(table, edge.child, edge.pairs, nullable)]

    def _passed(
        self, table: sa.Table, child: sa.Table, pairs: Sequence[tuple[str, str]], nullable: frozenset[str]
    ) -> list[Term]:
        """Return the rows of `child` that refer to rows of `table` that go."""
        into = {theirs: mine for mine, theirs in pairs}
        terms = self.terms[table]
        brought = all(into.keys() >= {*term.columns, *term.given} for term in terms)
        if not brought or self._better_by_keys(table, child, into):
            key = _key(table)
            columns = key if set(key) == set(into) else tuple(into)
            terms = [Term(self._keys(table, columns), columns)]
        passed = [(term.keys, tuple(into[c] for c in term.columns)) for term in terms]
        return [Term(keys, mine, nullable - set(mine)) for keys, mine in passed]

    def _better_by_keys(self, table: sa.Table, child: sa.Table, into: Mapping[str, str]) -> bool:
        """Whether to look children up by the keys of few parents, since the inherited columns alone would mean a full scan.

        In MySQL a scan also waits for every row that somebody else is writing.
        """
        if all(_indexed(child, {into[c] for c in term.columns}) for term in self.terms[table]):
            return False
        return _indexed(child, set(into.values())) and self._count(table, self._where(table)) <= _FEW

    def _where(self, table: sa.Table) -> list[sa.ColumnElement[bool]]:
        """Return conditions that together pick each row that goes once."""
        if table not in self._conditions:
            batches = [term.conditions(table) for term in self.terms[table]]
            if len(batches) > 1 and any(len(batch) > 1 for batch in batches):
                conditions = [condition for batch in batches for condition in batch]
                self._settle(table, Keys([self._select(table, _key(table), conditions)]))
                batches = [term.conditions(table) for term in self.terms[table]]
            self._conditions[table] = batches[0] if len(batches) == 1 else [sa.or_(*(first for (first,) in batches))]
        return self._conditions[table]

    def _keys(self, table: sa.Table, columns: tuple[str, ...]) -> Keys:
        """Fetch the values that `columns` have in the rows that go."""
        if (table, columns) not in self._fetched:
            keys = Keys([self._select(table, columns, self._where(table))])
            if columns == _key(table):
                self._settle(table, keys)
            else:
                self._fetched[table, columns] = keys
        return self._fetched[table, columns]

    def _settle(self, table: sa.Table, keys: Keys) -> None:
        """Let exactly `keys`, the primary keys of rows that are there, be what goes of `table`."""
        self._fetched[table, _key(table)] = keys
        self.terms[table] = [Term(keys, _key(table))]
        self._conditions.pop(table, None)

    def _select(
        self, table: sa.Table, columns: tuple[str, ...], conditions: Sequence[sa.ColumnElement[bool]]
    ) -> dict[Key, None]:
        query = sa.select(*(raw(table.c[name]) for name in columns))
        rows = (tuple(row) for where in conditions for row in self._connection.execute(query.where(where)))
        return dict.fromkeys(row for row in rows if None not in row)

    # ---- small steps

    def _count(self, table: sa.Table, conditions: Sequence[sa.ColumnElement[bool]]) -> int:
        query = sa.select(sa.func.count()).select_from(table)
        return sum(self._connection.scalar(query.where(where)) or 0 for where in conditions)

    def _add(
        self, asked: list[sa.Select[*tuple[Any, ...]]], tables: list[sa.Table], found: dict[sa.Table, int]
    ) -> None:
        query = sa.union_all(*asked) if len(asked) > 1 else asked[0]
        for number, count in self._connection.execute(query):
            found[tables[number]] += count

    def _stray(self, part: sa.Table, edge: dag.Edge, terms: list[Term]) -> Stray | None:
        master, key = edge.parent, _key(part)
        theirs = tuple(name for _, name in edge.pairs)
        going = set(self._keys(master, theirs)) if master in self.terms else set()
        joined = part.join(master, sa.and_(*(part.c[a] == master.c[b] for a, b in edge.pairs)))
        query = sa.select(*(raw(part.c[n]) for n in key), *(raw(master.c[n]) for n in theirs)).select_from(joined)
        found: dict[Key, Key] = {}
        for where in (condition for term in terms for condition in term.conditions(part)):
            for row in map(tuple, self._connection.execute(query.where(where))):
                if row[len(key) :] not in going:
                    found[row[: len(key)]] = row[len(key) :]
        if not found:
            return None
        return Stray(part, master, len(found), Term(Keys([dict.fromkeys(found.values())]), theirs))


def _key(table: sa.Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.primary_key)


def _loops(table: sa.Table) -> list[dag.Edge]:
    return [edge for edge in dag.parents(table) if edge.parent is table and follows(edge)]


def _indexed(table: sa.Table, columns: set[str]) -> bool:
    """Whether an index begins with these columns; a foreign key counts, since MySQL gives each an index."""
    keys = ([column.name for column in c.columns] for c in table.foreign_key_constraints)
    return dag.indexed(table, columns) or any(set(names[: len(columns)]) == columns for names in keys)
