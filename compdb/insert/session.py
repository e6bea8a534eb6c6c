"""Rows that reach the database through `session.add`: held to the same rules as those of `insert`.

    session.add(Session(subject_id="M001", session_idx=np.int64(2)))    # is checked and converted when it is flushed

SQLAlchemy writes them, so the rules are listeners of the mapped class.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, orm

from compdb.errors import InvalidValue
from compdb.insert.checks import facts
from compdb.insert.permission import SINK, check_permission

__all__ = ["watch"]


def watch(cls: type[Any]) -> None:
    """Hold rows of `cls` that come by `session.add` to the same rules as `insert`: the guard, and the checks of values."""
    table: sa.Table = cls.__table__

    def check(mapper: orm.Mapper[Any], connection: sa.Connection, row: Any) -> None:
        known = facts(table)
        state = row.__dict__
        for prop in mapper.column_attrs:
            column = prop.columns[0]
            if prop.key in state and column.name in known.adapters:
                try:
                    value = known.adapters[column.name].one(state[prop.key])
                except InvalidValue as error:
                    raise error.at(table=known.label, attribute=column.name) from None
                if value is not state[prop.key]:
                    orm.attributes.set_attribute(row, prop.key, value)

    def permit(mapper: orm.Mapper[Any], connection: sa.Connection, row: Any) -> None:
        allowed = row.__dict__.get("_compdb_direct", False)
        check_permission(table, allow_direct_insert=allowed)
        check(mapper, connection, row)
        sink = SINK.get()
        if sink is not None:
            sink.check_row(table, {p.columns[0].name: row.__dict__.get(p.key) for p in mapper.column_attrs})

    event.listen(cls, "before_insert", permit)
    event.listen(cls, "before_update", check)
