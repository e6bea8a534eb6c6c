"""PostgreSQL, through psycopg.

Large values travel three times faster in the binary format, so a query that returns bytes asks for it, as long as the
driver can read every other column of the result in that format too.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.dialects.postgresql import ARRAY, JSON, insert
from sqlalchemy.dialects.postgresql import dialect as postgresql_dialect
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor, ExecutionContext
from sqlalchemy.sql.compiler import Compiled

from compdb.dialects.base import Dialect
from compdb.dialects.faults import Diagnosis, Fault, disconnected, original
from compdb.dialects.prepared import Prepared, is_outdated, renew

__all__ = ["PostgreSQL"]

BINARY = 1
IN_ERROR = 3
SAFE = (
    sa.LargeBinary,
    sa.Integer,
    sa.Float,
    sa.Numeric,
    sa.Boolean,
    sa.Date,
    sa.DateTime,
    sa.Time,
    sa.Interval,
    sa.Uuid,
)
FAULTS = {
    "23505": Fault.DUPLICATE,
    "23P01": Fault.DUPLICATE,
    "23503": Fault.FOREIGN_KEY,
    "23001": Fault.FOREIGN_KEY,
    "23502": Fault.NOT_NULL,
    "23514": Fault.CHECK,
    "22": Fault.BAD_VALUE,
    "22001": Fault.TOO_LARGE,
    "54": Fault.TOO_LARGE,
    "40P01": Fault.DEADLOCK,
    "55P03": Fault.LOCK_TIMEOUT,
    "57014": Fault.LOCK_TIMEOUT,
    "40001": Fault.SERIALIZATION,
    "08": Fault.DISCONNECT,
    "57P": Fault.DISCONNECT,
    "25P03": Fault.DISCONNECT,
    "53100": Fault.DISK_FULL,
    "58030": Fault.DISK_FULL,
    "25006": Fault.READ_ONLY,
    "25P02": Fault.BROKEN,
    "28": Fault.DENIED,
    "42501": Fault.DENIED,
    "42P01": Fault.MISSING_TABLE,
    "3F000": Fault.MISSING_TABLE,
    "42703": Fault.MISSING_COLUMN,
    "42601": Fault.SYNTAX,
    "42702": Fault.SYNTAX,  # an ambiguous name, a function or operator that is not there, an attribute that is not grouped
    "42725": Fault.SYNTAX,
    "42803": Fault.SYNTAX,
    "42804": Fault.SYNTAX,
    "42846": Fault.SYNTAX,
    "42883": Fault.SYNTAX,
    "42P18": Fault.SYNTAX,
}
WIRE = {
    "SMALLINT": "int2",
    "INTEGER": "int4",
    "BIGINT": "int8",
    "DOUBLE PRECISION": "float8",
    "NUMERIC": "numeric",
    "BOOLEAN": "bool",
    "VARCHAR": "varchar",
    "TEXT": "text",
    "BYTEA": "bytea",
    "DATE": "date",
    "TIME WITHOUT TIME ZONE": "time",
    "TIMESTAMP WITHOUT TIME ZONE": "timestamp",
    "UUID": "uuid",
    "JSON": "json",
}
"""Types that are written in binary as psycopg does it, by their name in CREATE TABLE."""

UNBOUNDED: dict[str, sa.types.TypeEngine[Any]] = {"varchar": sa.String(), "numeric": sa.Numeric()}
"""Types of the values of an array, by the type of the column: a cast to one with a length cuts off, or rounds, what does not fit."""

KEY = re.compile(r"\w+ \((?P<columns>[^)]*)\)=\(")
QUOTED = re.compile(r'"(?P<name>[^"]+)"')


class PostgreSQL(Dialect):
    """The answers of PostgreSQL."""

    name: ClassVar[str] = "postgresql"
    calculates_with_moments: ClassVar[bool] = True
    failed_reads_break_nothing: ClassVar[bool] = False
    answering_words: ClassVar[frozenset[str]] = frozenset(
        {"user", "current_user", "session_user", "current_role", "current_catalog", "current_schema", "current_date"}
        | {"current_time", "current_timestamp", "localtime", "localtimestamp"}
    )
    extra: ClassVar[str | None] = "postgresql"
    drivers: ClassVar[dict[str, str]] = {"psycopg": "psycopg"}
    port: ClassVar[int | None] = 5432
    minimum: ClassVar[tuple[int, ...]] = (12,)

    def __init__(self, dialect: sa.Dialect) -> None:
        super().__init__(dialect)
        self.max_row = 1_000_000_000
        self._prepared = Prepared()
        self._binary: weakref.WeakKeyDictionary[Compiled, bool] = weakref.WeakKeyDictionary()

    def reader_options(self) -> dict[str, Any]:
        """Return autocommit, which psycopg switches on without asking the server."""
        return {"isolation_level": "AUTOCOMMIT"}

    def setup(self, driver: DBAPIConnection, *, reader: bool) -> None:
        """Have psycopg go on when what it has prepared is outdated."""
        super().setup(driver, reader=reader)
        if self.dialect.driver == "psycopg":
            self._prepared.watch(driver)

    def alive(self, driver: DBAPIConnection) -> bool:
        """Look at the socket; what was prepared before another connection met an outdated statement is forgotten."""
        trusted = super().alive(driver)
        if trusted and self.dialect.driver == "psycopg":
            renew(driver)
        return trusted

    def descriptor(self, driver: DBAPIConnection) -> int | None:
        """Return the socket."""
        return None if driver.closed else int(driver.fileno())

    def before_execute(
        self, connection: sa.Connection, cursor: DBAPICursor, statement: str, context: ExecutionContext | None
    ) -> None:
        """Ask for the binary format where the result has blobs."""
        compiled = context.compiled if context is not None else None
        if compiled is None or not hasattr(cursor, "format"):
            return
        binary = self._binary.get(compiled)
        if binary is None:
            binary = self._binary[compiled] = self._has_blobs(compiled)
        if binary:
            cursor.format = BINARY  # type: ignore[attr-defined]  # psycopg's

    def _has_blobs(self, compiled: Compiled) -> bool:
        """Tell whether a query returns bytes, and beside them only what psycopg can read in binary."""
        columns = getattr(compiled.statement, "selected_columns", ())
        types = [column.type.dialect_impl(self.dialect) for column in columns]
        types = [t.impl_instance if isinstance(t, sa.types.TypeDecorator) else t for t in types]
        return any(isinstance(t, sa.LargeBinary) for t in types) and all(
            isinstance(t, SAFE) or (isinstance(t, sa.String) and not isinstance(t, sa.Enum)) for t in types
        )

    @classmethod
    def unconnected(cls) -> sa.Dialect:
        """Return SQLAlchemy's dialect of PostgreSQL."""
        return postgresql_dialect()  # type: ignore[no-untyped-call]

    # ---------------------------------------------------------------- transactions

    def broken(self, connection: sa.Connection) -> bool:
        """Ask the driver, which knows it from the server's last word."""
        if connection.invalidated:
            return False
        info = getattr(connection.connection.dbapi_connection, "info", None)
        return info is not None and info.transaction_status == IN_ERROR

    def begin_snapshot(self, connection: sa.Connection) -> None:
        """Begin a read-only transaction in one round trip."""
        connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

    def take_lock(self, connection: sa.Connection, name: str) -> bool:
        """Take an advisory lock, which is one of this database."""
        return bool(connection.scalar(_lock("pg_try_advisory_lock", name)))

    def give_lock(self, connection: sa.Connection, name: str) -> None:
        """Give it back."""
        connection.scalar(_lock("pg_advisory_unlock", name))

    def line_lost(self, error: BaseException) -> bool:
        """Tell whether psycopg found the socket closed while it waited; it does not mark the connection as broken then."""
        return getattr(error, "sqlstate", None) is None and "socket closed" in str(error)

    def forget(self, connection: sa.Connection) -> None:
        """Have psycopg forget what it has prepared: it does when it sees a ROLLBACK."""
        connection.exec_driver_sql("BEGIN READ ONLY")
        connection.exec_driver_sql("ROLLBACK")

    # ---------------------------------------------------------------- statements

    def plain_insert(self, table: sa.Table) -> Any:
        """Return PostgreSQL's INSERT."""
        return insert(table)

    def insert_columns(
        self,
        connection: sa.Connection,
        table: sa.Table,
        names: Sequence[str],
        columns: Sequence[Sequence[Any]],
        *,
        skip_duplicates: bool = False,
        replace: bool = False,
    ) -> None:
        """Insert the rows that stand in these columns, by binary COPY where they are many and only new ones are meant.

        What COPY cannot do (row security, a column that is not quite of the type that its model says), and what it finds wrong, is left
        to INSERT: so rows and errors are the same either way.
        """
        plain = not (skip_duplicates or replace)
        copied = self._copied(connection, table, names, columns) if plain and len(columns[0]) > self.few else None
        if copied is not None:
            if not event.contains(connection.dialect, "do_execute", copy_rows):
                event.listen(connection.dialect, "do_execute", copy_rows)
                self.listeners.add(copy_rows)
            place = connection.begin_nested()
            try:
                connection.exec_driver_sql(copied.statement, execution_options={"compdb_copy": copied})
                place.commit()
                return
            except exc.DBAPIError as error:
                if error.connection_invalidated or self.classify(error).fault.transient:
                    raise
                place.rollback()
        super().insert_columns(connection, table, names, columns, skip_duplicates=skip_duplicates, replace=replace)

    def _copied(
        self, connection: sa.Connection, table: sa.Table, names: Sequence[str], columns: Sequence[Sequence[Any]]
    ) -> _Copied | None:
        """Return the COPY of these rows, or None where an INSERT could mean something else."""
        if self.dialect.driver != "psycopg" or connection.get_execution_options().get("schema_translate_map"):
            return None
        ready = self.ready(table, names, columns)
        if ready is None:
            return None
        names, columns = ready
        types = [self._wire_type(table.c[name]) for name in names]
        if None in types:
            return None
        quoted = self.dialect.identifier_preparer
        listed = ", ".join(quoted.format_column(table.c[name]) for name in names)
        statement = f"COPY {quoted.format_table(table)} ({listed}) FROM STDIN (FORMAT BINARY)"
        values = [self.driver_values(table.c[n], c) for n, c in zip(names, columns)]
        return _Copied(statement.replace("%%", "%"), types, values)

    def _wire_type(self, column: sa.Column[Any]) -> str | None:
        """Return the name by which psycopg knows how to write a column's values, or None."""
        name = column.type.compile(dialect=self.dialect)
        return WIRE.get(re.split(r"\(| COLLATE", name, maxsplit=1)[0])

    def size_of(self, value: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
        """Ask for the length of its text, since LENGTH is for text and bytes alone, but not of one that is long even compressed."""
        stored = sa.func.pg_column_size(value, type_=sa.BigInteger())
        return sa.case((stored > 4_000, stored), else_=sa.func.octet_length(sa.cast(value, sa.Text())))

    def claim(
        self,
        connection: sa.Connection,
        table: sa.Table,
        first: sa.Select[Any],
        order: Sequence[sa.ColumnElement[Any]],
        values: Mapping[str, Any],
    ) -> list[sa.Row[Any]]:
        """Do it all in one statement."""
        names = list(first.selected_columns.keys())
        places = {f"place{i}": getattr(by, "element", by) for i, by in enumerate(order)}
        picked = first.order_by(*order).with_for_update(skip_locked=True)
        chosen = picked.add_columns(*(by.label(name) for name, by in places.items())).cte("chosen")
        same = [column == chosen.c[column.name] for column in table.primary_key]
        changed = sa.update(table).where(*same).values(values).returning(*chosen.c).cte("changed")
        down = [isinstance(by, sa.UnaryExpression) for by in order]
        by = [changed.c[name].desc() if desc else changed.c[name] for name, desc in zip(places, down)]
        query: Any = sa.select(*(changed.c[name] for name in names)).order_by(*by)
        return list(connection.execute(query).all())

    def among(
        self, columns: Sequence[sa.ColumnElement[Any]], keys: Sequence[tuple[Any, ...]]
    ) -> sa.ColumnElement[bool]:
        """Send an array of each column's values, so that the statement is the same for any number of keys.

        psycopg reads a statement that it has not seen character by character, which takes longer than to answer it.
        """
        types = [self._wire_type(column) if isinstance(column, sa.Column) else None for column in columns]
        if self.dialect.driver != "psycopg" or None in types or not keys:
            return super().among(columns, keys)
        arrays = [
            self._array(column, UNBOUNDED.get(str(name)), values)
            for column, name, values in zip(columns, types, zip(*keys))
        ]
        if len(arrays) == 1:
            return columns[0] == sa.any_(arrays[0])
        named = [sa.column(f"k{i}", column.type) for i, column in enumerate(columns)]
        rows = sa.func.unnest(*arrays).table_valued(*named, name="keys").render_derived()
        return sa.tuple_(*columns).in_(sa.select(*rows.c))

    def _array(
        self, column: Any, unbounded: sa.types.TypeEngine[Any] | None, values: Sequence[Any]
    ) -> sa.BindParameter[Any]:
        """Return the values of a column as one parameter, which is cast to the type of the column, without its length."""
        if unbounded is None:
            return sa.bindparam(None, list(values), type_=ARRAY(column.type))
        return sa.bindparam(None, list(self.driver_values(column, values)), type_=ARRAY(unbounded))

    def only_inserting(self, connection: sa.Connection) -> None:
        """Have foreign keys looked up by their index.

        A connection plans such a lookup once. Where the parents were an empty table when it was analyzed, as after a deletion of all rows, it
        would read that whole table for each row from then on, however large it has become.
        """
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")

    def json_rows(self, parameter: str) -> tuple[Any, list[sa.ColumnElement[Any]]]:
        """Return the rows of a JSON array, and their columns."""
        array = sa.cast(sa.bindparam(parameter, type_=sa.Text()), JSON)
        rows = sa.func.json_array_elements(array).table_valued(sa.column("value", JSON), name="line")
        texts = [rows.c.value.op("->>")(sa.literal_column(str(i))) for i in range(3)]
        return rows, [texts[0], *(sa.cast(text, sa.Double()) for text in texts[1:])]

    def json_text(self, columns: Mapping[str, sa.ColumnElement[Any]]) -> sa.ColumnElement[str]:
        """Return the expression of a JSON object, as text."""
        pairs = [part for name, column in columns.items() for part in (sa.literal_column(f"'{name}'"), column)]
        return sa.cast(sa.func.json_build_object(*pairs), sa.Text())

    def classify(self, error: BaseException) -> Diagnosis:
        """Read the SQLSTATE and what the server tells beside it."""
        cause = original(error)
        state = getattr(cause, "sqlstate", None)
        if state is None:
            return Diagnosis(Fault.DISCONNECT if disconnected(error) else Fault.OTHER)
        if is_outdated(cause):
            return Diagnosis(Fault.SERIALIZATION)
        fault = FAULTS.get(state) or FAULTS.get(state[:3]) or FAULTS.get(state[:2]) or Fault.OTHER
        told = cause.diag  # type: ignore[attr-defined]  # psycopg's
        table: str | None = told.table_name
        columns: tuple[str, ...] = (told.column_name,) if told.column_name else ()
        if not columns and (found := KEY.match(told.message_detail or "")):
            columns = tuple(name.strip(' "') for name in found["columns"].split(","))
        if fault in {Fault.MISSING_TABLE, Fault.MISSING_COLUMN}:
            schema, _, name = _first_name(told.message_primary or "").rpartition(".")
            return (
                Diagnosis(fault, None, name, ())
                if fault is Fault.MISSING_TABLE
                else Diagnosis(fault, None, schema or None, (name,))
            )
        return Diagnosis(fault, told.constraint_name, table, columns)


@dataclass(frozen=True, slots=True)
class _Copied:
    """Rows on their way into a table."""

    statement: str
    types: list[Any]  # names of types, as psycopg knows them
    columns: list[Sequence[Any]]


def copy_rows(cursor: Any, statement: str, parameters: Any, context: Any) -> bool | None:  # as SQLAlchemy calls it
    """Send the rows of a COPY, where the execution options have some."""
    copied: _Copied | None = context.execution_options.get("compdb_copy") if context is not None else None
    if copied is None:
        return None
    with cursor.copy(statement) as copy:
        copy.set_types(copied.types)
        write = copy.write_row
        for row in zip(*copied.columns):
            write(row)
    return True


def _first_name(message: str) -> str:
    """Return the name that a message is about: the quoted one, else the word that has a dot."""
    if found := QUOTED.search(message):
        return found["name"]
    return next((word for word in message.split() if "." in word), message)


def _lock(function: str, name: str) -> sa.TextClause:
    return sa.text(f"SELECT {function}(hashtextextended('compdb ' || :name, 0))").bindparams(name=name)
