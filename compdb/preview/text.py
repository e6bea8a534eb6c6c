"""A preview for the terminal."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from typing import Any, Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from compdb.preview.sampling import Column, Sample, Source, sample

__all__ = ["table", "text"]

WIDTH = 100  # where there is no terminal
WIDEST, NARROWEST = 32, 19  # what a column may be cut to: in cells, where there is room and where there is not
FRAME = 3  # cells that each column adds to its width


def text(source: Source, *, width: int | None = None, **options: Any) -> str:  # the options of `sample`
    """Return a preview as text: a title, the first rows, how many there are.

    Parameters
    ----------
    width : int, optional
        In characters; by default that of the terminal.
    **options
        Those of `sample`.
    """
    found = sample(source, **options)
    above = [line for line in (found.title, found.comment) if line]
    if found.error:
        return "\n".join([*above, found.error])
    space = width or shutil.get_terminal_size((WIDTH, 24)).columns
    widths = _widths(found, space)
    console = Console(
        file=io.StringIO(), width=space, color_system=None, legacy_windows=False, emoji=False, force_jupyter=False
    )
    console.print(table(found, widths))
    drawn = [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    left_out = [c.name for i, c in enumerate(found.columns) if i not in widths]
    below = found.count + (f"; not shown: {', '.join(left_out)}" if left_out else "")
    return "\n".join([*above, *(line for line in drawn if line), below])


def table(found: Sample, widths: Mapping[int, int] | None = None) -> Table:
    """Return a sample as a table of rich, for consoles that know colours.

    Parameters
    ----------
    widths : mapping of int to int, optional
        Which columns to show, and how wide; by default all.
    """
    drawn = Table(box=box.MINIMAL, show_edge=False)
    shown = dict.fromkeys(range(len(found.columns)), WIDEST) if widths is None else widths
    for i, width in shown.items():
        column = found.columns[i]
        head = Text(_head(column), style="bold" if column.key else "")
        justify: Literal["left", "right"] = "right" if column.number else "left"
        drawn.add_column(head, justify=justify, no_wrap=True, overflow="ellipsis", max_width=width)
    for row in found.rows:
        drawn.add_row(*(Text("NULL", style="dim") if row[i] is None else Text(str(row[i])) for i in shown))
    return drawn


def _head(column: Column) -> str:
    return ("*" if column.key else "") + column.name


def _widths(found: Sample, space: int) -> dict[int, int]:
    """Return which columns fit beside each other, and their widths: the widest give way, then the last ones, keys last of all."""
    widths = {
        i: min(WIDEST, max(cell_len(_head(column)), *(cell_len(row[i] or "NULL") for row in found.rows), 1))
        for i, column in enumerate(found.columns)
    }
    while sum(widths.values()) + FRAME * len(widths) > space:
        widest = max(widths, key=lambda i: widths[i])
        if widths[widest] > NARROWEST:
            widths[widest] -= 1
        elif len(widths) > 1:
            del widths[max(widths, key=lambda i: (not found.columns[i].key, i))]
        else:
            break
    return widths
