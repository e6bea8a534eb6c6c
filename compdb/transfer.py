"""Transfer: rows of a pipeline into a SQLite file with the same models, and back into a database.

>>> (Subject & {"subject_id": "M001"}).export("part.db")
{'Subject': 1, 'Session': 2, 'SessionSummary': 2}
>>> Lab.merge("part.db")

What is written can stand by itself: the rows, everything that depends on them, and everything that all of these depend on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from compdb import codecs, dag, notes, types
from compdb.database import Database, connect
from compdb.errors import CompdbError, DeclarationError, MergeConflict, shorten

__all__ = ["export", "merge"]

Key = tuple[Any, ...]
Keys = dict[sa.Table, dict[Key, None]]

AT_ONCE = 400
"""How many keys one statement asks for."""


def export(database: Database, table: sa.Table, keys: sa.Select[Any] | None, path: str | Path) -> dict[str, int]:
    """Write rows, what depends on them and what they depend on into a new SQLite file.

    Parameters
    ----------
    keys : Select or None
        Primary keys of the rows of `table` to begin with; None means all.
    path : path
        A file that is not there yet.

    Returns
    -------
    dict
        How many rows of each table were written.

    Raises
    ------
    CompdbError
        If the file is there, or a column cannot be kept by SQLite.
    """
    path = Path(path)
    if path.exists():
        raise CompdbError(f"{path} is there already; export into a new file, or remove it first")
    tables = _pipeline_tables(table)
    with database.snapshot() as source:
        closed = _close(source, table, keys)
        target = connect(f"sqlite:///{path.resolve()}")
        _refuse_types(tables, target)
        try:
            return _write(source, target, tables, closed)
        except BaseException:
            target.dispose()
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            raise


def _pipeline_tables(table: sa.Table) -> list[sa.Table]:
    """Return all tables of the linked pipelines, parents first; jobs are of no use elsewhere."""
    every = (t for m in dag.linked(table.metadata) for t in m.tables.values())
    return dag.topological(t for t in every if dag.tier(t) != "jobs")


def _refuse_types(tables: Iterable[sa.Table], target: Database) -> None:
    for table in tables:
        for column in table.columns:
            problem = types.check_type(column.type, target.engine.dialect)
            if problem:
                raise DeclarationError(f"{dag.label(table)}.{column.name} cannot be exported: {problem}")


def _write(source: sa.Connection, target: Database, tables: list[sa.Table], closed: Keys) -> dict[str, int]:
    schemas: dict[str | None, str | None] = {t.schema: None for t in tables if t.schema}
    counts = {}
    with target.transaction() as session:
        connection = session.connection(execution_options={"schema_translate_map": schemas} if schemas else {})
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")  # a row may refer to a later one of its own table
        for metadata in dict.fromkeys(t.metadata for t in tables):
            metadata.create_all(connection, [t for t in tables if t.metadata is metadata], checkfirst=False)
        notes.write(connection, tables)
        for table in tables:
            if not closed.get(table):
                continue
            for rows in _rows(source, table, list(closed[table])):
                connection.execute(table.insert(), rows)
            counts[dag.label(table)] = len(closed[table])
    target.dispose()
    return counts


# ---------------------------------------------------------------- which rows


def _close(connection: sa.Connection, table: sa.Table, keys: sa.Select[Any] | None) -> Keys:
    """Return the keys of the rows, of what is downstream of them, and of what all of these need."""
    names = _key(table)
    query = keys if keys is not None else sa.select(*(table.c[n] for n in names))
    found: Keys = {table: dict.fromkeys(tuple(row) for row in connection.execute(query))}
    for above in [table, *dag.descendants(table)]:
        for edge in dag.children(above):
            if found.get(above) and edge.child.metadata in dag.linked(table.metadata):
                _follow_down(connection, edge, found)
    grown = True
    while grown:
        grown = False
        for below in reversed(dag.topological(found)):
            for edge in dag.parents(below):
                grown |= _follow_up(connection, edge, found)
            for part in dag.parts(below):
                edge = next(e for e in dag.parents(part) if e.parent is below and e.primary)
                grown |= _follow_down(connection, edge, found)
    return found


def _follow_down(connection: sa.Connection, edge: dag.Edge, found: Keys) -> bool:
    """Add the rows of the child that refer to rows found; a table that refers to itself is followed to the end."""
    mine = [m for m, _ in edge.pairs]
    grown = False
    new = list(found.get(edge.parent, ()))
    while new:
        values = _columns_of(connection, edge.parent, [t for _, t in edge.pairs], new)
        below = _keys_where(connection, edge.child, mine, values)
        there = found.setdefault(edge.child, {})
        new = [k for k in below if k not in there]
        there.update(dict.fromkeys(new))
        grown |= bool(new)
        if edge.child is not edge.parent:
            break
    return grown


def _follow_up(connection: sa.Connection, edge: dag.Edge, found: Keys) -> bool:
    """Add the rows of the parent that rows found refer to."""
    values = _columns_of(connection, edge.child, [m for m, _ in edge.pairs], list(found.get(edge.child, ())))
    wanted = [v for v in values if None not in v]
    above = _keys_where(connection, edge.parent, [t for _, t in edge.pairs], wanted)
    there = found.setdefault(edge.parent, {})
    new = [k for k in above if k not in there]
    there.update(dict.fromkeys(new))
    return bool(new)


def _columns_of(connection: sa.Connection, table: sa.Table, names: Sequence[str], keys: Sequence[Key]) -> list[Key]:
    """Return, once each, what rows with these keys have in some columns."""
    own = _key(table)
    if list(names) == own:
        return list(keys)
    found: dict[Key, None] = {}
    for where in _among([table.c[n] for n in own], keys):
        found.update(
            dict.fromkeys(tuple(r) for r in connection.execute(sa.select(*(table.c[n] for n in names)).where(where)))
        )
    return list(found)


def _keys_where(connection: sa.Connection, table: sa.Table, names: Sequence[str], values: Sequence[Key]) -> list[Key]:
    """Return the keys of the rows that have one of `values` in some columns."""
    own = _key(table)
    if list(names) == own:
        own_columns = [table.c[n] for n in own]
        return [
            tuple(r)
            for where in _among(own_columns, values)
            for r in connection.execute(sa.select(*own_columns).where(where))
        ]
    query = sa.select(*(table.c[n] for n in own))
    return [
        tuple(r)
        for where in _among([table.c[n] for n in names], values)
        for r in connection.execute(query.where(where))
    ]


def _among(columns: Sequence[sa.ColumnElement[Any]], keys: Sequence[Key]) -> Iterator[sa.ColumnElement[bool]]:
    """Yield conditions that together say: the columns have one of `keys`."""
    step = max(1, AT_ONCE // len(columns))
    for i in range(0, len(keys), step):
        some = keys[i : i + step]
        if len(columns) == 1:
            yield columns[0].in_([k[0] for k in some])
        else:
            yield sa.or_(*(sa.and_(*(c == v for c, v in zip(columns, k))) for k in some))


def _key(table: sa.Table) -> list[str]:
    return [c.name for c in table.primary_key]


# ---------------------------------------------------------------- rows


def _rows(connection: sa.Connection, table: sa.Table, keys: Sequence[Key]) -> Iterator[list[dict[str, Any]]]:
    """Yield the rows with these keys, some at a time, blobs as the bytes they are."""
    query = sa.select(*(_as_kept(c) for c in table.columns))
    for where in _among([table.c[n] for n in _key(table)], keys):
        yield [_encoded(table, dict(row)) for row in connection.execute(query.where(where)).mappings()]


def _as_kept(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    return sa.type_coerce(column, sa.LargeBinary).label(column.name) if isinstance(column.type, types.Blob) else column


def _encoded(table: sa.Table, row: dict[str, Any]) -> dict[str, Any]:
    """Mark the bytes of blobs as encoded, so that they are written as they are."""
    return {
        n: codecs.Encoded(v) if v is not None and isinstance(table.c[n].type, types.Blob) else v for n, v in row.items()
    }


# ---------------------------------------------------------------- back


def merge(database: Database, tables: Iterable[sa.Table], path: str | Path) -> dict[str, int]:
    """Insert the rows of an exported file that the database lacks.

    Returns
    -------
    dict
        How many rows of each table were inserted.

    Raises
    ------
    MergeConflict
        If rows of one key differ; lists them, and nothing is changed.
    CompdbError
        If there is no such file.
    """
    path = Path(path)
    if not path.exists():
        raise CompdbError(f"there is no file {path}")
    source = connect(f"sqlite:///{path.resolve()}")
    wanted = [t for t in dag.topological(tables) if dag.tier(t) != "jobs"]
    schemas: dict[str | None, str | None] = {t.schema: None for t in wanted if t.schema}
    conflicts: list[str] = []
    inserted: dict[str, int] = {}
    try:
        with source.snapshot() as plain, database.transaction() as session:
            reading = plain.execution_options(schema_translate_map=schemas) if schemas else plain
            have = set(sa.inspect(plain).get_table_names())
            for table in wanted:
                if table.name in have:
                    count = _merge_table(reading, session.connection(), database, table, conflicts)
                    inserted.update({dag.label(table): count} if count else {})
            if conflicts:
                raise MergeConflict(conflicts)
    finally:
        source.dispose()
    return inserted


def _merge_table(
    source: sa.Connection, target: sa.Connection, database: Database, table: sa.Table, conflicts: list[str]
) -> int:
    names = _key(table)
    keys = [tuple(r) for r in source.execute(sa.select(*(table.c[n] for n in names)))]
    missing: list[dict[str, Any]] = []
    for rows in _rows(source, table, keys):
        wanted = [tuple(r[n] for n in names) for r in rows]
        there = {tuple(r[n] for n in names): r for some in _rows(target, table, wanted) for r in some}
        for key, row in zip(wanted, rows):
            other = there.get(key)
            if other is None:
                missing.append(row)
            elif differs := [n for n in row if not _same(table.c[n], row[n], other[n])]:
                told = ", ".join(
                    f"{n} is {shorten(other[n], 40)} here and {shorten(row[n], 40)} there" for n in differs
                )
                conflicts.append(f"{dag.label(table)} {dict(zip(names, key))}: {told}")
    if missing and not conflicts:
        database.dialect.insert_rows(target, table, dag.parents_first(table, missing))
    return len(missing)


def _same(column: sa.Column[Any], a: Any, b: Any) -> bool:
    if isinstance(column.type, types.Blob) and a is not None and b is not None and a != b:
        return bool(codecs.encode(codecs.decode(a)) == codecs.encode(codecs.decode(b)))
    return bool(a == b)
