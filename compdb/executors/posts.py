"""What a worker process shows of itself to the one that watches over it, and what it is told in turn.

A few numbers in memory that both can see: they cost little to write, and can be read when the process hangs or is dead. Where nobody
watches they are just numbers.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, MutableSequence
from contextlib import contextmanager
from typing import Any

__all__ = ["BLANK", "Post", "here", "keep"]

DONE, BEGUN, LIMIT, DEADLINE, RETIRING = range(5)
BLANK = (0.0, 0.0, math.inf, math.inf, 0.0)
PATIENCE = 1.0
"""How long to wait for a worker that writes, in seconds: one that was killed in the middle of it never ends."""


class Post:
    """The numbers of one worker process.

    Parameters
    ----------
    numbers : sequence of float
        As many as `BLANK`, shared between the two processes.
    lock : Lock
        Shared, too.
    """

    def __init__(self, numbers: MutableSequence[float], lock: Any, *, watched: bool = True) -> None:
        self._numbers, self._lock, self.watched = numbers, lock, watched

    # ---- what the worker writes

    def begin_batch(self) -> None:
        """Note that a new batch begins."""
        self._numbers[DONE] = self._numbers[BEGUN] = 0

    def begin(self) -> bool:
        """Note that the next make begins; say whether it may."""
        with self._lock:
            allowed = self._numbers[DONE] < self._numbers[LIMIT]
            if allowed:
                self._numbers[BEGUN] = 1
        return allowed

    def finish(self) -> None:
        """Note that a make has ended."""
        with self._lock:
            self._numbers[DONE] += 1
            self._numbers[BEGUN] = 0

    @contextmanager
    def until(self, seconds: float) -> Iterator[None]:
        """Ask to be killed if the block takes longer than this."""
        self._numbers[DEADLINE] = time.monotonic() + seconds
        try:
            yield
        finally:
            self._numbers[DEADLINE] = math.inf

    def retire(self) -> None:
        """Ask to be replaced after this batch."""
        self._numbers[RETIRING] = 1

    # ---- what the one who watches reads and writes

    @property
    def done(self) -> int:
        """How many makes of the batch have ended."""
        return int(self._numbers[DONE])

    @property
    def begun(self) -> bool:
        """Whether the next one has begun."""
        return bool(self._numbers[BEGUN])

    @property
    def late(self) -> bool:
        """Whether a make runs that should have ended."""
        return time.monotonic() > self._numbers[DEADLINE]

    @property
    def retiring(self) -> bool:
        """Whether the worker wants to be replaced."""
        return bool(self._numbers[RETIRING])

    def hand_out(self) -> None:
        """Let the worker do a whole batch."""
        self._numbers[DONE] = self._numbers[BEGUN] = 0
        self._numbers[LIMIT] = math.inf

    def recall(self) -> int | None:
        """Let no further make of the batch begin; return how many have begun, None if that cannot be told."""
        if not self._lock.acquire(timeout=PATIENCE):
            return None
        try:
            begun = self.done + self.begun
            self._numbers[LIMIT] = begun
        finally:
            self._lock.release()
        return begun


_post = Post(list(BLANK), threading.Lock(), watched=False)


def here() -> Post:
    """Return the post of this process."""
    return _post


def keep(post: Post) -> None:
    """Let this process show itself so from now on."""
    global _post
    _post = post
