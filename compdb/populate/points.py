"""Rows that makes ask for one by one, where they are not read ahead: statements compiled once, which go to the driver itself.

A row found by its key is a few dozen microseconds of the server's time, and SQLAlchemy's own share of such a statement is as much
again. So is asked only from the snapshot of a window, where nobody else listens to the statements or logs them. Where a read that fails
breaks nothing, it is asked again as any other statement is, which tells the error; elsewhere the error is told as SQLAlchemy would.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from compdb import dag, types
from compdb.engines import raised, unobserved
from compdb.populate.snapshot import Snapshot

__all__ = ["Points"]

Processor = Callable[[Any], Any]


class Points:
    """The rows by key of one run of populate.

    Parameters
    ----------
    snapshot : Snapshot
        Where they are read.
    hidden : frozenset of Table
        Tables of which rows wait to be written, and which are therefore not asked in this way.
    """

    def __init__(self, snapshot: Snapshot, hidden: frozenset[sa.Table]) -> None:
        self.snapshot, self.hidden = snapshot, hidden
        database = snapshot.database
        self.enabled, self.again = not database.one_connection, database.dialect.failed_reads_break_nothing
        self._known: dict[tuple[sa.Table, tuple[str, ...]], _Point | None] = {}
        self._state, self._unobserved = -1, False

    def rows(
        self, table: sa.Table, names: tuple[str, ...], equality: Mapping[str, Any]
    ) -> list[tuple[Any, ...]] | None:
        """Return the attributes of the row with this key: one or none; or None if it is to be asked for as any other."""
        if not self.enabled:
            return None
        try:
            point = self._known[table, names]
        except KeyError:
            point = self._known[table, names] = self._point(table, names)
        if point is None or not all(n in equality for n in point.own):
            return None
        if len(equality) > len(point.own) or None in equality.values():
            return None
        with self.snapshot.busy:
            connection = self.snapshot.connection()
            if self._state != self.snapshot.number:
                self._state, self._unobserved = self.snapshot.number, unobserved(connection, self.snapshot.listeners)
            if not self._unobserved:
                return None
            values = point.values(equality)
            if values is None:
                return None
            try:
                return point.ask(connection, values)
            except point.errors as error:
                if self.again:
                    return None
                raise raised(connection, point.text, values, error) from error

    def _point(self, table: sa.Table, names: tuple[str, ...]) -> _Point | None:
        """Return the statement for attributes of a row by its key, unless blobs are among them, which other ways read faster."""
        database = self.snapshot.database
        translated = database.reader.get_execution_options().get("schema_translate_map") or {}
        if translated.get(table.schema, table.schema) != table.schema or not names or table in self.hidden or dag.tier(table) is None:
            return None
        if any(isinstance(table.c[n].type, types.Blob) for n in names):
            return None
        return _Point(table, names, database.reader.dialect)


class _Point:
    """A statement for one row by its key."""

    __slots__ = ("_dialect", "_given", "_named", "_processors", "_types", "errors", "own", "text")

    def __init__(self, table: sa.Table, names: tuple[str, ...], dialect: sa.Dialect) -> None:
        self.own = tuple(c.name for c in table.primary_key)
        key = {f"key_{i}": column for i, column in enumerate(table.primary_key)}
        query = sa.select(*(table.c[n] for n in names)).where(
            *(column == sa.bindparam(sent, type_=column.type) for sent, column in key.items())
        )
        compiled = query.compile(dialect=dialect)
        assert isinstance(compiled, sa.sql.compiler.SQLCompiler)
        self.text = compiled.string
        self._named = not compiled.positional
        order = compiled.positiontup or key
        self._given = [(sent, key[sent].name, _bind(key[sent].type, dialect)) for sent in order]
        self._dialect, self.errors = dialect, dialect.loaded_dbapi.Error
        self._processors: Sequence[Processor | None] | None = None
        self._types = [table.c[n].type for n in names]

    def values(self, equality: Mapping[str, Any]) -> dict[str, Any] | tuple[Any, ...] | None:
        """Return the key as the driver takes it; None if it cannot be made so, which is told by whoever is asked then."""
        try:
            values = {p: equality[n] if bind is None else bind(equality[n]) for p, n, bind in self._given}
        except Exception:
            return None
        return values if self._named else tuple(values.values())

    def ask(self, connection: sa.Connection, values: dict[str, Any] | tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """Return the row, if there is one, as a list."""
        cursor = connection.connection.cursor()
        try:
            cursor.execute(self.text, values)
            rows = cursor.fetchall()
            if self._processors is None:
                self._processors = self._found(cursor.description)
        finally:
            cursor.close()
        if self._processors and rows:
            return [tuple([v if p is None else p(v) for v, p in zip(row, self._processors)]) for row in rows]
        return list(rows)

    def _found(self, description: Any) -> Sequence[Processor | None]:
        """Return what makes Python values of the driver's; nothing where its values serve as they are."""
        types_and_codes = zip(self._types, [column[1] for column in description])
        found = [t.dialect_impl(self._dialect).result_processor(self._dialect, code) for t, code in types_and_codes]
        return found if any(found) else []


def _bind(type_: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> Processor | None:
    return type_.dialect_impl(dialect).bind_processor(dialect)
