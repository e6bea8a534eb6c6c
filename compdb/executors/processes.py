"""Worker processes on this machine: an executor that watches over them.

They are spawned, not forked, and are not daemons, so that a make may start processes itself. Each shows how far it is (`posts`). One that
dies (killed, out of memory, a crash in C) takes down its own batch and no other, and it is known which key it was at; one whose make is
still running past its deadline, because it hangs where no signal reaches it, is killed; one that asks for it, because it has outgrown
its memory, is replaced after its batch.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from types import FrameType
from typing import Any, NoReturn, TypeVar

from compdb.executors import posts
from compdb.executors.futures import Batches, Key, Work, in_executor

__all__ = ["NeverBegan", "Processes", "WorkerDied", "in_processes"]

Result = TypeVar("Result")

TICK = 0.2
"""How often deadlines are looked at, in seconds."""
GRACE = 10.0
"""How long a worker that is told to end may take to give up its make, in seconds; then it is killed."""
READY = b""
PR_SET_PDEATHSIG = 1

copying: Any = ForkingPickler  # whose `loads` is a plain function


class WorkerDied(RuntimeError):
    """A worker process has ended in the middle of its batch.

    Attributes
    ----------
    done : int
        How many keys of the batch were done.
    begun : bool
        Whether the next one had begun.
    late : bool
        It was killed, since the make was past its deadline.
    how : str
        What it died of, in words.
    """

    def __init__(self, done: int, begun: bool, late: bool, how: str) -> None:
        super().__init__(f"a worker process died of {how}")
        self.done, self.begun, self.late, self.how = done, begun, late, how


class NeverBegan(BrokenExecutor):
    """A worker process has ended before it could do anything; so would the next."""


class _Member:
    """One worker process, and what it is at."""

    def __init__(self, context: Any, start: Callable[[], object] | None) -> None:
        numbers, lock = context.RawArray("d", posts.BLANK), context.Lock()
        self.post = posts.Post(numbers, lock)
        self.connection, theirs = context.Pipe()
        arguments = theirs, numbers, lock, start
        self.process: SpawnProcess = context.Process(target=_work, args=arguments, name="compdb worker")
        self.process.start()
        theirs.close()
        self.ready = self.late = self.leaving = False
        self.patience = float("inf")
        self.future: Future[Any] | None = None

    def give(self, future: Future[Any], parcel: bytes) -> None:
        """Give it work."""
        self.future = future
        self.post.hand_out()
        with contextlib.suppress(OSError):  # it has died: that will be seen
            self.connection.send_bytes(parcel)


class Processes(Executor):
    """So many worker processes, started when there is work for them.

    Parameters
    ----------
    count : int or None
        How many; None and 0 mean one for each core.
    start : callable, optional
        Called first in each of them; importable by name.
    """

    def __init__(self, count: int | None = None, start: Callable[[], object] | None = None) -> None:
        self.count = count or os.cpu_count() or 1
        self._start = start
        self._context: Any = multiprocessing.get_context("spawn")
        self._lock = threading.RLock()
        self._waiting: deque[tuple[Future[Any], bytes]] = deque()
        self._members: list[_Member] = []
        self._heard, self._bell = self._context.Pipe(duplex=False)
        self._thread: threading.Thread | None = None
        self._closing = False
        self._at_exit = functools.partial(_shut, weakref.ref(self))
        atexit.register(self._at_exit)

    # ---- what its user asks for

    def submit(self, fn: Callable[..., Result], /, *args: Any, **kwargs: Any) -> Future[Result]:
        """Have `fn(*args, **kwargs)` called in a worker process."""
        parcel = bytes(copying.dumps((fn, args, kwargs)))
        future: Future[Result] = Future()
        with self._lock:
            if self._closing:
                raise RuntimeError("these processes have been shut down")
            self._waiting.append((future, parcel))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="compdb processes", daemon=True)
                self._thread.start()
        self._ring()
        return future

    def recall(self, future: Future[Any]) -> int | None:
        """Let no further make of a batch begin; return how many have begun, None if that cannot be told."""
        with self._lock:
            posts = [member.post for member in self._members if member.future is future]
        return posts[0].recall() if posts else None

    def interrupt(self) -> None:
        """Have each worker give up the make that it is at, which is rolled back; one that does not is killed after a while."""
        with self._lock:
            for member in self._members:
                member.leaving, member.patience = True, time.monotonic() + GRACE
                member.process.terminate()
        self._ring()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the workers when they have done what was submitted."""
        with self._lock:
            self._closing = True
            if cancel_futures:
                for future, _ in self._waiting:
                    future.cancel()
                self._waiting.clear()
        self._ring()
        if wait and self._thread is not None:
            self._thread.join()
        atexit.unregister(self._at_exit)

    def _ring(self) -> None:
        with contextlib.suppress(OSError):
            self._bell.send_bytes(READY)

    # ---- the thread that watches

    def _run(self) -> None:
        try:
            self._watch()
        except BaseException as error:  # none of those who wait may wait for ever
            with self._lock:
                self._closing = True
                futures = [m.future for m in self._members if m.future is not None]
                futures += [f for f, _ in self._waiting if f.set_running_or_notify_cancel()]
                self._waiting.clear()
            for future in futures:
                future.set_exception(BrokenExecutor(f"the worker processes cannot be watched: {error}"))
        finally:
            for member in self._members:
                member.connection.close()
            for member in self._members:
                _join(member.process)

    def _watch(self) -> None:
        while True:
            with self._lock:
                if not self._assign():
                    break
                members = list(self._members)
            busy = any(member.future is not None or member.leaving for member in members)
            things = [self._heard, *(m.connection for m in members), *(m.process.sentinel for m in members)]
            ready = set(wait(things, timeout=TICK if busy else None))
            if self._heard in ready:
                self._heard.recv_bytes()
            for member in members:
                if {member.connection, member.process.sentinel} & ready or not member.process.is_alive():
                    self._hear(member)
            self._kill(members)

    def _assign(self) -> bool:
        """Give what waits to those who are idle, and start more where there are too few; say whether there is anything left to do."""
        idle = deque(m for m in self._members if m.ready and m.future is None and not m.leaving)
        while self._waiting and idle:
            future, parcel = self._waiting.popleft()
            if future.set_running_or_notify_cancel():
                idle.popleft().give(future, parcel)
        starting = sum(not member.ready for member in self._members)
        for _ in range(min(len(self._waiting) - starting, self.count - len(self._members))):
            self._members.append(_Member(self._context, self._start))
        return not (self._closing and not self._waiting and all(m.future is None for m in self._members))

    def _hear(self, member: _Member) -> None:
        """Read what a worker says; the end of its connection is the end of it."""
        try:
            while member.connection.poll():
                said = member.connection.recv_bytes()
                if member.ready:
                    self._answer(member, said)
                else:
                    member.ready = True
        except (EOFError, OSError):
            self._bury(member)
            return
        if (member.post.retiring and member.future is None) or not member.process.is_alive():
            self._bury(member)  # a process that a make has forked may hold the connection of a dead one open

    def _answer(self, member: _Member, said: bytes) -> None:
        future, member.future = member.future, None
        assert future is not None
        try:
            well, value = copying.loads(said)
        except BaseException as error:  # what a user's own object does when it is copied
            well, value = False, error
        if well:
            future.set_result(value)
        else:
            future.set_exception(value)

    def _bury(self, member: _Member) -> None:
        """Take a worker out that is dead, or goes now that its connection is closed."""
        member.connection.close()
        if member.future is not None:
            member.process.kill()  # if it lives, it cannot be reached
        _join(member.process)
        with self._lock:
            self._members.remove(member)
            if member.future is not None:
                post = member.post
                member.future.set_exception(WorkerDied(post.done, post.begun, member.late, _how(member.process)))
            if not member.ready:  # none will ever start
                broken = NeverBegan(f"a worker process died of {_how(member.process)} before it could begin")
                for future, _ in self._waiting:
                    if future.set_running_or_notify_cancel():
                        future.set_exception(broken)
                self._waiting.clear()

    def _kill(self, members: list[_Member]) -> None:
        """Kill those whose make is late, and those that were told to end and do not."""
        for member in members:
            if time.monotonic() > member.patience:
                member.process.kill()
            elif member.future is not None and not member.late:
                member.late = member.post.late
                if member.late:
                    member.process.kill()


def _shut(reference: weakref.ref[Processes]) -> None:
    """End the workers of an executor that nobody has shut down, when Python ends."""
    pool = reference()
    if pool is not None:
        pool.shutdown(cancel_futures=True)


def _join(process: SpawnProcess) -> None:
    """Wait for a process that goes by itself; one that does not is killed."""
    patience = time.monotonic() + GRACE
    while process.is_alive():  # join() would wait for processes that it has forked, too
        if time.monotonic() > patience:
            process.kill()
        time.sleep(0.01)


def _how(process: SpawnProcess) -> str:
    code = process.exitcode or 0
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


# ---------------------------------------------------------------- in a worker process


def _work(connection: Connection, numbers: Any, lock: Any, start: Callable[[], object] | None) -> None:
    """Do what is asked until the connection ends."""
    post = posts.Post(numbers, lock)
    posts.keep(post)
    _end_with_parent()
    signal.signal(signal.SIGINT, _nothing)  # Ctrl-C reaches the whole group; the parent tells us what to do
    signal.signal(signal.SIGTERM, _end)
    logging.getLogger("compdb").addHandler(logging.NullHandler())  # failures come back to the parent, which logs them
    if start is not None:
        start()
    with contextlib.suppress(OSError, EOFError):  # the parent is gone
        connection.send_bytes(READY)
        while not post.retiring:
            function, arguments, options = copying.loads(connection.recv_bytes())
            post.begin_batch()
            answer: tuple[bool, Any]
            try:
                answer = True, function(*arguments, **options)
            except _Ended:
                raise
            except BaseException as error:
                answer = False, error
            connection.send_bytes(_copied(answer))


def _end_with_parent() -> None:
    """Have this process end when its parent dies: nobody waits for what it does, and where it hangs nobody would ever kill it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 (what others need not pay for)

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent.pid:
            raise SystemExit(1)
    else:
        threading.Thread(target=_wait_for, args=(parent.sentinel,), name="compdb parent", daemon=True).start()


def _wait_for(end: int) -> None:
    wait([end])
    os.kill(os.getpid(), signal.SIGTERM)


def _copied(answer: tuple[bool, Any]) -> bytes:
    try:
        return bytes(copying.dumps(answer))
    except Exception as error:  # what a user's own object does when it is copied
        return bytes(copying.dumps((False, RuntimeError(f"what a worker had to say cannot travel: {error}"))))


def _nothing(number: int, frame: FrameType | None) -> None:
    pass


class _Ended(SystemExit):
    """The parent told this process to end; not a make that called sys.exit."""


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise _Ended(128 + number)


# ---------------------------------------------------------------- for one run of populate


def in_processes(
    processes: int | None, work: Work[Result], batches: Batches, **options: Any
) -> Iterator[tuple[list[Key], Result | BaseException]]:
    """Yield each batch with what `work` returned for it, or with the exception that took it down.

    Parameters
    ----------
    processes : int or None
        How many; None and 0 mean one for each core.
    **options
        For `in_executor`.
    """
    pool = Processes(processes)
    try:
        yield from in_executor(pool, work, batches, **options)
    finally:
        pool.shutdown(cancel_futures=True)
