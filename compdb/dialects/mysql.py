"""MySQL and MariaDB: alike in most, and asked at connect which of the two they are.

Skipping duplicates has no statement of its own here that tells the primary key from other unique constraints. `ON DUPLICATE
KEY UPDATE` fires for all of them; so it sets the first key column to itself where the row in the way has the same key, and
to NULL where it has another, which strict mode refuses (error 1048, told as a duplicate). It also locks the rows in the
way until the transaction ends, therefore the rows that are there are first taken out by a plain read, which locks nothing.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from types import NoneType
from typing import Any, ClassVar, Literal

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.mysql import dialect as mysql_dialect
from sqlalchemy.dialects.mysql import insert
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.sql import elements
from sqlalchemy.sql.dml import Insert

from compdb.dialects import wire
from compdb.dialects.base import Changing, Dialect, written
from compdb.dialects.faults import Diagnosis, Fault, disconnected, original
from compdb.dialects.options import MARIADB, MYSQL
from compdb.errors import ConnectionFailed

__all__ = ["MariaDB", "MySQL"]

DEADLOCK, CHANGED, LOCK_TIMEOUT, NULL_IN_KEY = 1213, 1020, 1205, 1048
INDEX_NEEDED = 1553  # by another foreign key
JSON_IS = "LONGTEXT CHARACTER SET UTF8MB4 COLLATE UTF8MB4_BIN"
KEYS_AT_ONCE = 900  # from 1000 on MariaDB turns IN into a join with a table of its own making
FAULTS = {
    Fault.DUPLICATE: {1022, 1062, 1169, 1586},
    Fault.FOREIGN_KEY: {1216, 1217, 1451, 1452, 1557, 1761, 1762},
    Fault.NOT_NULL: {1048, 1263, 1364, 1566},
    Fault.CHECK: {3819, 4025},
    Fault.BAD_VALUE: {1264, 1265, 1292, 1366, 1367, 1411, 1525, 3140, 3156, 4038},
    Fault.TOO_LARGE: {1118, 1153, 1301, 1390, 1406, 1436},
    Fault.DEADLOCK: {1213},
    Fault.LOCK_TIMEOUT: {1205, 1222, 3024, 3058, 3572, 1969},
    Fault.SERIALIZATION: {1020},
    Fault.DISCONNECT: {1040, 1042, 1043, 1053, 1077, 1079, 1152, 1158, 1159, 1160, 1161, 1184, 1927, 2002, 2003, 2006}
    | {2013, 2014, 2027, 2045, 2055, 4031, 3169},
    Fault.DISK_FULL: {3, 28, 1021, 1026, 1030, 1114, 1871, 3675},
    Fault.READ_ONLY: {1036, 1290, 1792, 1836, 3906},
    Fault.DENIED: {1044, 1045, 1142, 1143, 1227, 1370, 1410},
    Fault.MISSING_TABLE: {1051, 1109, 1146},
    Fault.MISSING_COLUMN: {1054},
    Fault.SYNTAX: {1052, 1055, 1056, 1064, 1111, 1140, 1149, 1241, 1242, 1305, 1582, 1583, 1630},
}
CODES = {code: fault for fault, codes in FAULTS.items() for code in codes}
DUPLICATE = re.compile(r".* for key '(?:(?P<table>[^'.]+)\.)?(?P<constraint>[^']+)'\Z", re.DOTALL)
FOREIGN = re.compile(
    r".*\(`[^`]*`\.`(?P<table>[^`]+)`, CONSTRAINT `(?P<constraint>[^`]+)` FOREIGN KEY \((?P<columns>[^)]*)\)"
)
CHECK = re.compile(r"(?:CONSTRAINT `|Check constraint ')(?P<constraint>[^`']+)[`']")
COLUMN = re.compile(
    r"(?:Unknown column|Column|Field|Data too long for column|.* for column) [`']?(?P<column>[^`']+)[`']"
)
GUARD = re.compile(r"ON DUPLICATE KEY UPDATE `?(?P<column>[^`]+?)`? = CASE WHEN")
TABLE = re.compile(r"(?:Unknown table|Table) '(?:[^'.]*\.)?(?P<table>[^']+)'")


class _WholeNumbers(sa.types.UserDefinedType[Any]):
    """Keys, each a tuple of ints, written as a list."""

    cache_ok = True

    def literal_processor(self, dialect: sa.Dialect) -> Any:  # what SQLAlchemy calls a processor has no public name
        """Return what writes them."""

        def write(value: Sequence[tuple[int, ...]]) -> str:
            if value and len(value[0]) == 1:
                return f"({','.join([str(number) for (number,) in value])})"
            return f"({','.join(map(str, value))})"

        return write


class MySQL(Dialect):
    """The answers of MySQL."""

    name: ClassVar[str] = "mysql"
    extra: ClassVar[str | None] = "mysql"
    drivers: ClassVar[dict[str, str]] = {"pymysql": "pymysql", "mysqldb": "MySQLdb", "mariadbconnector": "mariadb"}
    port: ClassVar[int | None] = 3306
    minimum: ClassVar[tuple[int, ...]] = (8, 0, 19)
    transactional_ddl: ClassVar[bool] = False
    unique_is_index: ClassVar[bool] = True
    makes_indexes_for_foreign_keys: ClassVar[bool] = True
    refusals: ClassVar[frozenset[str]] = frozenset({"NO ACTION", "RESTRICT"})
    backslash_escapes: ClassVar[bool] = True
    restates_columns: ClassVar[bool] = True
    semijoin: ClassVar[Literal["exists", "join"]] = "join"
    table_options: ClassVar[dict[str, str]] = MYSQL

    def __init__(self, dialect: sa.Dialect) -> None:
        super().__init__(dialect)
        self.timeout_ends_transaction = False

    @classmethod
    def complete(cls, url: sa.URL) -> sa.URL:
        """Ask for the character set that holds every character, where the driver has to be asked."""
        if url.get_driver_name() == "mariadbconnector" or "charset" in url.query:
            return url
        return url.update_query_dict({"charset": "utf8mb4"})

    @property
    def actual_name(self) -> str:
        """The name of the database: MariaDB answers under MySQL's too."""
        return MariaDB.name if getattr(self.dialect, "is_mariadb", False) else self.name

    def learn(self, connection: sa.Connection) -> None:
        """Read the packet limit, the character set, and whether a lock timeout ends the transaction."""
        super().learn(connection)
        packet, charset, ends, mode = connection.exec_driver_sql(
            "SELECT @@max_allowed_packet, @@character_set_client, @@innodb_rollback_on_timeout, @@sql_mode"
        ).one()
        if charset != "utf8mb4":
            raise ConnectionFailed(
                f"the connection speaks {charset}, which lacks characters; add ?charset=utf8mb4 to its URL"
            )
        if "STRICT_ALL_TABLES" not in mode:
            raise ConnectionFailed(
                f"{self.version} bends values that do not fit, since it is not in strict mode: {mode}"
            )
        # a text protocol writes a byte as one or two; the rest of the statement needs some room too
        self.max_row = (int(packet) - 65_536) // (1 if self.dialect.driver == "mariadbconnector" else 2)
        self.timeout_ends_transaction = bool(ends)

    def connector(self) -> Callable[..., DBAPIConnection] | None:
        """Return PyMySQL's connection with a quick way to read."""
        return wire.connection_class() if self.dialect.driver == "pymysql" else None

    def setup(self, driver: DBAPIConnection, *, reader: bool) -> None:
        """Make the server refuse what it would bend; writers see what others commit, readers one state."""
        cursor = driver.cursor()
        try:
            cursor.execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES,STRICT_ALL_TABLES')")
            level = "REPEATABLE READ" if reader else "READ COMMITTED"
            cursor.execute(f"SET SESSION TRANSACTION ISOLATION LEVEL {level}")
        finally:
            cursor.close()

    def descriptor(self, driver: DBAPIConnection) -> int | None:
        """Return the socket of PyMySQL (`_sock`) or mysqlclient (`fileno`)."""
        holder = getattr(driver, "_sock", driver)
        return int(holder.fileno()) if hasattr(holder, "fileno") else None

    # ---------------------------------------------------------------- transactions

    def begin_snapshot(self, connection: sa.Connection) -> None:
        """Begin a read-only transaction: in one round trip where the connection is a reader of ours."""
        if not connection.info.get("compdb_reader"):
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.exec_driver_sql("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")

    def transaction_lost(self, connection: sa.Connection, error: BaseException) -> bool:
        """Tell whether InnoDB has rolled the whole transaction back."""
        code = _code(error)
        return code in {DEADLOCK, CHANGED} or (code == LOCK_TIMEOUT and self.timeout_ends_transaction)

    def take_lock(self, connection: sa.Connection, name: str) -> bool:
        """Take a lock of the server, whose names are shared by all its databases."""
        return bool(connection.scalar(_lock("GET_LOCK", name, ", 0")))

    def give_lock(self, connection: sa.Connection, name: str) -> None:
        """Give it back."""
        connection.scalar(_lock("RELEASE_LOCK", name))

    # ---------------------------------------------------------------- writing

    def insert_rows(
        self,
        connection: sa.Connection,
        table: sa.Table,
        rows: Sequence[Mapping[str, Any]],
        *,
        skip_duplicates: bool = False,
        replace: bool = False,
    ) -> None:
        """Insert rows; with `skip_duplicates` those whose key is there are not even sent."""
        if (
            skip_duplicates
            and 0 < len(rows) <= self.few
            and all(column.name in rows[0] for column in table.primary_key)
        ):
            new = _absent(connection, table, [tuple(row[c.name] for c in table.primary_key) for row in rows])
            rows = list(compress(rows, new))
        super().insert_rows(connection, table, rows, skip_duplicates=skip_duplicates, replace=replace)

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
        """Insert the rows that stand in these columns; with `skip_duplicates` those whose key is there are not even sent."""
        if skip_duplicates and all(column.name in names for column in table.primary_key):
            keys = list(zip(*(columns[names.index(column.name)] for column in table.primary_key)))
            new = _absent(connection, table, keys)
            columns = [list(compress(column, new)) for column in columns]
        if columns[0]:
            super().insert_columns(connection, table, names, columns, skip_duplicates=skip_duplicates, replace=replace)

    def insert_select(
        self,
        table: sa.Table,
        names: Sequence[str],
        select: sa.Select[Any],
        *,
        skip_duplicates: bool = False,
        replace: bool = False,
    ) -> Insert:
        """Return the INSERT for the rows of a query; with `skip_duplicates` an anti-join keeps out what is there."""
        if skip_duplicates or replace:
            source = select.subquery()  # a table of its own, so that ON DUPLICATE KEY UPDATE can name only one
            select = sa.select(*source.c)
            if skip_duplicates:
                given = dict(zip(names, source.c))
                same = sa.and_(*[column == given[column.name] for column in table.primary_key])
                select = select.where(~sa.exists().where(same).correlate(source))
        return super().insert_select(table, names, select, skip_duplicates=skip_duplicates, replace=replace)

    def driver_values(self, column: sa.Column[Any], values: Sequence[Any]) -> Sequence[Any]:
        """Return the values of a column as the driver takes them; PyMySQL takes three times as long to write a datetime as its text."""
        values = super().driver_values(column, values)
        if self.dialect.driver != "pymysql" or not set(map(type, values)) <= {dt.datetime, NoneType}:
            return values
        return [None if value is None else value.isoformat(" ", "microseconds") for value in values]

    def plain_insert(self, table: sa.Table) -> Any:
        """Return MySQL's INSERT."""
        return insert(table)

    def on_conflict(self, statement: Any, table: sa.Table, skip_duplicates: bool, replace: bool) -> Insert:
        """Say what becomes of rows whose primary key is there, and refuse those that meet another constraint."""
        if not (skip_duplicates or replace):
            return statement  # type: ignore[no-any-return]
        key, new = list(table.primary_key), statement.inserted
        same = sa.and_(*[column == new[column.name] for column in key])
        values: list[tuple[str, Any]] = [(key[0].name, sa.case((same, key[0]), else_=sa.null()))]
        if replace:
            values += [(column.name, new[column.name]) for column in written(table)]
        return statement.on_duplicate_key_update(values)  # type: ignore[no-any-return]

    def among(
        self, columns: Sequence[sa.ColumnElement[Any]], keys: Sequence[tuple[Any, ...]]
    ) -> sa.ColumnElement[bool]:
        """Return the condition; keys of whole numbers are written into the statement, since a parameter for each takes longer."""
        whole = all(isinstance(column.type, sa.Integer) for column in columns)
        if not keys or not whole or not {type(value) for key in keys for value in key} <= {int}:
            return super().among(columns, keys)
        written = sa.bindparam(None, keys, type_=_WholeNumbers(), unique=True, literal_execute=True)
        target = columns[0] if len(columns) == 1 else sa.tuple_(*columns)
        return target.bool_op("IN")(written)

    def json_rows(self, parameter: str) -> tuple[Any, list[sa.ColumnElement[Any]]]:
        """Return the rows of a JSON array, and their columns."""
        columns = "a LONGTEXT PATH '$[0]', b DOUBLE PATH '$[1]', c DOUBLE PATH '$[2]'"
        rows = sa.text(f"JSON_TABLE(:{parameter}, '$[*]' COLUMNS ({columns})) AS line")
        return rows, [sa.literal_column(f"line.{name}") for name in "abc"]

    def by_key(self, statement: Changing, count: int) -> Changing:
        """Have the primary key used: small tables are read whole otherwise. A DELETE of one table takes no hint, its form with USING does."""
        hint = "FORCE INDEX (PRIMARY)"
        if isinstance(statement, sa.Delete):
            hint = f"USING {self.dialect.identifier_preparer.format_table(statement.table)} {hint}"
        for name in ("mysql", "mariadb"):
            statement = statement.with_hint(hint, dialect_name=name)
        return statement

    # ---------------------------------------------------------------- the catalogue

    @classmethod
    def unconnected(cls) -> sa.Dialect:
        """Return SQLAlchemy's dialect of MySQL."""
        return mysql_dialect()

    def scratch_options(self, table: sa.Table) -> dict[str, Any]:
        """Return all of them: on character set and collation depends how text is told."""
        return {n: v for n, v in table.dialect_kwargs.items() if n.startswith(f"{self.name}_")}

    # ---------------------------------------------------------------- errors

    def reflected(self, type_: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
        """Read floats as floats (SQLAlchemy makes decimals of ten places of them), TINYINT(1) as bool, long texts as such."""
        if isinstance(type_, (sa.Double, sa.Float)):
            return sa.Double() if isinstance(type_, sa.Double) else sa.Float()
        if isinstance(type_, mysql.TINYINT) and type_.display_width == 1:
            return sa.Boolean()
        if isinstance(type_, (mysql.TINYTEXT, mysql.MEDIUMTEXT, mysql.LONGTEXT)):
            return sa.Text()
        return type_

    def classify(self, error: BaseException) -> Diagnosis:
        """Read the error number, and the names in the message."""
        cause = original(error)
        code, text = _code(error), str(cause.args[1]) if len(cause.args) > 1 else str(cause)
        fault = CODES.get(code, Fault.DISCONNECT if disconnected(error) else Fault.OTHER)
        found: re.Match[str] | None = None
        if fault is Fault.DUPLICATE:
            found = DUPLICATE.match(text)
        elif fault is Fault.FOREIGN_KEY:
            found = FOREIGN.match(text)
        elif fault is Fault.CHECK:
            found = CHECK.search(text)
        elif fault is Fault.MISSING_TABLE:
            found = TABLE.match(text)
        elif fault in {Fault.NOT_NULL, Fault.MISSING_COLUMN, Fault.TOO_LARGE, Fault.BAD_VALUE}:
            found = COLUMN.match(text)
        names = found.groupdict() if found else {}
        if code == NULL_IN_KEY and names.get("column") == _guard(error):
            return Diagnosis(Fault.DUPLICATE)
        columns = names.get("column") or names.get("columns") or ""
        table, _, column = columns.rpartition(".") if fault is Fault.MISSING_COLUMN else ("", "", columns)
        return Diagnosis(
            fault,
            names.get("constraint"),
            names.get("table") or table or None,
            tuple(name.strip("` ") for name in column.split(",") if name),
        )


class MariaDB(MySQL):
    """The answers of MariaDB where they differ from MySQL's."""

    name: ClassVar[str] = "mariadb"
    remembers_subqueries: ClassVar[bool] = True
    minimum: ClassVar[tuple[int, ...]] = (10, 6)
    table_options: ClassVar[dict[str, str]] = MARIADB

    @classmethod
    def unconnected(cls) -> sa.Dialect:
        """Return SQLAlchemy's dialect of MariaDB."""
        dialect = mysql_dialect(is_mariadb=True)
        dialect.name = cls.name
        return dialect

    def spelled(self, type_: sa.types.TypeEngine[Any]) -> str:
        """Return a type in words to compare by; JSON is told as the text that it is."""
        text = super().spelled(type_)
        return JSON_IS if text == "JSON" else text

    def drop_index_of(self, connection: sa.Connection, schema: str | None, table: str, name: str) -> None:
        """Drop the index of a foreign key that is gone."""
        preparer = connection.dialect.identifier_preparer
        place = preparer.quote(table) if schema is None else f"{preparer.quote(schema)}.{preparer.quote(table)}"
        index = preparer.truncate_and_render_constraint_name(elements.conv(name))
        try:
            connection.exec_driver_sql(f"ALTER TABLE {place} DROP INDEX IF EXISTS {index}")
        except exc.OperationalError as error:
            if _code(error) != INDEX_NEEDED:
                raise


def _code(error: BaseException) -> int:
    """Return the number of a driver's error (the MariaDB connector keeps it beside the arguments), or 0."""
    cause = original(error)
    number = next(iter(cause.args), None)
    return number if isinstance(number, int) else int(getattr(cause, "errno", None) or 0)


def _guard(error: BaseException) -> str | None:
    """Return the key column that `on_conflict` sets to NULL when a row meets another unique constraint."""
    found = GUARD.search(getattr(error, "statement", None) or "")
    return found["column"] if found else None


def _lock(function: str, name: str, more: str = "") -> sa.TextClause:
    return sa.text(f"SELECT {function}(SHA1(CONCAT('compdb ', DATABASE(), ' ', :name)){more})").bindparams(name=name)


def _absent(connection: sa.Connection, table: sa.Table, keys: Sequence[tuple[Any, ...]]) -> list[bool]:
    """Tell of each key whether it is not in the table, as far as a read that locks nothing can tell."""
    columns = list(table.primary_key)
    there: set[tuple[Any, ...]] = set()
    for start in range(0, len(keys), KEYS_AT_ONCE):
        some = keys[start : start + KEYS_AT_ONCE]
        matching = columns[0].in_([k[0] for k in some]) if len(columns) == 1 else sa.tuple_(*columns).in_(some)
        there.update(tuple(found) for found in connection.execute(sa.select(*columns).where(matching)))
    return [key not in there for key in keys]
