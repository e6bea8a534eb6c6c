"""Keys that wait to be made: a few in memory, more of them in a temporary file, so that a million are never a list.

They are read once, in one statement, and no cursor stays open while makes run.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from compdb import codecs
from compdb.errors import BlobError

__all__ = ["Spool"]

IN_MEMORY = 4_000_000
"""Bytes of keys after which a file begins."""


class Spool:
    """Rows of keys, in pages.

    Parameters
    ----------
    names : sequence of str
        The attributes of the keys.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 (closed by close)
        self._pages: list[Any] = []  # where a page stands in the file, or its columns, if no codec takes its values

    def take(self, chunks: Iterable[Sequence[Sequence[Any]]]) -> None:
        """Keep the rows of some chunks, each given as columns; a chunk is a page."""
        for columns in chunks:
            try:
                page = codecs.encode([list(column) for column in columns])
            except BlobError:
                self._pages.append(columns)
            else:
                self._pages.append((self._file.tell(), len(page)))
                self._file.write(page)

    def pages(self, *, shuffled: bool = False) -> Iterator[list[dict[str, Any]]]:
        """Yield the keys, a page at a time; shuffled, the pages and the keys in each come in any order."""
        places = random.sample(self._pages, len(self._pages)) if shuffled else self._pages
        for place in places:
            keys = [dict(zip(self.names, row)) for row in zip(*self._columns(place))]
            if shuffled:
                random.shuffle(keys)
            yield keys

    def _columns(self, place: Any) -> Sequence[Sequence[Any]]:
        if not isinstance(place, tuple) or not isinstance(place[0], int):
            return place  # type: ignore[no-any-return]
        start, size = place
        self._file.seek(start)
        found: Sequence[Sequence[Any]] = codecs.decode(self._file.read(size))
        return found

    def close(self) -> None:
        """Remove the file."""
        self._file.close()
