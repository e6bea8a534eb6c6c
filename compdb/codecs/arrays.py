"""Arrays and numpy scalars in the map layout of the msgpack-numpy package, which can read them after our header.

    {b"nd": True, b"type": "<f8", b"kind": b"", b"shape": [2, 3], b"data": b"..."}      an array
    {b"nd": False, b"type": "<f8", b"data": b"..."}                                    a scalar

Two keys of ours, which that package passes over, stand before the data: `b"order": b"F"` marks an array that was in
Fortran order (its data are in C order all the same), `b"dtype"` is the exact structured dtype. The data go into the
blob with one copy and out of it with one copy, whatever the array is nested in.
"""

from __future__ import annotations

import functools
import math
import re
from typing import Any, Literal, NamedTuple

import msgpack
import numpy as np

from compdb.codecs import dtypes
from compdb.codecs.refusal import Refused
from compdb.codecs.tokens import MAX_RAW, NUMPY, bin_head
from compdb.errors import BlobError

__all__ = ["START", "build", "find_head", "from_map", "pieces", "read"]

START = re.compile(rb"[\x83-\x87]\xc4\x02nd[\xc2\xc3]")
"""How every array and numpy scalar begins."""

_DATA = re.compile(rb"\xc4\x04data(\xc4.|\xc5..|\xc6.{4})", re.DOTALL)
_MAX_HEAD = 1 << 20


# --- writing ---------------------------------------------------------------------------------------------------------


def pieces(value: np.ndarray[Any, Any] | np.generic) -> tuple[bytes, Any, int]:
    """Return the head of the map of an array or scalar, its contiguous data, and what it costs to read.

    Raises
    ------
    Refused
        If its dtype could not come back.
    """
    return _array_pieces(value) if isinstance(value, np.ndarray) else _scalar_pieces(value)


def _array_pieces(array: np.ndarray[Any, Any]) -> tuple[bytes, Any, int]:
    dtype, size, flags, data = array.dtype, array.nbytes, array.flags, array
    if size > MAX_RAW:
        raise Refused(f"is an array of {size:,} bytes; one may have {MAX_RAW:,}", "split it, or store it in a file")
    text = dtypes.plain(dtype)
    if text is None:
        head = _void_head(dtype, array.shape, flags.fnc) + bin_head(size)
        cost = _void_cost(len(head))
        data = _without_padding(array, dtypes.covered(dtype))
    elif dtype.itemsize == 0:
        raise Refused(f"has dtype {dtype} of no width, which numpy widens", 'store {}.astype("S1") or "U1"')
    else:
        head, cost = _plain_head(text, array.shape, flags.fnc, size), NUMPY
    if dtype.kind in "bUV":
        _refuse_invalid(array)
    return head, np.ascontiguousarray(data), cost


def _refuse_invalid(array: np.ndarray[Any, Any]) -> None:
    if reason := _invalid(array):
        raise Refused(f"has {reason}, as np.empty leaves them", "fill all of it")


def _raw(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return a view without fields: numpy copies structures field by field and leaves garbage in the padding."""
    return array.view(f"V{array.dtype.itemsize}") if array.nbytes else array


def _scalar_pieces(scalar: np.generic) -> tuple[bytes, bytes, int]:
    dtype = scalar.dtype
    text = dtypes.plain(dtype)
    if text is not None:
        return _plain_head(text, None, False, dtype.itemsize), scalar.tobytes(), NUMPY
    _refuse_invalid(np.asarray(scalar))
    head = _void_head(dtype, None, False) + bin_head(dtype.itemsize)
    data = _without_padding(np.asarray(scalar), dtypes.covered(dtype)).tobytes()
    return head, data, _void_cost(len(head))


def _without_padding(array: np.ndarray[Any, Any], covered: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the items of structures as plain bytes, with zeros where no field is: equal arrays are equal blobs."""
    raw = _raw(array)
    if raw.nbytes == 0 or covered.all():
        return raw
    items = np.frombuffer(raw.tobytes(), "u1").reshape(-1, covered.size)
    return np.where(covered, items, np.uint8(0))


def _void_cost(length: int) -> int:
    """Return the memory of a structured array: a field of 8 bytes becomes several objects."""
    return NUMPY + 64 * length


@functools.lru_cache(4096)
def _plain_head(text: str, shape: tuple[int, ...] | None, fortran: bool, size: int) -> bytes:
    return _head(text, b"", shape, fortran, None) + bin_head(size)


def _void_head(dtype: dtypes.Dtype, shape: tuple[int, ...] | None, fortran: bool) -> bytes:
    type_, kind, exact = dtypes.structured(dtype)
    head = _head(type_, kind, shape, fortran, exact)
    if len(head) > _MAX_HEAD:
        raise Refused(f"has a dtype that takes {len(head):,} bytes to describe", "store a dict, or a table")
    return head


def _head(type_: Any, kind: bytes, shape: tuple[int, ...] | None, fortran: bool, exact: Any) -> bytes:
    """Return the map up to its data."""
    layout: dict[bytes, Any] = {b"nd": shape is not None, b"type": type_}
    if shape is not None:
        layout |= {b"kind": kind, b"shape": shape}
    if fortran:
        layout[b"order"] = b"F"
    if exact is not None:
        layout[b"dtype"] = exact
    layout[b"data"] = b""
    try:
        head: Any = msgpack.packb(layout)
    except (UnicodeEncodeError, ValueError, OverflowError):
        raise Refused("has a dtype with a field name that is not valid text", "rename the field") from None
    return bytes(head[:-2])


# --- reading ---------------------------------------------------------------------------------------------------------


class Layout(NamedTuple):
    """What the map says of the data: `shape` is None for a scalar, `checked` says that not all bytes are values."""

    dtype: dtypes.Dtype
    shape: tuple[int, ...] | None
    order: Literal["C", "F"]
    size: int
    checked: bool


_KNOWN: dict[bytes, Layout] = {}
"""Layouts seen before, by the bytes of their map up to the data.

None with fields: such a dtype can be changed in place (`array.dtype.names = ...`), so two arrays must not share it.
"""


def read(view: memoryview, start: int) -> tuple[Any, int, int]:
    """Return the array or scalar whose map begins at `start`, where it ends, and what it costs."""
    found = _DATA.search(view, start, start + _MAX_HEAD)
    begin = found.end() if found is not None else start
    layout = _KNOWN.get(view[start:begin].tobytes())
    if layout is not None:
        cost = NUMPY
    else:
        layout, begin = find_head(view, start)
        cost = NUMPY if layout.dtype.kind != "V" else _void_cost(begin - start)
    end = begin + layout.size
    if end > len(view):
        raise BlobError("damaged blob: an array whose data are cut off")
    return build(layout, view, begin), end, cost


def find_head(view: memoryview, start: int) -> tuple[Layout, int]:
    """Return what the map at `start` says before its data, and where the data begin."""
    end = start
    for _ in range(8):  # `c4 04 data` may also stand inside a shape; a head cut off there is no whole map
        found = _DATA.search(view, end, start + _MAX_HEAD)
        if found is None:
            break
        end = found.start() + 1
        head = view[start : found.start()].tobytes()
        try:
            whole = msgpack.unpackb(bytes((head[0] - 1,)) + head[1:])
        except ValueError:
            continue
        layout = from_map(whole, head[0] - 0x81)
        if found[1] != bin_head(layout.size):
            raise BlobError("damaged blob: an array whose data have another length than its shape")
        if layout.dtype.kind != "V" and len(head) < 256:
            if len(_KNOWN) >= 1024:
                _KNOWN.clear()
            _KNOWN[view[start : found.end()].tobytes()] = layout
        return layout, found.end()
    raise BlobError("damaged blob: an array without its data")


def from_map(layout: Any, count: int | None = None) -> Layout:
    """Check the map of an array or scalar, without its data."""
    known = {b"nd", b"type", b"kind", b"shape", b"order", b"dtype"}
    if type(layout) is not dict or not layout.keys() <= known or (count is not None and len(layout) != count):
        raise BlobError("damaged blob: a map of an array with other keys")
    if b"type" not in layout:
        raise BlobError("damaged blob: an array without a dtype")
    dtype = dtypes.from_layout(layout[b"type"], _kind(layout), layout.get(b"dtype"))
    checked = dtypes.checked_width(dtype) > 0
    if layout[b"nd"] is False:
        if dtype.kind not in "biufcmMV" or dtype.subdtype is not None or b"shape" in layout:
            raise BlobError(f"damaged blob: a scalar of dtype {dtype}")
        return Layout(dtype, None, "C", dtype.itemsize, checked)
    if layout[b"nd"] is not True or layout.get(b"order", b"F") != b"F" or dtype.subdtype is not None:
        raise BlobError("damaged blob: a map of an array that is none")
    if dtype.itemsize == 0 and dtype.kind in "SU":
        raise BlobError(f"damaged blob: an array of dtype {dtype}")
    shape = dtypes.checked_shape(layout.get(b"shape"))
    order: Literal["C", "F"] = "F" if b"order" in layout else "C"
    return Layout(dtype, shape, order, math.prod(shape) * dtype.itemsize, checked)


def _kind(layout: dict[bytes, Any]) -> Any:
    """Return the kind that a map names; scalars and old arrays leave it out."""
    return layout.get(b"kind", b"V" if type(layout[b"type"]) is list else b"")


def build(layout: Layout, view: memoryview, begin: int) -> Any:
    """Return the array or scalar, from a copy of its data."""
    dtype, shape, order, size, checked = layout
    if size and dtype.kind != "V":
        array = np.ndarray(shape or (), dtype, view, begin).copy(order)
    else:
        array = np.ndarray(shape or (), dtype, order=order)  # not np.empty, which changes dtypes of no width or unit
        if size:
            raw = _raw(array)
            raw[...] = np.ndarray(shape or (), raw.dtype, view, begin)
    if checked and (reason := _invalid(array)):
        raise BlobError(f"damaged blob: an array with {reason}")
    return array if shape is not None else array[()]


def _invalid(array: np.ndarray[Any, Any]) -> str | None:
    """Say which items are no values of their dtype, though numpy will make arrays of any bytes; None if all are."""
    dtype = array.dtype
    if dtype.kind == "U" and array.nbytes:
        codes = np.ascontiguousarray(array).reshape(-1).view(np.dtype("u4").newbyteorder(dtype.byteorder))
        return "characters beyond Unicode" if codes.max() > 0x10FFFF else None
    if dtype.kind == "b" and array.nbytes:
        return "bools that are neither 0 nor 1" if array.view("u1").max() > 1 else None
    return next((found for name in dtype.names or () if (found := _invalid(array[name]))), None)
