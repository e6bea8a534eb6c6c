"""Keys by reservation: what `populate(reserve_jobs=True)` makes, a batch at a time, until nothing is left that is due.

Batches hold half a second of work, as far as the last makes tell, so that workers share what there is and still ask seldom. Makes that
turn out to take longer than that are given back before they begin, for those who are idle. Jobs are looked for in the key source only
when none is due any more, by one worker at a time; so 100 workers that start at once cost one look. Jobs that are due later (delayed, or
failed and to be tried again) are not waited for: `compdb worker` does that.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Self

from sqlalchemy import exc

from compdb.database import Database
from compdb.errors import CompdbError, ConnectionFailed, DatabaseError, PopulateError
from compdb.jobs import Held, Queue, Worker, jobs_of
from compdb.populate.keys import Pending
from compdb.populate.watching import draining

__all__ = ["Feed", "queue_of", "refresh"]

log = logging.getLogger("compdb")

SECONDS = 0.5
"""How much work a batch should hold."""
LONG = 4 * SECONDS
"""After how long what has not begun of a batch is given back."""
MOST, GROWTH = 500, 8
PATIENCE = 600.0
"""How long to wait for another one who looks for new keys, in seconds: among 10^8 that takes minutes."""
FRESH = 0.5
"""How long a look into the key source is good for, in seconds."""


def queue_of(pending: Pending, database: Database) -> Queue:
    """Return the queue of a table.

    Raises
    ------
    PopulateError
        If the key source supplies another key than was known when the class was declared.
    """
    jobs = jobs_of(pending.table)
    if set(jobs.keys) != set(pending.names):
        raise PopulateError(
            f"the key source of {pending.label} supplies ({', '.join(pending.names)}), and its jobs table has ({', '.join(jobs.keys)}),"
            " which is what the class said when it was declared; give key_source as a relation, key_source = ..."
        )
    return Queue(database, jobs)


def refresh(
    cls: type[Any], queue: Queue, restrictions: tuple[Any, ...], *, priority: int = 5, delay: float = 0
) -> dict[str, int]:
    """Make jobs of what is pending; what is pointless in the whole table is taken out."""
    pending, whole = Pending(cls, restrictions), Pending(cls, ())
    with pending.telling(), queue.database.lock(f"jobs {pending.table.key}", PATIENCE):
        return queue.refresh(pending.missing(), whole.source.select(), priority=priority, delay=delay)


class Feed(Iterator[Held]):
    """The keys that this worker makes; when it has said that there are none it may be asked again.

    Parameters
    ----------
    limit : int or None
        How many keys to hand out at the most.
    renew : bool
        Look for new jobs when none is due.
    in_order : bool
        Keys are made one after the other as they are handed out, each after asking whether it is still `wanted`: then no more are
        reserved before those are made.
    """

    def __init__(
        self,
        cls: type[Any],
        worker: Worker,
        restrictions: tuple[Any, ...],
        *,
        order: str,
        limit: int | None,
        priority: int | None,
        renew: bool,
        in_order: bool = False,
    ) -> None:
        self.cls, self.worker, self.restrictions = cls, worker, restrictions
        self.order, self.left, self.priority, self.renew, self.in_order = order, limit, priority, renew, in_order
        self._pending = Pending(cls, restrictions)
        self.conditions = [self._pending.in_source()] if restrictions else []
        self._here: deque[Held] = deque()  # reserved, and not handed out
        self._ahead: deque[Held] = deque()  # handed out, and not begun
        self._size, self._done, self._got = 1, 0, 1
        self._left_over = 0  # of the jobs that this worker has had made, how many it has not got itself
        self._since = self._began = time.monotonic()
        self._refreshed = -FRESH
        self._lock = threading.RLock()
        worker.chores.append(self.relieve)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Held:
        if self.left == 0 or draining():
            raise StopIteration
        if not self._here:
            if self._ahead:  # else what is slow now would pile up here
                raise StopIteration
            batch = self._next_batch()
            with self._lock:
                self._here.extend(batch)
        with self._lock:
            if not self._here:
                raise StopIteration
            self.left = None if self.left is None else self.left - 1
            key = self._here.popleft()
            if self.in_order:
                self._ahead.append(key)
            return key

    def wanted(self, key: dict[str, Any]) -> bool:
        """Say whether the make of a key that was handed out should begin; not if it was given back meanwhile."""
        if draining():
            self.give_back()
        with self._lock:
            if not self._ahead or self._ahead[0] is not key:
                return False
            self._ahead.popleft()
            return True

    def learn(self, done: int) -> None:
        """Note how many keys were done, for the size of batches."""
        self._done += done

    def relieve(self) -> None:
        """Give back what has not begun of a batch that takes much longer than it was to take."""
        if time.monotonic() - self._began > LONG:
            self.give_back()

    def give_back(self) -> None:
        """Give back what has not begun."""
        with self._lock:
            keys = [*self._ahead, *self._here]
            if self.left is not None:
                self.left += len(self._ahead)
            self._ahead.clear()
            self._here.clear()
        self._give_back(keys)

    def take_back(self, keys: Sequence[dict[str, Any]]) -> None:
        """Give keys back that were handed out to another process, and have not begun there."""
        with self._lock:
            if self.left is not None:
                self.left += len(keys)
        self._give_back([key for key in keys if isinstance(key, Held)])

    def _give_back(self, keys: Sequence[Held]) -> None:
        if keys:
            try:
                self.worker.queue.give_back(keys)
            except (exc.SQLAlchemyError, CompdbError) as error:  # they are given back at the end
                log.warning("%s: %d keys could not be given back yet: %s", self.worker.queue.label, len(keys), error)

    # ---------------------------------------------------------------- the next batch

    def _next_batch(self) -> list[Held]:
        self._adjust()
        self.worker.look()
        queue = self.worker.queue
        with self._pending.telling():
            batch = self._reserve() if self._left_over or queue.due() else []  # to look costs less than to ask in vain
            if not batch and self.renew and time.monotonic() - self._refreshed >= FRESH:
                batch = self._look_for_more()
        self._began = time.monotonic()
        return batch

    def _look_for_more(self) -> list[Held]:
        """Have new jobs made, by whichever worker comes first; the others wait until it is done."""
        queue = self.worker.queue
        patience = time.monotonic() + self.worker.lease
        while not draining():
            with ExitStack() as held:
                ours = _locked(held, queue)
                if queue.due() and (batch := self._reserve()):
                    return batch
                if ours:
                    priority = 5 if self.priority is None else self.priority
                    self._left_over = refresh(self.cls, queue, self.restrictions, priority=priority)["added"]
                    self._refreshed = self._since = time.monotonic()
                    self._done = 0
                    return self._reserve() if self._left_over or queue.due() else []
            if time.monotonic() > patience:
                log.warning(
                    "%s: another worker has been looking for new keys for more than %g s",
                    queue.label,
                    self.worker.lease,
                )
                break
        return []

    def _reserve(self) -> list[Held]:
        count = self._size if self.left is None else min(self._size, self.left)
        found = self.worker.queue.reserve(
            self.worker.about, count, *self.conditions, order=self.order, priority=self.priority
        )
        self._got = len(found)
        self._left_over = max(0, self._left_over - len(found)) if len(found) == count else 0
        if self.order == "random":
            random.shuffle(found)
        return found

    def _adjust(self) -> None:
        """Let a batch hold half a second's work, at the speed of the last ones; never much more than the one before."""
        elapsed = time.monotonic() - self._since
        if self._got:
            fitting = int(SECONDS * self._done / max(elapsed, 1e-3)) if self._done else 1
            self._size = max(1, min(MOST, fitting, GROWTH * self._size))
        if elapsed > SECONDS:
            self._since, self._done = time.monotonic(), 0


def _locked(held: ExitStack, queue: Queue) -> bool:
    """Take the lock of those who look for new jobs of a table, until `held` ends; say whether it was to be had within a second."""
    try:
        held.enter_context(queue.database.lock(f"jobs {queue.jobs.target.key}", 1.0))
    except ConnectionFailed:
        raise
    except DatabaseError:
        return False
    return True
