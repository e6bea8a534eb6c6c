"""Notes: the small system table `compdb_tables`, in which a database without comments keeps tiers and comments.

A note is of a table, or of a column, whose name then is `table.column`.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from compdb import dag

__all__ = ["NAME", "note", "read", "rename", "write"]

NAME = "compdb_tables"

_METADATA = sa.MetaData()
_TABLES = sa.Table(
    NAME,
    _METADATA,
    sa.Column("table_name", sa.String(255), primary_key=True),
    sa.Column("tier", sa.String(16), nullable=False),
    sa.Column("comment", sa.Text),
)
_noted = _TABLES.c.table_name


def write(connection: sa.Connection, tables: Iterable[sa.Table]) -> None:
    """Note tier and comments of `tables`, in place of what was noted of them."""
    noted = [t for t in tables if dag.tier(t) is not None]
    if not noted:
        return
    _METADATA.create_all(connection)
    rows = [{"table_name": t.name, "tier": dag.tier(t), "comment": t.comment} for t in noted]
    for table in noted:
        rows += [
            {"table_name": f"{table.name}.{c.name}", "tier": "column", "comment": c.comment}
            for c in table.columns
            if c.comment is not None
        ]
    connection.execute(sa.delete(_TABLES).where(sa.or_(*(_of(t.name) for t in noted))))
    connection.execute(sa.insert(_TABLES), rows)


def read(connection: sa.Connection) -> dict[str, str]:
    """Return the comments noted, by name of table or `table.column`; nothing where there is no such table."""
    if not sa.inspect(connection).has_table(NAME):
        return {}
    return {name: comment or tier for name, tier, comment in connection.execute(sa.select(_TABLES))}


def note(connection: sa.Connection, name: str, comment: str | None) -> None:
    """Note the comment of a table, or of a column as `table.column`; None takes the note out, a table's with those of its columns."""
    if comment is None and not sa.inspect(connection).has_table(NAME):
        return
    _METADATA.create_all(connection)
    connection.execute(sa.delete(_TABLES).where(_of(name) if comment is None else _noted == name))
    if comment is not None:
        tier = "column" if "." in name else comment.partition(":")[0][:16]
        connection.execute(sa.insert(_TABLES).values(table_name=name, tier=tier, comment=comment))


def rename(connection: sa.Connection, old: str, new: str) -> None:
    """Carry the note of a table, and those of its columns, or of a column, over to its new name."""
    if not sa.inspect(connection).has_table(NAME):
        return
    rest = sa.func.substr(_noted, len(old) + 1)
    connection.execute(sa.update(_TABLES).where(_of(old)).values(table_name=sa.literal(new) + rest))


def _of(name: str) -> sa.ColumnElement[bool]:
    """Return the condition that a note is of `name` or of a column of it."""
    return sa.or_(_noted == name, sa.func.substr(_noted, 1, len(name) + 1) == f"{name}.")
