"""What the default codec promises beyond the conformance suite."""

import datetime as dt
import gc
import subprocess
import sys
import tracemalloc
import zoneinfo

import numpy as np
import pytest

from compdb import codecs
from compdb.codecs import reader, tokens, writer
from compdb.codecs.tokens import MAX_MEMORY
from compdb.testing.codecs import EXAMPLES, difference
from compdb.testing.values import for_all, values


def copy(value):
    return codecs.decode(codecs.encode(value))


def test_decoded_arrays_are_writable_and_share_nothing_with_the_bytes():
    blob = codecs.encode([np.arange(3), {"x": np.arange(3)}])
    first, second = codecs.decode(blob), codecs.decode(blob)
    first[0][:] = 9
    first[1]["x"][:] = 9
    assert second[0].tolist() == second[1]["x"].tolist() == [0, 1, 2]
    assert first[0].base is None


def test_renaming_fields_of_a_decoded_array_changes_no_other():
    plain = codecs.encode([np.zeros(2, [("a", "i4")])] * 2)
    first, second = codecs.decode(plain)
    first.dtype.names = ("renamed",)  # numpy changes the dtype object in place
    assert second.dtype.names == ("a",)
    assert codecs.decode(plain)[0].dtype.names == ("a",)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("array", [np.arange(4_000_000.0), np.zeros((1000, 4000), ">i2"), np.zeros(4_000_000, "M8[s]")])
def test_an_array_is_copied_once_on_the_way_in_and_once_on_the_way_out(array, nested):
    value = {"a": [array]} if nested else array
    blob = codecs.encode(value)
    for work in (lambda: codecs.encode(value), lambda: codecs.decode(blob)):
        gc.collect()
        tracemalloc.start()
        work()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert array.nbytes <= peak < array.nbytes * 1.1


PADDED = [
    np.dtype([("a", "i1"), ("b", "f8")], align=True),
    np.dtype([("n", [("a", "i1"), ("b", "i4")], (2,)), ("c", "i1")], align=True),
    np.dtype({"names": ["a", "b"], "formats": ["i4", "i2"], "offsets": [2, 2], "itemsize": 9}),
    np.dtype({"names": [], "formats": [], "itemsize": 3}),
]


@pytest.mark.parametrize("dtype", PADDED, ids=str)
def test_what_lies_in_the_padding_of_structures_is_not_stored(dtype):
    clean, dirty = np.zeros((3, 2), dtype), np.zeros((3, 2), dtype)
    dirty.view("u1")[:] = 0xAA
    for name in dtype.names:
        dirty[name] = clean[name]
    assert dirty.tobytes() != clean.tobytes()
    for change in (
        np.array,
        np.asfortranarray,
        lambda array: array[::2],
        lambda array: array[0, 0],
        lambda array: [array],
    ):
        assert codecs.encode(change(dirty)) == codecs.encode(change(clean))
    assert (dirty.view("u1") == 0xAA).any()
    blob = codecs.encode(dirty)
    np.full(dirty.nbytes, 0xAA, "u1")  # the memory that numpy hands out next
    assert codecs.decode(blob).tobytes() == clean.tobytes()


def test_an_array_in_no_order_comes_back_in_c_order():
    array = np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2)
    assert copy(array).flags.c_contiguous
    assert (copy(array) == array).all()


def test_long_long_is_int64():
    assert copy(np.zeros(2, np.longlong)).dtype == np.longlong
    assert copy(np.longlong(5)) == 5


@pytest.mark.parametrize("key", ["nd", b"nd", "complex", b"complex"])
def test_a_dict_with_a_key_that_arrays_use_comes_back_as_the_dict(key):
    for value in ({key: True}, {key: False, b"data": b"x" * 8, b"type": "<f8"}, {"a": [{key: {key: np.zeros(2)}}]}):
        assert difference(value, copy(value)) is None


def test_keys_that_are_equal_across_types_stay_one_key():
    assert copy({1: "a", "1": "b", b"1": "c"}) == {1: "a", "1": "b", b"1": "c"}
    assert type(next(iter(copy({np.int64(1): 0})))) is np.int64


def test_nan_keys_are_as_many_as_before():
    assert len(copy({float("nan"): 1, float("nan"): 2})) == 2


def test_equal_sets_are_equal_blobs_whatever_the_hash_seed():
    code = "from compdb import codecs; print(codecs.encode({'a', 'b', 'c', ('d', 1), frozenset('xyz')}).hex())"
    command = [sys.executable, "-c", code]
    found = {
        subprocess.run(
            command, env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)}, capture_output=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1
    assert b"c1636462" in found.pop()


def test_a_zone_is_kept_by_its_key_and_the_time_on_its_clock():
    zurich = zoneinfo.ZoneInfo("Europe/Zurich")
    for moment in (dt.datetime(2026, 10, 25, 2, 30, fold=fold, tzinfo=zurich) for fold in (0, 1)):
        back = copy(moment)
        assert back.tzinfo is zurich
        assert (back.fold, back.utcoffset()) == (moment.fold, moment.utcoffset())


@pytest.mark.parametrize(
    "microseconds", [1, -1, 10**6, -(10**6) - 1, 59 * 10**6 + 999_999, 86_399_999_999, -86_399_999_999]
)
def test_an_offset_is_kept_to_the_microsecond(microseconds):
    zone = dt.timezone(dt.timedelta(microseconds=microseconds))
    for value in (dt.datetime(2026, 3, 1, tzinfo=zone), dt.time(tzinfo=zone)):
        assert difference(value, copy(value)) is None


def test_a_zone_that_this_machine_does_not_know_is_told():
    blob = codecs.encode(dt.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Zurich")))
    with pytest.raises(codecs.BlobError, match=r"time zone 'Europe/Zuricx'.*tzdata"):
        codecs.decode(blob.replace(b"Zurich", b"Zuricx"))


def test_local_time_with_its_zone_name_comes_back():
    now = dt.datetime.now().astimezone()
    assert copy(now) == now
    assert copy(now).tzname() == now.tzname()


def test_text_is_not_normalised():
    assert copy("e\u0301") == "e\u0301" != "\u00e9"


def test_values_nested_to_the_limit_come_back_and_one_deeper_are_refused():
    value = deep = ()
    for _ in range(writer.MAX_DEPTH - 1):
        deep = {"a": deep} if type(deep) is list else [deep]
    assert difference(deep, copy(deep)) is None
    for value in ([deep], (deep,), {"x": deep}, {3: deep}):
        with pytest.raises(codecs.BlobError, match="nested more than 128 deep"):
            copy(value)


def test_a_value_that_holds_itself_is_refused():
    value = []
    value.append(value)
    with pytest.raises(codecs.BlobError, match="holds itself"):
        codecs.encode(value)


@pytest.fixture
def small_memory(monkeypatch):
    for module in (reader, writer):
        monkeypatch.setattr(module, "MAX_MEMORY", 3000)


def test_what_could_not_be_read_back_is_not_written(small_memory):
    assert copy([1] * 40) == [1] * 40
    with pytest.raises(
        codecs.BlobError, match=r"value\[0\]\[\d+\] makes the blob one of more Python objects.*numpy array"
    ):
        codecs.encode([[{}] * 40, 1])
    with pytest.raises(codecs.BlobError, match=r"value\['a'\] makes"):
        codecs.encode({"a": [1] * 50})


def test_what_is_written_can_be_read_whatever_the_limit(small_memory):
    counts = {"written": 0, "refused": 0}

    def written_or_refused(value):
        try:
            blob = codecs.encode(value)
        except codecs.BlobError:
            counts["refused"] += 1
        else:
            counts["written"] += 1
            codecs.decode(blob)

    for_all(values(12), written_or_refused, count=300)
    assert min(counts.values()) > 10


@pytest.mark.parametrize("name", EXAMPLES)
def test_reading_counts_what_writing_counted(name, monkeypatch):
    value = [EXAMPLES[name]]
    written = writer._Writer()
    written.write(value)
    blob = codecs.encode(value)
    monkeypatch.setattr(reader, "MAX_MEMORY", written.cost)
    assert difference(value, codecs.decode(blob)) is None
    monkeypatch.setattr(reader, "MAX_MEMORY", written.cost - 1)
    with pytest.raises(codecs.BlobError, match="more Python objects than allowed"):
        codecs.decode(blob)


def test_the_limit_allows_eight_million_items_and_no_more_memory_than_it_says():
    assert tokens.array_cost(8_000_000) < MAX_MEMORY == 512 << 20
    for value in ([], {}, [0.5] * 100, {str(i): i + 0.5 for i in range(100)}, ["ab"] * 100, {"a": None}):
        cost = tokens.map_cost(len(value)) if isinstance(value, dict) else tokens.array_cost(len(value))
        assert sys.getsizeof(value) + sum(map(sys.getsizeof, value)) <= cost


def test_a_large_plain_list_comes_back():
    value = [float(number) for number in range(1_000_000)]
    assert copy(value) == value


def test_a_head_that_holds_the_bytes_of_the_data_key_is_read():
    shape = (0, 0xFFC4_0464, 0x61, 0x74, 0x61)  # in msgpack: ... c4 04 64 61 74 61: the key of the data
    array = np.zeros(shape, "i1")
    assert b"\xc4\x04data" in codecs.encode(array).split(b"shape")[1][:12]
    assert copy(array).shape == shape
    assert codecs.describe(codecs.encode(array)) == f"int8 {shape}"
