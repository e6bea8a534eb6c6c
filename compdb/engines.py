"""Engines made by the recipe of each database, and the listeners that keep their transactions honest.

Four things are watched on every engine. A transaction that the database has rolled back by itself (a deadlock in MySQL, a
full disk in SQLite) runs nothing more and cannot commit: `TransactionLost`. A connection that a forked child inherits
serves nobody there: `SessionError`. A connection that is for reading does not write. And a pooled connection is asked
whether it lives only when it may have died: when its socket has something to say, or after half a minute.
"""

from __future__ import annotations

import functools
import logging
import os
import re
import sys
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.engine.interfaces import DBAPIConnection, DBAPICursor, ExecutionContext
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from compdb import dag, dialects
from compdb.dialects import READ, Dialect, Fault, original
from compdb.errors import ConnectionFailed, SchemaDrift, SessionError, TransactionLost
from compdb.settings import redact, redact_text

__all__ = ["adopt_engine", "answering", "make_engine", "make_reader", "raised", "unobserved"]

IDLE = 30.0
_statements = logging.getLogger("sqlalchemy.engine.Engine")
DATA = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|COPY)\b", re.IGNORECASE)


def make_engine(url: sa.URL) -> sa.Engine:
    """Make the engine for a URL in its normal form, by the recipe of its database, and try it."""
    engine = _create(url, dialects.family(url).engine_arguments())
    listen(engine)
    with answering(engine), engine.connect() as connection:
        ours = dialects.of(engine)
        if ours.actual_name == ours.name:
            ours.learn(connection)
            return engine
    engine.dispose()
    return make_engine(url.set(drivername=f"{ours.actual_name}+{url.get_driver_name()}"))


def make_reader(engine: sa.Engine) -> sa.Engine:
    """Make the engine whose single reads cost one round trip; its connections do not write."""
    arguments = dialects.of(engine).reader_arguments()
    reader = engine
    if arguments is not None:
        reader = _create(engine.url, arguments)
        dialects.share(reader, dialects.of(engine))
        listen(reader, reader=True)
    return reader.execution_options(compdb_mode=READ)


def adopt_engine(engine: sa.Engine) -> tuple[sa.Engine, sa.Engine]:
    """Give somebody's engine our listeners, and return the engines to work and to read with.

    Its pool stays its owner's. One made as `mysql://` for a MariaDB server is seen through a second engine that knows the
    server for what it is, on the same pool.
    """
    with answering(engine):
        engine.connect().close()
        ours = dialects.of(engine)
        if ours.actual_name != ours.name:
            url = engine.url.set(drivername=f"{ours.actual_name}+{engine.driver}")
            engine = _create(url, {"pool": engine.pool, "hide_parameters": engine.hide_parameters})
        listen(engine)
        with engine.connect() as connection:
            if getattr(engine.dialect, "server_version_info", None) is None:  # its pool had been in use
                engine.dialect.initialize(connection)
            dialects.of(engine).learn(connection)
    options = {} if one_connection(engine) else dialects.of(engine).reader_options()
    return engine, engine.execution_options(compdb_mode=READ, **options)


def one_connection(engine: sa.Engine) -> bool:
    """Tell whether all work on an engine goes through one connection, so that nothing can run beside anything."""
    pool = engine.pool
    if isinstance(pool, (sa.pool.StaticPool, sa.pool.SingletonThreadPool, sa.pool.AssertionPool)):
        return True
    return isinstance(pool, sa.pool.QueuePool) and pool.size() == 1 and getattr(pool, "_max_overflow", 0) == 0


def unobserved(connection: sa.Connection, also: Iterable[Any] = ()) -> bool:
    """Tell whether nobody but us is told of the statements of a connection: no listener, but for some of ours, and no log."""
    if connection.engine.echo or _statements.isEnabledFor(logging.INFO):
        return False
    ours = {*LISTENERS.values(), *dialects.of(connection).listeners, *also}
    of_dialect, of_connection = connection.dialect.dispatch, connection.dispatch
    told = [*of_dialect.do_execute, *of_dialect.handle_error, *(f for name in WATCHED for f in getattr(of_connection, name))]
    return ours.issuperset(told)


def raised(connection: sa.Connection, statement: str, values: Any, error: Exception) -> Exception:
    """Return what SQLAlchemy would raise for an error of the driver, for a statement that was given to the driver itself."""
    dialect, ours = connection.dialect, dialects.of(connection)
    driver = connection.connection.dbapi_connection
    lost = dialect.is_disconnect(error, driver, None) or ours.line_lost(error)  # type: ignore[arg-type]  # as SQLAlchemy gives it
    if lost:
        connection.invalidate(error)
    elif (missing := _missing(connection, statement, error)) is not None:
        return missing
    return exc.DBAPIError.instance(
        statement,
        values,
        error,
        dialect.loaded_dbapi.Error,
        hide_parameters=connection.engine.hide_parameters,
        connection_invalidated=lost,
        dialect=dialect,
    )


@contextmanager
def answering(engine: sa.Engine) -> Iterator[None]:
    """Tell as `ConnectionFailed` that the database did not answer, with its name and without its password."""
    try:
        yield
    except exc.DBAPIError as error:
        if error.statement is not None:
            raise
        raise _failed(engine.url, error) from error
    except (OSError, exc.TimeoutError) as error:
        raise _failed(engine.url, error) from error


def _failed(url: sa.URL, error: BaseException) -> ConnectionFailed:
    said = redact_text(str(original(error)).strip(), url)
    if isinstance(error, exc.TimeoutError):
        return ConnectionFailed(
            f"all connections that the engine of {redact(url)} may open are in use; populate() reads on one and writes on another, so"
            f" give create_engine() a pool_size of at least 2: {said}"
        )
    return ConnectionFailed(dialects.family(url).no_answer(url, redact(url), said))


def _create(url: sa.URL, arguments: dict[str, Any]) -> sa.Engine:
    """Create an engine; a driver that is missing is named with the way to install it."""
    try:
        engine = sa.create_engine(url, **{"hide_parameters": True, **arguments})
    except ModuleNotFoundError as error:
        extra = dialects.family(url).extra
        hint = f": pip install 'compdb[{extra}]'" if extra else ""
        raise ConnectionFailed(f"the driver {error.name!r} of {redact(url)} is not installed{hint}") from error
    except (exc.ArgumentError, TypeError, ValueError) as error:
        raise ConnectionFailed(f"cannot use the database URL {redact(url)}: {redact_text(str(error), url)}") from error
    connector = dialects.of(engine).connector()
    if connector is not None:
        engine.dialect.connect = connector  # type: ignore[method-assign]  # what listens to do_connect comes before it
    return engine


# ---------------------------------------------------------------- listeners

_lock = threading.Lock()
_engines: weakref.WeakSet[sa.Engine] = weakref.WeakSet()
_pooled: weakref.WeakSet[sa.Dialect] = weakref.WeakSet()
_out: weakref.WeakSet[PoolProxiedConnection] = weakref.WeakSet()
_inherited: list[PoolProxiedConnection] = []
_pid = os.getpid()


def listen(engine: sa.Engine, *, reader: bool = False) -> None:
    """Give an engine our listeners; a second time does nothing."""
    with _lock:
        if engine.dialect not in _pooled:
            _pooled.add(engine.dialect)
            event.listen(engine, "checkout", functools.partial(_checkout, weakref.ref(engine.dialect), reader))
            event.listen(engine, "checkin", _checkin)
        for name, function in LISTENERS.items():
            if not event.contains(engine, name, function):
                event.listen(engine, name, function, retval=name == "before_cursor_execute")
        _engines.add(engine)


def _checkout(
    dialect: weakref.ref[sa.Dialect],
    reader: bool,
    driver: DBAPIConnection,
    record: ConnectionPoolEntry,
    proxy: PoolProxiedConnection,
) -> None:
    """Set a connection up the first time, and later ask it whether it lives if that is in doubt."""
    theirs = dialect()
    if theirs is None:
        return
    ours, info = dialects.of(theirs), record.info
    try:
        if "compdb_process" not in info:
            ours.setup(driver, reader=reader)
            info.update(compdb_process=_pid, compdb_reader=reader, compdb_dialect=ours)
        elif not ours.alive(driver) or time.monotonic() - info.get("compdb_used", 0.0) > IDLE:
            theirs.do_ping(driver)
    except theirs.loaded_dbapi.Error as error:
        if "compdb_process" in info:
            raise exc.InvalidatePoolError("the connection has died") from error
        raise exc.DBAPIError.instance(None, None, error, theirs.loaded_dbapi.Error, dialect=theirs) from error
    _out.add(proxy)


def _checkin(driver: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
    record.info["compdb_used"] = time.monotonic()


def _begin(connection: sa.Connection) -> None:
    connection.info.pop("compdb_lost", None)
    dialects.of(connection).begin(connection)


def _before_cursor_execute(
    connection: sa.Connection,
    cursor: DBAPICursor,
    statement: str,
    parameters: object,
    context: ExecutionContext | None,
    executemany: bool,
) -> tuple[str, object]:
    _refuse(connection.info)
    if connection.get_execution_options().get("compdb_mode") == READ and not dialects.reads_only(statement):
        raise SessionError(f"a connection that is for reading cannot write: {statement[:80]}; use transaction()")
    ours = dialects.of(connection)
    ours.before_execute(connection, cursor, statement, context)
    return ours.completed(context, statement, parameters)


def _commit(connection: sa.Connection) -> None:
    if not connection.invalidated:
        _refuse(connection.info)
        dialects.of(connection).end(connection)


def _rollback(connection: sa.Connection) -> None:
    if not connection.invalidated:
        connection.info.pop("compdb_lost", None)
        _refuse(connection.info)
        dialects.of(connection).end(connection)


def _refuse(info: dict[Any, Any]) -> None:
    """Raise if nothing may run any more on a connection."""
    if "compdb_lost" in info:
        raise TransactionLost(
            f"the database has rolled the whole transaction back: {info['compdb_lost']}\n"
            "nothing that was written in it is kept; the work is to be done again, from its beginning"
        )
    if info.get("compdb_process", _pid) != _pid:
        raise SessionError(
            f"this connection belongs to process {info['compdb_process']}, from which process {_pid} was forked;"
            " each process opens a session of its own"
        )


def _handle_error(context: ExceptionContext) -> None:
    connection = context.connection
    if connection is None or context.is_disconnect or connection.invalidated:
        return
    if dialects.of(connection).line_lost(context.original_exception):
        context.is_disconnect = True
        return
    if dialects.of(connection).transaction_lost(connection, context.original_exception):
        connection.info["compdb_lost"] = str(context.original_exception)[:200]
        return
    missing = _missing(connection, context.statement, context.original_exception)
    if missing is not None:
        raise missing from context.original_exception


def _missing(connection: sa.Connection, statement: str | None, error: BaseException) -> SchemaDrift | None:
    """Say how a table that is declared and not in the database comes into being; of others the database's own words are told."""
    diagnosis = dialects.of(connection).classify(error)
    if diagnosis.fault is not Fault.MISSING_TABLE or not DATA.match(statement or ""):
        return None
    name = diagnosis.table or ""
    found = [t for t in dag.every_table() if t.name == name and (dag.tier(t) or t.info.get("system"))]
    if not found:
        return None
    pipelines = dict.fromkeys(str(t.metadata.info.get("pipeline", "its pipeline")) for t in found)
    activate = " or ".join(f"{pipeline}.activate()" for pipeline in pipelines)
    return SchemaDrift(
        f"{dag.label(found[0])}: there is no table {name!r} in {redact(connection.engine.url)}; {activate} brings it into being"
    )


WATCHED = ("before_execute", "after_execute", "before_cursor_execute", "after_cursor_execute")
"""Where others may listen who are to know of every statement."""

LISTENERS: dict[str, Any] = {
    "begin": _begin,
    "before_cursor_execute": _before_cursor_execute,
    "commit": _commit,
    "rollback": _rollback,
    "handle_error": _handle_error,
}


# ---------------------------------------------------------------- forks


def _forked() -> None:
    """In a forked child: start with empty pools, and cut off what is open in the parent.

    The child's copy of an open connection keeps its place (closing it would end the parent's session), but its socket
    leads nowhere any more.
    """
    global _lock, _pid
    _pid, _lock = os.getpid(), threading.Lock()
    _inherited.extend(_out)
    _out.clear()
    for engine in list(_engines):
        engine.dispose(close=False)
    for proxy in _inherited:
        _cut(proxy.info["compdb_dialect"], proxy.dbapi_connection)


def _cut(ours: Dialect, driver: DBAPIConnection | None) -> None:
    descriptor = None if driver is None else ours.descriptor(driver)
    if descriptor is None or descriptor < 0:
        return
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forked)
