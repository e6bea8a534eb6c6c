"""What a verb has to say: the same for people, as tables, and for programs, as one JSON document; and the exit code.

>>> Answer({"made": 3}, [table("Detection", "made")], DONE)
"""

from __future__ import annotations

import datetime as dt
import enum
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from compdb import dialects

__all__ = ["DONE", "FAILED", "INTERRUPTED", "OPEN", "Answer", "address", "count", "plain", "short", "table", "tell"]

DONE, FAILED, OPEN, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: done; a make has failed; something is open (pending, drifted, or refused for the reason on stderr); Ctrl-C."""

UNBOUNDED = 10_000


@dataclass(frozen=True)
class Answer:
    """What a verb has to say.

    Attributes
    ----------
    document : object
        For programs: what JSON holds, and keys with whatever values a key may have.
    shown : sequence of renderables
        For people.
    code : int
        The exit code.
    """

    document: Any
    shown: Sequence[RenderableType] = ()
    code: int = DONE


def tell(answer: Answer, *, as_json: bool) -> None:
    """Print an answer to stdout."""
    if as_json:
        indent = 2 if sys.stdout.isatty() else None
        print(json.dumps(answer.document, indent=indent, ensure_ascii=False, default=plain))
        return
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else UNBOUNDED  # a pipe or a file cuts nothing off
    console = Console(
        file=sys.stdout, width=wide, highlight=False, markup=False, emoji=False, soft_wrap=wide is not None
    )
    for part in answer.shown:
        with console.capture() as captured:  # and written by us: a pipe that is closed is told, not an exit of rich's
            console.print(part)
        for line in captured.get().splitlines():
            if line.strip() or not isinstance(part, Table):
                sys.stdout.write(line.rstrip() + "\n")


def table(*columns: str, numbers: Sequence[str] = ()) -> Table:
    """Return a table with these columns; those among `numbers` stand to the right."""
    drawn = Table(box=box.MINIMAL, show_edge=False)
    for name in columns:
        drawn.add_column(name, justify="right" if name in numbers else "left")
    return drawn


def count(number: int | None, style: str = "") -> Text:
    """Return a number as a cell: nothing is dim, something in `style`, and what cannot be known is a question mark."""
    if number is None:
        return Text("?", style="yellow")
    return Text(f"{number:,}", style=style if number else "dim")


def short(path: Path) -> str:
    """Return a path as seen from the working directory."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_absolute() and path.is_relative_to(here) else path)


def address(url: str) -> str:
    """Return a URL that is safe to print, with the path of a file as seen from the working directory."""
    scheme, found, path = url.partition(":///")
    is_path = found and path.startswith("/") and dialects.family(sa.URL.create(scheme)).is_file
    return f"{scheme}:///{short(Path(path))}" if is_path else url


def plain(value: Any) -> Any:  # whatever a key may hold
    """Return as JSON what JSON has no form for."""
    match value:
        case np.generic():
            return value.item()
        case enum.Enum():
            return value.name
        case dt.date() | dt.time():
            return value.isoformat()
        case bytes():
            return value.hex()
        case set() | frozenset() | tuple():
            return list(value)
    return str(value)
