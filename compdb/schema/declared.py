"""What classes say of their tables, in the words that the database would use.

The database is asked: it makes each table once in a scratch place and tells of it. Where it does not let us, types, defaults and
checks stay unspelled, and are then compared by what kind of values they hold, and by name.
"""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.engine.reflection import ObjectScope
from sqlalchemy.sql.elements import conv

from compdb import dag, dialects, types
from compdb.database import Database
from compdb.dialects.scratch import prefixes, schema, scratch
from compdb.schema.state import Check, Column, ForeignKey, Index, Place, Table, Unique

__all__ = ["declared", "homes", "stored_name"]

_TOLD: weakref.WeakKeyDictionary[Database, weakref.WeakKeyDictionary[sa.Table, Table]] = weakref.WeakKeyDictionary()


def homes(tables: Iterable[sa.Table], dialect: sa.Dialect) -> dict[sa.Table, Place]:
    """Return where each table is in a database."""
    return {table: _place(table.schema, table.name, dialect) for table in tables}


def declared(tables: Sequence[sa.Table], database: Database, *, spelled: bool = True) -> dict[Place, Table]:
    """Return what the classes say of `tables`, by place.

    Parameters
    ----------
    spelled : bool
        Ask the database for its words; otherwise only what is known without it.
    """
    if not spelled:
        return {t.place: t for t in (_declared(table, database) for table in tables)}
    known = _TOLD.setdefault(database, weakref.WeakKeyDictionary())
    new = [table for table in tables if table not in known]
    plain = [_declared(table, database) for table in new]
    for table, told in zip(new, _spell(new, plain, database)):
        known[table] = told
    return {known[table].place: known[table] for table in tables}


# ---------------------------------------------------------------- what needs no database


def _declared(table: sa.Table, database: Database) -> Table:
    dialect = database.engine.dialect
    compiler = dialect.statement_compiler(dialect, None)
    found: dict[str, Any] = {"foreign_keys": {}, "uniques": {}, "checks": {}}
    unnamed: set[str] = set()
    for constraint in table.constraints:
        rule = getattr(constraint, "_create_rule", None)
        if rule is not None and not rule(compiler):  # of a type that this database does without
            continue
        kind, item = _constraint(constraint, dialect)
        if kind:
            found[kind][item.name] = item
            unnamed |= set() if constraint.name else {item.name}
    indexes = (_index(index, dialect) for index in table.indexes)
    options = {n: v for n, v in table.dialect_kwargs.items() if dialects.TABLE_OPTIONS.get(n) != v}
    return Table(
        place=_place(table.schema, table.name, dialect),
        label=dag.label(table),
        tier=dag.tier(table),
        comment=table.comment,
        columns={c.name: _column(c, table) for c in table.columns},
        key=tuple(c.name for c in table.primary_key),
        key_name=_name(table.primary_key, f"pk_{table.name}"),
        indexes={index.name: index for index in indexes},
        collation=dialects.of(dialect).collation(table.dialect_kwargs),
        options=options,
        unnamed=frozenset(unnamed),
        **found,
    )


def _column(column: sa.Column[Any], table: sa.Table) -> Column:
    return Column(
        name=column.name,
        type=_plain(column.type),
        spelled=None,
        nullable=bool(column.nullable) and not column.primary_key,
        made_default=column.server_default if column.computed is None and column.identity is None else None,
        comment=column.comment,
        autoincrement=table._autoincrement_column is column,
        computed=column.computed if column.computed is not None else column.identity,
    )


def _plain(type_: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    """Return the type without a CHECK of its own: those are told apart."""
    return type_.impl_instance if isinstance(type_, types.Choice) else type_


def _constraint(constraint: sa.Constraint, dialect: sa.Dialect) -> tuple[str, Any]:
    table: Any = constraint.table
    if isinstance(constraint, sa.ForeignKeyConstraint):
        columns = tuple(e.parent.name for e in constraint.elements)
        parent = constraint.elements[0].column.table
        name = _name(constraint, f"fk_{table.name}_{'_'.join(columns)}_{parent.name}")
        place = _place(parent.schema, parent.name, dialect)
        refers = tuple(e.column.name for e in constraint.elements)
        return "foreign_keys", ForeignKey(
            name, columns, place, refers, deletion(constraint.ondelete, dialect), constraint.ondelete
        )
    if isinstance(constraint, sa.UniqueConstraint):
        columns = tuple(c.name for c in constraint.columns)
        return "uniques", Unique(_name(constraint, f"uq_{table.name}_{'_'.join(columns)}"), columns)
    if isinstance(constraint, sa.CheckConstraint):
        return "checks", Check(
            _name(constraint, f"ck_{table.name}_{zlib.crc32(str(constraint.sqltext).encode())}"),
            None,
            constraint.sqltext,
        )
    return "", None


def _index(index: sa.Index, dialect: sa.Dialect) -> Index:
    plain = all(isinstance(e, sa.Column) for e in index.expressions)
    columns = tuple(c.name for c in index.columns) if plain else None
    return Index(
        _name(index, f"ix_{index.table.name if index.table is not None else ''}"), columns, bool(index.unique), index
    )


def _name(item: sa.Constraint | sa.Index, otherwise: str) -> str:
    """Return the whole name, before a database cuts it to its length."""
    name = item.name
    return str(name) if isinstance(name, str) and name else conv(otherwise)


def stored_name(name: str, dialect: sa.Dialect) -> str:
    """Return a constraint's or index's name as this database keeps it: cut to the length it allows, as SQLAlchemy does it."""
    preparer = dialect.identifier_preparer
    return str(preparer.truncate_and_render_index_name(conv(name), _alembic_quote=False))


def deletion(action: str | None, dialect: sa.Dialect) -> str | None:
    """Return what becomes of children, None where the database refuses to orphan them."""
    action = (action or "").upper() or None
    return None if action in dialects.of(dialect).refusals else action


def _place(schema: str | None, name: str, dialect: sa.Dialect) -> Place:
    if not dialects.of(dialect).has_schemas or schema == dialect.default_schema_name:
        schema = None
    return schema, name


# ---------------------------------------------------------------- what the database says of it


def _spell(tables: Sequence[sa.Table], plain: Sequence[Table], database: Database) -> Iterable[Table]:
    if not tables:
        return []
    if database.one_connection and not database.dialect.makes_scratch_apart:
        return plain
    try:
        with scratch(database.engine) as connection:
            return list(_told(connection, tables, plain))
    except exc.DBAPIError:  # we may not make temporary tables here
        return plain


def _told(connection: sa.Connection, tables: Sequence[sa.Table], plain: Sequence[Table]) -> Iterable[Table]:
    metadata = sa.MetaData()
    copies = [
        _copy(number, table, state, metadata, connection) for number, (table, state) in enumerate(zip(tables, plain))
    ]
    for copy in copies:
        copy.create(connection, checkfirst=False)
    inspector, place = sa.inspect(connection), schema(connection)
    names = [copy.name for copy in copies]
    columns, checks = _tell(inspector, "columns", place, names), _tell(inspector, "check_constraints", place, names)
    for copy in copies:
        copy.drop(connection, checkfirst=False)
    for copy, state in zip(copies, plain):
        spelled = {c["name"]: c for c in columns[copy.name]}
        texts = {c["name"]: str(c["sqltext"]) for c in checks.get(copy.name) or []}
        yield replace(
            state,
            columns={
                n: replace(
                    c,
                    spelled=spelled[n]["type"].compile(connection.dialect),
                    default=None if c.autoincrement else spelled[n]["default"],
                )
                for n, c in state.columns.items()
            },
            checks={n: replace(c, text=texts.get(f"c{i}")) for i, (n, c) in enumerate(state.checks.items())},
        )


def _tell(inspector: sa.Inspector, kind: str, place: str | None, names: list[str]) -> dict[str, Any]:
    if place is None:  # MariaDB lists no temporary tables, but tells of each
        return {name: getattr(inspector, f"get_{kind}")(name) for name in names}
    found = getattr(inspector, f"get_multi_{kind}")(schema=place, filter_names=names, scope=ObjectScope.ANY)
    return {name: told for (_, name), told in found.items()}


def _copy(number: int, table: sa.Table, state: Table, metadata: sa.MetaData, connection: sa.Connection) -> sa.Table:
    columns = [
        sa.Column(
            c.name,
            c.type,
            *([c.computed._copy()] if c.computed is not None else []),
            nullable=c.nullable,
            primary_key=c.name in state.key,
            autoincrement=c.autoincrement,
            server_default=getattr(c.made_default, "arg", None),
        )
        for c in state.columns.values()
    ]
    checks = [sa.CheckConstraint(c.made, name=f"c{i}", _autoattach=False) for i, c in enumerate(state.checks.values())]
    options = dialects.of(connection).scratch_options(table)
    name = f"compdb_scratch_{number}"
    return sa.Table(name, metadata, *columns, *checks, prefixes=prefixes(connection), **options)
