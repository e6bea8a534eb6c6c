"""SQLite: one file, one writer at a time, and transactions that begin as late as they may.

SQLAlchemy begins a transaction without telling SQLite. Before a read nothing is sent; before the first write `BEGIN
IMMEDIATE`, so that a writer waits for its turn at once instead of failing half-way; `transaction()` begins with it, and a
read snapshot with `BEGIN`. The driver itself never begins anything (`isolation_level=None`), so that SAVEPOINT and DDL are
part of the transaction.
"""

from __future__ import annotations

import atexit
import datetime as dt
import functools
import os
import re
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from operator import methodcaller
from pathlib import Path
from typing import Any, ClassVar, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import DATE, DATETIME, TIME, insert
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.dialects.sqlite.base import SQLiteDDLCompiler
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor, ExecutionContext
from sqlalchemy.sql.compiler import DDLCompiler
from sqlalchemy.sql.dml import Insert

from compdb.dialects.base import LAZY, WRITE, Dialect
from compdb.dialects.faults import Diagnosis, Fault, original
from compdb.dialects.statements import reads_only
from compdb.errors import DatabaseError, SessionError

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


__all__ = ["SQLite"]

MEMORY = (None, "", ":memory:")
DEFAULT_TIMEOUT, TIMEOUT = 5_000, 30_000
PRAGMAS = ("journal_mode=wal", "synchronous=normal", "foreign_keys=on", "trusted_schema=off")
FAULTS = {
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: Fault.DUPLICATE,
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: Fault.DUPLICATE,
    sqlite3.SQLITE_CONSTRAINT_ROWID: Fault.DUPLICATE,
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: Fault.FOREIGN_KEY,
    sqlite3.SQLITE_CONSTRAINT_TRIGGER: Fault.FOREIGN_KEY,  # how a broken ON DELETE RESTRICT comes
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: Fault.NOT_NULL,
    sqlite3.SQLITE_CONSTRAINT_CHECK: Fault.CHECK,
    3091: Fault.BAD_VALUE,  # SQLITE_CONSTRAINT_DATATYPE, which Python 3.11 does not name
    sqlite3.SQLITE_MISMATCH: Fault.BAD_VALUE,
    sqlite3.SQLITE_TOOBIG: Fault.TOO_LARGE,
    sqlite3.SQLITE_BUSY_SNAPSHOT: Fault.SERIALIZATION,
    sqlite3.SQLITE_BUSY: Fault.LOCK_TIMEOUT,
    sqlite3.SQLITE_LOCKED: Fault.LOCK_TIMEOUT,
    sqlite3.SQLITE_FULL: Fault.DISK_FULL,
    sqlite3.SQLITE_IOERR: Fault.DISK_FULL,
    sqlite3.SQLITE_READONLY: Fault.READ_ONLY,
    sqlite3.SQLITE_PERM: Fault.DENIED,
    sqlite3.SQLITE_AUTH: Fault.DENIED,
}
TIMES = (
    (DATETIME, dt.datetime(1, 2, 3, 4, 5, 6, 7), methodcaller("isoformat", " ", "microseconds")),
    (TIME, dt.time(1, 2, 3, 4), methodcaller("isoformat", "microseconds")),
    (DATE, dt.date(1, 2, 3), methodcaller("isoformat")),
)
"""Types of SQLAlchemy, a value that shows their format, and what writes the usual one quickly."""

SAID = {
    re.compile(r"no such table: (?:\w+\.)?(?P<table>.+)"): Fault.MISSING_TABLE,
    re.compile(r"no such column: (?:(?P<table>[^.]+)\.)?(?P<column>.+)"): Fault.MISSING_COLUMN,
    re.compile(r"table (?P<table>.+) has no column named (?P<column>.+)"): Fault.MISSING_COLUMN,
    re.compile(
        r"near \".*\": syntax error|incomplete input|unrecognized token|no such function|wrong number of arguments"
        r"|misuse of|ambiguous column name|row value misused|sub-select returns"
    ): Fault.SYNTAX,
    re.compile(r"too many SQL variables|string or blob too big"): Fault.TOO_LARGE,
}


class _DDLCompiler(SQLiteDDLCompiler):
    """Writes foreign keys between schemas, too: SQLAlchemy leaves them out, but here all schemas are one file."""

    def visit_foreign_key_constraint(self, constraint: sa.ForeignKeyConstraint, **kw: Any) -> Any:
        """Return the constraint, unless its tables lie in different files."""
        names = self.schema_translate_map or {}
        tables = (constraint.elements[0].parent.table, constraint.elements[0].column.table)
        here, there = (names.get(table.schema, table.schema) for table in tables)
        visit = DDLCompiler if here == there else SQLiteDDLCompiler
        return visit.visit_foreign_key_constraint(self, constraint, **kw)


class SQLite(Dialect):
    """The answers of SQLite."""

    name: ClassVar[str] = "sqlite"
    is_file: ClassVar[bool] = True
    minimum: ClassVar[tuple[int, ...]] = (3, 35)
    has_comments: ClassVar[bool] = False
    has_schemas: ClassVar[bool] = False
    casts_anything: ClassVar[bool] = True
    makes_scratch_apart: ClassVar[bool] = True
    one_writer: ClassVar[bool] = True
    semijoin: ClassVar[Literal["exists", "join"]] = "join"

    def __init__(self, dialect: sa.Dialect) -> None:
        super().__init__(dialect)
        if isinstance(dialect, DefaultDialect):
            dialect.ddl_compiler = _DDLCompiler
            quoted = dialect.identifier_preparer
            quoted.reserved_words = {*quoted.reserved_words, "nothing", "returning"}  # SQLAlchemy 2.1 lacks these two
        self._writer: sqlite3.Connection | None = None

    @classmethod
    def complete(cls, url: sa.URL) -> sa.URL:
        """Return the URL with the file's whole path, of a file in memory too.

        `sqlite://` becomes a file in a temporary folder of this process, which is removed when the process ends: so
        connections, threads and read snapshots behave there as on any file.
        """
        if "uri" in url.query:
            return url
        if url.database in MEMORY:
            return url.set(database=str(_folder() / "memory.db"))
        return url.set(database=os.path.realpath(str(url.database)))

    @classmethod
    def beside(cls, url: sa.URL, folder: Path) -> sa.URL:
        """Return the URL with the file's path counted from `folder`."""
        if url.database in MEMORY or "uri" in url.query:
            return url
        return url.set(database=str(folder / str(url.database)))

    @classmethod
    def no_answer(cls, url: sa.URL, shown: str, said: str) -> str:
        """Tell that the file could not be opened."""
        folder = Path(str(url.database)).parent
        hint = "" if folder.is_dir() else f"; there is no folder {folder}"
        return f"cannot open the SQLite file {url.database}: {said}{hint}"

    @classmethod
    def engine_arguments(cls) -> dict[str, Any]:
        """Return nothing: what SQLite needs is set up on each connection."""
        return {}

    @classmethod
    def reader_arguments(cls) -> dict[str, Any] | None:
        """Return None: nothing begins before a read, so every connection is a reader."""
        return None

    def learn(self, connection: sa.Connection) -> None:
        """Read the limits of this build."""
        super().learn(connection)
        driver = _driver(connection)
        self.max_parameters = driver.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        self.max_row = driver.getlimit(sqlite3.SQLITE_LIMIT_LENGTH) - 1_000

    def setup(self, driver: DBAPIConnection, *, reader: bool) -> None:
        """Take BEGIN and COMMIT out of the driver's hands, and switch on what a database should do."""
        if hasattr(driver, "autocommit"):
            driver.autocommit = sqlite3.LEGACY_TRANSACTION_CONTROL  # type: ignore[attr-defined]
        driver.isolation_level = None
        if driver.execute("PRAGMA busy_timeout").fetchone()[0] == DEFAULT_TIMEOUT:
            driver.execute(f"PRAGMA busy_timeout={TIMEOUT}")
        for pragma in PRAGMAS:
            try:
                driver.execute(f"PRAGMA {pragma}")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_READONLY:
                    raise

    def alive(self, driver: DBAPIConnection) -> bool:
        """Return True: there is no server that could have gone."""
        return True

    # ---------------------------------------------------------------- transactions

    def begin(self, connection: sa.Connection) -> None:
        """Take the write lock at once where that was asked for."""
        if connection.get_execution_options().get("compdb_mode", LAZY) == WRITE:
            self._begin(connection)

    def end(self, connection: sa.Connection) -> None:
        """Note that the write lock is given back."""
        connection.info.pop("compdb_began", None)
        if self._writer is not None and self._writer is _driver(connection):
            self._writer = None

    def before_execute(
        self, connection: sa.Connection, cursor: DBAPICursor, statement: str, context: ExecutionContext | None
    ) -> None:
        """Take the write lock before the first write."""
        if not reads_only(statement):
            self._begin(connection)

    def transaction_lost(self, connection: sa.Connection, error: BaseException) -> bool:
        """Tell whether the transaction that we began is there no more (disk full, I/O error, out of memory)."""
        return bool(connection.info.get("compdb_began")) and not _driver(connection).in_transaction

    def _begin(self, connection: sa.Connection) -> None:
        driver = _driver(connection)
        if driver.in_transaction:
            return
        main = threading.current_thread() is threading.main_thread()
        if main and _is_writing(self._writer):
            raise SessionError(
                "another session of this thread has written to this SQLite database and was neither committed nor closed;"
                " SQLite takes one writer at a time, so this one would wait for ever"
            )
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.info["compdb_began"] = True
        if main:
            self._writer = driver

    @contextmanager
    def lock(self, connection: sa.Connection, name: str, timeout: float) -> Iterator[None]:
        """Hold a lock file beside the database; it is gone afterwards."""
        path = _driver(connection).execute("PRAGMA database_list").fetchone()[2]
        descriptor = _lock_file(f"{path}-{name}.lock", time.monotonic() + timeout) if path else None
        holder = os.getpid()
        try:
            yield
        finally:
            if descriptor is not None and os.getpid() == holder:
                with suppress(OSError):
                    os.unlink(f"{path}-{name}.lock")
                os.close(descriptor)

    # ---------------------------------------------------------------- statements

    def plain_insert(self, table: sa.Table) -> Any:
        """Return SQLite's INSERT."""
        return insert(table)

    def driver_values(self, column: sa.Column[Any], values: Sequence[Any]) -> Sequence[Any]:
        """Return the values of a column as the driver takes them: times by C's `isoformat` where that is SQLAlchemy's format."""
        type_ = column.type.dialect_impl(self.dialect)
        found = next((known for known in TIMES if type(type_) is known[0]), None)
        if found is None:
            return super().driver_values(column, values)
        _, example, quick = found
        process = type_.bind_processor(self.dialect)
        if process is None or process(example) != quick(example):  # a format of the user's own
            return super().driver_values(column, values)
        try:
            return list(map(quick, values))
        except AttributeError:
            return [None if value is None else quick(value) for value in values]

    def insert_select(
        self,
        table: sa.Table,
        names: Sequence[str],
        select: sa.Select[Any],
        *,
        skip_duplicates: bool = False,
        replace: bool = False,
    ) -> Insert:
        """Return the INSERT for the rows of a query, with a WHERE: else ON CONFLICT reads as the condition of a join."""
        select = sa.select(*select.subquery().c).where(sa.true())
        return super().insert_select(table, names, select, skip_duplicates=skip_duplicates, replace=replace)

    def create_schemas(self, connection: sa.Connection, names: Collection[str]) -> None:
        """Do nothing: schemas are translated away."""

    @classmethod
    def unconnected(cls) -> sa.Dialect:
        """Return SQLAlchemy's dialect of SQLite."""
        return sqlite_dialect()

    def classify(self, error: BaseException) -> Diagnosis:
        """Read the error code, and the names in the message."""
        cause = original(error)
        code, text = getattr(cause, "sqlite_errorcode", 0), str(cause)
        fault = FAULTS.get(code) or FAULTS.get(code & 0xFF)
        if fault is None:
            for pattern, kind in SAID.items():
                if found := pattern.match(text):
                    names = found.groupdict()
                    return Diagnosis(kind, None, names.get("table"), tuple(filter(None, [names.get("column")])))
            return Diagnosis(Fault.OTHER)
        _, _, what = text.partition(" constraint failed: ")
        if fault is Fault.CHECK:
            return Diagnosis(fault, what or None)
        places = [place.rpartition(".")[::2] for place in what.split(", ")] if what else []
        return Diagnosis(fault, None, places[0][0] if places else None, tuple(column for _, column in places))


@functools.cache
def _folder() -> Path:
    """Make the folder of `sqlite://`, which goes when this process (not a child forked from it) ends."""
    folder, maker = Path(tempfile.mkdtemp(prefix="compdb-")), os.getpid()
    atexit.register(_remove, folder, maker)
    return folder


def _remove(folder: Path, maker: int) -> None:
    if os.getpid() == maker:
        shutil.rmtree(folder, ignore_errors=True)


def _is_writing(driver: sqlite3.Connection | None) -> bool:
    """Say whether a connection has a transaction open; one that was closed has not."""
    try:
        return driver is not None and driver.in_transaction
    except sqlite3.ProgrammingError:
        return False


def _driver(connection: sa.Connection) -> sqlite3.Connection:
    """Return the driver's connection."""
    return connection.connection.dbapi_connection  # type: ignore[return-value]


def _lock_file(path: str, deadline: float) -> int | None:
    """Lock a file and return its descriptor; None where no file can be made, since then nobody can write here."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:
            return None
        try:
            _try_lock(descriptor)
            if os.fstat(descriptor).st_ino == os.stat(path).st_ino:  # not one that its last holder has removed
                return descriptor
        except (BlockingIOError, PermissionError, FileNotFoundError):
            pass
        os.close(descriptor)
        if time.monotonic() > deadline:
            raise DatabaseError(f"another process holds {path}")
        time.sleep(0.05)
