"""Blobs that the msgpack-numpy package wrote: bare msgpack, read with our own checks and never unpickled.

>>> import msgpack_numpy, numpy as np
>>> from compdb import codecs
>>> codecs.decode_msgpack_numpy(msgpack_numpy.packb({"x": np.arange(3)}))
{'x': array([0, 1, 2])}

Such bytes have no header, so `decode` never guesses that it has them: this function has to be asked. What the package
lost when it wrote (tuples, Fortran order, padding of structures) stays lost; arrays of Python objects, which it
pickled, are refused.
"""

from __future__ import annotations

from typing import Any

from compdb.codecs import arrays, ext, reader
from compdb.codecs.frame import as_view, damaged
from compdb.errors import BlobError

__all__ = ["decode_msgpack_numpy"]


def decode_msgpack_numpy(data: bytes | bytearray | memoryview) -> Any:
    """Return the value of bytes that `msgpack_numpy.packb` wrote.

    Parameters
    ----------
    data : bytes
        Untrusted; written with `use_bin_type=True`, the default since msgpack 1.0.

    Returns
    -------
    value : object
        As `msgpack_numpy.unpackb` gives it, but with arrays that are writable.

    Raises
    ------
    BlobError
        Whatever is wrong with the bytes. No other exception escapes.
    """
    try:
        return reader.read(as_view(data), codes=(), pairs=_from_pairs)
    except BlobError:
        raise
    except Exception as error:  # the border, as in `frame.decode`
        raise damaged(error) from error


def _from_pairs(pairs: list[tuple[Any, Any]]) -> Any:
    """Return the dict of a map, or the array or number that the package wrote as one."""
    keys = [key for key, _ in pairs]
    if ext.collides(keys):
        raise BlobError("damaged blob: too many keys of one hash")
    found = dict(pairs)
    if len(found) != len(keys):
        raise BlobError("damaged blob: a key twice")
    if b"nd" in found and b"data" in found:
        return _array(found)
    if b"complex" in found and type(found.get(b"data")) is str:
        return complex(found[b"data"])
    return found


def _array(found: dict[Any, Any]) -> Any:
    """Return an array whose keys are not in the package's own order."""
    data = found.pop(b"data")
    layout = arrays.from_map(found)
    if type(data) is not bytes or len(data) != layout.size:
        raise BlobError("damaged blob: an array whose data have another length than its shape")
    return arrays.build(layout, memoryview(data), 0)
