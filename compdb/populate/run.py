"""One run of populate over one table: its connections, the snapshot that makes read from, and the buffer of finished makes.

A *window* is the work that shares a commit. Its makes read one state of the database, from a read-only snapshot; their rows wait in the
buffer; at its end one short transaction writes them all.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import AsyncGenerator, Coroutine, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa
from sqlalchemy import event, exc, orm

from compdb import dag
from compdb import insert as inserting
from compdb.database import HELD, Database, Owner
from compdb.dialects import Fault
from compdb.errors import ConnectionFailed, DuplicateKey, LeaseLost, MakeError, TransactionLost
from compdb.executors.interrupts import undisturbed
from compdb.jobs import Ledger, Skip, told
from compdb.populate.events import hooks
from compdb.populate.inputs import AT_ONCE, Inputs
from compdb.populate.patience import RETRIES, Hopeless, insisting, until_it_answers
from compdb.populate.points import Points
from compdb.populate.rowfacts import RowFacts
from compdb.populate.snapshot import Snapshot
from compdb.sessions import parents_first

if TYPE_CHECKING:
    from compdb.populate.make import Make

__all__ = ["MakeSession", "Outcome", "Run"]

log = logging.getLogger("compdb")

HOPELESS = (Fault.DISK_FULL, Fault.READ_ONLY, Fault.DENIED)
THREE_PARTS = ("make_fetch", "make_compute", "make_insert")
WINDOW_BYTES = 32_000_000
"""How much the rows of one window may weigh."""


class MakeSession(orm.Session):
    """The session that a make sees: reads go to the snapshot, and the first write turns the make into a direct one."""

    def __init__(self, run: Run) -> None:
        super().__init__(
            run.database.engine, expire_on_commit=False, autoflush=True, join_transaction_mode="rollback_only"
        )
        self.run = run
        self.make: Make | None = None

    def get_bind(self, mapper: Any = None, *, clause: Any = None, **options: Any) -> Any:
        """Return the connection for a statement of the running make."""
        make = self.make
        if make is None:
            raise MakeError("this session belonged to a make that has ended")
        if self._flushing or clause is None:
            make.go_direct()
            return make.run.writer
        return make.connection(clause)

    def pending(self) -> bool:
        """Say whether it holds rows that are to be written."""
        return bool(self.identity_map.check_modified() or self.new or self.deleted)

    def flush(self, objects: Any = None) -> None:
        """Write the rows that the make has given the session: from there on the make is a direct one."""
        if self.make is not None and not self._flushing and self.pending():
            self.make.go_direct()
        super().flush(objects)

    def leave(self) -> None:
        """Let go of the connection, and keep the rows that are to be written on another one."""
        transaction = self.get_transaction()
        if transaction is not None:
            transaction.close()

    def settle(self) -> None:
        """Keep what a direct make wrote by the session: the end of the make commits it."""
        if self.in_transaction():
            super().commit()

    def commit(self) -> None:
        """Refuse: populate commits."""
        raise MakeError("a make may not commit: populate commits its rows, all or nothing; take session.commit() out")


event.listen(MakeSession, "before_flush", parents_first)


@event.listens_for(MakeSession, "do_orm_execute")
def _read_ahead(state: orm.ORMExecuteState) -> None:
    """The first make that touches a link has the parent rows of the whole batch brought in."""
    session = state.session
    assert isinstance(session, MakeSession)
    make = session.make
    if state.is_relationship_load and make is not None and not make.has_written and state.bind_mapper is not None:
        make.run.inputs.load(session, state.bind_mapper.class_)


_DDL = re.compile(r"\s*(create(?!\s+temp)|drop(?!\s+temp)|alter|truncate|rename)\b", re.IGNORECASE)


def _refuse_ddl(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
    """Refuse to change the schema in a make: on MySQL and MariaDB that would commit half a make."""
    if _DDL.match(statement):
        raise MakeError(
            f"a make may not change the schema: {statement.strip().splitlines()[0]}; do that outside populate"
        )


@dataclass(frozen=True)
class Outcome:
    """What became of some keys: how many were made, and which failed with what."""

    success: int
    errors: list[tuple[dict[str, Any], BaseException]]


class Run:
    """What the makes of one call of populate share.

    Attributes
    ----------
    own : list of Table
        The target and its parts, which a make fills.
    below : frozenset of Table
        What depends on the target, and itself: reading it could show rows that wait in the buffer.
    could_see : dict of SelectBase to bool
        Whether a statement could show rows that wait in the buffer.
    """

    def __init__(
        self, cls: type[Any], database: Database, names: Sequence[str], interval: float, ledger: Ledger | None = None
    ) -> None:
        self.cls, self.database, self.interval, self.ledger = cls, database, interval, ledger
        self.table: sa.Table = cls.__table__
        self.label = dag.label(self.table)
        self.own = [self.table, *dag.parts(self.table)]
        also = [t.__table__ for t in cls.allow_writes_to]
        self.allowed = frozenset([*self.own, *also])
        self.below = frozenset([*self.own, *dag.descendants(self.table)])
        self.rank = {t: i for i, t in enumerate(dag.topological(self.own))}
        self.key_columns = {t: _master_columns(t, self.table) for t in self.own}
        self.owner = Owner()
        self.facts = RowFacts(cls)
        self.hooks = hooks(cls)
        self.three_parts = _has_three_parts(cls)
        ahead = bool(cls.prefetch) and not database.one_connection
        self.inputs = Inputs(cls, self.below, names, database.dialect, ahead)
        self.could_see: WeakKeyDictionary[sa.SelectBase, bool] = WeakKeyDictionary()
        self.snapshot = Snapshot(database, 1.5 * interval)
        self.points = Points(self.snapshot, self.below)
        self.session = MakeSession(self)
        self.finished: list[Make] = []
        self.weight = 0
        self.began = time.monotonic()
        self.success = 0
        self.commits = 0
        self.windows = 0
        self.in_doubt = False
        self.made_meanwhile: set[tuple[Any, ...]] = set()
        self.lost = 0
        self.writing = False
        self.errors: list[tuple[dict[str, Any], BaseException]] = []
        self._writer: sa.Connection | None = None

    # ---- reading

    def end_snapshot(self) -> None:
        """Let go of the state that was seen, and of what was read from it."""
        if self.session.pending():
            self.session.leave()
        elif self.session.in_transaction() or self.session.identity_map:
            self.session.close()
        self.inputs.forget()
        self.snapshot.end()

    def end_batch(self) -> None:
        """The keys that were read ahead for are done."""
        self.inputs.forget()
        if self.session.identity_map:
            self.session.expunge_all()

    def perform(self, row: Any, make: Make, options: dict[str, Any]) -> None:
        """Call the make of `row`, in the one form or in the three-part form."""
        if self.inputs.knows_links:
            self.inputs.link(self.session, row, make.key)
        answer = make.in_three_parts(row, options) if self.three_parts else row.make(dict(make.key), **options)
        if isinstance(answer, (Generator, Coroutine, AsyncGenerator)):
            raise _not_run(self.label, answer)
        make.skipped = answer if isinstance(answer, Skip) else None

    def rest(self) -> None:
        """Hold nothing: neither a snapshot nor a connection, while something long is computed."""
        self.flush()
        self.snapshot.close()
        self._drop_writer()

    # ---- writing

    def take(self, make: Make) -> None:
        """Put a finished make into the window, and end the window when it is full."""
        self.finished.append(make)
        self.weight += make.weight
        if time.monotonic() - self.began > self.interval or self.weight > WINDOW_BYTES:
            self.flush()

    def flush(self) -> None:
        """End the window: write the rows of the finished makes, in one transaction if that goes well, else one key at a time."""
        makes, self.finished, self.weight = self.finished, [], 0
        self.windows += 1
        self.end_snapshot()
        self.began = time.monotonic()
        if not makes:
            return
        self.writing, self.in_doubt = True, False
        try:
            with self.aside():
                while makes:
                    try:
                        with undisturbed():
                            self._write_window(makes)
                    except ConnectionFailed as error:
                        until_it_answers(self.database, self.label, error)
        finally:
            self.writing = False

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Let populate itself read and write past the make that is running."""
        held = HELD.get()
        HELD.set(MappingProxyType({database: h for database, h in held.items() if database is not self.database}))
        try:
            yield
        finally:
            HELD.set(held)

    def _write_window(self, makes: list[Make]) -> None:
        """Write makes, and take out of the list those that are dealt with: all together, or each in a transaction of its own."""
        try:
            self._write(makes)
        except (exc.DBAPIError, LeaseLost) as error:
            self.stop_if_hopeless(error)
        else:
            self.count(makes)
            makes.clear()
        while makes:  # outside the handler: what failed the window is no part of what fails a key
            self._write_alone(makes[0])
            del makes[0]

    def count(self, makes: Sequence[Make]) -> None:
        """Count makes that are committed, and tell of them."""
        kept = [make for make in makes if make.skipped is None]
        self.success += len(kept)
        told = self.hooks.dispatch.make_kept
        if told:
            for make in kept:
                try:
                    told(self.cls, dict(make.key), make.seconds)
                except Exception:  # nothing that a listener does undoes a commit
                    log.exception("%s: a listener of make_kept failed for %s", self.label, dict(make.key))

    def _write_alone(self, make: Make) -> None:
        """Write one make, so that an error lands on its own key."""
        try:
            self._write([make])
        except exc.DBAPIError as error:
            self.stop_if_hopeless(error)
            told = insisting(self.database, self.label, partial(make.told, error))
            if not self.done_elsewhere(make, told, in_doubt=self.in_doubt):
                self.fail(make.key, told)
        except LeaseLost as error:
            self.lose(make.key, error)
            self.count([make] if self.in_doubt else [])
        else:
            self.count([make])

    def lose(self, key: dict[str, Any], error: BaseException) -> None:
        """Note that nothing of `key` was kept since it is another worker's now: no error, its result is or will be there.

        Where it is in doubt whether a COMMIT of ours arrived, it did: it has removed the job.
        """
        log.info("%s: %s is another worker's now, or its inputs are gone: %s", self.label, dict(key), told(error))
        self.lost += 1

    def done_elsewhere(self, make: Make, error: BaseException, *, in_doubt: bool) -> bool:
        """Say whether a doubled key only means that the row is there: another worker made it, or we did and never heard."""
        if not isinstance(error, DuplicateKey) or error.table != self.label:
            return False
        key = make.key
        query = sa.select(sa.literal(1)).where(sa.exists().where(*(self.table.c[n] == v for n, v in key.items())))
        there = bool(self._ask(query))
        if there:
            log.info("%s: %s is there already", self.label, dict(key))
            if self.ledger is not None:
                self.ledger.drop(key)
            self.count([make] if in_doubt else [])
        return there

    def look_again(self, keys: list[dict[str, Any]]) -> None:
        """Find out which of `keys` somebody else has made meanwhile."""
        columns = [self.table.c[n] for n in keys[0]]
        wanted, most = [tuple(key.values()) for key in keys], max(1, AT_ONCE // len(columns))
        self.made_meanwhile = set()
        for start in range(0, len(wanted), most):
            some = self.database.dialect.among(columns, wanted[start : start + most])
            self.made_meanwhile |= {tuple(row) for row in self._ask(sa.select(*columns).where(some))}

    def _ask(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        def ask() -> Sequence[sa.Row[Any]]:
            with self.database.reading(query) as connection:
                return connection.execute(query).all()

        return insisting(self.database, self.label, ask)

    def passes(self, error: BaseException) -> bool:
        """Say whether the database, and not the make, is to blame, so that the same make may well succeed."""
        if isinstance(error, (TransactionLost, ConnectionFailed)):
            return True
        if not isinstance(error, exc.DBAPIError):
            return False
        fault = self.database.dialect.classify(error).fault
        return fault.transient or fault in HOPELESS

    def stop_if_hopeless(self, error: BaseException) -> None:
        """End the run where no key can succeed: the keys stay pending.

        Raises
        ------
        Hopeless
            If the disk is full, or the database lets nobody write.
        """
        if isinstance(error, exc.DBAPIError):
            fault = self.database.dialect.classify(error).fault
            if fault in HOPELESS:
                raise Hopeless(
                    f"{self.database.url}: {fault.value}; populate of {self.label} stops here, what was committed is kept and the"
                    f" other keys stay pending ({str(error.orig).splitlines()[0]})"
                ) from error

    def discard(self) -> None:
        """Throw the connections away: an interrupt may have struck in the middle of a statement, and nobody knows what they are at."""
        if not self.database.one_connection:
            self.snapshot.discard()
            if self._writer is not None:
                self._writer.invalidate()

    def reconnect(self) -> None:
        """Begin afresh after the database ended a transaction or a connection."""
        self.snapshot.close(failed=True)
        self.inputs.forget()
        self._drop_writer()

    def _write(self, makes: list[Make]) -> None:
        """Write in one transaction; what may well succeed when sent again is sent again."""
        for attempt in range(RETRIES):
            try:
                with self.writer.begin():
                    self.database.dialect.only_inserting(self.writer)
                    self.send(makes)
                    self.close_ledger(makes)
            except exc.DBAPIError as error:
                if not self.database.dialect.classify(error).fault.transient or attempt == RETRIES - 1:
                    raise
                log.info("%s: sending the rows of %d keys again after %s", self.label, len(makes), error.orig)
                self.in_doubt = True  # the reply to a COMMIT may be what was lost
                self._drop_writer()
                time.sleep(0.02 * 2**attempt)
            else:
                self.commits += 1
                return

    def close_ledger(self, makes: list[Make]) -> None:
        """Write down, last in the transaction of their rows, that these makes are done; see `Ledger.close`."""
        if self.ledger is not None:
            self.ledger.close(self.writer, makes)

    @property
    def writer(self) -> sa.Connection:
        """The connection that writes."""
        if self._writer is None:
            self._writer = self.database.connect(self.database.writer)
            event.listen(self._writer, "before_cursor_execute", _refuse_ddl)
        return self._writer

    def _drop_writer(self) -> None:
        if self._writer is not None:
            writer, self._writer = self._writer, None
            writer.close()

    def send(self, makes: Iterable[Make]) -> None:
        """Send buffered rows: one multi-row INSERT per table, masters before parts, calls in order."""
        calls = sorted((c for m in makes for c in m.buffer), key=lambda c: self.rank[c.table])
        start = 0
        while start < len(calls):
            end, first = start, calls[start]
            while end < len(calls) and (calls[end].table, calls[end].mode) == (first.table, first.mode):
                end += 1
            rows = [row for call in calls[start:end] for row in call.rows]
            inserting.write(self.database, self.writer, first.table, rows, first.mode)
            start = end

    def fail(self, key: dict[str, Any], error: BaseException) -> None:
        """Note that the make of `key` failed."""
        if self.ledger is not None and not self.ledger.fail(key, error):
            self.lose(key, error)
            return
        extra = {"event": "failed", "table": self.label, "key": dict(key)}
        log.error("make of %s failed for %s: %s", self.label, dict(key), told(error), extra=extra)
        self.errors.append((dict(key), error))
        self.hooks.dispatch.make_failed(self.cls, dict(key), error)

    def close(self) -> None:
        """Give the connections back."""
        try:
            self.end_snapshot()
        finally:
            self.session.close()
            self.snapshot.close()
            self._drop_writer()


def _has_three_parts(cls: type[Any]) -> bool:
    """Say whether make is given as make_fetch, make_compute and make_insert; refuse half of that."""
    given = [name for name in THREE_PARTS if hasattr(cls, name)]
    if not given:
        return False
    whole = next(c for c in cls.__mro__ if "make" in vars(c))
    if len(given) < len(THREE_PARTS) or not whole.__module__.startswith("compdb."):
        missing = [name for name in THREE_PARTS if name not in given]
        raise MakeError(
            f"{cls.__name__}: a make in three parts has {', '.join(THREE_PARTS)} and no make"
            + (f"; {', '.join(missing)} is missing" if missing else "; take make out")
        )
    return True


def _master_columns(table: sa.Table, master: sa.Table) -> dict[str, str]:
    """Return under which names a part has the key of its master, where they differ."""
    if table is master:
        return {}
    edge = next(e for e in dag.parents(table) if e.parent is master and e.primary)
    return {theirs: mine for mine, theirs in edge.pairs if mine != theirs}


def _not_run(label: str, answer: Any) -> MakeError:
    """Return the error for a make of which nothing has run, since its caller was to go on with it."""
    if isinstance(answer, (Coroutine, AsyncGenerator)):
        if isinstance(answer, Coroutine):
            answer.close()
        return MakeError(f"make of {label} is declared with `async def`, so nothing of it ran: write `def`")
    return MakeError(
        f"make of {label} has a `yield`, so nothing of it ran: write its parts as make_fetch, make_compute and make_insert,"
        " which each return a tuple to the next"
    )
