"""One worker: who it is, its lease, and the heartbeat that renews it.

The lease is the worker's, not the job's: one small UPDATE however many keys it has reserved. It is renewed by a thread on connections of
its own. A worker on the same machine need not wait for the end of a lease: it asks the kernel whether the other's process still lives.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy import exc

from compdb.database import Database
from compdb.dialects import utcnow
from compdb.errors import CompdbError
from compdb.jobs.queue import Queue, insisting

__all__ = ["Worker", "host", "user"]

log = logging.getLogger("compdb")

BEATS = 6
"""How many heartbeats a lease holds."""
LOOK = 1.0
"""How often dead workers are looked for, in seconds."""


class Worker:
    """A worker that reserves jobs of one table, as a context: its lease runs while the block does.

    At the end of the block, however it ends, what it still has reserved is given back.

    Parameters
    ----------
    lease : float, s
        How long its reservations outlive its last sign of life.

    Attributes
    ----------
    chores : list of callables
        Called about once a second, by the thread of the heartbeat.
    """

    def __init__(self, database: Database, queue: Queue, lease: float) -> None:
        self.database, self.queue, self.lease = database, queue, lease
        self.id = uuid.uuid4().hex
        self.about: dict[str, Any] = {"worker_id": self.id, "host": host(), "pid": os.getpid()}
        self.chores: list[Callable[[], None]] = []
        self._table = queue.jobs.workers
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="compdb heartbeat", daemon=True)
        self._looked = 0.0
        self._until = -math.inf

    def register(self) -> None:
        """Begin the lease."""
        insisting(self.database, self._register)

    def __enter__(self) -> Self:
        self.register()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(timeout=30)
        try:
            self.queue.release(self.id)
            insisting(self.database, self._unregister)
        except (exc.SQLAlchemyError, CompdbError) as failure:
            log.warning("%s: keys could not be given back, others take them over: %s", self.queue.label, failure)

    def look(self, *, now: bool = False) -> int:
        """Take over the jobs of workers that have died, once a second at the most; return how many."""
        if not now and time.monotonic() - self._looked < LOOK:
            return 0
        if time.monotonic() > self._until and self._thread.is_alive():  # a make of ours has kept the heartbeat from writing
            insisting(self.database, self._renew)
        self._bury()
        found = self.queue.rescue()
        self._looked = time.monotonic()
        return found

    # ---------------------------------------------------------------- the lease

    def _register(self, connection: sa.Connection) -> None:
        row = {**self.about, "machine": machine(), "pid_start": started(os.getpid()) or 0, "user": user()}
        began = time.monotonic()
        connection.execute(sa.insert(self._table).values(**row, lease_until=utcnow(self.lease)))
        self._until = began + self.lease

    def _unregister(self, connection: sa.Connection) -> None:
        connection.execute(sa.delete(self._table).where(self._table.c.worker_id == self.id))

    def _beat(self) -> None:
        """Renew the lease until the block ends; a beat that fails is tried again soon."""
        due = time.monotonic() + self.lease / BEATS
        while not self._ended.wait(min(LOOK, self.lease / BEATS)):
            for chore in self.chores:
                self._tried(chore)
            if time.monotonic() >= due:
                well = self._tried(lambda: insisting(self.database, self._renew, tries=1))
                due = time.monotonic() + (self.lease / BEATS if well else min(LOOK, self.lease / BEATS))

    def _tried(self, work: Callable[[], Any]) -> bool:
        """Do `work` and say whether it went well; nothing may end the thread, for the lease would run out."""
        try:
            work()
        except Exception as error:
            log.warning("%s: a heartbeat failed, and is tried again: %s", self.queue.label, error)
            return False
        return True

    def _renew(self, connection: sa.Connection) -> None:
        """Renew the lease; a worker that was taken for dead comes back: what it lost it finds out at the fence."""
        began = time.monotonic()
        mine = sa.update(self._table).where(self._table.c.worker_id == self.id).values(lease_until=utcnow(self.lease))
        if not connection.execute(mine).rowcount:
            self._register(connection)
        self._until = began + self.lease

    # ---------------------------------------------------------------- the dead

    def _bury(self) -> None:
        """Take out the workers of this machine whose process is gone, and those anywhere whose lease ended long ago."""
        workers = self._table.c
        query = sa.select(
            workers.worker_id, workers.machine, workers.pid, workers.pid_start, workers.lease_until < utcnow(-3600)
        )
        with self.database.connect(self.database.reader) as connection:
            rows = connection.execute(query).all()
        dead = [
            row.worker_id
            for row in rows
            if row[4] or (row.machine and row.machine == machine() and started(row.pid) != row.pid_start)
        ]
        if dead:
            insisting(self.database, lambda c: c.execute(sa.delete(self._table).where(workers.worker_id.in_(dead))))


def started(pid: int) -> int | None:
    """Return when a process of this machine began, in ticks since boot; None if there is none, or nobody can tell."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    state, *rest = text.rpartition(")")[2].split()
    return None if state in ("Z", "X") else int(rest[18])


@cache
def machine() -> str:
    """Return what names this boot of this machine as this process sees it; empty where the kernel cannot be asked."""
    if not sys.platform.startswith("linux") or started(os.getpid()) is None:
        return ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = os.readlink("/proc/self/ns/pid")  # containers of one machine do not see each other's processes
        if started(1) is None:  # nor do users, where /proc is mounted so
            space += f" {os.getuid()}"
    except OSError:
        return ""
    return hashlib.sha256(f"{host()} {boot} {space}".encode()).hexdigest()


@cache
def host() -> str:
    """Return the name of this machine."""
    return socket.gethostname()[:255]


@cache
def user() -> str:
    """Return the name of the user, or nothing where the machine does not know it (a container)."""
    import getpass  # noqa: PLC0415 - reads the terminal's settings, which nothing else here needs

    try:
        return getpass.getuser()[:255]
    except (KeyError, OSError):
        return ""
