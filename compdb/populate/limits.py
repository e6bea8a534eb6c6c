"""What a make may take: `timeout` and `max_memory` of its class.

Time: an alarm of the operating system interrupts the make in the main thread of its process, which is where worker processes run theirs. It
reaches Python code and what waits (sleep, sockets, locks). A call into compiled code that does not come back is out of its reach; a
worker process of `populate(processes=...)` or of `compdb worker` is killed then, by the one that watches over it.

Memory: a worker process that has grown beyond it is replaced before its next make.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from compdb import dag
from compdb.errors import CompdbWarning, MakeTimeout
from compdb.executors import posts

__all__ = ["Outgrown", "at_most", "isolated", "resident"]

log = logging.getLogger("compdb")

GRACE = 2.0
"""How long after its timeout a make may take to end, in seconds, before its process is killed."""
AGAIN = 1.0
"""After how long a make that has swallowed the interrupt gets another one, in seconds."""
LOOK = 0.1
"""How often memory is measured at the most, in seconds."""


def isolated(cls: type[Any]) -> bool:
    """Say whether the limits of a table take a process to themselves that another one watches over."""
    return cls.timeout is not None or cls.max_memory is not None


@contextmanager
def at_most(seconds: float | None, label: str, key: Mapping[str, Any], busy: Callable[[], bool]) -> Iterator[None]:
    """Interrupt the block after `seconds`, but not while it is `busy` with what other makes have finished.

    Raises
    ------
    MakeTimeout
        From wherever the block was then.
    """
    if seconds is None:
        yield
        return
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        warnings.warn(
            f"{label}: timeout holds in the main thread of a process only (populate there, or with processes=)",
            CompdbWarning,
            stacklevel=2,
        )
        yield
        return

    words, struck = f"make of {label} for {dict(key)} took longer than its timeout of {seconds:g} s", False

    def end(number: int, frame: Any) -> None:
        nonlocal struck
        if busy():
            signal.setitimer(signal.ITIMER_REAL, 0.05, AGAIN)
            return
        struck = True
        raise MakeTimeout(words)

    before = signal.signal(signal.SIGALRM, end)
    try:
        with posts.here().until(seconds + GRACE):
            signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
            try:
                yield
            except MakeTimeout:
                raise
            except Exception as error:
                if struck:  # in the middle of a statement, after which even a rollback fails
                    raise MakeTimeout(words) from error
                raise
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    finally:
        signal.signal(signal.SIGALRM, before)


class Outgrown:
    """Whether this process has grown beyond `max_memory` of a table; called as often as one likes.

    Where nobody can replace the process, that is said once.
    """

    def __init__(self, cls: type[Any]) -> None:
        self.most: float | None = cls.max_memory
        self.label = dag.label(cls.__table__)
        self._looked, self._is = 0.0, False

    def __call__(self) -> bool:
        """Return whether it has."""
        if self.most is None or self._is:
            return self._is
        if time.monotonic() - self._looked < LOOK:
            return False
        self._looked = time.monotonic()
        memory = resident()
        self._is = memory > self.most
        if self._is and posts.here().watched:
            log.info("%s: a worker process has grown to %d MB, and is replaced", self.label, memory // 10**6)
        return self._is


def resident() -> int:
    """Return how much memory this process has, in bytes; where the system does not tell, how much it had at its peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        import resource  # noqa: PLC0415 (there is none on Windows)

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return pages * os.sysconf("SC_PAGE_SIZE")
