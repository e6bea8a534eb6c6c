"""Interrupts: SIGTERM ends a run as Ctrl-C does, with what is finished kept and the rest given back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

__all__ = ["interruptible", "undisturbed"]

INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[None]:
    """Turn SIGTERM into SystemExit while the block runs; where that cannot be (in a thread, or with a handler of the user's) leave it."""
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(number: int, frame: Any) -> NoReturn:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Let interrupts wait until the block has ended, for it is short and half of it is nothing; the second of a kind does not wait."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[tuple[int, FrameType | None]] = []
    handlers = {int(number): found for number in INTERRUPTS if callable(found := signal.getsignal(number))}

    def wait(number: int, frame: FrameType | None) -> None:
        came.append((number, frame))
        signal.signal(number, handlers[number])

    for number in handlers:
        signal.signal(number, wait)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number, frame in came:
            handlers[number](number, frame)
