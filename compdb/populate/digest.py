"""A digest of what make_fetch returned, to see whether the inputs are still the same: milliseconds for megabytes.

What is small is digested with blake2b, a gigabyte a second. Large arrays are kept instead, up to a limit, and compared: to copy an
array and to compare it later takes a third of the time of two digests.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from compdb import codecs
from compdb.errors import BlobError, MakeError

__all__ = ["Digest", "digest"]

LARGE, KEPT = 100_000, 32_000_000
"""Bytes from which on an array is kept, and of all that are kept."""


class Digest:
    """What a value was: equal to that of an equal value of the same types, dtypes and order."""

    __slots__ = ("arrays", "room", "state")

    def __init__(self) -> None:
        self.state = hashlib.blake2b(digest_size=16)
        self.arrays: list[np.ndarray[Any, Any]] = []
        self.room = KEPT

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Digest) or self.state.digest() != other.state.digest():
            return False
        return all(_same(one, two) for one, two in zip(self.arrays, other.arrays, strict=True))

    def __hash__(self) -> int:
        return hash(self.state.digest())

    def __repr__(self) -> str:
        return f"<digest {self.state.hexdigest()}>"

    def update(self, data: Any) -> None:
        """Digest bytes."""
        self.state.update(data)

    def take(self, array: np.ndarray[Any, Any], *, copy: bool) -> None:
        """Take the data of an array in: keep it, or digest it where it is small or there is no room."""
        if not LARGE <= array.nbytes <= self.room:
            self.update(np.ascontiguousarray(array).view(np.uint8).data if array.size else b"")
            return
        self.room -= array.nbytes
        flat = np.array(array, order="C", copy=True if copy else None, subok=False)
        self.arrays.append(flat.reshape(-1).view(np.uint8))


def _same(one: np.ndarray[Any, Any], two: np.ndarray[Any, Any]) -> bool:
    """Say whether bytes are the same, eight at a time."""
    whole = one.size // 8 * 8
    words = np.array_equal(one[:whole].view(np.uint64), two[:whole].view(np.uint64))
    return words and np.array_equal(one[whole:], two[whole:])


def digest(value: Any, *, copy: bool = True) -> Digest:
    """Return a digest of `value`.

    Parameters
    ----------
    value : tuple, list, dict, array, data frame or anything a blob holds
    copy : bool
        Whether arrays may change before it is compared.

    Raises
    ------
    MakeError
        For a value whose content cannot be read.
    """
    found = Digest()
    _feed(found, value, copy)
    return found


def _feed(state: Digest, value: Any, copy: bool) -> None:
    kind = type(value)
    if kind in (tuple, list):
        state.update(f"{kind.__name__} {len(value)}:".encode())
        for item in value:
            _feed(state, item, copy)
    elif kind is dict:
        state.update(f"dict {len(value)}:".encode())
        for name, item in value.items():
            _feed(state, name, copy)
            _feed(state, item, copy)
    elif isinstance(value, np.ma.MaskedArray):
        state.update(b"masked:")
        _feed(state, value.data, copy)
        _feed(state, np.ma.getmaskarray(value), copy)
    elif isinstance(value, np.ndarray) and value.dtype.names:  # by fields: numpy copies nothing of what lies between them
        state.update(f"{kind.__name__} {value.dtype.names} {value.shape}:".encode())
        for name in value.dtype.names:
            _feed(state, np.asarray(value[name]), copy)
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        state.update(f"{kind.__name__} {value.dtype.str} {value.dtype.descr} {value.shape}:".encode())
        state.take(value, copy=copy)
    elif isinstance(value, np.ndarray):
        state.update(f"objects {value.shape}:".encode())
        _feed(state, value.ravel().tolist(), copy)
    elif hasattr(value, "columns") and hasattr(value, "to_dict"):  # pandas
        _feed(state, [*map(str, value.columns), *(value[c].to_numpy() for c in value.columns), value.index.to_numpy()], copy)
    elif hasattr(value, "to_dict") and hasattr(value, "schema"):  # polars
        _feed(state, [str(value.schema), value.to_dict(as_series=False)], copy)
    elif hasattr(value, "to_pylist"):  # Arrow
        _feed(state, value.to_pylist(), copy)
    else:
        try:
            state.update(codecs.encode(value))
        except BlobError as error:
            raise MakeError(
                f"make_fetch returned a {kind.__name__}, whose content cannot be compared ({error.reason}); return arrays, numbers,"
                " text, and tuples, lists or dicts of them"
            ) from error
