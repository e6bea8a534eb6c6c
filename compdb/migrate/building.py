"""Building: one operation of alembic for one thing that a state of tables says.

    alter_column(session, former, column, dialect)    # its type, its default, whether it may be NULL, its comment
    create_index(session, session.indexes["ix_session_rig"])

In which order operations are done, `planning` knows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, ops
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql.elements import conv

from compdb.migrate.lookups import RowChanges
from compdb.migrate.operations import AlterColumn, ChangeRows, CreateTable
from compdb.schema import Check, Column, ForeignKey, Index, Table, Unique
from compdb.schema.compare import same_default, same_type

__all__ = [
    "alter_column",
    "batch",
    "change_rows",
    "create_foreign_key",
    "create_index",
    "create_table",
    "drop_constraint",
    "made_column",
]

_POSTGRESQL: sa.Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]


def batch(table: Table, operations: Sequence[MigrateOperation]) -> Iterator[MigrateOperation]:
    """Yield one operation that does these to a table together, if there are any: SQLite then makes the table anew once."""
    if operations:
        yield ops.ModifyTableOps(table.name, operations, schema=table.schema)


def create_table(table: Table) -> Iterator[MigrateOperation]:
    """Yield what creates a table, and its indexes."""
    columns = [made_column(column, key=column.name in table.key) for column in table.columns.values()]
    items: list[Any] = (
        [sa.PrimaryKeyConstraint(*table.key, name=conv(table.key_name or f"pk_{table.name}"))] if table.key else []
    )
    for key in table.foreign_keys.values():
        parent = ".".join(filter(None, key.parent))
        refers = [f"{parent}.{name}" for name in key.refers]
        items.append(
            sa.ForeignKeyConstraint(list(key.columns), refers, name=conv(key.name), ondelete=key.made_ondelete)
        )
    items += [sa.UniqueConstraint(*u.columns, name=conv(u.name)) for u in table.uniques.values()]
    items += [_check(c.made, conv(c.name)) for c in table.checks.values()]
    more: dict[str, Any] = {"comment": table.comment} if table.comment is not None else {}
    yield CreateTable(table.name, [*columns, *items], schema=table.schema, **more, **table.options)
    for index in table.indexes.values():
        yield create_index(table, index)


def alter_column(table: Table, old: Column, new: Column, dialect: sa.Dialect) -> MigrateOperation:
    """Return the operation that makes one column of another, in all that `new` says differently."""
    more: dict[str, Any] = {"existing_autoincrement": True} if new.autoincrement else {}
    if not same_type(old, new, dialect):
        more["modify_type"] = new.type
        if using := _cast(old, new):
            more["postgresql_using"] = using
    if old.nullable != new.nullable:
        more["modify_nullable"] = new.nullable
    if not same_default(old, new):
        more["modify_server_default"] = new.made_default
    if old.comment != new.comment:
        more["modify_comment"] = new.comment
    return AlterColumn(
        table.name,
        new.name,
        schema=table.schema,
        existing_type=old.type,
        existing_nullable=old.nullable,
        existing_server_default=old.made_default,
        existing_comment=old.comment,
        **more,
    )


def made_column(column: Column, *, key: bool) -> sa.Column[Any]:
    """Return a column as SQLAlchemy has it, of no table yet."""
    default = getattr(column.made_default, "arg", None)
    auto: Any = (
        column.autoincrement if key and (column.autoincrement or isinstance(column.type, sa.Integer)) else "auto"
    )
    extra = [column.computed._copy()] if isinstance(column.computed, (sa.Computed, sa.Identity)) else []
    return sa.Column(
        column.name,
        column.type,
        *extra,
        nullable=column.nullable,
        server_default=default,
        comment=column.comment,
        autoincrement=auto,
    )


def create_foreign_key(table: Table, key: ForeignKey) -> MigrateOperation:
    """Return the operation that adds a foreign key to a table that is there."""
    schema, parent = key.parent
    more = {"source_schema": table.schema, "referent_schema": schema, "ondelete": key.made_ondelete}
    given = {name: value for name, value in more.items() if value is not None}
    return ops.CreateForeignKeyOp(conv(key.name), table.name, parent, list(key.columns), list(key.refers), **given)


def create_index(table: Table, index: Index) -> MigrateOperation:
    """Return the operation that creates an index."""
    if index.made is not None:
        made = ops.CreateIndexOp.from_index(index.made)
        made.index_name = conv(index.name)
        return made
    return ops.CreateIndexOp(
        conv(index.name), table.name, list(index.columns or ()), schema=table.schema, unique=index.unique
    )


def drop_constraint(table: Table, item: ForeignKey | Unique | Check, kind: str) -> MigrateOperation:
    """Return the operation that drops a constraint, by the name that the database has for it."""
    return ops.DropConstraintOp(conv(item.stored or item.name), table.name, type_=kind, schema=table.schema)


def change_rows(changes: RowChanges, *parts: str) -> list[MigrateOperation]:
    """Return the operation that does these parts of the changes, if there is anything to do."""
    chosen = {part: getattr(changes, part) for part in parts if getattr(changes, part)}
    return [ChangeRows(changes.table, changes.key, **chosen)] if chosen else []


def _check(condition: Any, name: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(condition, name=name, _autoattach=False)


def _cast(old: Column, new: Column) -> str | None:
    """Return what PostgreSQL has to be told to turn values of one type into another; None where it knows, or cannot."""
    try:
        former, spelled = (c.type.compile(_POSTGRESQL).partition(" COLLATE ")[0] for c in (old, new))
    except exc.CompileError:
        return None
    kinds = {former.partition("(")[0], spelled.partition("(")[0]}
    if len(kinds) == 1:
        return None
    through = (
        "::INTEGER" if "BOOLEAN" in kinds and kinds & {"BIGINT", "SMALLINT"} else ""
    )  # the one it casts from and to
    return f'"{new.name}"{through}::{spelled}'
