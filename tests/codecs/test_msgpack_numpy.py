"""The msgpack-numpy package reads our payloads, and we read its blobs, with our own checks."""

import msgpack
import msgpack_numpy
import numpy as np
import pytest

from compdb import codecs
from compdb.testing.codecs import difference
from compdb.testing.values import arrays, for_all

NUMBERS = [
    "?",
    "b",
    "h",
    "i",
    "l",
    "q",
    "B",
    "H",
    "I",
    "L",
    "Q",
    "e",
    "f",
    "d",
    "F",
    "D",
    ">i2",
    ">f8",
    "S3",
    "U3",
    ">U2",
]
VALUE = {
    "array": np.arange(6.0).reshape(2, 3),
    "scalar": np.float32(1.5),
    "nested": [{"deep": np.zeros(2, "i4,f8")}, 1, "a", None, True, 0.5, b"bytes"],
    "complex": 1 + 2j,
}


def payload(value):
    return codecs.encode(value)[codecs.HEADER :]


@pytest.mark.parametrize("dtype", NUMBERS)
def test_our_bytes_of_an_array_are_those_of_the_package(dtype):
    for array in (np.arange(6).astype(dtype).reshape(2, 3), np.zeros((), dtype), np.zeros((0, 2), dtype)):
        assert payload(array) == msgpack_numpy.packb(array)


@pytest.mark.parametrize("dtype", [*NUMBERS, "M8[ns]", "m8[s]", ">M8[D]"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_package_reads_our_arrays(dtype, order):
    array = np.arange(6).astype(dtype).reshape((2, 3), order=order)
    read = msgpack_numpy.unpackb(payload(array))
    assert (read == array).all()
    assert (read.dtype, read.shape) == (array.dtype, array.shape)


@pytest.mark.parametrize(
    "dtype",
    [
        [("a", "<i4"), ("b", "<f8")],
        [("a", "<f4", (2, 3)), ("b", "S3")],
        [("a", [("x", "<f4"), ("y", ">i2", (2,))]), ("b", "<U2")],
    ],
)
def test_the_package_reads_our_structured_arrays(dtype):
    array = np.ones(3, dtype)
    read = msgpack_numpy.unpackb(payload(array))
    assert read.dtype == array.dtype
    assert read.tobytes() == array.tobytes()


def test_the_package_reads_the_bytes_of_structures_that_it_could_not_write():
    padded = np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True))
    titled = np.zeros(2, [(("title", "a"), "i4")])
    union = np.zeros(2, np.dtype({"names": ["a", "b"], "formats": ["i4", "i2"], "offsets": [0, 0]}))
    for array in (padded, titled, union):
        array["a"] = 7
        assert msgpack_numpy.unpackb(payload(array)).tobytes() == array.tobytes()


def test_the_package_reads_arrays_inside_what_only_we_can_hold():
    value = ({"nd": 1, "trace": np.arange(3)}, {7: np.arange(2)})
    mark, first, second = msgpack_numpy.unpackb(payload(value))
    assert mark == msgpack.ExtType(1, b"")
    assert first[1:3] == ["nd", 1]
    assert first[4].tolist() == [0, 1, 2]
    assert second[2].tolist() == [0, 1]


def test_the_package_reads_our_scalars():
    for scalar in (
        np.float32(1.5),
        np.int64(-3),
        np.bool_(True),
        np.complex64(1j),
        np.datetime64("2026-03-01T00:00:00", "s"),
    ):
        read = msgpack_numpy.unpackb(payload(scalar))
        assert read == scalar
        assert read.dtype == scalar.dtype


def test_any_array_is_one_that_the_package_can_read():
    def read(array):
        other = msgpack_numpy.unpackb(payload(array))
        assert other.tobytes() == array.tobytes()
        assert other.shape == array.shape

    for_all(arrays().filter(lambda array: array.dtype.names is None), read, count=100)


def test_we_read_what_the_package_wrote():
    read = codecs.decode_msgpack_numpy(msgpack_numpy.packb(VALUE))
    assert difference(VALUE, read) is None
    assert read["array"].flags.writeable


@pytest.mark.parametrize("dtype", NUMBERS)
def test_we_read_every_dtype_that_the_package_writes(dtype):
    for array in (np.arange(6).astype(dtype).reshape(2, 3), np.zeros((), dtype), np.zeros((0, 2), dtype)):
        assert difference(array, codecs.decode_msgpack_numpy(msgpack_numpy.packb(array))) is None


def test_we_read_structures_as_the_package_does():
    for dtype in (
        [("a", "i4"), ("b", "f8", (2,))],
        [("n", [("x", "S2")])],
        np.dtype([("a", "i1"), ("b", "f8")], align=True),
    ):
        packed = msgpack_numpy.packb(np.ones(2, dtype))
        ours, theirs = codecs.decode_msgpack_numpy(packed), msgpack_numpy.unpackb(packed)
        assert ours.dtype == theirs.dtype
        assert ours.tobytes() == theirs.tobytes()


def test_what_the_package_lost_stays_lost():
    read = codecs.decode_msgpack_numpy(msgpack_numpy.packb({"t": (1, 2), 3: np.asfortranarray(np.eye(2)), None: 0}))
    assert read["t"] == [1, 2]
    assert read[3].flags.c_contiguous
    assert read[None] == 0


def test_keys_of_an_array_in_any_order_and_without_a_kind_are_read():
    layout = {b"data": b"\1\0\2\0", b"type": "<i2", b"nd": True, b"shape": [2]}
    assert codecs.decode_msgpack_numpy(msgpack.packb(layout)).tolist() == [1, 2]
    assert codecs.decode_msgpack_numpy(msgpack.packb({"x": [layout]}))["x"][0].tolist() == [1, 2]


def test_bare_msgpack_is_not_guessed_by_decode():
    with pytest.raises(codecs.BlobError, match="decode_msgpack_numpy"):
        codecs.decode(msgpack_numpy.packb(VALUE))


@pytest.mark.parametrize(
    ("packed", "message"),
    [
        (codecs.encode(1), "damaged blob"),
        (b"", "damaged blob"),
        (b"\xc0\xc0", "damaged blob"),
        (msgpack.packb(msgpack.ExtType(1, b"")), "extension 1"),
        (msgpack.packb(msgpack.Timestamp(1, 1)), "extension 255"),
        (msgpack.packb(msgpack.ExtType(17, bytes(16))), "extension 17"),
        (msgpack.packb({b"nd": True, b"data": b""}), "without a dtype"),
        (msgpack.packb({b"nd": 1, b"type": "<i2", b"shape": [1], b"data": b"ab"}), "an array that is none"),
        (msgpack.packb({b"nd": True, b"type": "<i2", b"shape": [2], b"data": b"ab"}), "another length"),
        (msgpack.packb({b"nd": True, b"type": "<i2", b"shape": [1], b"data": "ab"}), "another length"),
        (msgpack.packb({b"nd": True, b"type": "<i2", b"shape": [1], b"data": b"ab", b"more": 1}), "other keys"),
        (msgpack.packb({b"complex": True, b"data": "__import__('os')"}), "damaged blob"),
        (b"\x82\xa1a\x01\xa1a\x02", "a key twice"),
        (b"\x81\x90\x01", "damaged blob"),
    ],
)
def test_other_bytes_are_refused(packed, message):
    with pytest.raises(codecs.BlobError, match=message):
        codecs.decode_msgpack_numpy(packed)
