"""Dtypes as text and back: an allow-list, so that bytes from a database can never make a dtype that holds pointers.

Plain dtypes are numpy's own strings (`<f8`, `|S5`, `<M8[ns]`). A structured dtype is written twice: as numpy's `descr`,
as the msgpack-numpy package does, and exactly (offsets, padding, alignment, titles, subarrays), which `descr` is not.

    "<f8"
    {"base": dtype, "shape": [2, 3]}
    {"fields": [[name, dtype, offset(, title)], ...], "size": 16, "align": false}
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from compdb.codecs.refusal import Refused
from compdb.errors import BlobError

__all__ = ["Dtype", "checked_shape", "checked_width", "covered", "from_layout", "plain", "structured"]

Dtype = np.dtype[Any]  # Any: the dtype is what this module is about

MAX_FIELDS = 4096
MAX_DEPTH = 16
MAX_NDIM = 64
_PLAIN = re.compile(
    r"\|(?:b1|i1|u1|[SV]\d{1,9})"
    r"|[<>](?:[iu][248]|f[248]|c8|c16|U\d{1,9}|[mM]8(?:\[\d{0,9}(?:Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as)\])?)"
)
_CLASSES = frozenset(type(np.dtype(char)) for char in "?bhilqBHILQefdFDSUmM")
_VOID = type(np.dtype("V1"))


# --- writing ---------------------------------------------------------------------------------------------------------


def plain(dtype: Dtype) -> str | None:
    """Return the text of a dtype without fields, None for one of kind V; refuse what would not come back the same."""
    kind = type(dtype)
    if dtype.metadata is not None:
        raise Refused(
            f"has a dtype with metadata {dict(dtype.metadata)}, which would be lost", "store {}.view(plain dtype)"
        )
    if kind in _CLASSES:
        text: str = dtype.str
        return text
    if kind is _VOID:
        return None
    if dtype.kind == "O":
        raise Refused(
            "is an array of Python objects (dtype object), which could only be pickled",
            "give it a dtype, as {}.astype(float) or .astype(str), or store {}.tolist()",
        )
    if dtype.kind == "T":
        raise Refused("is an array of StringDType, which lives outside the array", 'store {}.astype("U")')
    if dtype.kind in "fc":
        narrow = "np.complex128" if dtype.kind == "c" else "np.float64"
        raise Refused(f"has dtype {dtype}, whose bytes differ between machines", f"store {{}}.astype({narrow})")
    raise Refused(f"has dtype {dtype}, which is not numpy's own", "store {}.astype(np.float32), or a view of its bytes")


def structured(dtype: Dtype) -> tuple[Any, bytes, Any]:  # Any: the nested lists drawn above
    """Return the `type` and `kind` that msgpack-numpy writes for a dtype of kind V, and the exact description."""
    exact = _exact(dtype)
    try:
        same = repr(from_layout("", b"V", exact)) == repr(dtype)
    except (BlobError, ValueError, TypeError):
        same = False
    if not same:
        raise Refused(f"has dtype {dtype}, which would come back changed", "store its fields in a dict")
    try:
        descr = dtype.descr
    except ValueError:  # fields that overlap
        return f"|V{dtype.itemsize}", b"", exact
    if any(len(field) > 2 for part in _parts(dtype) for field in (part.fields or {}).values()):  # titles
        return f"|V{dtype.itemsize}", b"", exact
    return descr, b"V", exact


def _parts(dtype: Dtype) -> Iterator[Dtype]:
    """Yield a dtype and all dtypes inside it."""
    yield dtype
    if dtype.subdtype is not None:
        yield from _parts(dtype.subdtype[0])
    for field in (dtype.fields or {}).values():
        yield from _parts(field[0])


def covered(dtype: Dtype) -> np.ndarray[Any, np.dtype[np.bool]]:
    """Return for each byte of an item whether it belongs to a field; the others are padding."""
    if dtype.subdtype is not None:
        return np.tile(covered(dtype.subdtype[0]), math.prod(dtype.subdtype[1]))
    mask = np.full(dtype.itemsize, dtype.names is None)
    for name in dtype.names or ():
        inner, offset = dtype.fields[name][:2]  # type: ignore[index]  # names is set, so fields is
        mask[offset : offset + inner.itemsize] |= covered(inner)
    return mask


def _exact(dtype: Dtype, depth: int = 0) -> Any:
    """Return the exact description of any dtype."""
    if depth > MAX_DEPTH:
        raise Refused(f"has a dtype nested more than {MAX_DEPTH} deep", "store its fields in a dict")
    if (text := plain(dtype)) is not None:
        return text
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return {"base": _exact(base, depth + 1), "shape": list(shape)}
    if dtype.type is not np.void:
        raise Refused("has a record dtype", "store {}.view({}.dtype.fields or {}.dtype, np.ndarray)")
    if dtype.names is None:
        return f"|V{dtype.itemsize}"
    if len(dtype.names) > MAX_FIELDS:
        raise Refused(f"has a dtype of more than {MAX_FIELDS} fields", "store a dict, or a table")
    fields = []
    for name in dtype.names:
        try:
            inner, offset, *title = dtype.fields[name]  # type: ignore[index]  # names is set, so fields is
            if any(type(t) is not str for t in title):
                raise Refused("has a title that is not text", "store it without titles")
            fields.append([name, _exact(inner, depth + 1), offset, *title])
        except Refused as refusal:
            raise refusal.inside(f"[{name!r}]") from None
    return {"fields": fields, "size": dtype.itemsize, "align": dtype.isalignedstruct}


# --- reading ---------------------------------------------------------------------------------------------------------


def from_layout(type_: Any, kind: bytes, exact: Any = None) -> Dtype:
    """Return the dtype that an array's map describes.

    Parameters
    ----------
    type_, kind
        As msgpack-numpy writes them: text and b"", or a `descr` and b"V".
    exact, optional
        Our own description, which then counts alone.

    Raises
    ------
    BlobError
        If any part of it is not on the allow-list.
    """
    if kind == b"O":
        raise BlobError("blob with an array of Python objects (pickled): compdb never unpickles")
    if exact is None and kind == b"":
        return _from_text(type_)
    if exact is None and kind != b"V":
        raise BlobError(f"damaged blob: array kind {kind!r}")
    dtype = _from_descr(type_) if exact is None else _from_exact(exact)
    if dtype.hasobject or checked_width(dtype) > dtype.itemsize:
        raise BlobError("damaged blob: a dtype with Python objects, or with text over text")
    return dtype


@functools.lru_cache(1024)
def _from_text(text: Any) -> Dtype:
    if type(text) is not str or not _PLAIN.fullmatch(text):
        raise BlobError(f"damaged blob: dtype {text!r} is not allowed")
    dtype = np.dtype(text)
    if dtype.hasobject or dtype.str != text:
        raise BlobError(f"damaged blob: dtype {text!r} is not allowed")
    return dtype


def _from_exact(exact: Any, depth: int = 0) -> Dtype:
    """Build a dtype from its exact description."""
    if type(exact) is str:
        return _from_text(exact)
    if type(exact) is not dict or depth > MAX_DEPTH:
        raise BlobError("damaged blob: a dtype that is none")
    if exact.keys() == {"base", "shape"}:
        return np.dtype((_from_exact(exact["base"], depth + 1), checked_shape(exact["shape"])))
    if exact.keys() != {"fields", "size", "align"}:
        raise BlobError("damaged blob: a dtype that is none")
    fields, size, align = exact["fields"], exact["size"], exact["align"]
    if type(fields) is not list or len(fields) > MAX_FIELDS or type(size) is not int or type(align) is not bool:
        raise BlobError("damaged blob: a structured dtype that is none")
    for field in fields:
        if type(field) is not list or [type(part) for part in (*field[:1], *field[2:])] not in (
            [str, int],
            [str, int, str],
        ):
            raise BlobError("damaged blob: a field of a structured dtype that is none")
    spec: Any = {
        "names": [field[0] for field in fields],
        "formats": [_from_exact(field[1], depth + 1) for field in fields],
        "offsets": [field[2] for field in fields],
        "itemsize": size,
    }
    if any(len(field) > 3 for field in fields):
        spec["titles"] = [field[3] if len(field) > 3 else None for field in fields]
    dtype: Dtype = np.dtype(spec, align=align)
    return dtype


def _from_descr(descr: Any, depth: int = 0) -> Dtype:
    """Build a structured dtype from the `descr` that msgpack-numpy wrote; as there, padding becomes fields."""
    if type(descr) is str:
        return _from_text(descr)
    if type(descr) is not list or len(descr) > MAX_FIELDS or depth > MAX_DEPTH:
        raise BlobError("damaged blob: a structured dtype that is none")
    fields: list[Any] = []
    for field in descr:
        if type(field) is not list or len(field) not in (2, 3):
            raise BlobError("damaged blob: a field of a structured dtype that is none")
        name = field[0].decode() if type(field[0]) is bytes else field[0]
        if type(name) is not str:
            raise BlobError("damaged blob: a field without a name, or with a title")
        fields.append((name, _from_descr(field[1], depth + 1), *(checked_shape(shape) for shape in field[2:])))
    return np.dtype(fields)


def checked_shape(shape: Any) -> tuple[int, ...]:
    """Check the shape of an array or subarray."""
    if type(shape) is not list or len(shape) > MAX_NDIM or any(type(side) is not int or side < 0 for side in shape):
        raise BlobError("damaged blob: a shape that is none")
    return tuple(shape)


def checked_width(dtype: Dtype) -> int:
    """Return how many bytes of an item are text or bools, whose bytes are checked.

    More than the item has means fields that overlap, to be checked over and over: no such dtype is allowed.
    """
    if dtype.kind in "Ub":
        return dtype.itemsize
    if dtype.subdtype is not None:
        return checked_width(dtype.subdtype[0]) * math.prod(dtype.subdtype[1])
    return sum(checked_width(dtype[index]) for index in range(len(dtype.names or ())))
