"""The default codec: msgpack, with numpy arrays as the msgpack-numpy package lays them out.

>>> import numpy as np
>>> from compdb import codecs
>>> codecs.decode(codecs.encode({"trace": np.arange(3.0), "span": (0, 3)}))
{'trace': array([0., 1., 2.]), 'span': (0, 3)}

`msgpack_numpy.unpackb(blob[8:])` reads the arrays too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from compdb.codecs import arrays, ext, reader, writer
from compdb.codecs.tokens import ARRAY, BIN, EXT, KINDS, MAP, STR
from compdb.errors import BlobError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["NumpyCodec"]

_MARKED = {ext.TUPLE.code: "tuple", ext.SET.code: "set", ext.FROZENSET.code: "frozenset", ext.DICT.code: "dict"}
_CONTAINERS = {ARRAY: "list", MAP: "dict", STR: "str", BIN: "bytes"}
_NAMES = {scalar.code: kind.__name__ for kind, scalar in ext.by_type.items()}
_SINGLE = {0xC0: "None", 0xC2: "bool", 0xC3: "bool", 0xCA: "float", 0xCB: "float"}


class NumpyCodec:
    """msgpack with numpy."""

    id = 1
    name = "numpy"

    def encode(self, value: Any) -> Sequence[Buffer]:  # Any: every type that a blob holds
        """Return the value as pieces of msgpack."""
        return writer.write(value)

    def decode(self, payload: memoryview) -> Any:
        """Return the value of a payload."""
        return reader.read(payload)

    def describe(self, head: memoryview) -> str | None:
        """Return dtype and shape of an array, the type of anything else."""
        if arrays.START.match(head):
            try:
                layout, _ = arrays.find_head(head, 0)
            except BlobError:  # its fields go beyond the head
                return "array"
            return _dtype_name(layout.dtype) + (f" {layout.shape}" if layout.shape is not None else "")
        first = head[0]
        kind, width, _ = KINDS[first]
        item = bytes(head[1 + width : 4 + width])
        if kind == ARRAY and item[:2] == b"\xc7\0":
            return _MARKED.get(item[2])
        if kind == EXT:
            return _NAMES.get(head[1 + width])
        if kind in _CONTAINERS:
            return _CONTAINERS[kind]
        return "str" if 0xA0 <= first <= 0xBF else _SINGLE.get(first, "int" if first != 0xC1 else None)


def _dtype_name(dtype: Any) -> str:
    """Return `float64`, or the names of the fields."""
    if not dtype.names:
        return str(dtype)
    names = ", ".join(dtype.names)
    return f"struct[{names if len(names) <= 60 else names[:57] + '...'}]"
