"""Who refers to a table, as the database's own catalogue knows it: one query, whoever declared the foreign keys.

A foreign key is several rows of the answer, one for each column, in order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from compdb.dialects import of

__all__ = ["Place", "Reference", "place", "references"]

SQLITE = """
SELECT k.id, 'main', m.name, 'main', k."table", k."from",
       coalesce(k."to", (SELECT p.name FROM pragma_table_info(k."table") AS p WHERE p.pk = k.seq + 1))
FROM sqlite_master AS m, pragma_foreign_key_list(m.name) AS k
WHERE m.type = 'table' AND k."table" COLLATE NOCASE IN :names
ORDER BY m.name, k.id, k.seq
"""
MYSQL = """
SELECT k.constraint_name, k.table_schema, k.table_name, k.referenced_table_schema, k.referenced_table_name,
       k.column_name, k.referenced_column_name
FROM information_schema.key_column_usage AS k
WHERE k.referenced_table_name IN :names
ORDER BY k.table_schema, k.table_name, k.constraint_name, k.ordinal_position
"""
POSTGRESQL = """
SELECT f.oid, (SELECT nspname FROM pg_namespace WHERE oid = c.relnamespace), c.relname,
       (SELECT nspname FROM pg_namespace WHERE oid = p.relnamespace), p.relname,
       unnest(ARRAY(SELECT attname FROM unnest(f.conkey) WITH ORDINALITY AS k(number, place)
                    JOIN pg_attribute ON attrelid = f.conrelid AND attnum = number ORDER BY place)),
       unnest(ARRAY(SELECT attname FROM unnest(f.confkey) WITH ORDINALITY AS k(number, place)
                    JOIN pg_attribute ON attrelid = f.confrelid AND attnum = number ORDER BY place))
FROM pg_constraint AS f
JOIN pg_class AS c ON c.oid = f.conrelid
JOIN pg_class AS p ON p.oid = f.confrelid
WHERE f.contype = 'f' AND f.conparentid = 0 AND p.relname IN :names
"""
QUERIES = {"sqlite": SQLITE, "mysql": MYSQL, "mariadb": MYSQL, "postgresql": POSTGRESQL}
"""By dialect: constraint, schema, table, parent's schema, parent, column, parent's column."""


Place = tuple[str | None, str]
"""Where a table is: its schema (None: that of the connection) and its name, in small letters, since some servers fold them."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key in the database.

    Attributes
    ----------
    schema : str or None
        That of the child, as the database spells it; None for the schema of the connection.
    table : str
        The child.
    parent : Place
    pairs : tuple of (str, str)
        Column of the child, column of the parent that it refers to.
    """

    schema: str | None
    table: str
    parent: Place
    pairs: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}" if self.schema else self.table

    @property
    def child(self) -> Place:
        """Where the child is."""
        return _fold(self.schema), self.table.casefold()

    @property
    def of_jobs(self) -> bool:
        """Whether the child is a jobs table, whose rows go with their parents by ON DELETE CASCADE."""
        return self.table.endswith("__jobs")


def place(connection: sa.Connection, table: sa.Table) -> Place:
    """Return where `table` is in this database."""
    schema = table.schema if of(connection).has_schemas else None
    return _fold(_named(connection, schema)), table.name.casefold()


def references(connection: sa.Connection, tables: Iterable[sa.Table]) -> list[Reference]:
    """Return the foreign keys of the database that refer to `tables`, from any schema that this user may see."""
    wanted = {place(connection, table): table.name for table in tables}
    if not wanted:
        return []
    query = sa.text(QUERIES[of(connection).name]).bindparams(
        sa.bindparam("names", sorted(set(wanted.values())), expanding=True)
    )
    found: dict[tuple[str, ...], list[tuple[str, str]]] = {}
    for *head, mine, theirs in connection.execute(query):
        found.setdefault(tuple(map(str, head)), []).append((mine, theirs))
    there = (
        Reference(
            _named(connection, schema), table, (_fold(_named(connection, where)), parent.casefold()), tuple(pairs)
        )
        for (_, schema, table, where, parent), pairs in found.items()
    )
    return [reference for reference in there if reference.parent in wanted]


def _named(connection: sa.Connection, schema: str | None) -> str | None:
    return None if schema == connection.dialect.default_schema_name else schema


def _fold(schema: str | None) -> str | None:
    return schema.casefold() if schema else None
