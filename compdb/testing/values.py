"""Hypothesis strategies for what a blob holds: every type, every dtype, nested in every way.

>>> from hypothesis import given
>>> from compdb.testing.values import values
>>> @given(values())
... def test_mine(value): ...

Needs hypothesis (`pip install 'compdb[test]'`); no other module of the package imports it.
"""

from __future__ import annotations

import datetime as dt
import math
import os
import zoneinfo
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

__all__ = ["arrays", "dtypes", "examples", "for_all", "hashables", "singles", "values"]

Dtype = np.dtype[Any]  # Any: every dtype there is
_ZONES = ("UTC", "Europe/Zurich", "America/New_York", "Asia/Kathmandu", "Etc/GMT+5")
_UNITS = ("Y", "M", "W", "D", "h", "m", "s", "ms", "us", "ns", "ps", "fs", "as", "25s", "7D")


def examples(default: int = 2000) -> int:
    """Return how many examples a property is tried on: `COMPDB_FUZZ_EXAMPLES`, if set."""
    return int(os.environ.get("COMPDB_FUZZ_EXAMPLES", default))


def for_all(strategy: st.SearchStrategy[Any], check: Callable[[Any], None], count: int | None = None) -> None:
    """Call `check` with `count` drawn values; raises what it raises, for the smallest value that does."""
    everything: Any = list(HealthCheck)
    rules = settings(max_examples=count or examples(), deadline=None, database=None, suppress_health_check=everything)
    rules(given(strategy)(check))()


# --- numpy -----------------------------------------------------------------------------------------------------------


def _plain_dtypes() -> st.SearchStrategy[Dtype]:
    """Dtypes without fields, of both byte orders."""
    numbers = st.sampled_from(
        [order + code for order in "<>" for code in ("i2", "i4", "u8", "f2", "f4", "f8", "c8", "c16")]
    )
    times = st.builds("{}{}8[{}]".format, st.sampled_from("<>"), st.sampled_from("Mm"), st.sampled_from(_UNITS))
    texts = st.builds("{}{}".format, st.sampled_from(["S", "V", "<U", ">U"]), st.integers(1, 5))
    return st.one_of(st.sampled_from(["?", "i1", "u1", "<M8", ">m8"]), numbers, times, texts).map(np.dtype)


def dtypes(depth: int = 2) -> st.SearchStrategy[Dtype]:
    """Every dtype that a blob holds, with fields nested `depth` deep."""
    return _plain_dtypes() if depth == 0 else st.one_of(_plain_dtypes(), _structs(depth))


@st.composite
def _structs(draw: st.DrawFn, depth: int) -> Dtype:
    """Draw a dtype with fields: packed, aligned, with titles and subarrays, with gaps, or overlapping."""
    names = draw(st.lists(st.text(max_size=4) | st.sampled_from("xyz"), unique=True, max_size=4))
    names = [name for name in names if name]
    fields: list[Any] = []
    for index, name in enumerate(names):
        shape = draw(st.sampled_from([(), (), (), (2,), (1, 3), (0,)]))
        title = draw(st.sampled_from([None, None, None, f"title {index}"]))
        fields.append(((title, name) if title else name, draw(dtypes(depth - 1)), shape))
    packed = np.dtype(fields, align=draw(st.booleans()))
    if not names or draw(st.booleans()) or any(d.kind in "Ub" for d in _leaves(packed)):
        return packed
    gaps = [draw(st.integers(0, 9)) for _ in names]
    formats = [packed[name] for name in packed.names or ()]
    size = max(gap + item.itemsize for gap, item in zip(gaps, formats, strict=True)) + draw(st.integers(0, 3))
    return np.dtype({"names": names, "formats": formats, "offsets": gaps, "itemsize": size})


def _leaves(dtype: Dtype) -> list[Dtype]:
    if dtype.subdtype is not None:
        return _leaves(dtype.subdtype[0])
    if not dtype.names:
        return [dtype]
    return [leaf for name in dtype.names for leaf in _leaves(dtype[name])]


@st.composite
def arrays(draw: st.DrawFn, dtype: st.SearchStrategy[Dtype] | None = None) -> np.ndarray[Any, Any]:
    """Arrays of every dtype, 0-d to 4-d, empty, in C, Fortran or no order, of any bits."""
    kind = draw(dtype or dtypes())
    shape = draw(st.lists(st.sampled_from([0, 1, 2, 3, 3, 4]), max_size=4).map(tuple))
    bits = draw(st.binary(min_size=1, max_size=32))
    size = math.prod(shape) * kind.itemsize
    array: np.ndarray[Any, Any] = np.ndarray(shape, kind, bytearray(np.resize(np.frombuffer(bits, "u1"), size or 1)))
    _make_valid(draw, array)
    order = draw(st.sampled_from("CCFT"))
    if order == "F":
        return array.copy("F")
    return array.copy().T if order == "T" else array.copy()


def _make_valid(draw: st.DrawFn, array: np.ndarray[Any, Any]) -> None:
    """Replace, in place, bits that no array has: other bools than 0 and 1, characters beyond Unicode."""
    if array.dtype.names:
        for name in array.dtype.names:
            _make_valid(draw, array[name])
    elif array.dtype.kind == "U":
        array[...] = draw(st.text(max_size=4))
    elif array.dtype.kind == "b":
        array[...] = draw(st.booleans())


def _scalars() -> st.SearchStrategy[Any]:
    """Numpy scalars, structured ones too."""
    drawn = arrays().filter(lambda array: array.size and array.dtype.kind not in "SU").map(lambda array: array.flat[0])
    return st.one_of(drawn, st.text(max_size=4).map(np.str_), st.binary(max_size=4).map(np.bytes_))


# --- Python ----------------------------------------------------------------------------------------------------------


@st.composite
def _clocks(draw: st.DrawFn) -> dt.datetime | dt.time:
    """Datetimes and times: naive, in a zone, at an offset with or without a name, in the fold or not."""
    zone: dt.tzinfo | None = None
    match draw(st.sampled_from(["naive", "zone", "offset", "named"])):
        case "zone":
            zone = zoneinfo.ZoneInfo(draw(st.sampled_from(_ZONES)))
        case "offset":
            zone = dt.timezone(draw(_offsets()))
        case "named":
            zone = dt.timezone(draw(_offsets()), draw(st.text(max_size=5)))
    value = draw(st.datetimes() | st.times())
    return value.replace(tzinfo=zone, fold=draw(st.integers(0, 1)))


def _offsets() -> st.SearchStrategy[dt.timedelta]:
    minutes = st.integers(-24 * 60 + 1, 24 * 60 - 1).map(lambda count: dt.timedelta(minutes=count))
    return minutes | st.timedeltas(dt.timedelta(hours=-23), dt.timedelta(hours=23))


def _immutables() -> st.SearchStrategy[Any]:
    return st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-(2**70), 2**70),
        st.sampled_from([2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 127, 128, -32, -33]),
        st.floats(),
        st.complex_numbers(),
        st.text(max_size=40) | st.sampled_from(["nd", "complex"]),
        st.binary(max_size=40) | st.sampled_from([b"nd", b"complex", b"data"]),
        st.decimals(),
        st.uuids(),
        st.dates(),
        st.timedeltas(),
        _clocks(),
    )


def singles() -> st.SearchStrategy[Any]:
    """All values that hold no others."""
    return st.one_of(arrays(), arrays(), _immutables(), _immutables(), _scalars(), st.binary(max_size=9).map(bytearray))


def hashables() -> st.SearchStrategy[Any]:
    """What a key of a dict or an element of a set may be."""
    leaves = _immutables().filter(_hashable)
    return st.recursive(leaves, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=3)


def _hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:  # Decimal("sNaN")
        return False
    return True


def values(leaves: int = 6) -> st.SearchStrategy[Any]:
    """Everything that a blob holds, nested: at most about `leaves` single values."""

    def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        names = st.text(max_size=5) | st.sampled_from(["nd", "complex", b"nd", b"type", b"complex", b"data"])
        return st.one_of(
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=4),
            st.lists(inner, max_size=4).map(tuple),
            st.dictionaries(names, inner, max_size=4),
            st.dictionaries(names, inner, max_size=4),
            st.dictionaries(hashables(), inner, max_size=2),
            st.sets(hashables(), max_size=2),
        )

    return st.recursive(singles(), containers, max_leaves=leaves)
