"""Several workers on one machine: processes that are told to drain together, and replaced when they die.

All hold the reading end of a pipe whose writing end only the parent has. It never writes: when it closes its end, or dies, they drain.
A service manager that signals every process of a group therefore does not end a make that a second SIGTERM would have ended.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any

from compdb.cli.answer import DONE, INTERRUPTED
from compdb.cli.command_line import refuse
from compdb.populate import drain

__all__ = ["Counts", "Crew", "on_sigterm"]

log = logging.getLogger("compdb")

Counts = dict[str, tuple[int, int]]
"""Makes that were kept and makes that failed, by table."""
PAUSE = 1.0
"""How long to wait before a worker that died is replaced, in seconds."""


class Crew:
    """Worker processes.

    Parameters
    ----------
    work : callable
        What each does: a function of a module, which returns its counts; what it raises is told in a line.
    arguments : tuple
        For `work`, such as can be pickled.
    """

    def __init__(self, work: Callable[..., Counts], arguments: tuple[Any, ...]) -> None:
        self._work, self._arguments = work, arguments
        self._spawn = multiprocessing.get_context("spawn")
        self._listening, self._working = self._spawn.Pipe(duplex=False)
        self._members: dict[int, tuple[SpawnProcess, Connection]] = {}
        self._ending = self._cut = False
        self.counts: Counts = {}
        self.code = DONE
        """The worst exit code of those that ended by themselves."""

    def run(self, processes: int) -> Counts:
        """Have so many processes work until each has ended by itself; return what they did, all together."""
        for _ in range(processes):
            self._begin()
        with on_sigterm(self._end):
            try:
                self._watch()
            except KeyboardInterrupt:
                self._drain()
                self._watch()
                raise
            finally:
                self._drain()
        if self._cut:
            raise SystemExit(128 + signal.SIGTERM)
        return self.counts

    def _begin(self) -> None:
        reading, reporting = self._spawn.Pipe(duplex=False)
        process = self._spawn.Process(
            target=_member, args=(self._listening, reporting, self._work, self._arguments), name="compdb worker"
        )
        process.start()
        reporting.close()
        self._members[process.sentinel] = process, reading

    def _watch(self) -> None:
        while self._members:
            for sentinel in wait(list(self._members)):
                assert isinstance(sentinel, int)
                self._bury(*self._members.pop(sentinel))

    def _bury(self, process: SpawnProcess, reading: Connection) -> None:
        process.join()
        with contextlib.suppress(EOFError), reading:
            self._add(reading.recv())
        code = process.exitcode or 0
        if code >= 0:
            self.code = max(self.code, code)
        elif not self._ending:
            log.warning(
                "worker process %s died of %s; another takes its place", process.pid, signal.Signals(-code).name
            )
            time.sleep(PAUSE)
            self._begin()

    def _add(self, counts: Counts) -> None:
        for name, (made, failed) in counts.items():
            before = self.counts.get(name, (0, 0))
            self.counts[name] = before[0] + made, before[1] + failed

    def _drain(self) -> None:
        self._ending = True
        self._working.close()

    def _end(self) -> None:
        if self._ending:
            self._cut = True
            for process, _ in self._members.values():
                if process.pid is not None and process.exitcode is None:
                    os.kill(process.pid, signal.SIGINT)  # a SIGTERM they may have heard themselves lets the make end
            return
        self._drain()  # before it is told: whoever reads that may send the second one at once
        log.info("SIGTERM: the makes that run end, then the workers")


def _member(
    listening: Connection, reporting: Connection, work: Callable[..., Counts], arguments: tuple[Any, ...]
) -> None:
    """Work, in a process of its own."""
    threading.Thread(target=_drain_at_end, args=(listening,), name="compdb crew", daemon=True).start()
    try:
        reporting.send(work(*arguments))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        sys.exit(refuse("compdb worker", error))


def _drain_at_end(listening: Connection) -> None:
    with contextlib.suppress(EOFError, OSError):
        listening.recv()
    drain()


@contextmanager
def on_sigterm(act: Callable[[], None]) -> Iterator[None]:
    """Call `act` at each SIGTERM while the block runs; where that cannot be (in a thread) leave it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
