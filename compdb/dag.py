"""The dependency graph, read from the foreign keys of SQLAlchemy tables.

What depends on what is nobody's list: it is the foreign keys, those written by links (`image: Key[Image]`) and those of plain
SQLAlchemy models alike. The functions here answer questions about tables: parents, children, order, paths, and the *origin*
of a column, the place where its values are first declared.

A table that compdb declares carries its facts in `Table.info`: `tier`, `label` (the user's name for it, `Detection.Blob`), `class`
(the mapped class) and, for a part, `master` (the name of its master's class).
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from compdb.errors import DeclarationError

__all__ = [
    "Edge",
    "ancestors",
    "changed",
    "children",
    "descendants",
    "every_table",
    "indexed",
    "key_names",
    "label",
    "linked",
    "master",
    "origin",
    "parents",
    "parents_first",
    "parts",
    "paths",
    "register",
    "tier",
    "topological",
]

R = TypeVar("R", bound=Mapping[str, Any])

AUTO_TIERS = ("imported", "computed")
"""The tiers that populate fills."""


@dataclass(frozen=True)
class Edge:
    """One foreign key: `child` depends on `parent`.

    Attributes
    ----------
    child, parent : Table
    pairs : tuple of (str, str)
        Column of the child, column of the parent that it refers to.
    primary : bool
        All columns of the child lie in its primary key.
    nullable : bool
        At least one column of the child may be NULL.
    """

    child: sa.Table
    parent: sa.Table
    pairs: tuple[tuple[str, str], ...]
    primary: bool
    nullable: bool
    constraint: sa.ForeignKeyConstraint

    @property
    def renamed(self) -> bool:
        """Whether a column has another name in the child than in the parent."""
        return any(mine != theirs for mine, theirs in self.pairs)

    @property
    def unique(self) -> bool:
        """Whether the child has at most one row per parent row."""
        mine = {name for name, _ in self.pairs}
        if mine >= {c.name for c in self.child.primary_key}:
            return True
        return any(
            isinstance(c, sa.UniqueConstraint) and {x.name for x in c.columns} <= mine for c in self.child.constraints
        )


class _Graph:
    """The MetaData collections of this process, and what was found out about them until something is declared."""

    def __init__(self) -> None:
        self.collections: weakref.WeakSet[sa.MetaData] = weakref.WeakSet()
        self.memory: dict[Any, Any] = {}


_GRAPH = _Graph()


def register(metadata: sa.MetaData) -> None:
    """Make the tables of `metadata` part of the graph."""
    if metadata not in _GRAPH.collections:
        _GRAPH.collections.add(metadata)
        changed()


def changed() -> None:
    """Forget what was found out: a table was declared, replaced or removed."""
    _GRAPH.memory.clear()


def every_table() -> list[sa.Table]:
    """Return the tables of all pipelines of this process."""
    return [table for metadata in _GRAPH.collections for table in metadata.tables.values()]


def tier(table: sa.FromClause) -> str | None:
    """Return lookup, manual, imported, computed, part, jobs, or None for a table that is not of a pipeline."""
    found = getattr(table, "info", {}).get("tier")
    return found if isinstance(found, str) else None


def label(table: sa.FromClause) -> str:
    """Return the name that the user gave: `Detection.Blob`; for a foreign table its name in the database."""
    return str(getattr(table, "info", {}).get("label") or getattr(table, "name", "a subquery"))


def _edge(constraint: sa.ForeignKeyConstraint) -> Edge:
    child = constraint.table
    try:
        pairs = tuple((e.parent.name, e.column.name) for e in constraint.elements)
        parent = constraint.elements[0].column.table
    except exc.InvalidRequestError as error:  # the referred table or column is not declared (any more)
        raise DeclarationError(f"{label(child)} refers to what is not declared: {error}") from error
    assert isinstance(parent, sa.Table)
    columns = [e.parent for e in constraint.elements]
    return Edge(
        child,
        parent,
        pairs,
        primary=all(c.primary_key for c in columns),
        nullable=any(bool(c.nullable) for c in columns),
        constraint=constraint,
    )


def parents(table: sa.Table) -> list[Edge]:
    """Return the foreign keys of `table`, in the order of its columns."""
    known: list[Edge] | None = _GRAPH.memory.get(("parents", table))
    if known is None:
        rank = {c.name: i for i, c in enumerate(table.columns)}
        edges = [_edge(c) for c in table.foreign_key_constraints]
        known = sorted(edges, key=lambda e: ([rank[mine] for mine, _ in e.pairs], label(e.parent)))
        _GRAPH.memory["parents", table] = known
    return list(known)


def _all_children() -> dict[sa.Table, list[Edge]]:
    known: dict[sa.Table, list[Edge]] | None = _GRAPH.memory.get("children")
    if known is None:
        known = {}
        for metadata in list(_GRAPH.collections):
            for table in metadata.tables.values():
                if tier(table) == "jobs":
                    continue
                for constraint in table.foreign_key_constraints:
                    edge = _edge(constraint)
                    known.setdefault(edge.parent, []).append(edge)
        _GRAPH.memory["children"] = known
    return known


def children(table: sa.Table) -> list[Edge]:
    """Return the foreign keys that refer to `table`, from every pipeline of this process; jobs tables are left out."""
    found = list(_all_children().get(table, ()))
    if table.metadata not in _GRAPH.collections:
        found += [
            _edge(c) for t in table.metadata.tables.values() for c in t.foreign_key_constraints if _refers(c, table)
        ]
    return found


def _refers(constraint: sa.ForeignKeyConstraint, table: sa.Table) -> bool:
    return constraint.elements[0].column.table is table


def topological(tables: Iterable[sa.Table]) -> list[sa.Table]:
    """Return `tables` so that each stands after those it depends on, otherwise in the order given.

    Raises
    ------
    DeclarationError
        If they depend on each other in a circle; names it.
    """
    wanted = list(dict.fromkeys(tables))
    inside, done, path = set(wanted), dict[sa.Table, None](), list[sa.Table]()

    def visit(table: sa.Table) -> None:
        if table in done:
            return
        if table in path:
            circle = [label(t) for t in [*path[path.index(table) :], table]]
            raise DeclarationError(f"tables depend on each other in a circle: {' -> '.join(circle)}")
        path.append(table)
        for edge in parents(table):
            if edge.parent is not table and edge.parent in inside:
                visit(edge.parent)
        path.pop()
        done[table] = None

    for table in wanted:
        visit(table)
    return list(done)


def _closure(table: sa.Table, step: str) -> list[sa.Table]:
    known: list[sa.Table] | None = _GRAPH.memory.get((step, table))
    if known is None:
        seen, todo = {table}, [table]
        while todo:
            here = todo.pop()
            near = [e.parent for e in parents(here)] if step == "up" else [e.child for e in children(here)]
            for other in near:
                if other not in seen:
                    seen.add(other)
                    todo.append(other)
        seen.discard(table)
        known = topological(sorted(seen, key=label))
        _GRAPH.memory[step, table] = known
    return list(known)


def ancestors(table: sa.Table) -> list[sa.Table]:
    """Return all tables that `table` depends on, the farthest first."""
    return _closure(table, "up")


def descendants(table: sa.Table) -> list[sa.Table]:
    """Return all tables that depend on `table`, the nearest first."""
    return _closure(table, "down")


def master(table: sa.Table) -> sa.Table | None:
    """Return the master of a part, or None."""
    name = table.info.get("master_table")
    if name is None:
        return None
    return next((e.parent for e in parents(table) if e.parent.key == name), None)


def parts(table: sa.Table) -> list[sa.Table]:
    """Return the parts of a master, in the order of their declaration."""
    return [t for t in table.metadata.tables.values() if t.info.get("master_table") == table.key and tier(t) == "part"]


def origin(column: sa.Column[Any]) -> sa.Column[Any]:
    """Return the column where the values of `column` are first declared: the root of its chain of foreign keys."""
    known: sa.Column[Any] | None = _GRAPH.memory.get(("origin", column))
    if known is not None:
        return known
    seen, here = {column}, column
    while True:
        above = [fk.column for fk in here.foreign_keys if fk.column not in seen]
        if not above:
            break
        here = above[0]
        seen.add(here)
    _GRAPH.memory["origin", column] = here
    return here


def linked(metadata: sa.MetaData) -> list[sa.MetaData]:
    """Return the MetaData collections that foreign keys link with this one, itself first."""
    known: dict[sa.MetaData, set[sa.MetaData]] | None = _GRAPH.memory.get("linked")
    if known is None:
        known = {}
        for edges in _all_children().values():
            for edge in edges:
                a, b = edge.child.metadata, edge.parent.metadata
                if a is not b:
                    known.setdefault(a, set()).add(b)
                    known.setdefault(b, set()).add(a)
        _GRAPH.memory["linked"] = known
    found, todo = [metadata], [metadata]
    while todo:
        for other in known.get(todo.pop(), ()):
            if other not in found:
                found.append(other)
                todo.append(other)
    return found


def indexed(table: sa.Table, columns: Iterable[str]) -> bool:
    """Say whether the primary key, a unique constraint or an index begins with these columns, in any order."""
    wanted = set(columns)
    begins = [[c.name for c in table.primary_key]]
    begins += [[c.name for c in x.columns] for x in table.constraints if isinstance(x, sa.UniqueConstraint)]
    begins += [[c.name for c in x.columns] for x in table.indexes]
    return not wanted or any(set(names[: len(wanted)]) == wanted for names in begins)


def key_names(table: sa.Table) -> frozenset[str]:
    """Return the names of all primary-key attributes of all tables in the pipelines linked with that of `table`."""
    known: frozenset[str] | None = _GRAPH.memory.get(("key_names", table.metadata))
    if known is None:
        known = frozenset(
            c.name
            for metadata in linked(table.metadata)
            for t in metadata.tables.values()
            if tier(t) != "jobs"
            for c in t.primary_key
        )
        _GRAPH.memory["key_names", table.metadata] = known
    return known


def paths(start: sa.Table, end: sa.Table) -> list[list[Edge]]:
    """Return all paths of foreign keys from `start` up to its ancestor `end`, the shortest first."""

    def walk(here: sa.Table, seen: frozenset[sa.Table]) -> Iterator[list[Edge]]:
        for edge in parents(here):
            if edge.parent is end:
                yield [edge]
            elif edge.parent not in seen and end in above[edge.parent]:
                for rest in walk(edge.parent, seen | {edge.parent}):
                    yield [edge, *rest]

    above = {t: set(ancestors(t)) for t in [start, *ancestors(start)]}
    return sorted(walk(start, frozenset([start])), key=len)


def parents_first(table: sa.Table, rows: Sequence[R]) -> list[R]:
    """Return `rows` of a table, which may refer to itself, with every parent before its children, otherwise in their order.

    Rows in a circle stay as they are.
    """
    above: list[dict[int, int]] = []  # row -> the row that it refers to, for each foreign key of the table to itself
    for edge in parents(table):
        if edge.parent is table:
            places: dict[tuple[Any, ...], int] = {}
            for i, row in enumerate(rows):
                places.setdefault(tuple(row.get(theirs) for _, theirs in edge.pairs), i)
            values = [tuple(row.get(mine) for mine, _ in edge.pairs) for row in rows]
            above.append({i: places[v] for i, v in enumerate(values) if None not in v and v in places})
    if all(parent <= i for near in above for i, parent in near.items()):
        return list(rows)
    ordered: list[R] = []
    met: set[int] = set()
    for start in range(len(rows)):
        path = [] if start in met else [start]
        met.add(start)
        while path:
            parent = next((p for near in above if (p := near.get(path[-1])) is not None and p not in met), None)
            if parent is None:
                ordered.append(rows[path.pop()])
            else:
                met.add(parent)
                path.append(parent)
    return ordered
