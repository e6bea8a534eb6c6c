"""What stands around a deletion: the tables that may go with it, as declared and as the database itself knows them."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from compdb import dag, dialects
from compdb.dialects.references import Reference, place, references

__all__ = ["Surroundings", "follows", "present", "reach"]


def follows(edge: dag.Edge) -> bool:
    """Whether rows of the child go with their parent: all but those declared ON DELETE SET NULL or SET DEFAULT."""
    return (edge.constraint.ondelete or "").upper() not in ("SET NULL", "SET DEFAULT")


def reach(tables: Iterable[sa.Table], *, masters: bool = False, always: bool = False) -> list[sa.Table]:
    """Return `tables` and all whose rows go with theirs, parents first.

    Parameters
    ----------
    masters : bool
        Also the masters of parts.
    always : bool
        Also the tables that would let their parents go: all that depend on them.
    """
    found = dict.fromkeys(tables)
    todo = list(found)
    while todo:
        table = todo.pop()
        near: list[sa.Table | None] = [edge.child for edge in dag.children(table) if always or follows(edge)]
        if masters:
            near.append(dag.master(table))
        for other in near:
            if other is not None and other not in found:
                found[other] = None
                todo.append(other)
    return dag.topological(found)


class Surroundings:
    """What goes with `roots` in one database; asks its catalogue once.

    Attributes
    ----------
    tables : list of Table
        The roots and all that goes with them, parents first. Tables declared but not in the database are left out.
    outside : list of Reference
        Foreign keys to these tables that no loaded pipeline declares; those of jobs tables left out.
    jobs : list of Reference
        Foreign keys of jobs tables to these tables.
    """

    def __init__(
        self, connection: sa.Connection, roots: Iterable[sa.Table], *, masters: bool = False, always: bool = False
    ) -> None:
        wanted = list(roots)
        places = {t: place(connection, t) for t in reach(wanted, masters=masters, always=always)}
        there = references(connection, places)
        declared = {(place(connection, e.child), _columns(e.pairs)) for table in places for e in dag.children(table)}
        self.jobs = [r for r in there if r.of_jobs]
        self.outside = [r for r in there if not r.of_jobs and (r.child, _columns(r.pairs)) not in declared]
        sure = {r.child for r in there} | {r.parent for r in there} | {places[t] for t in wanted}
        absent = {t for t, where in places.items() if where not in sure}
        absent -= set(present(connection, absent))
        self.tables = [t for t in places if t not in absent]
        self._by_place = {where: t for t, where in places.items()}

    def parent(self, reference: Reference) -> sa.Table:
        """Return the table that `reference` refers to."""
        return self._by_place[reference.parent]


def present(connection: sa.Connection, tables: Iterable[sa.Table]) -> list[sa.Table]:
    """Return those of `tables` that the database has."""
    inspector = sa.inspect(connection)
    has_schemas = dialects.of(connection).has_schemas
    return [t for t in tables if t.name in inspector.get_table_names(schema=t.schema if has_schemas else None)]


def _columns(pairs: Iterable[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    return frozenset((mine.casefold(), theirs.casefold()) for mine, theirs in pairs)
