"""The one door to the database: connections, transactions and sessions.

>>> lab = connect("sqlite://")
>>> with lab.transaction() as session:
...     session.scalar(sa.text("SELECT 1"))
1

Everything goes through here: one `Database` for each URL and process, its engines for reading and writing, and the session in
force, which pipelines on one database share.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from compdb import dialects
from compdb.dialects import WRITE, Dialect
from compdb.engines import adopt_engine, answering, make_engine, make_reader, one_connection
from compdb.errors import DeclarationError, NotConnected, SessionError
from compdb.sessions import BOUND, HELD, Holder, Owner, RowSession, Session, Transaction, current_task
from compdb.settings import make_url, redact, resolve_url

__all__ = [
    "HELD",
    "Database",
    "Holder",
    "Owner",
    "RowSession",
    "Session",
    "Transaction",
    "bind",
    "connect",
    "database_of",
    "disconnect",
]


class Database:
    """One database: its engine, its dialect, and the sessions on it; made by `connect`.

    Attributes
    ----------
    engine : sqlalchemy.Engine
        For everything that SQLAlchemy does; its URL has the password.
    reader, writer : sqlalchemy.Engine
        The same database for connections that only read (each statement by itself, in one round trip) and for those that
        write (on SQLite they take the write lock when they begin).
    dialect : Dialect
        What this database answers where databases differ.
    url : str
        Its address, safe to print.
    one_connection : bool
        Whether everything goes through one connection: no snapshot can be read while something is written.
    """

    def __init__(self, engine: sa.Engine, reader: sa.Engine, url: str) -> None:
        self.engine, self.reader, self.url = engine, reader, url
        self.writer = engine.execution_options(compdb_mode=WRITE)
        self.dialect: Dialect = dialects.of(engine)
        self._open: weakref.WeakSet[Transaction] = weakref.WeakSet()

    def __repr__(self) -> str:
        return f"Database({self.url!r})"

    @property
    def one_connection(self) -> bool:
        """Whether everything goes through one connection."""
        return one_connection(self.engine)

    # ---- sessions

    def holder(self) -> Holder | None:
        """Return the open work of this context, or None.

        Raises
        ------
        SessionError
            If it belongs to another thread, task or process.
        """
        found = HELD.get().get(self)
        if found is None or found.closed:
            return None
        if not found.owner.here():
            raise SessionError(
                f"the transaction in force belongs to {found.owner.words()};"
                " open one of its own here: `with Lab.transaction() as session:`"
            )
        return found

    def holding(self, holder: Holder) -> AbstractContextManager[None]:
        """Put a holder in force for the block; it may be left in another context than it was entered in."""
        return _Holding(self, holder)

    def in_transaction(self) -> bool:
        """Tell whether a transaction (or a make) is open in this context."""
        return self.holder() is not None

    @contextmanager
    def transaction(self) -> Iterator[orm.Session]:
        """Open a transaction, or a SAVEPOINT inside the one in force; commit at its end, roll back on an exception."""
        found = HELD.get().get(self)
        if found is not None and not found.closed and found.owner.here():
            with found.nested() as session:
                yield session
            return
        self._refuse_siblings()
        # rows stay readable after the block, so they do not expire at its end
        session = Session(self, bind=self.writer, expire_on_commit=False)
        held = Transaction(session)
        with ExitStack() as at_end:
            at_end.callback(session.close)
            at_end.enter_context(session.begin())
            with answering(self.engine):
                session.connection()
            at_end.callback(setattr, session, "_held", False)
            session._held = True
            self._open.add(held)
            try:
                with self.holding(held):
                    yield session
                    session.flush()
            finally:
                if held.owner.process != os.getpid():
                    _abandoned.append(at_end.pop_all())  # a forked child: the transaction is its parent's to end

    def session(self) -> orm.Session:
        """Return the session in force, else a new one that the caller closes (`with Lab.session() as session:`)."""
        holder = self.holder()
        return Session(self, bind=self.engine) if holder is None else holder.session

    def _refuse_siblings(self) -> None:
        """Raise where waiting for SQLite's write lock would block the loop that runs the one who has it."""
        task = current_task()
        if not self.dialect.one_writer or task is None:
            return
        for held in list(self._open):
            owner = held.owner
            if not held.closed and owner.thread == threading.get_ident() and owner.task not in (None, task):
                raise SessionError(
                    "another asyncio task of this thread has a transaction open on this SQLite database, which takes one"
                    " writer at a time; let it end first, or run transactions in threads (asyncio.to_thread)"
                )

    # ---- connections

    def connect(self, engine: sa.Engine | None = None) -> sa.Connection:
        """Return a connection of its own (of `reader` or `writer`, if given), which the caller closes.

        Raises
        ------
        ConnectionFailed
            If the database does not answer.
        """
        with answering(self.engine):
            return (self.engine if engine is None else engine).connect()

    def answer(
        self, table: sa.Table, names: tuple[str, ...], equality: Mapping[str, Any]
    ) -> list[tuple[Any, ...]] | None:
        """Return attributes of the rows with these values if the open work has read them already, else None."""
        holder = self.holder()
        return None if holder is None else holder.answer(table, names, equality)

    @contextmanager
    def reading(self, statement: sa.Executable | None = None) -> Iterator[sa.Connection]:
        """Give a connection to read from: that of the session in force, else one of its own outside any transaction."""
        holder = self.holder()
        if holder is not None:
            yield holder.connection(statement)
            return
        with self.connect(self.reader) as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """Give a connection to read from that sees one state of the database for the whole block."""
        holder = self.holder()
        if holder is not None:
            yield holder.connection(None)
            return
        with self.connect(self.reader) as connection:
            self.dialect.begin_snapshot(connection)
            try:
                yield connection
            finally:
                if not connection.invalidated:
                    connection.commit()

    @contextmanager
    def lock(self, name: str, timeout: float = 60.0) -> Iterator[None]:
        """Hold a named lock on this database, against other processes and threads; a thread may take it twice.

        A database of one connection has none to spare for it, and goes without.

        Raises
        ------
        DatabaseError
            If another one holds it for longer than `timeout` seconds.
        """
        mine = (self, name, threading.get_ident())
        if mine in _locks or self.one_connection:
            yield
            return
        with self.connect(self.reader) as connection, self.dialect.lock(connection, name, timeout):
            _locks.add(mine)
            try:
                yield
            finally:
                _locks.discard(mine)

    def dispose(self) -> None:
        """Close the pooled connections; the next use makes new ones."""
        self.engine.dispose()
        if self.reader.pool is not self.engine.pool:
            self.reader.dispose()

    # ---- schemas

    def _translate(self, schemas: set[str]) -> None:
        """Take schemas out of the names of tables, where the database has none."""
        known = dict(self.engine.get_execution_options().get("schema_translate_map") or {})
        if schemas <= known.keys():
            return
        translate = {**known, **dict.fromkeys(schemas)}
        for engine in (self.engine, self.reader, self.writer):
            engine.update_execution_options(schema_translate_map=translate)


class _Holding:
    """A holder in force for a block."""

    __slots__ = ("_before", "_during", "database", "holder")

    def __init__(self, database: Database, holder: Holder) -> None:
        self.database, self.holder = database, holder

    def __enter__(self) -> None:
        before = self._before = HELD.get()
        mine = {self.database: self.holder}
        self._during: Mapping[Database, Holder] = MappingProxyType({**before, **mine} if before else mine)
        HELD.set(self._during)

    def __exit__(self, *error: object) -> None:
        self.holder.closed = True
        now, before = HELD.get(), self._before.get(self.database)
        if now is self._during and before is None:
            HELD.set(self._before)
            return
        others = {database: held for database, held in now.items() if held is not self.holder}
        HELD.set(MappingProxyType(others if before is None or before.closed else {**others, self.database: before}))


# ---------------------------------------------------------------- which database

_databases: dict[sa.URL, Database] = {}
_adopted: weakref.WeakKeyDictionary[sa.Engine, weakref.ref[Database]] = weakref.WeakKeyDictionary()
_lock = threading.RLock()
_locks: set[tuple[Database, str, int]] = set()
_abandoned: list[ExitStack] = []


def connect(url: str | sa.URL | sa.Engine | None = None) -> Database:
    """Return the database at a URL (or behind an engine): one for each URL and process.

    Raises
    ------
    NotConnected
        If no URL is given and none is configured.
    ConnectionFailed
        If the database does not answer, refuses us, or lacks its driver; names the host and the database.
    """
    with _lock:
        if isinstance(url, sa.Engine):
            reference = _adopted.get(url)
            found = reference() if reference is not None else None
            if found is None:
                found = Database(*adopt_engine(url), redact(url.url))
                _adopted[url] = weakref.ref(found)
            return found
        asked = make_url(resolve_url(url))
        address = dialects.family(asked).normal(asked)
        if address not in _databases:
            engine = make_engine(address)  # which may have found a MariaDB behind mysql://
            if engine.url not in _databases:
                _databases[engine.url] = Database(engine, make_reader(engine), redact(asked))
            _databases[address] = _databases[engine.url]
        return _databases[address]


def disconnect() -> None:
    """Close every pooled connection of this process; databases connect again when they are used."""
    for database in {*_databases.values(), *BOUND.values()}:
        database.dispose()


def bind(metadata: sa.MetaData, database: Database) -> None:
    """Say that the tables of `metadata` live in `database`; to be said again when tables were declared since.

    Raises
    ------
    DeclarationError
        If two tables of different schemas would have one name in a database without schemas.
    """
    if not database.dialect.has_schemas:
        homes: dict[str, str | None] = {}
        for tables in [metadata, *(m for m, d in BOUND.items() if d is database and m is not metadata)]:
            for table in tables.tables.values():
                other = homes.setdefault(table.name, table.schema)
                if other != table.schema:
                    raise DeclarationError(
                        f"tables {table.name!r} of schema {other!r} and of schema {table.schema!r} would be one table in"
                        f" {database.url}, since {database.dialect.name} has no schemas; rename one, or use another file"
                    )
        if schemas := {schema for schema in homes.values() if schema is not None}:
            database._translate(schemas)
    BOUND[metadata] = database


def database_of(what: sa.Table | sa.MetaData) -> Database:
    """Return the database in which a table lives.

    Raises
    ------
    NotConnected
        If its pipeline was not connected yet. `MetaData.info["pipeline"]` is the pipeline's name in the message.
    """
    metadata = what if isinstance(what, sa.MetaData) else what.metadata
    found = BOUND.get(metadata)
    if found is None:
        name = metadata.info.get("pipeline", "Lab")
        raise NotConnected(
            f'{name} is not connected to a database; call {name}.activate("sqlite:///lab.db") or the like'
        )
    return found


def _forked() -> None:
    global _lock
    _lock = threading.RLock()
    _locks.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forked)
