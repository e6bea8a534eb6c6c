"""Resuming: going on with a revision that was cut off, where the database cannot take back what it has done (MariaDB, MySQL).

Every statement of a revision is written down in a table of its own, `compdb_statements`, which is there only meanwhile. A statement on
rows is committed together with its line. A change of a table commits by itself, at once and as a whole; therefore its line is written
before, with a fingerprint of the tables concerned, and marked after: where the mark is missing, the tables tell whether it has happened.
The next run goes through the revision again and passes over what is done.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from compdb import dialects
from compdb.errors import MigrationError, shorten

__all__ = ["STATEMENTS", "Cut", "Record", "cut_off"]

STATEMENTS = "compdb_statements"
WAIT = 600.0
"""How long to wait for the end of a statement whose client has died, in seconds."""

CHANGES_TABLES = re.compile(r"\s*(CREATE|ALTER|DROP|RENAME|TRUNCATE)\b", re.IGNORECASE)
WORD = re.compile(r"[A-Za-z_$][\w$]*")
COUNTER = re.compile(r" AUTO_INCREMENT=\d+")


@dataclass(frozen=True)
class Cut:
    """A revision that was cut off.

    Attributes
    ----------
    revision : str
    direction : str
        "up" or "down".
    done : int
        How many of its statements are done, at least.
    """

    revision: str
    direction: str
    done: int

    def __str__(self) -> str:
        what = "applied" if self.direction == "up" else "taken back"
        return f"revision {self.revision} was cut off while it was {what}, after {self.done} of its statements"


@dataclass
class _Line:
    """One statement of the revision."""

    digest: str
    statement: str
    before: str | None
    done: bool
    client: int


def cut_off(connection: sa.Connection) -> Cut | None:
    """Return the revision that was cut off in this database, if one was."""
    if dialects.of(connection).transactional_ddl or not sa.inspect(connection).has_table(STATEMENTS):
        return None
    rows = connection.exec_driver_sql(f"SELECT revision, direction, done FROM {STATEMENTS}").all()  # noqa: S608
    if not rows:
        return None
    return Cut(str(rows[0][0]), str(rows[0][1]), sum(bool(row[2]) for row in rows))


class Record:
    """The statements of the revision that runs on a connection.

    Parameters
    ----------
    connection : Connection
        The one that migrates.
    version_table : str
        Where alembic notes the revision: by this its statements are over.
    """

    def __init__(self, connection: sa.Connection, version_table: str) -> None:
        self.connection, self.version_table = connection, version_table
        self.cut = cut_off(connection)
        self.at = 0
        self.lines: dict[int, _Line] = {}
        self.current: tuple[str, str] | None = None
        self._pending: _Line | None = None

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Write down statements in this block; at its end, all is done."""
        before, after = self._before, self._after
        event.listen(self.connection, "before_cursor_execute", before, retval=True)
        event.listen(self.connection, "after_cursor_execute", after)
        try:
            yield
            if self.lines or self.at:
                self._run(f"DROP TABLE IF EXISTS {STATEMENTS}")
        finally:
            event.remove(self.connection, "before_cursor_execute", before)
            event.remove(self.connection, "after_cursor_execute", after)

    def begin(self, revision: str, direction: str) -> None:
        """Begin with the statements of a revision, or go on with them.

        Raises
        ------
        MigrationError
            If another one was cut off, which comes first.
        """
        self._commit()
        if self.cut is not None and (self.cut.revision, self.cut.direction) != (revision, direction):
            raise MigrationError(
                f"{self.cut}: finish that first, by the same command, compdb migrate {self.cut.direction}"
                + ("" if self.cut.direction == "up" else " to the revision before it")
            )
        self._run(
            f"CREATE TABLE IF NOT EXISTS {STATEMENTS} (number INT PRIMARY KEY, revision VARCHAR(255) NOT NULL,"
            " direction VARCHAR(8) NOT NULL, digest CHAR(64) NOT NULL, statement LONGTEXT NOT NULL, tables_before CHAR(64),"
            " done BOOLEAN NOT NULL, client BIGINT NOT NULL) ENGINE=InnoDB CHARSET=utf8mb4"
        )
        self.lines = self._read() if self.cut is not None else {}
        self.cut, self.at, self.current = None, 0, (revision, direction)

    def done(self) -> int:
        """Return how many statements of the revision are done."""
        return sum(line.done for line in self.lines.values())

    # ---------------------------------------------------------------- before and after each statement

    def _before(
        self, connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> tuple[str, Any]:
        if self.current is None or dialects.reads_only(statement):
            return statement, parameters
        if self.version_table in statement and not CHANGES_TABLES.match(statement):
            self._run(f"DELETE FROM {STATEMENTS}")  # noqa: S608 (in the transaction that notes the revision)
            self.current = None
            return statement, parameters
        self.at += 1
        digest = hashlib.sha256(f"{statement}\0{parameters!r}".encode()).hexdigest()
        line = self.lines.get(self.at)
        if line is not None and self._is_done(line, digest, statement):
            return "DO 0", ()
        line = _Line(digest, statement, None, not CHANGES_TABLES.match(statement), self._client())
        if not line.done:
            line.before = self._tables(statement)
            self._pending = line
        self.lines[self.at] = line
        self._run(
            f"REPLACE INTO {STATEMENTS} VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",  # noqa: S608
            (self.at, *self.current, digest, statement, line.before, line.done, line.client),
        )
        if not line.done:
            self._commit()
        return statement, parameters

    def _after(
        self, connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        if self.current is None or dialects.reads_only(statement) or statement == "DO 0":
            return
        if self._pending is not None:
            self._mark(self._pending)
        self._commit()

    def _is_done(self, line: _Line, digest: str, statement: str) -> bool:
        """Tell whether a statement of the interrupted run is done; one that was not may be corrected in the meantime."""
        if not line.done:
            self._wait_for(line.client)
            if self._tables(line.statement) == line.before:
                return False
            self._mark(line)
        if line.digest != digest:
            raise MigrationError(
                f"revision {self.current and self.current[0]} was cut off after {self.done()} of its statements, and is not what it was"
                f" then: its statement {self.at} was\n  {shorten(line.statement, 300)}\nand is now\n  {shorten(statement, 300)}\n"
                "Put back what it was up to there; what comes after may be changed"
            )
        return True

    def _mark(self, line: _Line) -> None:
        line.done, self._pending = True, None
        number = next(n for n, known in self.lines.items() if known is line)
        self._run(f"UPDATE {STATEMENTS} SET done = 1 WHERE number = %s", (number,))  # noqa: S608
        self._commit()

    # ---------------------------------------------------------------- the driver, past SQLAlchemy's events

    def _run(self, statement: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        cursor = self.connection.connection.cursor()
        try:
            cursor.execute(statement, parameters)
            return list(cursor.fetchall()) if cursor.description else []
        finally:
            cursor.close()

    def _commit(self) -> None:
        self.connection.connection.commit()

    def _client(self) -> int:
        return int(self._run("SELECT CONNECTION_ID()")[0][0])

    def _read(self) -> dict[int, _Line]:
        rows = self._run(f"SELECT number, digest, statement, tables_before, done, client FROM {STATEMENTS}")  # noqa: S608
        return {
            int(n): _Line(digest, text, before, bool(done), int(client))
            for n, digest, text, before, done, client in rows
        }

    def _wait_for(self, client: int) -> None:
        """Wait until a client that has died is known to have died: until then its statement may still run."""
        deadline = time.monotonic() + WAIT
        running = "SELECT 1 FROM information_schema.processlist WHERE id = %s AND command <> 'Sleep' AND id <> CONNECTION_ID()"
        while self._run(running, (client,)):
            if time.monotonic() > deadline:
                raise MigrationError(
                    f"a statement of the run that was cut off still runs on the server, as connection {client}"
                )
            time.sleep(0.1)

    def _tables(self, statement: str) -> str:
        """Return a fingerprint of the tables that a statement names, of those that are there."""
        words = {word.lower() for word in WORD.findall(statement)}
        rows = self._run(
            "SELECT table_schema, table_name, table_schema = DATABASE() FROM information_schema.tables"
            " WHERE table_schema NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')"
        )
        digest = hashlib.sha256()
        for schema, name, here in sorted(rows):
            if name.lower() in words and (here or schema.lower() in words):
                (told,) = self._run(f"SHOW CREATE TABLE `{schema}`.`{name}`")
                digest.update(COUNTER.sub("", str(told[1])).encode())
        return digest.hexdigest()
