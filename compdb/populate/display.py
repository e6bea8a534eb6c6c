"""What populate shows while it runs: for each table how much is done, how fast, how long it will take, and how many errors there are.

In a terminal and in a notebook one live display of all tables; elsewhere a line for each table when it is done, and one a minute before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

__all__ = ["Advance", "Display", "showing"]

Advance = Callable[[int, int], None]
"""Told of so many keys more that were done, and of all errors until now."""

OFTEN, SELDOM = 0.1, 60.0
"""How often figures change on a live display, and how often a line is printed, in seconds."""


class Display:
    """A display of several tables, as a context.

    Parameters
    ----------
    labels : sequence of str
        The tables, in the order in which they will be made.
    console : rich.console.Console, optional
        Where; by default stderr.
    """

    def __init__(self, labels: Sequence[str], console: Any = None) -> None:
        from rich.console import Console  # noqa: PLC0415 (a tenth of the time that importing compdb takes, for those who show nothing)

        self.console: Any = Console(stderr=True) if console is None else console
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        if self.console.is_terminal or self.console.is_jupyter:
            self._bars = _bars(self.console)
            self._tasks = {label: self._bars.add_task(label, total=None, start=False, errors=0) for label in labels}

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    @contextmanager
    def table(self, label: str, total: int) -> Iterator[Advance]:
        """Show one table while the block runs; the block calls what it gets."""
        count = _Count(total)
        show = self._print(label, count) if self._bars is None else self._draw(label, count)

        def advance(keys: int, errors: int) -> None:
            count.done, count.errors = count.done + keys, errors
            if time.monotonic() >= count.next:
                show(False)

        show(False)
        try:
            yield advance
        finally:
            show(True)

    def _draw(self, label: str, count: _Count) -> Callable[[bool], None]:
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(label, total=None, start=False, errors=0)
        task = self._tasks[label]
        self._bars.start_task(task)

        def show(ended: bool) -> None:
            count.next = time.monotonic() + OFTEN
            self._bars.update(task, total=max(count.total, count.done), completed=count.done, errors=count.errors)
            if ended:
                self._bars.stop_task(task)

        return show

    def _print(self, label: str, count: _Count) -> Callable[[bool], None]:
        def show(ended: bool) -> None:
            if ended or count.done:
                self.console.print(f"{label}: {count.told(ended)}", highlight=False, soft_wrap=True)
            count.next = time.monotonic() + SELDOM

        return show


class _Count:
    """How far a table is."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.errors = total, 0, 0
        self.began = time.monotonic()
        self.next = 0.0

    def told(self, ended: bool) -> str:
        """Return that in words."""
        seconds = time.monotonic() - self.began
        rate = self.done / max(seconds, 1e-3)
        words = [f"{self.done:,} of {self.total:,}"]
        if self.done:
            words.append(f"{rate:,.1f}/s")
        if ended:
            words.append(f"in {_clock(seconds)}")
        elif self.done:
            words.append(f"{_clock((self.total - self.done) / rate)} left")
        if self.errors:
            words.append(_errors(self.errors))
        return ", ".join(words)


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=max(0, round(seconds))))


def _errors(count: int) -> str:
    return f"{count:,} error{'s' * (count > 1)}" if count else ""


def _bars(console: Any) -> Any:
    """Return the bars of rich: name, bar, done/total, rate, time, errors."""
    from rich import progress, table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    class Column(progress.ProgressColumn):
        def __init__(self, tell: Callable[[progress.Task], tuple[str, str]], justify: Any = "right") -> None:
            super().__init__(table.Column(justify=justify, no_wrap=True))
            self._tell = tell

        def render(self, task: progress.Task) -> Text:
            text, style = self._tell(task)
            return Text(text, style)

    class Bar(progress.BarColumn):
        def render(self, task: progress.Task) -> Any:
            return super().render(task) if task.started else Text("")

    def name(task: progress.Task) -> tuple[str, str]:
        return task.description, "" if task.started else "dim"

    def done(task: progress.Task) -> tuple[str, str]:
        return (f"{task.completed:,.0f}/{task.total or 0:,.0f}", "") if task.started else ("waiting", "dim")

    def rate(task: progress.Task) -> tuple[str, str]:
        whole = task.completed / task.elapsed if task.elapsed else None
        speed = whole if task.stop_time is not None or task.speed is None else task.speed
        return (f"{speed:,.1f}/s", "cyan") if speed else ("", "")

    def left(task: progress.Task) -> tuple[str, str]:
        if task.stop_time is not None:
            return f"in {_clock(task.elapsed or 0)}", "green"
        return (f"{_clock(task.time_remaining)} left", "") if task.time_remaining is not None else ("", "")

    def errors(task: progress.Task) -> tuple[str, str]:
        return _errors(task.fields["errors"]), "red"

    columns = Column(name, "left"), Bar(bar_width=30), Column(done), Column(rate), Column(left), Column(errors, "left")
    return progress.Progress(*columns, console=console, refresh_per_second=10)


@contextmanager
def showing(display: bool | Display, label: str, total: Callable[[], int]) -> Iterator[Advance]:
    """Show a table on a display of its own, on one that others share, or not at all."""
    if isinstance(display, Display):
        with display.table(label, total()) as advance:
            yield advance
    elif display:
        with Display([label]) as own, own.table(label, total()) as advance:
            yield advance
    else:
        yield _nothing


def _nothing(keys: int, errors: int) -> None:
    pass
