"""Activation: bring the tables of a pipeline into being, see that those in the database fit their classes, fill the lookups.

>>> Lab.activate("sqlite:///lab.db")

Activating again is cheap: a table that was looked at stays looked at, until it is declared again.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import sqlalchemy as sa
from sqlalchemy import exc

from compdb import codecs, dag, notes, schema, types
from compdb import insert as inserting
from compdb.database import Database, bind, database_of
from compdb.declare import Catalog
from compdb.errors import DeclarationError, LookupMismatch, NotConnected, SchemaDrift, shorten

__all__ = ["activate", "forget", "tables_of"]

_SEEN: WeakKeyDictionary[Database, WeakSet[sa.Table]] = WeakKeyDictionary()


def activate(catalog: Catalog, database: Database, *, migrated: bool = False, update_lookups: bool = False) -> None:
    """Make what is missing, check what is there, fill the lookups.

    Parameters
    ----------
    migrated : bool
        The tables were brought into being by migrations: nothing is made.
    update_lookups : bool
        Change lookup rows whose declared values changed.

    Raises
    ------
    SchemaDrift
        If a table in the database does not fit its class.
    LookupMismatch
        If declared contents differ from the rows in the database and `update_lookups` is False.
    """
    tables = tables_of(catalog)
    for metadata in dict.fromkeys([catalog.metadata, *(t.metadata for t in tables)]):
        if metadata is catalog.metadata or not _is_bound(metadata):
            bind(metadata, database)
    seen = _SEEN.setdefault(database, WeakSet())
    places = schema.homes(tables, database.engine.dialect)
    with database.reading() as connection:
        there = schema.names(connection, {place[0] for place in places.values()})
    new = [t for t in tables if t not in seen or places[t] not in there]
    if new:
        _bring_into_being(new, database, migrated)
        seen.update(new)
    for cls in catalog.classes.values():
        if cls.__tier__ == "lookup":
            _fill(cls, database, update_lookups)


def forget(database: Database) -> None:
    """Look at every table of `database` again at the next activation."""
    _SEEN.pop(database, None)


def _is_bound(metadata: sa.MetaData) -> bool:
    try:
        database_of(metadata)
    except NotConnected:
        return False
    return True


def tables_of(catalog: Catalog) -> list[sa.Table]:
    """Return the tables of the pipeline and those they refer to, parents first."""
    own = list(catalog.metadata.tables.values())
    for table in own:
        for foreign_key in table.foreign_keys:
            try:
                _ = foreign_key.column
            except exc.NoReferenceError as error:
                raise DeclarationError(f"{dag.label(table)} refers to what is not declared: {error}") from error
    upstream = [t for table in own for t in dag.ancestors(table)]
    return dag.topological([*upstream, *own])


def _bring_into_being(tables: list[sa.Table], database: Database, migrated: bool) -> None:
    for table in tables:
        for column in table.columns:
            problem = types.check_type(column.type, database.engine.dialect)
            if problem:
                raise DeclarationError(f"{dag.label(table)}.{column.name}: {problem}")
    with database.lock("activate"), database.transaction() as session:
        connection = session.connection()
        database.dialect.create_schemas(connection, {t.schema for t in tables if t.schema})
        missing = _misfits(connection, tables, database)
        if missing and (migrated or schema.is_migrated(connection)):
            raise SchemaDrift(
                f"{', '.join(map(dag.label, missing))}: not in {database.url}, whose tables are changed by migrations. Write and"
                " apply a revision (compdb migrate new, compdb migrate up), then activate(migrations=...)"
            )
        for metadata in dict.fromkeys(t.metadata for t in missing):
            metadata.create_all(connection, tables=[t for t in missing if t.metadata is metadata], checkfirst=False)
        if not database.dialect.has_comments:
            notes.write(connection, tables)


def _misfits(connection: sa.Connection, tables: list[sa.Table], database: Database) -> list[sa.Table]:
    """Return the tables that the database lacks.

    Raises
    ------
    SchemaDrift
        If rows of a table that is there could not be read and written as its class says.
    """
    places = schema.homes(tables, database.engine.dialect)
    ours = schema.declared(tables, database, spelled=False)
    there = schema.read(connection, places.values(), whole=False)
    for table, place in places.items():
        if place not in there:
            continue
        found = schema.compare(there[place], ours[place], database.engine.dialect, whole=False)
        problems = [difference.words for difference in found if not difference.fits]
        if problems:
            label = dag.label(table)
            raise SchemaDrift(
                f"{label}: table {table.name!r} in the database does not fit its class: {'; '.join(problems)}.\nChange the"
                f" table by a migration (compdb migrate new, compdb migrate up), put the class back as it was, or"
                f" {label}.drop() if its rows may go"
            )
    return [table for table, place in places.items() if place not in there]


# ---------------------------------------------------------------- lookups


def _fill(cls: type[Any], database: Database, update: bool) -> None:
    contents: Any = cls.contents() if callable(cls.contents) else cls.contents
    if contents is None or (hasattr(contents, "__len__") and len(contents) == 0):
        return
    table: sa.Table = cls.__table__
    label = dag.label(table)
    rows = inserting.prepare(table, inserting.dicts(table, contents))
    key = [c.name for c in table.primary_key]
    query = sa.select(table)
    with database.reading(query) as connection:
        there = {tuple(r[n] for n in key): dict(r) for r in connection.execute(query).mappings()}
    missing = [row for row in rows if tuple(row[n] for n in key) not in there]
    changed: list[tuple[dict[str, Any], dict[str, tuple[Any, Any]]]] = []
    for row in rows:
        former = there.get(tuple(row[n] for n in key))
        differs = {n: (former[n], v) for n, v in row.items() if not _same(table.c[n], former[n], v)} if former else {}
        if differs:
            changed.append(({n: row[n] for n in key}, differs))
    if changed and not update:
        told = [
            f"  {k}: " + ", ".join(f"{n} is {shorten(a)}, declared {shorten(b)}" for n, (a, b) in d.items())
            for k, d in changed[:10]
        ]
        raise LookupMismatch(
            f"{label}: the contents declared differ from the rows in the database:\n"
            + "\n".join(told)
            + "\nactivate(update_lookups=True) changes the rows; what was computed from them stays as it is"
        )
    if not missing and not changed:
        return
    with database.transaction() as session:
        connection = session.connection()
        inserting.write(database, connection, table, missing, "skip")
        for k, d in changed:
            connection.execute(
                table.update()
                .where(*(table.c[n] == v for n, v in k.items()))
                .values({n: new for n, (_, new) in d.items()})
            )


def _same(column: sa.Column[Any], former: Any, declared: Any) -> bool:
    if isinstance(column.type, types.Blob) and former is not None and declared is not None:
        return bytes(codecs.encode(former)) == bytes(declared)
    return bool(former == declared)
