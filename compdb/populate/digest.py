"""A digest of what make_fetch returned, to see whether the inputs are still the same: milliseconds for megabytes."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from compdb import codecs
from compdb.errors import BlobError, MakeError

__all__ = ["digest"]


def digest(value: Any) -> bytes:
    """Return a digest of `value`: equal for equal values of equal types, dtypes and order.

    Parameters
    ----------
    value : tuple, list, dict, array, data frame or anything a blob holds

    Raises
    ------
    MakeError
        For a value whose content cannot be read.
    """
    state = hashlib.blake2b(digest_size=16)
    _feed(state, value)
    return state.digest()


def _feed(state: Any, value: Any) -> None:
    kind = type(value)
    if kind in (tuple, list):
        state.update(f"{kind.__name__} {len(value)}:".encode())
        for item in value:
            _feed(state, item)
    elif kind is dict:
        state.update(f"dict {len(value)}:".encode())
        for name, item in value.items():
            _feed(state, name)
            _feed(state, item)
    elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
        state.update(f"{kind.__name__} {value.dtype.str} {value.dtype.descr} {value.shape}:".encode())
        state.update(np.ascontiguousarray(value).view(np.uint8).data if value.size else b"")
    elif isinstance(value, np.ndarray):
        state.update(f"objects {value.shape}:".encode())
        _feed(state, value.ravel().tolist())
    elif hasattr(value, "columns") and hasattr(value, "to_dict"):  # pandas
        _feed(state, [*map(str, value.columns), *(value[c].to_numpy() for c in value.columns), value.index.to_numpy()])
    elif hasattr(value, "to_dict") and hasattr(value, "schema"):  # polars
        _feed(state, [str(value.schema), value.to_dict(as_series=False)])
    elif hasattr(value, "to_pylist"):  # Arrow
        _feed(state, value.to_pylist())
    else:
        try:
            state.update(codecs.encode(value))
        except BlobError as error:
            raise MakeError(
                f"make_fetch returned a {kind.__name__}, whose content cannot be compared ({error.reason}); return arrays, numbers,"
                " text, and tuples, lists or dicts of them"
            ) from error
