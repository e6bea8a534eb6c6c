"""The extension codes of a blob, all in one place. A code is never reused.

    1 tuple   2 set   3 frozenset   4 dict       marks: empty, and only ever the first item of a msgpack array
    16-22     single values                      `scalars.py`
    32-35     dates and times                    `times.py`

`(1, 2)` is the msgpack array `[mark 1, 1, 2]`, and a dict that msgpack cannot hold as it is (keys that are not text or
bytes, or a key that arrays use) is `[mark 4, key, value, key, value, ...]`. So everything nested is in one stream, and
readers that know nothing of us still find the arrays inside tuples and dicts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable
from typing import Any

import msgpack

from compdb.codecs.scalars import SCALARS, Scalar
from compdb.codecs.times import TIMES
from compdb.codecs.tokens import ext_head
from compdb.errors import BlobError

__all__ = [
    "CODES",
    "DICT",
    "FROZENSET",
    "MARKS",
    "SET",
    "TUPLE",
    "Mark",
    "by_type",
    "collides",
    "container",
    "mark_bytes",
    "value",
]

TUPLE, SET, FROZENSET, DICT = (msgpack.ExtType(code, b"") for code in (1, 2, 3, 4))
MARKS = frozenset({1, 2, 3, 4})

_BY_CODE: dict[int, Scalar] = {scalar.code: scalar for scalar in SCALARS + TIMES}
by_type: dict[type, Scalar] = {scalar.type: scalar for scalar in SCALARS + TIMES}
CODES = MARKS | _BY_CODE.keys()

_SAME_HASH = 100


class Mark:
    """A mark while its array is being read."""

    __slots__ = ("code",)

    def __init__(self, code: int) -> None:
        self.code = code


_READ_MARKS = {code: Mark(code) for code in MARKS}


def mark_bytes(mark: msgpack.ExtType) -> bytes:
    """Return a mark as it stands in the stream."""
    return ext_head(mark.code, 0)


def value(code: int, data: bytes) -> Any:
    """Return the value of an extension: a `Mark`, or a single value whose bytes are canonical."""
    if code in _READ_MARKS and not data:
        return _READ_MARKS[code]
    scalar = _BY_CODE.get(code)
    if scalar is None:
        raise BlobError(f"damaged blob: unknown extension {code}")
    found = scalar.read(data)
    if scalar.write(found) != data:
        raise BlobError(f"damaged blob: {data[:60]!r} is no {scalar.type.__name__}")
    return found


def container(items: list[Any]) -> Any:
    """Return what a list is that may begin with a mark."""
    if not items or type(items[0]) is not Mark:
        return items
    code = items[0].code
    if code == TUPLE.code:
        return tuple(items[1:])
    keys = items[1::2] if code == DICT.code else items[1:]
    if collides(keys):
        raise BlobError("damaged blob: too many keys of one hash")
    found: Any = dict(zip(keys, items[2::2], strict=True)) if code == DICT.code else set(keys)
    if len(found) != len(keys):
        raise BlobError("damaged blob: a key, or an element of a set, twice")
    return frozenset(found) if code == FROZENSET.code else found


def collides(keys: Iterable[Hashable]) -> bool:
    """Return whether so many keys have one hash that a dict of them would take quadratic time."""
    hashes = Counter(map(hash, keys))
    return len(hashes) > 0 and max(hashes.values()) > _SAME_HASH
