"""Which tables a diagram shows: from what it was made of, and steps up and down from there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import sqlalchemy as sa

from compdb import dag
from compdb.errors import DiagramError, shorten

__all__ = ["downstream", "ordered", "tables_of", "upstream"]


def tables_of(source: object) -> Iterator[sa.Table]:
    """Yield the tables of a table, a mapped class or row, a pipeline, a MetaData, or of each in a list of these."""
    table = getattr(source, "__table__", source)
    metadata = getattr(source, "metadata", source)
    if isinstance(table, sa.Table):
        yield table
    elif isinstance(metadata, sa.MetaData):
        yield from metadata.tables.values()
    elif isinstance(source, Iterable) and not isinstance(source, (str, bytes)):
        for each in source:
            yield from tables_of(each)
    else:
        raise DiagramError(
            f"a diagram is made of tables, pipelines, other diagrams and lists of these, not of {shorten(source)}"
        )


def ordered(tables: Iterable[sa.Table]) -> tuple[sa.Table, ...]:
    """Return each table once, after those it depends on, otherwise as declared; jobs tables are left out.

    The order depends on nothing but which tables they are. Circles, which plain SQLAlchemy allows, do no harm.
    """
    wanted = {t for t in tables if dag.tier(t) != "jobs"}
    collections = {t.metadata for t in wanted}
    declared: dict[sa.Table, None] = {}
    for metadata in sorted(collections, key=lambda m: sorted(m.tables)):
        declared.update(dict.fromkeys(t for t in metadata.tables.values() if t in wanted))
    declared.update(dict.fromkeys(sorted(wanted - declared.keys(), key=dag.label)))  # declared anew since
    done: dict[sa.Table, None] = {}
    seen: set[sa.Table] = set()
    todo = [(table, False) for table in reversed(declared)]
    while todo:
        table, above_done = todo.pop()
        if above_done:
            done[table] = None
        elif table not in seen:
            seen.add(table)
            todo.append((table, True))
            todo += [(e.parent, False) for e in reversed(dag.parents(table)) if e.parent in wanted]
    return tuple(done)


def upstream(tables: Iterable[sa.Table], steps: int) -> set[sa.Table]:
    """Return the tables and what they depend on, up to `steps` foreign keys away."""
    found = near = set(tables)
    for _ in range(steps):
        near = {e.parent for t in near for e in dag.parents(t)} - found
        if not near:
            break
        found = found | near
    return found


def downstream(tables: Iterable[sa.Table], steps: int) -> set[sa.Table]:
    """Return the tables and what depends on them in any pipeline, up to `steps` foreign keys away."""
    found = near = set(tables)
    for _ in range(steps):
        near = {e.child for t in near for e in dag.children(t)} - found
        if not near:
            break
        found = found | near
    return found
