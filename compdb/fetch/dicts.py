"""Rows as dicts of Python values: all at once, or one after the other in constant memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from compdb.database import Database
from compdb.fetch.stream import Stream, stream

__all__ = ["iterate", "to_dicts"]


def to_dicts(database: Database, select: sa.Select[Any]) -> list[dict[str, Any]]:
    """Return all rows, each a dict."""
    with stream(database, select) as source:
        return [row for chunk in _chunks(source) for row in chunk]


def iterate(database: Database, select: sa.Select[Any], chunk: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield one dict after the other, with no more than `chunk` rows in memory.

    The rows are those of the moment when the first is asked for, whatever is written meanwhile. Outside a transaction the
    generator has a connection of its own, which it gives back when it ends, is closed or is collected.
    """
    with stream(database, select, chunk=chunk, interleaved=True) as source:
        for rows in _chunks(source):
            yield from rows


def _chunks(source: Stream) -> Iterator[list[dict[str, Any]]]:
    names = [field.name for field in source.fields]
    for columns in source.columns():
        yield [dict(zip(names, row)) for row in zip(*columns)]
