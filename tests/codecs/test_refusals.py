"""A refusal names the place in the value, what would be lost, and what to store instead."""

import collections
import dataclasses
import datetime as dt
import enum
import pathlib
import warnings
import zoneinfo

import numpy as np
import pandas as pd
import pytest

from compdb import codecs
from compdb.errors import InvalidValue


class Mood(enum.Enum):
    good = 1


class Level(enum.IntEnum):
    high = 2


@dataclasses.dataclass
class Point:
    x: int


Pair = collections.namedtuple("Pair", "a b")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    MATRIX = np.matrix([[1]])

CASES = [
    (np.array([None]), r"value is an array of Python objects \(dtype object\).*: give it a dtype, as value.astype"),
    (np.zeros(1, [("a", "O")]), r"value\['a'\] is an array of Python objects"),
    (np.zeros(1, np.longdouble), r"value has dtype \w+, whose bytes differ.*: store value.astype\(np.float64\)"),
    (np.clongdouble(1), r"whose bytes differ between machines: store value.astype\(np.complex128\)"),
    (np.array(["a"], np.dtypes.StringDType()), r'StringDType.*: store value.astype\("U"\)'),
    (np.zeros(1, np.dtype("f8", metadata={"a": 1})), r"metadata \{'a': 1\}, which would be lost"),
    (np.ndarray(2, "U0"), "of no width"),
    (np.frombuffer(b"\2", "?"), "has bools that are neither 0 nor 1, as np.empty leaves them: fill all of it"),
    (np.frombuffer(b"\xff" * 4, "U1"), "has characters beyond Unicode"),
    (np.frombuffer(b"\2\1", [("a", "?"), ("b", "i1")]), "has bools that are neither"),
    (np.frombuffer(b"\2\1", [("a", "?"), ("b", "i1")])[0], "has bools that are neither"),
    (MATRIX, r"value is numpy.matrix.*plain array: store np.asarray\(value\)"),
    (np.zeros(1, "i4,i4").view(np.recarray), r"plain array: store np.asarray\(value\)"),
    (
        np.asarray(np.zeros(1, "i4,i4").view(np.recarray)),
        r"value has a record dtype: store value.view\(value.dtype.fields",
    ),
    (np.ma.array([1], mask=[True]), r"whose mask would be lost: store value.filled\(...\) and value.mask"),
    (Mood.good, r"value is \w+.Mood .*: store value.value"),
    (Level.high, r"Level .*: store value.value"),
    (collections.OrderedDict(), r"value is collections.OrderedDict.*plain dict: store dict\(value\)"),
    (collections.Counter("a"), r"store dict\(value\)"),
    (Pair(1, 2), r"plain tuple: store tuple\(value\)"),
    (pd.Timestamp("2026-03-01"), r"pandas.Timestamp.*store value.to_pydatetime\(\)"),
    (pd.NaT, r"value is pandas.NaTType"),
    (pd.Timedelta("1s"), r"store value.to_pytimedelta\(\)"),
    (pd.DataFrame({"a": [1]}), r'value is pandas.DataFrame.*store value.to_dict\("list"\)'),
    (pd.Series([1]), r"store np.asarray\(value\)"),
    (Point(1), r"store dataclasses.asdict\(value\)"),
    (pathlib.PurePosixPath("/a"), r"store str\(value\)"),
    (memoryview(b"a"), r"store bytes\(value\)"),
    (range(3), r"store list\(value\)"),
    (collections.deque([1]), r"store list\(value\)"),
    (iter([1]), r"store list\(value\)"),
    (codecs.Encoded(b"a"), r"plain bytes: store bytes\(value\)"),
    (object, r"value is type <class 'object'>: a blob holds numpy arrays"),
    (len, "value is builtin_function_or_method"),
    (NotImplemented, "value is NotImplementedType"),
    ("ab\ud800", r'lone surrogate at 2.*: store its bytes, as value.encode\("utf-8", "surrogatepass"\)'),
    (np.str_("\ud800"), "lone surrogate"),
    (np.zeros(1, [("\ud800", "i1")]), "field name that is not valid text: rename the field"),
    (dt.UTC, "value is datetime.timezone"),
    (dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(0), "\ud800")), "name is not valid text"),
]


@pytest.mark.parametrize(("value", "message"), CASES, ids=lambda case: type(case).__name__)
def test_the_message_says_what_and_the_fix(value, message):
    with pytest.raises(codecs.BlobError, match=message) as caught:
        codecs.encode(value)
    assert caught.value.value is value or isinstance(value, np.ndarray)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"a": [1, 2, 3, len]}, r"value\['a'\]\[3\] is"),
        ([(), (1, {7: len})], r"value\[1\]\[1\]\[7\] is"),
        ({"a": {1, Level.high}}, r"an element of value\['a'\] is.*: store it.value"),
        ({"a": {(1, Level.high): 2}}, r"\[1\] of the key \(1, <Level.high: 2>\) of value\['a'\] is"),
        ({"nd": {b"complex": np.array([None])}}, r"value\['nd'\]\[b'complex'\] is an array of Python"),
        ([1, 2**70, "\ud800"], r"value\[2\] is text"),
        ({"a": 1, "\ud800": 1}, r"the key '\\ud800' of value is text"),
        ([{"x": np.zeros(2, [("p", [("q", "O")])])}], r"value\[0\]\['x'\]\['p'\]\['q'\] is an array of Python objects"),
    ],
)
def test_the_message_says_where(value, place):
    with pytest.raises(codecs.BlobError, match=place):
        codecs.encode(value)


def test_an_array_with_text_over_text_is_refused():
    union = np.dtype({"names": ["a", "b"], "formats": ["U1", "U1"], "offsets": [0, 0]})
    with pytest.raises(codecs.BlobError, match=r"would come back changed: store its fields in a dict"):
        codecs.encode(np.zeros(1, union))


def test_a_zone_that_its_key_does_not_tell_is_refused():
    path = next(path for folder in zoneinfo.TZPATH if (path := pathlib.Path(folder, "America/New_York")).exists())
    for key in ("Europe/Zurich", "Nowhere/Land", "../etc", None):
        with path.open("rb") as file:
            zone = zoneinfo.ZoneInfo.from_file(file, key=key)
        with pytest.raises(codecs.BlobError, match=r"which its key does not tell: use zoneinfo.ZoneInfo\(key\)"):
            codecs.encode(dt.datetime(2026, 3, 1, tzinfo=zone))


def test_a_refusal_can_be_told_with_table_and_attribute():
    with pytest.raises(InvalidValue) as caught:
        codecs.encode({"a": len})
    told = caught.value.at(table="Session", attribute="trace", row=3)
    assert type(told) is codecs.BlobError
    assert str(told).startswith("Session.trace, row 3: value['a'] is builtin_function")


def test_a_repr_that_raises_does_not_hide_the_refusal():
    class Odd:
        def __repr__(self):
            raise RuntimeError

    for value in ([Odd()], {(1, Odd()): 1}):
        with pytest.raises(codecs.BlobError, match="Odd"):
            codecs.encode(value)


def test_a_key_of_any_length_is_cut_in_the_path():
    with pytest.raises(codecs.BlobError) as caught:
        codecs.encode({"k" * 1000: len})
    assert len(str(caught.value)) < 400


def test_keys_that_all_have_one_hash_are_refused():
    same = {(index * (2**61 - 1),): 0 for index in range(200)}
    assert len({hash(key) for key in same}) == 1
    for value in (same, set(same), frozenset(same)):
        with pytest.raises(codecs.BlobError, match="more than 100 keys of one hash"):
            codecs.encode(value)
