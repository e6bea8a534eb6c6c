"""The tokens of msgpack: their heads, and what the objects they become cost in memory.

A msgpack stream is a flat sequence of tokens, whose lengths do not depend on how they nest. `RUN` steps over numbers,
None, booleans and short strings at the speed of `re`; the tokens that matter (containers, long strings, extensions) are
then looked at one by one.
"""

from __future__ import annotations

import re

__all__ = [
    "ARRAY",
    "BIN",
    "EXT",
    "KINDS",
    "MAP",
    "MAX_MEMORY",
    "MAX_RAW",
    "RUN",
    "SHORT",
    "STR",
    "array_cost",
    "array_head",
    "bin_head",
    "ext_head",
    "map_cost",
    "map_head",
]

MAX_RAW = 0xFFFF_FFFF
"""Bytes that one array, string or extension can have in msgpack."""

MAX_MEMORY = 512 << 20
"""Bytes that all Python objects of one blob may take, array data, text and bytes not counted.

One byte of msgpack can become a dict of 64; a blob of 10 MB could fill the memory of a server. 512 MB are eight million
list items, and what is larger is an array. `encode` refuses by the same count, so that what was written can be read.
"""

ITEM, EXTENSION, NUMPY = 64, 128, 256


def array_cost(count: int) -> int:
    """Return the memory of a list of `count` small objects (CPython 3.11: pointers 8, floats 24, ints 32, str 50)."""
    return 64 + ITEM * count


def map_cost(count: int) -> int:
    """Return the memory of a dict of `count` pairs of small objects."""
    return 240 + 3 * ITEM * count


RUN = re.compile(
    rb"(?:[\x00-\x7f\xe0-\xff\xc0\xc2\xc3]|[\xcb\xcf\xd3].{8}|[\xcc\xd0].|[\xcd\xd1]..|[\xca\xce\xd2].{4}|"
    + b"|".join(b"[%c].{%d}" % (0xA0 + length, length) for length in range(32))
    + rb"){1,4096}",  # no more at a time: `re` keeps a record of each
    re.DOTALL,
)

SHORT, ARRAY, MAP, STR, BIN, EXT = range(6)

KINDS: list[tuple[int, int, int]] = [(SHORT, 0, 0)] * 256
"""By first byte: kind; width of the length that follows; the length itself where the first byte holds it.

`SHORT` is what `RUN` steps over, and c1, which is in no msgpack.
"""
for _low in range(16):
    KINDS[0x80 + _low] = (MAP, 0, _low)
    KINDS[0x90 + _low] = (ARRAY, 0, _low)
for _power in range(3):
    KINDS[0xC4 + _power] = (BIN, 1 << _power, 0)
    KINDS[0xC7 + _power] = (EXT, 1 << _power, 0)
    KINDS[0xD9 + _power] = (STR, 1 << _power, 0)
for _power in range(2):
    KINDS[0xDC + _power] = (ARRAY, 2 << _power, 0)
    KINDS[0xDE + _power] = (MAP, 2 << _power, 0)
for _power in range(5):
    KINDS[0xD4 + _power] = (EXT, 0, 1 << _power)


def array_head(count: int) -> bytes:
    """Return the head of an array of `count` items."""
    if count < 16:
        return bytes((0x90 | count,))
    return b"\xdc" + count.to_bytes(2, "big") if count < 1 << 16 else b"\xdd" + count.to_bytes(4, "big")


def map_head(count: int) -> bytes:
    """Return the head of a map of `count` pairs."""
    if count < 16:
        return bytes((0x80 | count,))
    return b"\xde" + count.to_bytes(2, "big") if count < 1 << 16 else b"\xdf" + count.to_bytes(4, "big")


def bin_head(size: int) -> bytes:
    """Return the head of `size` bytes of data."""
    if size < 1 << 8:
        return bytes((0xC4, size))
    return b"\xc5" + size.to_bytes(2, "big") if size < 1 << 16 else b"\xc6" + size.to_bytes(4, "big")


def ext_head(code: int, size: int) -> bytes:
    """Return the head of an extension of `size` bytes."""
    if size in (1, 2, 4, 8, 16):
        return bytes((0xD3 + size.bit_length(), code))
    width = 1 if size < 1 << 8 else 2 if size < 1 << 16 else 4
    return bytes((0xC6 + width.bit_length(),)) + size.to_bytes(width, "big") + bytes((code,))
