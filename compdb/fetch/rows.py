"""Rows as mapped objects.

In a transaction they belong to its session: changed, they are written. Outside one they have a session of their own that lives
as long as they do and only reads: links and blobs load when they are touched, and no connection is held between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import orm

from compdb.database import Database
from compdb.sessions import RowSession

__all__ = ["to_rows"]

T = TypeVar("T")


def to_rows(database: Database, select: sa.Select[Any], entity: type[T], load: Sequence[str] = ()) -> list[T]:
    """Return one object of `entity` for each row, in the order of the select.

    Parameters
    ----------
    select : Select
        Has all columns of the entity's table, under their names.
    load : sequence of str
        Columns to load at once that are otherwise loaded when they are touched: blobs.
    """
    mapper = sa.inspect(entity)
    properties = {column.name: mapper.get_property_by_column(column) for column in mapper.local_table.columns}
    now = {name: found for name, found in properties.items() if name in load or not found.deferred}
    columns = [column for column in select.selected_columns if column.key in now]
    statement = sa.select(entity).from_statement(select.with_only_columns(*columns, maintain_column_froms=True))
    for name in load:
        statement = statement.options(orm.undefer(properties[name].class_attribute))
    session = database.session() if database.in_transaction() else RowSession(database)
    return list(session.scalars(statement))
