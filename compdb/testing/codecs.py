"""What a codec must pass before blobs are written with it.

>>> from compdb import codecs
>>> from compdb.testing.codecs import CodecConformance
>>> class TestNumpyCodec(CodecConformance):  # in a test file, where pytest runs its tests
...     codec = codecs.by_name("numpy")

A codec for fewer types than the default one names those it takes: `examples`, `refused` and `strategies`.
"""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import enum
import random
import struct
import uuid
import zoneinfo
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from compdb.codecs import BlobError, Codec, decode, describe, encode
from compdb.testing.values import arrays, examples, for_all, values

__all__ = ["EXAMPLES", "REFUSED", "CodecConformance", "difference"]

_ALIGNED = np.dtype([("flag", "i1"), ("rate", "f8")], align=True)
_NESTED = np.dtype([("id", "<u4"), ("pose", [("xy", "<f4", (2,)), ("name", "<U3")]), ("at", "<M8[us]")])
_GAPS = np.dtype({"names": ["b", "a"], "formats": ["<i4", "<i2"], "offsets": [6, 0], "itemsize": 12})
_UNION = np.dtype({"names": ["whole", "low"], "formats": ["<u4", "<u2"], "offsets": [0, 0]})
_NORTH = dt.timezone(dt.timedelta(hours=-3, minutes=-30))


def _ones(dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    array = np.zeros(2, dtype)
    for name in dtype.names or ():
        array[name] = 1
    return array


EXAMPLES: Mapping[str, Any] = {
    "none": None,
    "bools": [True, False],
    "ints": [0, -1, 127, 128, -32, -33, 2**31, 2**63 - 1, -(2**63), 2**64 - 1],
    "big ints": [2**64, -(2**63) - 1, 10**50, -(10**50), 2**71, -(2**71)],
    "floats": [0.0, -0.0, 1.5, 5e-324, 1e308, float("inf"), -float("inf"), float("nan")],
    "complex": [1 + 2j, complex(-0.0, float("nan"))],
    "decimals": [decimal.Decimal(text) for text in ("1.10", "-0E+5", "1E-400", "NaN", "sNaN12", "-Infinity")],
    "text": ["", "a", "ä" * 20, "\0", "😀" * 70, "x" * 70_000, "nd"],
    "bytes": [b"", b"\xc1", bytes(range(256)), b"x" * 70_000, bytearray(), bytearray(b"\x80" * 9)],
    "uuid": uuid.UUID("12345678-1234-5678-9234-567812345678"),
    "dates": [dt.date.min, dt.date.max, dt.datetime.min, dt.datetime.max, dt.datetime(2026, 3, 1, 12, 0, 0, 1)],
    "aware datetimes": [
        dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
        dt.datetime(2026, 3, 1, tzinfo=_NORTH),
        dt.datetime(2026, 3, 1, tzinfo=dt.timezone(dt.timedelta(hours=1), "MEZ")),
        dt.datetime(2026, 10, 25, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Zurich")),
        dt.datetime(2026, 3, 29, 2, 30, tzinfo=zoneinfo.ZoneInfo("Europe/Zurich")),
    ],
    "times": [dt.time.min, dt.time.max, dt.time(1, 2, 3, 4, tzinfo=_NORTH, fold=1)],
    "timedeltas": [dt.timedelta(0), dt.timedelta.min, dt.timedelta.max, dt.timedelta(-1, 1, 1)],
    "containers": [[], (), {}, set(), frozenset(), [[]], ((),), {"": {}}, [(1, [2, {"a": (3,)}])], [[1], ()]],
    "sets": [{1, "a", None, (2, 3)}, frozenset({b"x", 1.5}), {frozenset({1}), frozenset()}],
    "dict keys": [
        {"b": 1, "a": 2, b"a": 3},
        {1: "a", True + 1: "b", 2**80: "c", -1: "d"},
        {None: 0, 1.5: 1, (1, "x"): 2, False: 3, frozenset({1}): 4, dt.date(2026, 3, 1): 5},
        {np.int64(3): "three", np.float64(0.5): "half", np.str_("s"): "s"},
    ],
    "reserved keys": [
        {"nd": 1},
        {b"nd": True, b"type": "<f8", b"kind": b"", b"shape": [1], b"data": b"12345678"},
        {b"complex": True, b"data": "1j"},
        {"complex": {"nd": {"nd": np.zeros(2)}}},
    ],
    "many keys": {f"key {index}": index for index in range(70_000)},
    "numbers of every dtype": [np.arange(6, dtype=code).reshape(2, 3) for code in "bhilqBHILQefdFD"],
    "big-endian": [np.arange(3).astype(code) for code in (">i2", ">u8", ">f4", ">f8", ">c16", ">U2", ">M8[s]")],
    "bool array": np.array([[True], [False]]),
    "text arrays": [np.array(["a", "bcd", ""]), np.array([b"a\0b", b"\xff"]), np.array([], "U"), np.array("ä😀")],
    "fortran": [np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.zeros((2, 3, 4), ">i2", order="F")],
    "strided": [np.arange(20)[::-3], np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2), np.broadcast_to(1.5, (2, 2))],
    "0-d": [np.array(5.0), np.array(b"x"), np.array("2026", "M8[Y]"), np.zeros((), _NESTED)],
    "empty": [np.zeros(0), np.zeros((0, 3)), np.zeros((2, 0, 4), "i1", order="F"), np.zeros(0, _NESTED)],
    "float bits": np.array([0x7FF8_DEAD_BEEF_0001, 0x8000_0000_0000_0000, 1], "<u8").view("<f8"),
    "datetime64": [np.array(["2026-03-01", "NaT"], f"M8[{unit}]") for unit in ("Y", "D", "25s", "ns", "as")],
    "timedelta64": [np.array([1, -1, "NaT"], "m8[ms]"), np.array(["NaT"], "m8"), np.array(["NaT"], "M8")],
    "numpy scalars": [
        np.dtype(code).type(1) for code in ("?", "i1", "i2", "i4", "i8", "u8", "f2", "f4", "f8", "c8", "c16")
    ],
    "numpy text": [np.str_("a\0"), np.str_(""), np.bytes_(b"a\0"), np.void(b"\0\1"), np.void(b"")],
    "numpy times": [
        np.datetime64("2026-03-01", "ns"),
        np.datetime64("NaT"),
        np.timedelta64(3, "h"),
        np.timedelta64("NaT"),
    ],
    "structured": [np.zeros(2, _NESTED), np.ones(3, "i4,f8"), np.zeros(2, _NESTED)[1], np.zeros(3, [])],
    "structured, hard": [
        _ones(_ALIGNED),
        _ones(_GAPS),
        np.array([(70_000,)], [("whole", "<u4")]).view(_UNION),
        np.zeros(2, [(("a title", "a"), "<i2"), ("b", "S0"), ("c", [("d", "<f8", (2, 2))], (3,))]),
        _ones(_ALIGNED)[0],
    ],
    "void": [np.array([b"ab", b"c"], "V2"), np.zeros(3, "V0"), np.zeros((2, 2), "V5", order="F")],
    "nested arrays": {
        "trace": np.arange(4.0),
        "spikes": [np.arange(2), (np.arange(3, dtype="u1"), {"x": np.array(1)})],
    },
}
"""Values by name, each a hazard for some codec, none random: what a blob of today holds, it must hold for ever."""


class _Colour(enum.IntEnum):
    red = 1


_Point = collections.namedtuple("_Point", "x y")

REFUSED: Mapping[str, Any] = {
    "object array": np.array([None, 1], dtype=object),
    "object field": np.zeros(1, [("a", "f8"), ("b", "O")]),
    "object subarray": np.zeros(1, [("a", [("b", "O", (2,))])]),
    "longdouble": np.zeros(1, np.longdouble),
    "longdouble scalar": np.longdouble(1),
    "clongdouble": np.zeros(1, np.clongdouble),
    "StringDType": np.array(["a"], dtype=np.dtypes.StringDType()),
    "dtype with metadata": np.zeros(1, np.dtype("f8", metadata={"unit": "mV"})),
    "text of no width": np.ndarray((3,), "S0"),
    "subclass of array": np.zeros(1).view(type("Image", (np.ndarray,), {})),
    "recarray": np.zeros(1, "i4,f8").view(np.recarray),
    "record dtype": np.zeros(1, "i4").view(np.dtype((np.record, [("a", "i4")]))),
    "masked": np.ma.array([1, 2], mask=[True, False]),
    "IntEnum": _Colour.red,
    "OrderedDict": collections.OrderedDict(a=1),
    "defaultdict": collections.defaultdict(list),
    "namedtuple": _Point(1, 2),
    "subclass of str": type("Name", (str,), {})("x"),
    "lone surrogate": "\ud800",
    "lone surrogate in a key": {"\udfff": 1},
    "foreign time zone": dt.datetime(2026, 3, 1, tzinfo=type("Zone", (dt.tzinfo,), {"utcoffset": lambda *_: None})()),
    "object": object(),
    "function": len,
    "class": dict,
    "range": range(3),
    "generator": iter([1]),
    "memoryview": memoryview(b""),
}


def difference(before: Any, after: Any, path: str = "value") -> str | None:
    """Say how two values differ, to the type and the bit; None if they do not."""
    if type(before) is not type(after):
        return f"{path}: {type(before)} became {type(after)}"
    if isinstance(before, np.ndarray):
        return _array_difference(before, after, path)
    if isinstance(before, dict):
        if len(before) != len(after):
            return f"{path}: {len(before)} keys became {len(after)}"
        for (key, item), (other, copy) in zip(before.items(), after.items(), strict=True):
            if found := difference(key, other, f"a key of {path}") or difference(item, copy, f"{path}[{key!r}]"):
                return found
        return None
    if isinstance(before, list | tuple):
        if len(before) != len(after):
            return f"{path}: {len(before)} items became {len(after)}"
        each = (
            difference(item, copy, f"{path}[{i}]") for i, (item, copy) in enumerate(zip(before, after, strict=True))
        )
        return next(filter(None, each), None)
    if isinstance(before, set | frozenset):
        lost = [item for item in before if all(difference(item, other) for other in after)]
        return f"{path}: {lost} of {before} not in {after}" if lost or len(before) != len(after) else None
    return None if _bits(before) == _bits(after) else f"{path}: {before!r} became {after!r}"


def _array_difference(before: np.ndarray[Any, Any], after: np.ndarray[Any, Any], path: str) -> str | None:
    if repr(before.dtype) != repr(after.dtype) or before.dtype.isalignedstruct != after.dtype.isalignedstruct:
        return f"{path}: dtype {before.dtype!r} became {after.dtype!r}"
    if before.shape != after.shape:
        return f"{path}: shape {before.shape} became {after.shape}"
    if before.flags.fnc != after.flags.fnc or not (after.flags.c_contiguous or after.flags.f_contiguous):
        return f"{path}: order F={before.flags.fnc} became F={after.flags.fnc}"
    if not after.flags.writeable or not after.flags.owndata:
        return f"{path}: not a writable array of its own"
    return None if _leaf_bits(before) == _leaf_bits(after) else f"{path}: {before!r} became {after!r}"


def _leaf_bits(array: np.ndarray[Any, Any]) -> list[bytes]:
    """Return the bytes of an array, without the padding of structures."""
    if not array.dtype.names:
        return [array.tobytes()]
    return [bits for name in array.dtype.names for bits in _leaf_bits(array[name])]


def _bits(value: Any) -> Any:
    """Return what tells two single values of one type apart, -0.0 from 0.0, one NaN and one fold from the other."""
    if isinstance(value, np.void):
        return repr(value.dtype), _leaf_bits(np.asarray(value))
    if isinstance(value, np.generic):
        return repr(value.dtype), value.tobytes()
    if isinstance(value, complex):
        return struct.pack("<dd", value.real, value.imag)
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, dt.datetime | dt.time):
        zone = value.tzinfo
        named = str(zone) if isinstance(zone, dt.timezone | None) else (type(zone), zone)
        return value.replace(tzinfo=None).isoformat(), value.fold, named, value.utcoffset()
    return value


class CodecConformance:
    """The tests of one codec; subclass it in a test file.

    Attributes
    ----------
    codec : Codec
        The codec, registered.
    examples : mapping of str to object
        Values that it must give back exactly.
    refused : mapping of str to object
        Values that it must refuse with a BlobError.
    """

    codec: ClassVar[Codec]
    examples: ClassVar[Mapping[str, Any]] = EXAMPLES
    refused: ClassVar[Mapping[str, Any]] = REFUSED

    def strategies(self) -> dict[Any, float]:  # Any: a hypothesis strategy; only `values.py` imports hypothesis
        """Return hypothesis strategies for its values, with the share of `COMPDB_FUZZ_EXAMPLES` that each is tried on."""
        return {values(): 1.0, arrays(): 1.0}

    def encoded(self, value: Any, compression: str | None = None) -> bytes:
        """Return the blob of a value."""
        return encode(value, compression=compression, codec=self.codec.name)

    def refuses(self, value: Any) -> bool:
        """Return whether a value is refused."""
        try:
            self.encoded(value)
        except BlobError:
            return True
        return False

    def test_examples_come_back_exactly(self) -> None:
        """Every named hazard, plain and compressed."""
        for name, value in self.examples.items():
            for compression in (None, "zstd"):
                found = difference(value, decode(self.encoded(value, compression)), name)
                assert found is None, found

    def test_drawn_values_come_back_exactly(self) -> None:
        """What hypothesis can think of."""

        def comes_back(value: Any) -> None:
            blob = self.encoded(value)
            copy = decode(blob)
            found = difference(value, copy)
            assert found is None, found
            assert self.encoded(copy) == blob

        for strategy, share in self.strategies().items():
            for_all(strategy, comes_back, int(examples() * share))

    def test_decoding_depends_on_nothing_but_the_bytes(self) -> None:
        """Bytes, bytearray and memoryview give the same; so does a second time."""
        for name, value in self.examples.items():
            blob = self.encoded(value)
            for data in (blob, bytearray(blob), memoryview(blob), memoryview(b"x" + blob)[1:]):
                found = difference(value, decode(data), name)
                assert found is None, found
            assert self.encoded(decode(blob)) == blob, name

    def test_what_would_change_is_refused(self) -> None:
        """Alone, and inside what can be stored."""
        for name, value in self.refused.items():
            for holder in (value, [value], {"a": (value,)}):
                assert self.refuses(holder), f"{name} was not refused: {holder!r}"

    def test_damaged_bytes_raise_blob_errors_only(self) -> None:
        """Every cut, and a thousand random changes, of every small example."""
        chance = random.Random(1)  # noqa: S311 - repeatable
        for value in self.examples.values():
            blob = self.encoded(value)
            if len(blob) > 5000:
                continue
            damaged = [blob[:size] for size in range(len(blob))] + [blob + b"\0"]
            for _ in range(1000):
                changed = bytearray(blob)
                for _ in range(chance.randint(1, 3)):
                    changed[chance.randrange(len(changed))] = chance.randrange(256)
                damaged.append(bytes(changed))
            for data in damaged:
                try:
                    decode(data)
                except BlobError:
                    continue

    def test_describing_never_raises(self) -> None:
        """Not for a head of any length, nor for a damaged one."""
        for value in self.examples.values():
            blob = self.encoded(value)
            for size in range(min(len(blob), 600)):
                assert describe(blob[:size], len(blob))
                assert describe(blob[:size] + b"\xc1\xff" * 4, len(blob))
