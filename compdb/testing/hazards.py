"""Every type with the values on which databases differ: a table, read by `compdb.testing.dialects`.

A `Hazard` says of one column type what it keeps, what it takes and turns into something else, what it refuses, and which
conditions match nothing. It holds for every database: a dialect that needs another expectation is not supported.
"""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

import numpy as np
import sqlalchemy as sa

from compdb.codecs import Encoded, encode
from compdb.testing.columns import HARD_TEXT
from compdb.types import Blob, Choice, UtcDateTime, column_type, portable

__all__ = ["HAZARDS", "Hazard", "Mood"]

Values = tuple[Any, ...]
Pairs = tuple[tuple[Any, Any], ...]


class Mood(enum.Enum):
    """An enum whose names and values are not alike."""

    happy = 1
    sad = "gloomy"
    Happy = 2
    a_b = "it's 50% \\ done"


class Side(enum.StrEnum):
    """An enum whose members are text."""

    up = "up"


@dataclass(frozen=True)
class Hazard:
    """What one column type does with its values.

    Attributes
    ----------
    name : str
    type : TypeEngine
        A portable type.
    kept : tuple
        Different values that come back equal, of the same type.
    taken : tuple of (given, kept)
        Values that come back as another.
    refused : tuple of (given, str)
        Values that raise InvalidValue, with words of its reason.
    absent : tuple
        Conditions that are allowed and match none of `kept`.
    never : tuple
        Conditions that raise InvalidValue.
    """

    name: str
    type: sa.types.TypeEngine[Any]
    kept: Values
    taken: Pairs = ()
    refused: Pairs = ()
    absent: Values = ()
    never: Values = field(default=())

    def __repr__(self) -> str:
        return self.name


def _of(python_type: Any) -> sa.types.TypeEngine[Any]:
    found = column_type(python_type)
    assert found is not None
    return found


_NAN = float("nan")
_PLUS2 = dt.timezone(dt.timedelta(hours=2))
_WIDE = 2**63
_NUMBERS_REFUSED: Pairs = (
    ("7", "is not"),
    (b"7", "is not"),
    ([7], "is not"),
    ({}, "is not"),
    (1j, "is not"),
    (_NAN, "NULL"),
    (None, "NULL"),
)
_DEEP: list[Any] = []
for _ in range(29):
    _DEEP = [_DEEP]

HAZARDS = (
    Hazard(
        "int",
        _of(int),
        kept=(0, 1, -1, 7, 10, 9, 2**31, 2**53 + 1, _WIDE - 1, -_WIDE),
        taken=((True, 1), (np.int16(12), 12), (np.uint64(13), 13), (np.bool_(False), 0), (Decimal("14.00"), 14)),
        refused=(*_NUMBERS_REFUSED, (_WIDE, "64 bits"), (-_WIDE - 1, "64 bits"), (1.0, "int(value)"), (1.5, "whole"),
                 (np.float64(3), "int(value)"), (Decimal("0.5"), "whole"), (Decimal("1e999999"), "whole"), (np.uint64(_WIDE), "64 bits"), (float("inf"), "whole")),
        absent=(8, _WIDE, 10**30, -(10**30), np.int8(3)),
        never=("7", 1.5, b"x"),
    ),
    Hazard(
        "small_int",
        portable(sa.SmallInteger()),
        kept=(0, 32767, -32768),
        refused=((32768, "16 bits"), (-32769, "16 bits"), (_WIDE, "16 bits")),
        absent=(32768, 2**40, -_WIDE),
    ),
    Hazard("plain_int", portable(sa.Integer()), kept=(0, 2**31 - 1, -(2**31)), refused=((2**31, "32 bits"),), absent=(2**31, 10**20)),
    Hazard(
        "float",
        _of(float),
        kept=(0.0, 0.1, 0.30000000000000004, 1 / 3, 1e23, -1e-7, 123456789.123456789, 5e-324, 2.2250738585072014e-308,
              1.7976931348623157e308, -1.7976931348623157e308, 1e15, 1e16, 1e17),
        taken=((3, 3.0), (True, 1.0), (np.float32(0.1), float(np.float32(0.1))), (np.float16(1.5), 1.5), (np.float64(0.7), 0.7),
               (Decimal("0.25"), 0.25), (2**53, 2.0**53), (-0.0, 0.0), (np.longdouble(2), 2.0)),
        refused=(("1.5", "is not"), (b"1", "is not"), (1j, "is not"), (None, "NULL"), (_NAN, "NULL"), (np.float32("nan"), "NULL"),
                 (float("inf"), "infinity"), (-float("inf"), "infinity"), (np.float32("inf"), "infinity"), (2**53 + 1, "digits"),
                 (10**400, "digits"), (Decimal("1e400"), "infinity"), (np.longdouble(1) / 3, "digits")),
        absent=(0.2, float("inf"), -float("inf"), np.float32(0.7), 2**60),
        never=("0.1", 1j),
    ),
    Hazard("plain_float", portable(sa.Float(24)), kept=(0.1, 1e23, 1e300), taken=((np.float32(0.7), float(np.float32(0.7))),)),
    Hazard(
        "bool",
        _of(bool),
        kept=(True, False),
        taken=((1, True), (0, False), (np.bool_(True), True), (np.int64(0), False)),
        refused=((2, "True or False"), (1.0, "True or False"), ("true", "True or False"), (None, "NULL"), (_NAN, "NULL")),
        never=(2, "True"),
    ),
    Hazard(
        "decimal",
        portable(sa.Numeric(15, 4)),
        kept=tuple(map(Decimal, ("0.0000", "0.1000", "-0.1000", "9.0000", "10.0000", "99999999999.9999", "-99999999999.9999",
                                 "12345678901.2345", "0.0001", "1000000.0000"))),
        taken=((3, Decimal("3.0000")), (0.3, Decimal("0.3000")), ("2.5", Decimal("2.5000")), ("1e2", Decimal("100.0000")),
               (Decimal("1.00005"), Decimal("1.0001")), (Decimal("-1.00005"), Decimal("-1.0001")), (True, Decimal("1.0000")),
               (np.float32(0.7), Decimal("0.7000")), (np.int64(4), Decimal("4.0000")), (Decimal("1e-99999"), Decimal("0.0000"))),
        refused=((Decimal("100000000000"), "does not fit"), (Decimal("99999999999.99995"), "does not fit"), (1e300, "does not fit"),
                 (Decimal("1e999999"), "does not fit"), (float("inf"), "does not fit"), (Decimal("nan"), "NULL"), (_NAN, "NULL"),
                 ("x", "decimal number"), ("nan", "decimal number"), (" 1", "decimal number"), ("1_0", "decimal number"), (b"1", "is not"),
                 (None, "NULL")),
        absent=(Decimal("0.2"), Decimal("0.10001"), Decimal("0.1000000000000000000001"), 0.30000000000000004, 1e300, Decimal("1e-400")),
        never=("x", b"1", [1]),
    ),
    Hazard(
        "reaction_time",  # the tutorial's decimal(3, 2) of random.uniform(0.2, 0.8)
        portable(sa.Numeric(3, 2)),
        kept=(Decimal("0.20"), Decimal("9.99"), Decimal("-9.99")),
        taken=((0.285, Decimal("0.29")), (0.125, Decimal("0.13")), (0.7949999999999999, Decimal("0.79")), (-0.125, Decimal("-0.13")),
               (0.2 + 0.1, Decimal("0.30")), (1e-7, Decimal("0.00")), (9.994999, Decimal("9.99"))),
        refused=((9.995, "does not fit"), (10, "does not fit")),
    ),
    Hazard(
        "text",
        _of(str),
        kept=(*HARD_TEXT, "x" * 255, "\U0001f600" * 255),
        taken=((np.str_("n"), "n"), (Side.up, "up")),
        refused=(("x" * 256, "256 characters"), ("a\0", "NUL"), ("\ud800", "surrogate"), ("\ud83d\ude00", "surrogate"), (7, "str(7)"),
                 (b"a", "decode"), (_NAN, "NULL"), (None, "NULL"), (True, "str(True)")),
        absent=("b", "x" * 256, "x" * 254, "a\0", "\ud800", "a   ", "\u00c1"),
        never=(7, b"a"),
    ),
    Hazard("char", portable(sa.CHAR(4)), kept=("", "a", "a ", "a   ", "aaaa", "\U0001f600" * 4), refused=(("aaaaa", "5 characters"),)),
    Hazard("long_text", portable(sa.Text()), kept=("", "a", "A", "a ", "\u00e9" * 70_000, "\U0001f600" * 70_000), refused=(("\0", "NUL"),)),
    Hazard("wide_text", portable(sa.String(9000)), kept=("a", "a ", "\U0001f600" * 9000), refused=(("a" * 9001, "9001 characters"),)),
    Hazard("plain_string", portable(sa.String()), kept=("a", "b" * 70_000)),
    Hazard(
        "date",
        _of(dt.date),
        kept=(dt.date.min, dt.date(999, 12, 31), dt.date(1582, 10, 10), dt.date(2024, 2, 29), dt.date.max),
        taken=(("2024-01-15", dt.date(2024, 1, 15)), (dt.datetime(2024, 1, 16), dt.date(2024, 1, 16)),
               (np.datetime64("2024-01-17"), dt.date(2024, 1, 17))),
        refused=((dt.datetime(2024, 1, 1, 1), "time of day"), ("2024-13-01", "is no date"), ("15.1.2024", "is no date"), (20240115, "is not"),
                 (np.datetime64("2024-01-01T01"), "time of day"), (np.datetime64("NaT"), "NULL"), (None, "NULL"),
                 (np.datetime64("20000-01-01"), "years"), (dt.time(1), "is not")),
        absent=(dt.date(2024, 2, 28), "2025-01-01"),
        never=("yesterday", 1),
    ),
    Hazard(
        "datetime",
        _of(dt.datetime),
        kept=(dt.datetime.min, dt.datetime(1, 1, 1, 0, 0, 0, 1), dt.datetime(1970, 1, 1), dt.datetime(2024, 3, 31, 2, 30),
              dt.datetime(2024, 3, 31, 2, 30, 0, 1), dt.datetime(2024, 1, 1, 12, 0, 0, 500_000), dt.datetime(2038, 1, 20), dt.datetime.max),
        taken=(("2024-01-15 10:30:00.25", dt.datetime(2024, 1, 15, 10, 30, 0, 250_000)), ("2024-01-15", dt.datetime(2024, 1, 15)),
               (dt.date(2024, 1, 16), dt.datetime(2024, 1, 16)), (np.datetime64("2024-01-17T01:02:03", "ns"), dt.datetime(2024, 1, 17, 1, 2, 3)),
               ("2024-01-18T00:00:00.1234560", dt.datetime(2024, 1, 18, 0, 0, 0, 123_456))),
        refused=((dt.datetime(2024, 1, 1, tzinfo=dt.UTC), "time zone"), ("2024-01-01T00:00:00Z", "time zone"), ("noon", "is no datetime"),
                 ("2024-01-01T00:00:00.1234567", "finer"), (np.datetime64(1, "ns"), "finer"), (np.datetime64("NaT"), "NULL"), (1.7e9, "is not"),
                 (np.datetime64("-300000-01-01"), "years"), (None, "NULL")),
        absent=(dt.datetime(2024, 3, 31, 2, 30, 0, 2), "2024-01-15 10:30:01", np.datetime64("2001-01-01")),
        never=(dt.datetime(2024, 1, 1, tzinfo=dt.UTC), "noon", 7),
    ),
    Hazard("plain_datetime", portable(sa.TIMESTAMP()), kept=(dt.datetime(1, 1, 1), dt.datetime(2100, 1, 1, 0, 0, 0, 1))),
    Hazard(
        "utc",
        UtcDateTime(),
        kept=(dt.datetime(2024, 1, 1, tzinfo=dt.UTC), dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC),
              dt.datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC)),
        taken=((dt.datetime(2024, 6, 1, 12, tzinfo=_PLUS2), dt.datetime(2024, 6, 1, 10, tzinfo=dt.UTC)),
               ("2024-06-02T12:00:00+02:00", dt.datetime(2024, 6, 2, 10, tzinfo=dt.UTC)),
               ("2024-06-03T12:00:00Z", dt.datetime(2024, 6, 3, 12, tzinfo=dt.UTC))),
        refused=((dt.datetime(2024, 1, 1), "time zone"), ("2024-01-01", "time zone"), (dt.date(2024, 1, 1), "time zone"), (None, "NULL"),
                 (np.datetime64("2024-01-01"), "time zone"), (dt.datetime(1, 1, 1, tzinfo=_PLUS2), "years")),
        absent=(dt.datetime(2024, 1, 1, tzinfo=_PLUS2), dt.datetime(1, 1, 1, tzinfo=_PLUS2)),
        never=(dt.datetime(2024, 1, 1), "noon"),
    ),
    Hazard(
        "time",
        _of(dt.time),
        kept=(dt.time.min, dt.time(0, 0, 0, 1), dt.time(2, 30), dt.time(12, 0, 0, 500_000), dt.time.max),
        taken=(("10:30", dt.time(10, 30)), ("10:30:00.5", dt.time(10, 30, 0, 500_000))),
        refused=((dt.time(1, tzinfo=dt.UTC), "time zone"), ("25:00", "is no time"), (dt.timedelta(1), "is not"), (None, "NULL"),
                 ("10:30:00.1234567", "finer"), (3600, "is not")),
        absent=(dt.time(2, 30, 0, 1),),
        never=(dt.time(1, tzinfo=dt.UTC), "late"),
    ),
    Hazard(
        "timedelta",
        _of(dt.timedelta),
        kept=(dt.timedelta(0), dt.timedelta(microseconds=1), dt.timedelta(days=-1), dt.timedelta(days=40_000, microseconds=7),
              dt.timedelta(microseconds=_WIDE - 1), dt.timedelta(microseconds=-_WIDE)),
        taken=((np.timedelta64(3, "s"), dt.timedelta(seconds=3)), (np.timedelta64(2, "D"), dt.timedelta(days=2))),
        refused=((dt.timedelta.max, "292,271 years"), (5, "timedelta(seconds=...)"), ("1:00", "timedelta"), (np.timedelta64(1, "ns"), "finer"),
                 (np.timedelta64(1, "Y"), "fixed length"), (np.timedelta64("NaT"), "NULL"), (None, "NULL")),
        absent=(dt.timedelta(seconds=1), dt.timedelta.max),
        never=(5, "1:00"),
    ),
    Hazard(
        "uuid",
        _of(uuid.UUID),
        kept=(uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.UUID("d580af9e-9a05-ec6f-5e56-f3d2b373de61"),
              uuid.UUID("00000000-0000-1000-8000-00805f9b34fb"), uuid.UUID(int=16**31 * 10), uuid.UUID(int=7)),
        taken=(("12345678-1234-5678-1234-567812345678", uuid.UUID("12345678123456781234567812345678")),
               ("ABCDEF00123456781234567812345678", uuid.UUID("abcdef00-1234-5678-1234-567812345678"))),
        refused=(("x", "is no UUID"), (7, "is not"), (b"\0" * 16, "is not"), (None, "NULL")),
        absent=(uuid.UUID(int=8), str(uuid.UUID(int=9))),
        never=("x", 7),
    ),
    Hazard("uuid_text", portable(sa.Uuid(as_uuid=False)), kept=(str(uuid.UUID(int=7)),), taken=((uuid.UUID(int=8), str(uuid.UUID(int=8))),)),
    Hazard(
        "enum",
        _of(Mood),
        kept=tuple(Mood),
        taken=(("sad", Mood.sad), (1, Mood.happy), ("gloomy", Mood.sad), (np.int64(2), Mood.Happy), ("it's 50% \\ done", Mood.a_b)),
        refused=(("SAD", "did you mean 'sad'"), (3, "is not one of"), ([], "is not one of"), (None, "NULL"), (_NAN, "NULL")),
        never=("SAD", 3),
    ),
    Hazard(
        "literal",
        _of(Literal["left", "right", "it's 50% \\ done", "Left", ""]),
        kept=("left", "right", "it's 50% \\ done", "Left", ""),
        taken=((np.str_("left"), "left"),),
        refused=(("LEFT", "did you mean 'left'"), (1, "is not one of"), ("left ", "is not one of"), (None, "NULL")),
        never=("up",),
    ),
    Hazard("literal_int", _of(Literal[1, 2, 4]), kept=(1, 2, 4), taken=((np.int64(2), 2),), refused=((3, "is not one of"), ("1", "is not one of"))),
    Hazard("choice", Choice(["a", "b"], length=30), kept=("a", "b")),
    Hazard(
        "bytes",
        _of(bytes),
        kept=(b"", b"\0", b"\0\0", b"a", b"A", b"a ", b"a\0", b"\xff\xfe", b"it's \\ %s :a", bytes(range(256)), b"x" * 70_000),
        taken=((bytearray(b"ba"), b"ba"), (memoryview(b"mv"), b"mv"), (np.bytes_(b"nb"), b"nb")),
        refused=(("a", "encode"), (7, "is not"), (None, "NULL")),
        absent=(b"b", b"a  "),
        never=("a", 7),
    ),
    Hazard("varbinary", portable(sa.VARBINARY(4)), kept=(b"", b"a", b"A", b"a\0", b"a ", b"\xff" * 4), refused=((b"abcde", "do not fit"),),
           absent=(b"abcde", b"a  ")),
    Hazard("binary", portable(sa.BINARY(2)), kept=(b"a\0", b"ab", b"\0\0"), refused=((b"a", "do not fit"), (b"abc", "do not fit"))),
    Hazard(
        "json",
        _of(dict[str, Any]),
        kept=({}, [], {"b": 1, "a": [1.5, 1e23, 5e-324, None, True, False]}, {"": "", "\u00e9\u2028\U0001f600": "\x01'\"\\%s:a"}, [[]], [{}],
              {"n": _WIDE - 1, "m": -_WIDE}, [1e16, 1.0, -0.5, 0], {"a ": 1, "a": 2, "A": 3}, _DEEP, ["x" * 70_000]),
        taken=(({"n": np.int64(1), "f": np.float32(0.5), "b": np.bool_(True), np.str_("k"): np.str_("v")}, {"n": 1, "f": 0.5, "b": True, "k": "v"}),),
        refused=(((1, 2), "a dict or a list"), ("{}", "a dict or a list"), (7, "a dict or a list"), ({"a": (1,)}, "at ['a']: (1,) (tuple)"),
                 ({1: 2}, "the key 1"), ({None: 2}, "the key None"), ([{"a": [_NAN]}], "at [0]['a'][0]: nan"), ([float("inf")], "exact form"),
                 ([_WIDE], "64 bits"), ([2**70], "64 bits"), (["\ud800"], "surrogate"), ({"\0": 1}, "NUL"), (["a\0"], "NUL"), ([{1}], "set"),
                 ([b"x"], "bytes"), ([np.zeros(2)], "tolist"), (np.zeros(2), "tolist"), ([[_DEEP]], "30 levels"), ([1j], "complex"),
                 ([Decimal(1)], "Decimal"), (None, "NULL")),
        never=({}, [1]),
    ),
    Hazard(
        "blob",
        Blob(),
        kept=(np.arange(6.0).reshape(2, 3), np.zeros((0, 3), "f4"), np.array(5), np.asfortranarray(np.ones((2, 3), ">i4")), {"a": (1, [2.5, None])},
              "text", b"bytes", 7, 2**70, 1.5, _NAN, True, dt.datetime(2024, 1, 1), {"nd": True, "type": "<f8"}, np.zeros(100_000)),
        taken=((Encoded(encode([1, 2])), [1, 2]),),
        refused=((object(), "object"), (None, "NULL"), (np.array([object()]), "object")),
        never=(np.zeros(2), 7, b"x"),
    ),
    Hazard("small_blob", Blob(compression="zstd"), kept=(np.zeros((50, 50)), {"a": 1})),
)  # fmt: skip
