"""Sessions on a database, and who holds the one in force.

The open session travels with the code that it encloses in the context variable `HELD`, together with the thread, the task and
the process that opened it. Another thread, task or process that inherits the variable is told so instead of sharing a
connection. The variable is never reset by its token, so a transaction may be left in another context than it was entered
in, as web frameworks do; what has ended marks itself as ended.
"""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa
from sqlalchemy import event, orm
from sqlalchemy.orm import unitofwork

from compdb import dag
from compdb.errors import SessionError

if TYPE_CHECKING:
    from compdb.database import Database

__all__ = ["BOUND", "HELD", "Holder", "Owner", "RowSession", "Session", "Transaction", "current_task", "parents_first"]

BOUND: weakref.WeakKeyDictionary[sa.MetaData, Database] = weakref.WeakKeyDictionary()
"""In which database the tables of a `MetaData` live."""


class Session(orm.Session):
    """A SQLAlchemy session of one database.

    Attributes
    ----------
    database : Database
        Where it reads and writes.
    """

    def __init__(self, database: Database, **settings: Any) -> None:  # those of SQLAlchemy's Session
        self.database = database
        self._held = False
        super().__init__(**settings)

    def close(self) -> None:
        """Close the session, unless a `with transaction()` has it: that one closes it at its end."""
        if not self._held:
            super().close()

    def add(self, instance: object, *, _warn: bool = True) -> None:
        """Add a row; rows that it links to may have been fetched outside this session."""
        _leave(instance)
        super().add(instance, _warn=_warn)

    def commit(self) -> None:
        """Commit, unless a `with transaction()` has the session: that one commits at its end."""
        if self._held:
            raise SessionError(
                "this session belongs to a `with transaction():`, which commits when its block ends;"
                " a part of the work that stands or falls by itself is a `with transaction():` inside it"
            )
        super().commit()

    def get_bind(self, mapper: Any = None, **options: Any) -> sa.Engine | sa.Connection:  # as SQLAlchemy calls it
        """Return where to run a statement; a table of another database is refused."""
        table = getattr(sa.inspect(mapper), "local_table", None) if mapper is not None else None
        home = BOUND.get(table.metadata) if isinstance(table, sa.Table) else None
        if home is not None and home is not self.database:
            raise SessionError(f"{table} lives in {home.url}, and this is a session of {self.database.url}")
        return super().get_bind(mapper, **options)


class RowSession(orm.Session):
    """The session of rows that were fetched outside any transaction: links and blobs load when touched, nothing is written.

    It lives as long as its rows do, and holds no connection between two loads.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database.reader, autoflush=False, expire_on_commit=False)

    def flush(self, objects: Any = None) -> None:  # as SQLAlchemy has it
        """Refuse: rows are changed by `update1`, or in a `with transaction()`."""
        raise SessionError(
            "rows fetched outside a transaction are for reading; change them by update1, or fetch them inside"
            " `with Lab.transaction():`"
        )


def parents_first(session: orm.Session, flush: orm.UOWTransaction, instances: Any) -> None:
    """Write a row after the rows that its foreign keys name: SQLAlchemy orders by relationships that were assigned, and columns may be set."""
    # SQLAlchemy has no public way: relationships say nothing of columns, and `flush(objects)` is deprecated. A test says where these names go.
    rows = [*session.new, *session.dirty, *session.deleted]
    mappers = {mapper.local_table: mapper for mapper in {sa.inspect(type(row)) for row in rows}}
    if len(mappers) < 2:
        return
    save: Any = unitofwork._SaveUpdateAll
    delete: Any = unitofwork._DeleteAll
    for table, mapper in mappers.items():
        for edge in dag.parents(table) if dag.tier(table) else ():
            parent = mappers.get(edge.parent)
            if parent is not None and parent.base_mapper is not mapper.base_mapper:
                above, below = parent.base_mapper, mapper.base_mapper
                flush.dependencies.add((save(flush, above), save(flush, below)))
                flush.dependencies.add((delete(flush, below), delete(flush, above)))


event.listen(Session, "before_flush", parents_first)


@event.listens_for(RowSession, "do_orm_execute")
def _give_back(state: orm.ORMExecuteState) -> sa.Result[Any]:
    """Fetch everything and give the connection back."""
    found = state.invoke_statement().freeze()
    if (transaction := state.session.get_transaction()) is not None:
        transaction.close()
    return found()


@event.listens_for(RowSession, "loaded_as_persistent")
def _keep(session: orm.Session, row: Any) -> None:
    """Let a row keep its session alive."""
    row.__dict__["_compdb_session"] = session


def _leave(row: Any) -> None:
    """Let a row, and what it links to, out of the session it was fetched in, so that another one can have it."""
    state = sa.inspect(row, raiseerr=False)
    if not isinstance(state, orm.InstanceState):
        return
    linked = [other for other, *_ in state.mapper.cascade_iterator("save-update", state)]
    for each in [row, *linked]:
        session = orm.object_session(each)
        if isinstance(session, RowSession):
            session.expunge(each)


@dataclass(frozen=True, slots=True)
class Owner:
    """Who has opened a session: the thread, the task and the process."""

    thread: int = field(default_factory=threading.get_ident)
    task: object = field(default_factory=lambda: current_task())
    process: int = field(default_factory=os.getpid)

    def here(self) -> bool:
        """Tell whether that is who is asking."""
        return self.thread == threading.get_ident() and self.process == os.getpid() and self.task is current_task()

    def words(self) -> str:
        """Say who it is, to one who is not."""
        if self.process != os.getpid():
            return f"process {self.process}, from which this process was forked"
        if self.thread != threading.get_ident():
            return f"another thread ({self.thread}; this is {threading.get_ident()})"
        return "another asyncio task"


class Holder(Protocol):
    """The open work on one database, as it stands in `HELD`: what reads and writes in its context go through."""

    owner: Owner
    closed: bool

    @property
    def session(self) -> orm.Session:
        """The session in force."""
        ...

    def connection(self, statement: sa.Executable | None) -> sa.Connection:
        """Return the connection on which a statement should read."""
        ...

    def answer(
        self, table: sa.Table, names: tuple[str, ...], equality: Mapping[str, Any]
    ) -> list[tuple[Any, ...]] | None:
        """Return attributes of the rows with these values if they are known already, else None."""
        ...

    def nested(self) -> AbstractContextManager[orm.Session]:
        """Enter a transaction inside this one."""
        ...


class Transaction:
    """The holder of a `with transaction()`."""

    def __init__(self, session: Session) -> None:
        self.owner, self.closed, self.session = Owner(), False, session

    def connection(self, statement: sa.Executable | None) -> sa.Connection:
        """Return the session's connection, with everything that was added to the session written first."""
        if self.session.autoflush and not self.session._flushing:
            self.session.flush()
        return self.session.connection()

    def answer(
        self, table: sa.Table, names: tuple[str, ...], equality: Mapping[str, Any]
    ) -> list[tuple[Any, ...]] | None:
        """Know nothing: ask the database."""
        return None

    @contextmanager
    def nested(self) -> Iterator[orm.Session]:
        """Enter a SAVEPOINT."""
        with self.session.begin_nested():
            yield self.session


HELD: ContextVar[Mapping[Database, Holder]] = ContextVar("compdb_held", default=MappingProxyType({}))
"""The open work of this context, by database."""


def current_task() -> object:
    """Return the asyncio task that is running, or None."""
    asyncio = sys.modules.get("asyncio")  # who has not imported it runs no task, and need not wait for its import
    if asyncio is None or asyncio._get_running_loop() is None:
        return None
    task: object = asyncio.current_task()
    return task
