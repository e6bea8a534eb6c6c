"""Adapting: what operations do besides what alembic makes of them, so that one revision serves every database.

Where there are no schemas, their names are taken out; where there are no comments, notes are taken of them; every table has the options
that tell keys apart as Python does; values change their types as on servers; and no index stays behind that a server made for a foreign key.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic.operations import BatchOperations, MigrateOperation, Operations, ops

from compdb import dialects, notes
from compdb.migrate.casting import cast, refuse_values
from compdb.migrate.operations import Inherit

__all__ = ["adapt"]


def adapt(op: Operations) -> None:
    """Let the operations of revisions that run on `op` do so."""
    whole = op.batch_alter_table

    @contextmanager
    def batch_alter_table(table_name: str, schema: str | None = None, **more: Any) -> Iterator[BatchOperations]:
        schema = schema if dialects.of(op.get_bind()).has_schemas else None
        with whole(table_name, schema=schema, **more) as batch:
            _wrap(batch, op.get_bind())
            yield batch

    if dialects.of(op.get_bind()).casts_anything:
        op.impl.cast_for_batch_migrate = functools.partial(cast, op.get_bind().dialect)  # type: ignore[method-assign, union-attr]
    _wrap(op, op.get_bind())
    op.batch_alter_table = batch_alter_table  # type: ignore[assignment]


def _wrap(op: Any, connection: sa.Connection) -> None:
    plain: Callable[[MigrateOperation], Any] = op.invoke
    ours = dialects.of(connection)

    def invoke(operation: MigrateOperation) -> Any:
        if not ours.has_schemas:
            _take_schema_out(operation)
        if isinstance(operation, ops.CreateTableOp):
            for name, value in dialects.TABLE_OPTIONS.items():
                operation.kw.setdefault(name, value)
        if isinstance(operation, ops.AlterColumnOp) and ours.casts_anything:
            refuse_values(operation, connection)
        if isinstance(operation, ops.AlterColumnOp) and not ours.restates_columns:
            operation.kw.pop("existing_autoincrement", None)
        done = plain(operation) if ours.has_comments or not _only_comments(operation) else None
        if not ours.has_comments:
            _note(operation, connection)
        if isinstance(operation, ops.DropConstraintOp) and operation.constraint_type == "foreignkey":
            ours.drop_index_of(connection, operation.schema, operation.table_name, str(operation.constraint_name))
        return done

    op.invoke = invoke


# ---------------------------------------------------------------- schemas


def _take_schema_out(operation: Any) -> None:
    if getattr(operation, "schema", None) is not None:
        operation.schema = None
    if isinstance(operation, Inherit):
        operation.parent_schema = None
    if isinstance(operation, ops.CreateForeignKeyOp):
        operation.kw.update(source_schema=None, referent_schema=None)
    if isinstance(operation, ops.CreateTableOp):
        operation.columns = [_without_schema(item) for item in operation.columns]
    table = getattr(operation, "table", None)
    if isinstance(table, sa.TableClause):
        table.schema = None


def _without_schema(item: Any) -> Any:
    if not isinstance(item, sa.ForeignKeyConstraint):
        return item
    refers = [".".join(element.target_fullname.split(".")[-2:]) for element in item.elements]
    return sa.ForeignKeyConstraint(list(item.column_keys), refers, name=item.name, ondelete=item.ondelete)


# ---------------------------------------------------------------- comments


def _only_comments(operation: MigrateOperation) -> bool:
    if isinstance(operation, (ops.CreateTableCommentOp, ops.DropTableCommentOp)):
        return True
    return isinstance(operation, ops.AlterColumnOp) and (
        operation.modify_comment is not False
        and all(
            changed is None for changed in (operation.modify_type, operation.modify_name, operation.modify_nullable)
        )
        and operation.modify_server_default is False
    )


def _note(operation: Any, connection: sa.Connection) -> None:
    """Take a note of the comments that an operation brings, changes or takes away."""
    if isinstance(operation, ops.CreateTableOp):
        table = operation.to_table()
        if table.comment is not None:
            notes.note(connection, table.name, table.comment)
            for column in table.columns:
                if column.comment is not None:
                    notes.note(connection, f"{table.name}.{column.name}", column.comment)
    elif isinstance(operation, ops.DropTableOp):
        notes.note(connection, operation.table_name, None)
    elif isinstance(operation, ops.RenameTableOp):
        notes.rename(connection, operation.table_name, operation.new_table_name)
    elif isinstance(operation, ops.CreateTableCommentOp):
        notes.note(connection, operation.table_name, operation.comment)
    elif isinstance(operation, ops.AddColumnOp):
        if operation.column.comment is not None:
            notes.note(connection, f"{operation.table_name}.{operation.column.name}", operation.column.comment)
    elif isinstance(operation, ops.DropColumnOp):
        notes.note(connection, f"{operation.table_name}.{operation.column_name}", None)
    elif isinstance(operation, ops.AlterColumnOp):
        name = f"{operation.table_name}.{operation.column_name}"
        if operation.modify_comment is not False:
            comment = operation.modify_comment
            notes.note(connection, name, comment if isinstance(comment, str) else None)
        if operation.modify_name is not None:
            notes.rename(connection, name, f"{operation.table_name}.{operation.modify_name}")
