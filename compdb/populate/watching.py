"""What a worker does between its makes: it looks whether there may be something to make, without making work for the database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from compdb.database import database_of
from compdb.jobs import Queue, Worker, jobs_of
from compdb.populate.limits import isolated

__all__ = ["Watch", "drain", "draining"]

RENEW = 30.0
"""How often the key sources are looked at while nothing seems to happen, in seconds."""

_DRAINING = threading.Event()


def drain() -> None:
    """Let every `populate(reserve_jobs=True)` of this process end after the make that runs."""
    _DRAINING.set()


def draining() -> bool:
    """Say whether this process drains."""
    return _DRAINING.is_set()


class Watch:
    """The tables that a worker fills, as a context.

    Parameters
    ----------
    classes : sequence of table classes
        Parents first.
    start : callable, optional
        What a process that makes are given to begins with; importable by name. A table with a `timeout` or a `max_memory` has its makes
        in such a process, watched over by this one: it is killed where it hangs, and replaced where it has grown too much.
    """

    def __init__(self, classes: Sequence[type[Any]], start: Callable[[], object] | None = None) -> None:
        self.classes = classes
        self._queues = {c: Queue(database_of(c.__table__), jobs_of(c.__table__)) for c in classes}
        self._seen: tuple[Any, ...] | None = None
        self._looked = 0.0
        self._start, self._apart = start, ExitStack()
        self._executor: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._apart.close()

    def populate(self, cls: type[Any]) -> dict[str, Any]:
        """Make what is due in a table."""
        executor = self._process() if isolated(cls) else None
        return cls.populate(reserve_jobs=True, suppress_errors=True, executor=executor)  # type: ignore[no-any-return]

    def _process(self) -> Any:
        """Return the process that makes are given to, started once."""
        if self._executor is None:
            from compdb.executors.processes import Processes  # noqa: PLC0415 - multiprocessing, which others need not pay for

            self._executor = self._apart.enter_context(Processes(1, self._start))
        return self._executor

    def promising(self) -> Iterator[type[Any]]:
        """Yield the tables that may have keys to make: all of them where something was made since, else those with jobs that are due."""
        stamp = tuple(self._last_run(q) for q in self._queues.values())
        fresh = stamp != self._seen or time.monotonic() - self._looked > RENEW
        if fresh:
            self._seen, self._looked = stamp, time.monotonic()
        for cls, queue in self._queues.items():
            if fresh or queue.due() or self._taken_over(cls, queue):
                yield cls

    def unfinished(self) -> bool:
        """Say whether a key is pending (perhaps later) or reserved, by anybody."""
        return any(queue.unfinished() for queue in self._queues.values())

    def _taken_over(self, cls: type[Any], queue: Queue) -> bool:
        return bool(Worker(queue.database, queue, cls.__catalog__.settings.lease).look(now=True))

    def _last_run(self, queue: Queue) -> Any:
        query = sa.select(sa.func.max(queue.jobs.runs.c.run_id))
        with queue.database.connect(queue.database.reader) as connection:
            return connection.execute(query).scalar()
