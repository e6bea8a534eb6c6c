"""Reading a payload: a pass that builds nothing and refuses what is forged, then msgpack's own C code.

The first pass steps from token to token. It counts what the containers will cost before any is made, lets through only
extension codes that are ours, and takes out every array, with one copy of its data. What is left, with a small
placeholder where each array was, is then built by msgpack at full speed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

import msgpack

from compdb.codecs import arrays, ext
from compdb.codecs.tokens import ARRAY, EXT, EXTENSION, KINDS, MAP, MAX_MEMORY, RUN, SHORT, array_cost, map_cost
from compdb.errors import BlobError

__all__ = ["read"]

_PLACEHOLDER = 127
_PLACE = b"\xd4\x7f\0"
_NEVER = re.compile(rb"(?!)")


def read(
    payload: memoryview,
    codes: Collection[int] = ext.CODES,
    pairs: Callable[[list[tuple[Any, Any]]], Any] | None = None,
) -> Any:
    """Return the value of a payload.

    Parameters
    ----------
    payload : memoryview
        Untrusted bytes of msgpack.
    codes : collection of int, optional
        The extension codes to let through.
    pairs : callable, optional
        Makes a value of the pairs of a map, arrays among them, instead of the first pass.

    Raises
    ------
    BlobError, ValueError, TypeError, ...
        If anything is wrong with the bytes; the frame makes them all BlobErrors.
    """
    if pairs is None and arrays.START.match(payload):
        array, end, _ = arrays.read(payload, 0)
        if end == len(payload):
            return array
    found, pieces, marked = _scan(payload, codes, arrays.START if pairs is None else _NEVER)
    in_order = iter(found)

    def extension(code: int, data: bytes) -> Any:
        return next(in_order) if code == _PLACEHOLDER else ext.value(code, data)

    return msgpack.unpackb(
        b"".join(pieces) if found else payload,
        ext_hook=extension,
        list_hook=ext.container if marked else None,
        object_pairs_hook=pairs,
        strict_map_key=pairs is None,
    )


def _scan(
    view: memoryview, codes: Collection[int], arrays_start: re.Pattern[bytes]
) -> tuple[list[Any], list[bytes | memoryview], bool]:
    """Return the arrays of a payload, the pieces of it without them, and whether it has marks.

    The checks need no nesting: a head can claim no more items than bytes follow, every claim is paid for before any
    is made, and msgpack itself ends at 1024 levels.
    """
    found: list[Any] = []
    pieces: list[bytes | memoryview] = []
    marked = False
    position, kept, cost, first_item, size = 0, 0, 0, -1, len(view)
    run, start = RUN.match, arrays_start.match
    while position < size:
        kind, width, number = KINDS[view[position]]
        if kind == SHORT and (match := run(view, position)):
            position = match.end()
            continue
        after = position + 1 + width
        if width:
            number = int.from_bytes(view[position + 1 : after], "big")
        if kind == SHORT or after > size or number > size - after:
            raise BlobError(f"damaged blob: cut off, or not msgpack, at byte {position} of {size}")
        if kind == ARRAY:
            cost += array_cost(number)
            position = first_item = after
        elif kind == MAP and start(view, position):
            pieces += (view[kept:position], _PLACE)
            array, position, more = arrays.read(view, position)
            kept, cost = position, cost + more
            found.append(array)
        elif kind == MAP:
            cost += map_cost(number)
            position = after
        elif kind == EXT:
            code = view[after] if after < size else -1
            if code not in codes or (code in ext.MARKS and position != first_item):
                raise BlobError(f"damaged blob: extension {code} at byte {position}, where it may not be")
            marked = marked or code in ext.MARKS
            cost += EXTENSION
            position = after + 1 + number
        else:
            position = after + number
        if cost > MAX_MEMORY:
            raise BlobError(f"blob of more Python objects than allowed ({MAX_MEMORY:,} bytes of memory)")
    pieces.append(view[kept:])
    return found, pieces, marked
