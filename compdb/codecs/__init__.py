"""Blobs: any value of science as bytes, and back without a change.

>>> import numpy as np
>>> from compdb import codecs
>>> blob = codecs.encode({"trace": np.arange(3.0), "trial": (7, "left"), "nd": None})
>>> codecs.decode(blob)
{'trace': array([0., 1., 2.]), 'trial': (7, 'left'), 'nd': None}
>>> codecs.describe(codecs.encode(np.zeros((872, 1000)))[:512])
'float64 (872, 1000)'

What a blob holds
-----------------
numpy arrays of every bool, integer, float, complex, text, bytes, date, void and structured dtype, of either byte order,
in C or Fortran order (any other order becomes C), 0-d and empty; numpy scalars; None, bool, int of any size, float,
complex, Decimal, str, bytes, bytearray, UUID, date, time, datetime, timedelta; dict (keys of any of these types that
can be hashed), list, tuple, set, frozenset, nested 128 deep. They come back as they went in: type, dtype, shape, order,
every bit. Arrays come back writable. (Of C's integers of one width numpy makes one: `longlong` is `int64`.)

What would come back changed is refused before it is stored, with its place and the fix: object and longdouble arrays,
subclasses (enums, named tuples, masked arrays, pandas timestamps), functions, and all other classes.

What is not trusted
-------------------
Bytes from a database. Nothing in them is imported, called or unpickled. Dtypes come from an allow-list, lengths must
match to the byte, and Python objects may take `tokens.MAX_MEMORY` of memory in all. `decode` raises `BlobError` and
nothing else.

A file per feature: `frame` (the header), `default` (the codec), `writer` and `reader` (its two directions), `arrays`
and `dtypes`, `scalars` and `times` (its extensions, `ext`), `compression`, `foreign` (blobs of the msgpack-numpy
package). `base` is the family: what a new codec must do, and where it is registered.
"""

from __future__ import annotations

from compdb.codecs.base import Codec, by_id, by_name, register
from compdb.codecs.default import NumpyCodec
from compdb.codecs.foreign import decode_msgpack_numpy
from compdb.codecs.frame import HEADER, MARK, Encoded, decode, describe, encode
from compdb.errors import BlobError

__all__ = [
    "HEADER",
    "MARK",
    "BlobError",
    "Codec",
    "Encoded",
    "NumpyCodec",
    "by_id",
    "by_name",
    "decode",
    "decode_msgpack_numpy",
    "describe",
    "encode",
    "register",
]

register(NumpyCodec())
