"""Writing a value: a walk over the containers, everything below them by msgpack's own C code.

A container whose items are all plain is packed in one call. Arrays are never copied on the way: their data are pieces
of the blob, which the frame joins once. What would come back changed is refused, with its path in the value.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np

from compdb.codecs import arrays, ext
from compdb.codecs.refusal import Refused, unknown_type
from compdb.codecs.tokens import (
    EXTENSION,
    MAX_MEMORY,
    MAX_RAW,
    array_cost,
    array_head,
    bin_head,
    ext_head,
    map_cost,
    map_head,
)
from compdb.errors import shorten

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["write"]

MAX_DEPTH = 128
_PLAIN = frozenset({type(None), bool, int, float, str})
_TEXT = frozenset({str, bytes})
_RESERVED = ("nd", b"nd", "complex", b"complex")
"""Keys by which msgpack-numpy's readers know an array; a dict that has one is not written as a map."""


def write(value: Any) -> list[Buffer]:
    """Return a value as pieces of msgpack.

    Raises
    ------
    BlobError
        If the value would come back changed; it names the place in the value, and the fix.
    """
    writer = _Writer()
    try:
        writer.write(value)
    except Refused as refusal:
        raise refusal.error() from None
    except RecursionError:
        raise _too_deep(value).error() from None
    return writer.pieces


class _Writer:
    """The pieces so far, and what they will cost to read."""

    __slots__ = ("cost", "depth", "pack", "pieces")

    def __init__(self) -> None:
        self.pieces: list[Buffer] = []
        self.pack: Callable[[Any], bytes] = msgpack.Packer(strict_types=True).pack
        self.cost = self.depth = 0

    def write(self, value: Any) -> None:
        """Append any value."""
        writer = _WRITERS.get(type(value))
        if writer is None:
            raise unknown_type(value)
        writer(self, value)

    def charge(self, cost: int, value: object) -> None:
        """Count what an object will cost to read."""
        self.cost += cost
        if self.cost > MAX_MEMORY:
            raise Refused(
                f"makes the blob one of more Python objects than can be read back ({MAX_MEMORY:,} bytes of memory)",
                "store numbers as a numpy array, records as a structured array or a table",
                value,
            )

    def packed(self, items: Any) -> bool:
        """Append a whole container by msgpack's C code; False if it holds something that needs a closer look."""
        try:
            self.pieces.append(self.pack(items))
        except (OverflowError, UnicodeEncodeError, ValueError):  # an int beyond 64 bits, a lone surrogate
            return False
        return True

    def write_plain(self, value: bool | int | float | str | None) -> None:
        """Append what msgpack has a token for."""
        try:
            self.pieces.append(self.pack(value))
        except OverflowError:
            self.write_scalar(value)
        except UnicodeEncodeError as error:
            fix = 'store its bytes, as {}.encode("utf-8", "surrogatepass")'
            raise Refused(f"is text with a lone surrogate at {error.start}, which has no UTF-8", fix, value) from None
        except ValueError:
            raise _too_large(value) from None

    def write_bytes(self, value: bytes) -> None:
        """Append bytes; large ones are a piece of their own."""
        if len(value) > MAX_RAW:
            raise _too_large(value)
        self.pieces += (bin_head(len(value)), value)

    def write_scalar(self, value: Any) -> None:
        """Append a single value as an extension."""
        scalar = ext.by_type[type(value)]
        try:
            data = scalar.write(value)
        except Refused as refusal:
            refusal.value = value
            raise
        if len(data) > MAX_RAW:
            raise _too_large(value)
        self.charge(EXTENSION, value)
        self.pieces += (ext_head(scalar.code, len(data)), data)

    def write_array(self, value: np.ndarray[Any, Any] | np.generic) -> None:
        """Append an array or numpy scalar."""
        try:
            head, data, cost = arrays.pieces(value)
        except Refused as refusal:
            refusal.value = value
            raise
        self.charge(cost, value)
        self.pieces += (head, data)

    def write_list(self, value: list[Any]) -> None:
        """Append a list."""
        self.charge(array_cost(len(value)), value)
        if not (_PLAIN.issuperset(map(type, value)) and self.packed(value)):
            items = value.copy()  # another thread may be appending
            self.pieces.append(array_head(len(items)))
            self.items(items)

    def write_tuple(self, value: tuple[Any, ...]) -> None:
        """Append a tuple: an array with a mark."""
        self.mark(ext.TUPLE, len(value), value)
        self.items(value)

    def write_set(self, value: frozenset[Any] | set[Any]) -> None:
        """Append a set, its elements in the order of their bytes: equal sets are equal blobs."""
        self.mark(ext.SET if type(value) is set else ext.FROZENSET, len(value), value)
        if ext.collides(value):
            raise _one_hash(value)
        before, elements = self.pieces, []
        self.down(value)
        for item in value:
            self.pieces = []
            try:
                self.write(item)
            except Refused as refusal:
                raise refusal.inside("an element") from None
            elements.append(b"".join(self.pieces))
        self.depth -= 1
        self.pieces = [*before, *sorted(elements)]

    def mark(self, mark: msgpack.ExtType, count: int, value: object) -> None:
        """Append the head of an array of `count` items and a mark."""
        self.charge(array_cost(count + 1) + EXTENSION, value)
        self.pieces.append(array_head(count + 1) + ext.mark_bytes(mark))

    def items(self, items: Collection[Any]) -> None:
        """Append one item after the other."""
        self.down(items)
        for index, item in enumerate(items):
            try:
                self.write(item)
            except Refused as refusal:
                raise refusal.inside(f"[{index}]") from None
        self.depth -= 1

    def write_dict(self, value: dict[Any, Any]) -> None:
        """Append a dict: a map where it can be one, else an array with a mark."""
        if _TEXT.issuperset(map(type, value)) and not any(key in value for key in _RESERVED):
            self.charge(map_cost(len(value)), value)
            if _PLAIN.issuperset(map(type, value.values())) and self.packed(value):
                return
            self.pieces.append(map_head(len(value)))
        else:
            self.mark(ext.DICT, 2 * len(value), value)
            if ext.collides(value):
                raise _one_hash(value)
        self.down(value)
        for key, item in value.items():
            try:
                self.write(key)
            except Refused as refusal:
                raise refusal.inside(f"the key {shorten(key, 60)}") from None
            try:
                self.write(item)
            except Refused as refusal:
                raise refusal.inside(f"[{shorten(key, 60)}]") from None
        self.depth -= 1

    def down(self, value: object) -> None:
        """Go one level deeper."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _too_deep(value)


def _too_deep(value: object) -> Refused:
    return Refused(f"is nested more than {MAX_DEPTH} deep, or holds itself", "flatten it", value)


def _too_large(value: object) -> Refused:
    return Refused(f"is one value of more than {MAX_RAW:,} bytes", "split it, or store it in a file", value)


def _one_hash(value: object) -> Refused:
    return Refused("has more than 100 keys of one hash", "choose other keys", value)


_NUMPY = [np.dtype(char).type for char in "?bhilqBHILQefdgFDGMm"] + [np.void, np.ndarray]

_WRITERS: Mapping[type, Callable[[_Writer, Any], None]] = {
    **dict.fromkeys(_NUMPY, _Writer.write_array),
    **dict.fromkeys(ext.by_type, _Writer.write_scalar),
    **dict.fromkeys(_PLAIN, _Writer.write_plain),
    bytes: _Writer.write_bytes,
    list: _Writer.write_list,
    tuple: _Writer.write_tuple,
    dict: _Writer.write_dict,
    set: _Writer.write_set,
    frozenset: _Writer.write_set,
}
