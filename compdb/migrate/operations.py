"""Operations that revisions have beside alembic's own: on rows, which a change of tables leaves without what they need.

    op.fill("session", "weight", 20.0)                        # every row that has no value gets this one
    op.fill("session", "weight", sa.text("weight_g / 1000"))  # or one from its other attributes
    op.inherit("trial", "session", {"day": "day"}, on={"session_id": "session_id"})    # children get what their parent got
    op.recompute("detection__blob", "detection")              # results go, children first: populate makes them again
    op.change_rows(sa.table(...), key=["setting"], insert=[{...}], update=[({key}, {former}, {new})], delete=[{...}])

Each says what it does whatever the rows are, in the same statements every time: so a revision that was cut off can be gone on with.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic.operations import MigrateOperation, Operations
from alembic.operations import ops as alembic_ops

from compdb import dialects
from compdb.dialects.references import references
from compdb.errors import MigrationError

__all__ = ["AlterColumn", "ChangeRows", "CreateCheck", "CreateKey", "CreateTable", "Fill", "Inherit", "Recompute"]

Row = Mapping[str, Any]
Update = tuple[Row, Row, Row]
"""Key, former values, new values."""


class AlterColumn(alembic_ops.AlterColumnOp):
    """alembic's operation, written down with what PostgreSQL needs to turn values into another type."""


class CreateTable(alembic_ops.CreateTableOp):
    """alembic's operation, written down with its columns indented."""


class CreateKey(alembic_ops.CreatePrimaryKeyOp):
    """alembic's operation, which it cannot write down itself."""


class CreateCheck(alembic_ops.CreateCheckConstraintOp):
    """alembic's operation, written down so that it means the same on every database."""


@Operations.register_operation("fill")
class Fill(MigrateOperation):
    """Give a value to the rows that have none, before the column may no longer be NULL."""

    def __init__(self, table_name: str, column_name: str, value: Any = None, schema: str | None = None) -> None:
        self.table_name, self.column_name, self.value, self.schema = table_name, column_name, value, schema

    @classmethod
    def fill(
        cls, operations: Operations, table_name: str, column_name: str, value: Any = None, *, schema: str | None = None
    ) -> Any:
        """Give a value to the rows whose `column_name` is NULL.

        Parameters
        ----------
        value : object or SQL expression
            None leaves them, and is an error if there are any.
        """
        return operations.invoke(cls(table_name, column_name, value, schema))

    def reverse(self) -> MigrateOperation:
        """Return nothing to do: values need not be taken away."""
        return Fill(self.table_name, self.column_name, None, self.schema)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return it as alembic shows operations."""
        return ("fill", self.schema, self.table_name, self.column_name)


@Operations.register_operation("inherit")
class Inherit(MigrateOperation):
    """Give rows what their parent's row has, where the foreign key grows by a column."""

    def __init__(
        self,
        table_name: str,
        parent: str,
        columns: Mapping[str, str],
        on: Mapping[str, str],
        schema: str | None = None,
        parent_schema: str | None = None,
    ) -> None:
        self.table_name, self.parent, self.columns, self.on = table_name, parent, dict(columns), dict(on)
        self.schema, self.parent_schema = schema, parent_schema

    @classmethod
    def inherit(
        cls,
        operations: Operations,
        table_name: str,
        parent: str,
        columns: Mapping[str, str],
        *,
        on: Mapping[str, str],
        schema: str | None = None,
        parent_schema: str | None = None,
    ) -> Any:
        """Give each row of a table values of its parent's row.

        Parameters
        ----------
        columns : mapping of str to str
            Column of the table -> column of the parent that it gets.
        on : mapping of str to str
            Column of the table -> column of the parent, by which they belong together.
        """
        return operations.invoke(cls(table_name, parent, columns, on, schema, parent_schema))

    def reverse(self) -> MigrateOperation:
        """Return the same: what parents have is right whichever way it goes."""
        return self

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return it as alembic shows operations."""
        return ("inherit", self.schema, self.table_name, self.columns)


@Operations.register_operation("recompute")
class Recompute(MigrateOperation):
    """Delete results that no longer fit, so that populate makes them again."""

    def __init__(self, *table_names: str, schema: str | None = None) -> None:
        self.table_names, self.schema = table_names, schema

    @classmethod
    def recompute(cls, operations: Operations, *table_names: str, schema: str | None = None) -> Any:
        """Delete all rows of these tables, in this order; `populate` makes them again."""
        return operations.invoke(cls(*table_names, schema=schema))

    def reverse(self) -> MigrateOperation:
        """Return the same: what was computed for one form of the tables does not fit the other."""
        return self

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return it as alembic shows operations."""
        return ("recompute", self.schema, *self.table_names)


@Operations.register_operation("change_rows")
class ChangeRows(MigrateOperation):
    """Bring the rows of a lookup to its contents."""

    def __init__(
        self,
        table: Any,
        key: Sequence[str],
        insert: Sequence[Row] = (),
        update: Sequence[Update] = (),
        delete: Sequence[Row] = (),
    ) -> None:
        self.table, self.key = table, list(key)
        self.insert, self.update, self.delete = list(insert), list(update), list(delete)

    @classmethod
    def change_rows(
        cls,
        operations: Operations,
        table: Any,
        *,
        key: Sequence[str],
        insert: Sequence[Row] = (),
        update: Sequence[Update] = (),
        delete: Sequence[Row] = (),
    ) -> Any:
        """Insert, update and delete rows of a small table.

        Parameters
        ----------
        table : sqlalchemy.table
            With the columns that are named.
        key : list of str
        insert, delete : list of dict
        update : list of (key, former values, new values)
        """
        return operations.invoke(cls(table, key, insert, update, delete))

    def reverse(self) -> MigrateOperation:
        """Return the way back."""
        back = [(key, new, former) for key, former, new in self.update]
        return ChangeRows(self.table, self.key, self.delete, back, self.insert)

    def to_diff_tuple(self) -> tuple[Any, ...]:
        """Return it as alembic shows operations."""
        return ("change_rows", self.table.name, self.insert, self.update, self.delete)


# ---------------------------------------------------------------- what they do


@Operations.implementation_for(Fill)
def _fill(operations: Operations, op: Fill) -> None:
    connection = operations.get_bind()
    column: sa.ColumnClause[Any] = sa.column(op.column_name)
    table = sa.table(op.table_name, column, schema=op.schema)
    if op.value is not None:
        value = op.value if isinstance(op.value, sa.ClauseElement) else sa.literal(op.value)
        connection.execute(sa.update(table).where(column.is_(None)).values({op.column_name: value}))
    left = connection.scalar(sa.select(sa.func.count()).select_from(table).where(column.is_(None)))
    if left:
        raise MigrationError(
            f"{op.table_name} has {left} rows without a value for {op.column_name!r}, which must have one from now on: write it into"
            f" the revision, op.fill({op.table_name!r}, {op.column_name!r}, value), as a value or as SQL of other attributes,"
            ' sa.text("...")'
        )


@Operations.implementation_for(Inherit)
def _inherit(operations: Operations, op: Inherit) -> None:
    table: Any = sa.table(op.table_name, *map(sa.column, [*op.columns, *op.on]), schema=op.schema)
    above = sa.table(op.parent, *map(sa.column, {*op.columns.values(), *op.on.values()}), schema=op.parent_schema)
    parent: Any = above.alias("parent_row")
    same = sa.and_(*(parent.c[theirs] == table.c[mine] for mine, theirs in op.on.items()))
    values = {mine: sa.select(parent.c[theirs]).where(same).scalar_subquery() for mine, theirs in op.columns.items()}
    operations.get_bind().execute(sa.update(table).values(values))


@Operations.implementation_for(Recompute)
def _recompute(operations: Operations, op: Recompute) -> None:
    connection = operations.get_bind()
    tables = [sa.Table(name, sa.MetaData(), schema=op.schema) for name in op.table_names]
    for reference in references(connection, tables):
        if reference.table in op.table_names or reference.of_jobs:
            continue
        pairs: list[sa.ColumnClause[Any]] = [sa.column(mine) for mine, _ in reference.pairs]
        child = sa.table(reference.table, schema=reference.schema)
        held = connection.scalar(
            sa.select(sa.func.count()).select_from(child).where(sa.and_(*(c.is_not(None) for c in pairs)))
        )
        if held:
            raise MigrationError(
                f"{reference} has {held} rows that refer to {reference.parent[1]}, whose results go to be computed anew; write into the"
                " revision, before op.recompute, what becomes of them"
            )
    for table in tables:
        connection.execute(sa.delete(table))


@Operations.implementation_for(ChangeRows)
def _change_rows(operations: Operations, op: ChangeRows) -> None:
    connection = operations.get_bind()
    table = op.table
    for row in op.delete:
        connection.execute(sa.delete(table).where(*(table.c[n] == row[n] for n in op.key)))
    for key, _, new in op.update:
        connection.execute(sa.update(table).where(*(table.c[n] == v for n, v in key.items())).values(new))
    if op.insert:
        columns = [sa.Column(c.name, c.type, primary_key=c.name in op.key, autoincrement=False) for c in table.c]
        whole = sa.Table(table.name, sa.MetaData(), *columns, schema=table.schema)
        for _, rows in itertools.groupby(op.insert, key=frozenset):  # each statement has one set of columns
            dialects.of(connection).insert_rows(connection, whole, [dict(row) for row in rows], replace=True)
