"""Batches on any `concurrent.futures.Executor`: a few more in flight than there are workers, results as they come."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from typing import Any, TypeVar

__all__ = ["LONG", "Batches", "in_executor"]

Result = TypeVar("Result")
Key = dict[str, Any]
Work = Callable[[Sequence[Key]], Result]

SECONDS = 0.5
"""How much work a batch should hold."""
MOST = 256
LONG = 4 * SECONDS
"""How old a batch is when what has not begun of it is called back."""
TICK = 0.5
"""How often to look at what is in flight, in seconds."""
FLYING = 8
"""How many batches to keep in flight where nobody says how many workers there are."""


class Batches:
    """Keys cut into batches: one at first, then as many as half a second's work holds; those that come back go first."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = iter(keys)
        self._back: deque[Key] = deque()
        self._alone: deque[Key] = deque()
        self.size = 1

    def take(self) -> list[Key]:
        """Return the next batch; empty when there is none now."""
        if self._alone:
            return [self._alone.popleft()]
        batch = [self._back.popleft() for _ in range(min(self.size, len(self._back)))]
        while len(batch) < self.size:
            try:
                batch.append(next(self._keys))
            except StopIteration:
                break
        return batch

    def again(self, keys: Iterable[Key], *, alone: bool = False) -> None:
        """Take keys back that were not made; `alone`, each to a batch of its own."""
        (self._alone if alone else self._back).extend(keys)

    def learn(self, count: int, seconds: float) -> None:
        """Adjust to `count` keys of a batch that took `seconds`."""
        fitting = int(count * SECONDS / max(seconds, 1e-6)) or 1
        self.size = max(1, min(MOST, fitting, 2 * max(self.size, count)))


def in_executor(
    executor: Executor,
    work: Work[Result],
    batches: Batches,
    *,
    stopping: Callable[[], bool] = lambda: False,
    take_back: Callable[[list[Key]], None] | None = None,
) -> Iterator[tuple[list[Key], Result | BaseException]]:
    """Yield each batch with what `work` returned for it, or with the exception that took it down.

    An executor of our own has its batches called back that take much longer than was thought, as far as they have not begun, and is told
    when the run ends before its time.

    Parameters
    ----------
    stopping : callable
        Asked now and then whether what has begun should end, and no more begin.
    take_back : callable, optional
        Is given keys that were called back; without it they come again in another batch.
    """
    flight = _Flight(executor, take_back or batches.again)
    count = getattr(executor, "count", None)
    broken = stopped = False
    try:
        while True:
            most = FLYING if count is None else count + (batches.size > 1)  # long makes are not to wait for one another
            while len(flight.batches) < most and not (broken or stopped) and (batch := batches.take()):
                try:
                    flight.add(executor.submit(work, batch), batch)
                except BrokenExecutor as error:
                    broken = True
                    yield batch, error
            if not flight.batches:
                return
            done, _ = wait(flight.batches, timeout=TICK, return_when=FIRST_COMPLETED)
            for future in done:
                batch = flight.batches.pop(future)
                failure = future.exception()
                broken = broken or isinstance(failure, BrokenExecutor)
                yield batch, future.result() if failure is None else failure
            stopped = stopped or stopping()
            flight.call_back(0 if stopped else LONG)
    except (KeyboardInterrupt, SystemExit):
        flight.interrupt()
        raise
    finally:
        flight.end()


class _Flight:
    """The batches that are in flight on an executor."""

    def __init__(self, executor: Executor, take_back: Callable[[list[Key]], None]) -> None:
        self.executor, self.take_back = executor, take_back
        self.batches: dict[Future[Any], list[Key]] = {}
        self._began: dict[Future[Any], float] = {}

    def add(self, future: Future[Any], batch: list[Key]) -> None:
        """Note that a batch is on its way."""
        self.batches[future] = batch
        self._began[future] = time.monotonic()

    def call_back(self, seconds: float) -> None:
        """Call back what has not begun of batches older than this."""
        recall = getattr(self.executor, "recall", None)
        if recall is None:
            return
        for future, batch in list(self.batches.items()):
            if time.monotonic() - self._began[future] < seconds:
                continue
            if future.cancel():
                del self.batches[future]
                self.take_back(batch)
                continue
            begun = recall(future)
            if begun is not None and begun < len(batch):
                self.batches[future] = batch[:begun]
                self.take_back(batch[begun:])

    def interrupt(self) -> None:
        """Have what runs given up, where the executor can do that."""
        told = getattr(self.executor, "interrupt", None)
        if told is not None:
            told()

    def end(self) -> None:
        """Let no more begin, and wait for what runs; a foreign executor is not waited for for long."""
        patience = None if hasattr(self.executor, "recall") else 30.0
        try:
            self.call_back(0)
            # one that is cancelled is over for us; an executor may never say so, and dask does not
            running = [future for future in self.batches if not future.cancel()]
            wait(running, timeout=patience)
        except (KeyboardInterrupt, SystemExit):
            self.interrupt()
            wait([future for future in self.batches if not future.cancel()], timeout=30)
            raise
