"""All the SQL that moves jobs between states; nothing outside this file writes a jobs table.

    (absent) --refresh--> pending --reserve--> reserved --complete, with the result--> (absent)
                                      reserved --error--> error, or pending again later (`max_attempts`)
                                      reserved --its worker is dead: rescue--> pending (from the third time on: error)
                                      reserved --release--> pending
                                      any --a parent row is deleted--> (absent)

Whoever changes a reserved job names its token. What is reserved or rescued is locked with SKIP LOCKED, so that nobody waits for one who
sleeps with locks in hand; on SQLite a write transaction is alone anyway.
"""

from __future__ import annotations

import functools
import itertools
import logging
import random
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from compdb import dag
from compdb.database import Database
from compdb.dialects import Fault, utcnow
from compdb.errors import TransactionLost
from compdb.jobs.tables import JobsTable

__all__ = ["Held", "Queue", "insisting", "told"]

log = logging.getLogger("compdb")

Result = TypeVar("Result")
One = TypeVar("One", bound=Mapping[str, Any])
Changing = TypeVar("Changing", sa.Update, sa.Delete)
Key = Mapping[str, Any]
Condition = sa.ColumnElement[bool]

AT_ONCE = 500
"""How many keys one statement names."""
EVERY = 1_000_000
MANY = 10_000
"""How many pointless jobs are in hand at once."""
MAX_CRASHES = 3
LONGEST_BACKOFF = 3600.0
MESSAGE, STACK = 2047, 64_000
TRIES = 8
RELEASE = 3.0
"""How long a worker tries to give its keys back, in seconds: one that is frozen may have them locked."""


class Held(dict[str, Any]):
    """A key that a worker has reserved.

    Attributes
    ----------
    token : str
        Of this reservation.
    attempts : int
        How many makes of it have failed before.
    alone : bool
        A worker died that had it; so it is made by itself, to see whether it is the one that kills.
    """

    __slots__ = ("alone", "attempts", "token")

    def __init__(
        self, key: Iterable[tuple[str, Any]] | Key = (), token: str = "", attempts: int = 0, alone: bool = False
    ) -> None:
        super().__init__(key)
        self.token, self.attempts, self.alone = token, attempts, alone

    def __reduce__(self) -> tuple[Any, ...]:
        return Held, (dict(self), self.token, self.attempts, self.alone)


class Queue:
    """The jobs of one table."""

    def __init__(self, database: Database, jobs: JobsTable) -> None:
        self.database, self.jobs = database, jobs
        self.table, self.c = jobs.table, jobs.c
        self.label = dag.label(jobs.target)

    # ---------------------------------------------------------------- refresh

    def refresh(
        self, missing: sa.Select[Any], source: sa.Select[Any], *, priority: int = 5, delay: float = 0
    ) -> dict[str, int]:
        """Make jobs of the keys that lack both result and job, and take out those that have become pointless.

        Parameters
        ----------
        missing : Select
            The keys that the target lacks, under their names.
        source : Select
            The whole key source: a pending job whose key is not in it is removed.
        delay : float, s
            Not before so long from now.
        """

        removed = self._remove(self._pointless(source))
        again = self._renew() if self._any([self.c["status"] == "success"]) else 0
        added = self._add(missing, priority, delay)
        return {"added": max(0, added), "removed": removed, "re_pended": again}

    def _add(self, missing: sa.Select[Any], priority: int, delay: float) -> int:
        """Insert jobs; to pass over those that somebody inserts meanwhile costs a sixth more, so that is done where there are any."""

        def work(skip_duplicates: bool, connection: sa.Connection) -> int:
            new = self._additions(missing, priority, delay, skip_duplicates)
            return connection.execute(new, execution_options={"preserve_rowcount": True}).rowcount

        try:
            return self._write(functools.partial(work, False))
        except exc.DBAPIError as error:
            if self.database.dialect.classify(error).fault is not Fault.DUPLICATE:
                raise
            return self._write(functools.partial(work, True))

    def _additions(self, missing: sa.Select[Any], priority: int, delay: float, skip_duplicates: bool) -> sa.Insert:
        keys = missing.subquery("missing")
        new = sa.select(
            *(keys.c[n] for n in self.jobs.keys),
            sa.literal("pending", self.c["status"].type),
            sa.literal(priority),
            utcnow(delay),
        ).where(~sa.exists().where(self.jobs.same_key(keys)))
        names = [*self.jobs.keys, *(self.c[n].name for n in ("status", "priority", "scheduled_time"))]
        return self.database.dialect.insert_select(self.table, names, new, skip_duplicates=skip_duplicates)

    def _pointless(self, source: sa.Select[Any]) -> Condition:
        """Return the condition that the result of a job is there, or that its key is none any more."""
        keys, status = source.subquery("source"), self.c["status"]
        there = sa.exists(sa.select(sa.literal(1)).where(self.jobs.same_key(self.jobs.target)))
        known = sa.exists(sa.select(sa.literal(1)).select_from(keys).where(self.jobs.same_key(keys)))
        return sa.or_(sa.and_(status.in_(["pending", "error"]), there), sa.and_(status == "pending", ~known))

    def _remove(self, condition: Condition) -> int:
        """Take jobs out; they are first looked for by a read that locks nothing, then locked where nobody else has locked them."""
        query, count = sa.select(*self.jobs.key).where(condition).limit(MANY), 0
        while True:
            with self.database.connect(self.database.reader) as connection:
                keys = [dict(zip(self.jobs.keys, row)) for row in connection.execute(query)]
            gone = sum(self._write(functools.partial(self._remove_some, condition, some)) for some in _slices(keys))
            count += gone
            if len(keys) < MANY or not gone:
                return count

    def _remove_some(self, condition: Condition, keys: Sequence[Key], connection: sa.Connection) -> int:
        free = sa.select(*self.jobs.key).where(self.named(keys), condition).with_for_update(skip_locked=True)
        rows = [dict(zip(self.jobs.keys, row)) for row in connection.execute(free)]
        if not rows:
            return 0
        gone = self._by_key(sa.delete(self.table).where(self.named(rows)), len(rows))
        return connection.execute(gone).rowcount

    def _renew(self) -> int:
        """Have completed jobs whose result is gone made again; return how many."""
        gone = ~sa.exists(sa.select(sa.literal(1)).where(self.jobs.same_key(self.jobs.target)))
        values = self._values(_AGAIN, attempts=0, crashes=0)
        again = sa.update(self.table).where(self.c["status"] == "success", gone).values(values)
        return self._write(lambda connection: connection.execute(again).rowcount)

    # ---------------------------------------------------------------- reserve, rescue, release

    def reserve(
        self, worker: Key, count: int, *conditions: Condition, order: str = "original", priority: int | None = None
    ) -> list[Held]:
        """Reserve up to `count` jobs that are due; keys whose worker has died before come last, and one by one.

        Parameters
        ----------
        worker : mapping
            `worker_id`, `host` and `pid` of who reserves.
        """
        due = [self.c["status"] == "pending", self.c["scheduled_time"] <= utcnow(), *conditions]
        if priority is not None:
            due.append(self.c["priority"] <= priority)
        keys = [k.desc() if order == "reverse" else k for k in self.jobs.key]
        by = [self.c["priority"], self.c["scheduled_time"], *keys]
        more = [self.c["attempts"], self.c["crashes"]]

        def reserve(which: Condition, count: int) -> list[Held]:
            token, tries = uuid.uuid4().hex, itertools.count()
            values = self._values(dict(worker), status="reserved", lease_token=token, reserved_time=utcnow())

            def work(connection: sa.Connection) -> list[sa.Row[Any]]:
                mine = self._reserved(connection, token, by, more) if next(tries) else []
                return mine or self._claim(connection, [*due, which], by, count, values, more)

            return [
                Held(zip(self.jobs.keys, key), token, attempts, bool(crashes))
                for *key, attempts, crashes in (tuple(row) for row in self._write(work))
            ]

        suspect = self.c["crashes"] > 0
        found = reserve(~suspect, count)
        if not found and self._any([*due, suspect]):
            found = reserve(suspect, 1)
        return found

    def _reserved(
        self, connection: sa.Connection, token: str, order: Sequence[Any], more: Sequence[sa.ColumnElement[Any]]
    ) -> list[sa.Row[Any]]:
        """Return the jobs of a token, where the reply to the COMMIT that reserved them may be what was lost."""
        mine = [self.c["status"] == "reserved", self.c["lease_token"] == token]
        return list(connection.execute(sa.select(*self.jobs.key, *more).where(*mine).order_by(*order)).all())

    def rescue(self) -> int:
        """Take the jobs of dead workers over: those that no living worker has; return how many."""
        orphan = self._orphans()
        if not self._any(orphan):
            return 0
        crashes = self.c["crashes"] + 1
        told = f"the worker died {MAX_CRASHES} times while it had this key: killed, out of memory, or a crash in compiled code"
        often = crashes >= MAX_CRASHES
        values = self._values(
            _FREED,
            status=sa.case((often, "error"), else_="pending"),
            crashes=crashes,
            error_message=sa.case((often, told), else_=self.c["error_message"]),
            scheduled_time=utcnow(),
        )
        rows = self._write(lambda connection: self._claim(connection, orphan, self._by_index, EVERY, values, []))
        if rows:
            log.warning("%s: taken over %d keys of workers that have died", self.label, len(rows))
        return len(rows)

    def _orphans(self) -> list[Condition]:
        workers = self.jobs.workers
        alive = sa.exists(
            sa.select(sa.literal(1)).where(workers.c.worker_id == self.c["worker_id"], workers.c.lease_until > utcnow())
        )
        return [self.c["status"] == "reserved", ~alive]

    def release(self, worker_id: str) -> int:
        """Give back all that a worker still has, uncounted; return how many.

        One that looks at them just now makes us pass over them, so they are looked for until none is left.
        """
        values = self._values(_FREED, status="pending")
        mine = [self.c["status"] == "reserved", self.c["worker_id"] == worker_id]
        count, patience = 0, time.monotonic() + RELEASE
        while True:
            count += len(
                self._write(lambda connection: self._claim(connection, mine, self._by_index, EVERY, values, []))
            )
            if not self._any(mine) or time.monotonic() > patience:
                return count
            time.sleep(0.05)

    # ---------------------------------------------------------------- the end of a job

    def complete(
        self, connection: sa.Connection, keys: Sequence[Held], *, keep: bool = False, seconds: float = 0
    ) -> bool:
        """Remove the jobs of `keys` in the transaction of their results, and say whether all were still ours: the fence."""
        count = 0
        tokens: dict[str, list[Held]] = {}
        for key in keys:
            tokens.setdefault(key.token, []).append(key)
        for token, some in tokens.items():
            for part in _slices(some):
                mine = sa.and_(self.named(part), self.c["lease_token"] == token)
                if keep:
                    done = self._values(_FREED, status="success", completed_time=utcnow(), duration=seconds)
                    ended: Any = self._by_key(sa.update(self.table).where(mine).values(done), len(part))
                else:
                    ended = self._by_key(sa.delete(self.table).where(mine), len(part))
                count += connection.execute(ended).rowcount
        return count == len(keys)

    def drop(self, key: Held) -> None:
        """Remove a job whose result is there already."""
        self._write(lambda connection: self.complete(connection, [key]))

    def error(self, key: Held, error: BaseException, stack: str, attempts: int) -> str | None:
        """Write down what the make of `key` raised; return the state of the job now, None if it is ours no more."""
        retry = key.attempts + 1 < attempts
        wait = min(LONGEST_BACKOFF, 2.0 ** min(key.attempts, 20)) * random.uniform(0.9, 1.1)  # noqa: S311 (jitter)
        values = self._values(
            _FREED,
            status="pending" if retry else "error",
            attempts=key.attempts + 1,
            scheduled_time=utcnow(wait if retry else 0.0),
            completed_time=utcnow(),
            error_message=told(error),
            error_stack=_cut(stack, STACK),
        )
        for kept in ("host", "pid"):
            values.pop(self.c[kept].name)
        mine = self._by_key(
            sa.update(self.table).where(self.named([key]), self.c["lease_token"] == key.token).values(values)
        )
        tries = itertools.count()

        def work(connection: sa.Connection) -> bool:
            again = next(tries) > 0
            return bool(connection.execute(mine).rowcount) or (again and self._is_noted(connection, key))

        return ("pending" if retry else "error") if self._write(work) else None

    def _is_noted(self, connection: sa.Connection, key: Held) -> bool:
        """Say whether an error was written down, where the reply to that COMMIT may be what was lost."""
        noted = [self.named([key]), self.c["attempts"] == key.attempts + 1, self.c["lease_token"].is_(None)]
        return connection.execute(sa.select(*self.jobs.key).where(*noted)).first() is not None

    def give_back(self, keys: Sequence[Held]) -> None:
        """Give keys back that were not begun, uncounted."""
        values = self._values(_FREED, status="pending")
        tokens: dict[str, list[Held]] = {}
        for key in keys:
            tokens.setdefault(key.token, []).append(key)

        def work(connection: sa.Connection) -> None:
            for token, some in tokens.items():
                for part in _slices(some):
                    mine = sa.and_(self.named(part), self.c["lease_token"] == token)
                    connection.execute(self._by_key(sa.update(self.table).where(mine).values(values), len(part)))

        self._write(work)

    def ignore(self, connection: sa.Connection, keys: Mapping[tuple[Any, ...], str], held: Sequence[Held] = ()) -> bool:
        """Ignore keys, for these reasons, whether they have a job or not; of those that are held, say whether they are still ours."""
        if held and not self.complete(connection, held):
            return False
        for key, reason in keys.items():
            named = dict(zip(self.jobs.keys, key))
            values = self._values(_FREED, status="ignore", error_message=_cut(reason, MESSAGE), completed_time=utcnow())
            changed = self._by_key(sa.update(self.table).where(self.named([named])).values(values))
            if not connection.execute(changed).rowcount:
                connection.execute(sa.insert(self.table).values({**named, **values}))
        return True

    def note_done(self, connection: sa.Connection, key: Key, *, keep: bool = False) -> None:
        """End the job of a key that was made by hand, whoever has it."""
        mine = self.named([key])
        if keep:
            done = self._values(_FREED, status="success", completed_time=utcnow())
            ended: Any = self._by_key(sa.update(self.table).where(mine).values(done))
        else:
            ended = self._by_key(sa.delete(self.table).where(mine))
        connection.execute(ended)

    def note_error(self, connection: sa.Connection, key: Key, message: str, stack: str | None) -> None:
        """Note, for a key that was made by hand, that it failed."""
        values = self._values(
            _FREED,
            status="error",
            error_message=_cut(message, MESSAGE),
            error_stack=None if stack is None else _cut(stack, STACK),
            completed_time=utcnow(),
        )
        noted = self._by_key(sa.update(self.table).where(self.named([key])).values(values))
        if not connection.execute(noted).rowcount:
            connection.execute(sa.insert(self.table).values({**key, **values}))

    # ---------------------------------------------------------------- small steps

    def _values(self, given: Key, **more: Any) -> dict[str, Any]:
        return {self.c[n].name: v for n, v in {**given, **more}.items()}

    def due(self) -> bool:
        """Say whether a job waits for a worker."""
        return self._answers(self._due)

    def unfinished(self) -> bool:
        """Say whether a job is pending, now or later, or reserved."""
        return self._any([self.c["status"].in_(["pending", "reserved"])])

    @property
    def _by_index(self) -> list[sa.Column[Any]]:
        """The order of the index: a plan that follows it finds the few jobs of a status among many others, whatever statistics say."""
        return [self.c["status"], self.c["priority"], self.c["scheduled_time"], *self.jobs.key]

    @functools.cached_property
    def _due(self) -> sa.Select[Any]:
        """What every batch begins with: to make the statement takes longer than to answer it."""
        return self._first([self.c["status"] == "pending", self.c["scheduled_time"] <= utcnow()])

    def _first(self, conditions: Sequence[Condition]) -> sa.Select[Any]:
        return sa.select(*self.jobs.key).where(*conditions).order_by(*self._by_index).limit(1)

    def _any(self, conditions: Sequence[Condition]) -> bool:
        return self._answers(self._first(conditions))

    def _answers(self, query: sa.Select[Any]) -> bool:
        with self.database.connect(self.database.reader) as connection:
            return connection.execute(query).first() is not None

    def _claim(
        self,
        connection: sa.Connection,
        conditions: Sequence[Condition],
        order: Sequence[Any],
        count: int,
        values: Key,
        more: Sequence[sa.ColumnElement[Any]],
    ) -> list[sa.Row[Any]]:
        """Change the first jobs that nobody else has locked, and return their keys and `more` as they were."""
        first = sa.select(*self.jobs.key, *more).where(*conditions).limit(count)
        return self.database.dialect.claim(connection, self.table, first, order, values)

    def named(self, keys: Iterable[Key]) -> Condition:
        """Return the condition that the job is that of one of `keys`."""
        return self.database.dialect.among(self.jobs.key, [tuple([key[n] for n in self.jobs.keys]) for key in keys])

    def _by_key(self, statement: Changing, count: int = 1) -> Changing:
        return self.database.dialect.by_key(statement, count)

    def _write(self, work: Callable[[sa.Connection], Result]) -> Result:
        return insisting(self.database, work)


_FREED: dict[str, Any] = {"worker_id": None, "lease_token": None, "host": None, "pid": None}
_AGAIN: dict[str, Any] = {**_FREED, "status": "pending", "completed_time": None, "scheduled_time": utcnow()}


def insisting(database: Database, work: Callable[[sa.Connection], Result], tries: int = TRIES) -> Result:
    """Do `work` in a write transaction of its own; what may well succeed when done again is done again."""
    for attempt in range(tries):
        try:
            with database.connect(database.writer) as connection, connection.begin():
                return work(connection)
        except (exc.DBAPIError, TransactionLost) as error:
            passing = isinstance(error, TransactionLost) or database.dialect.classify(error).fault.transient
            if not passing or attempt == tries - 1:
                raise
            time.sleep(random.uniform(0.5, 1) * 0.01 * 2**attempt)  # noqa: S311 (jitter)
    raise AssertionError("the last try returns or raises")


def _slices(keys: Sequence[One]) -> Iterator[Sequence[One]]:
    return (keys[start : start + AT_ONCE] for start in range(0, len(keys), AT_ONCE))


def told(error: BaseException) -> str:
    """Return "Type: message" of an error, whatever its own text does, short enough to be kept."""
    try:
        text = str(error)
    except Exception as own:  # a user's own exception may do anything
        text = f"<its text raised {type(own).__name__}>"
    return _cut(f"{type(error).__name__}: {text}", MESSAGE)


def _cut(text: str, most: int) -> str:
    """Return `text` without what a database would refuse, and without its middle where it is too long."""
    text = text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
    if len(text) <= most:
        return text
    return text[: most // 2] + "\n...\n" + text[-(most // 2 - 5) :]
