"""The header, compression, descriptions, and the family of codecs."""

import struct
import sys

import numpy as np
import pytest
import zstandard

from compdb import codecs
from compdb.codecs import base, compression, frame
from compdb.testing.codecs import EXAMPLES, difference


def test_the_header_is_eight_bytes_that_no_msgpack_begins_with():
    blob = codecs.encode(None)
    assert blob == b"\xc1cdb\x01\x01\x00\x00\xc0"
    assert len(blob) - 1 == codecs.HEADER


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no bytes at all"),
        (b"\xc1cdb\x01\x01", "not a blob of compdb"),
        (b"hello world", "other bytes, or damaged"),
        (b"\x81\xa1a\x01", "perhaps bare msgpack: codecs.decode_msgpack_numpy"),
        (b"mYm\0rest of it", "a blob of DataJoint"),
        (b"dj0\0rest of it", "a blob of DataJoint"),
        (b"\x93NUMPY\x01\0rest", "an .npy file"),
        (b"\xc1cdb\x02\x01\0\0\xc0", "format version 2; this compdb reads version 1: upgrade"),
        (b"\xc1cdb\x01\x63\0\0\xc0", r"unknown codec 99; known: numpy \(1\)"),
        (b"\xc1cdb\x01\x01\x02\0\xc0", "flags 0x02 0x00 are not in use"),
        (b"\xc1cdb\x01\x01\0\x01\xc0", "flags 0x00 0x01 are not in use"),
        (b"\xc1cdb\x01\x01\0\0", "damaged blob"),
        (b"\xc1cdb\x01\x01\0\0\xc0\xc0", "damaged blob"),
        ("text", "'text' is str, not bytes"),
        (None, "None is NoneType, not bytes"),
        (memoryview(b"abcdefgh")[::2], "not bytes"),
    ],
)
def test_what_is_no_blob_is_told_apart(data, message):
    with pytest.raises(codecs.BlobError, match=message):
        codecs.decode(data)


def test_unknown_compression_and_codec_are_told():
    with pytest.raises(codecs.BlobError, match="no compression named 'gzip'; there is 'zstd'"):
        codecs.encode(1, compression="gzip")
    with pytest.raises(codecs.BlobError, match=r"no codec named 'json'; known: numpy \(1\)"):
        codecs.encode(1, codec="json")


def test_zstd_makes_regular_data_small_and_gives_it_back():
    array = np.zeros((1000, 1000))
    blob = codecs.encode(array, compression="zstd")
    assert len(blob) < array.nbytes / 1000
    assert difference(array, codecs.decode(blob)) is None


@pytest.mark.parametrize("value", [np.zeros(3, "M8[s]"), np.zeros(2, "V0"), np.zeros((2, 0)), np.zeros(2, "M8[s],i4")])
def test_zstd_takes_arrays_that_have_no_buffer_format(value):
    assert difference(value, codecs.decode(codecs.encode(value, compression="zstd"))) is None


def test_a_changed_bit_of_a_compressed_blob_is_found():
    blob = codecs.encode(np.random.default_rng(1).random(1000), compression="zstd")
    for place in range(40, len(blob), 97):
        with pytest.raises(codecs.BlobError, match="damaged blob"):
            codecs.decode(blob[:place] + bytes((blob[place] ^ 4,)) + blob[place + 1 :])


def zstd(payload, **parameters):
    return b"\xc1cdb\x01\x01\x01\0" + zstandard.ZstdCompressor(**parameters).compress(payload)


def test_a_compressed_blob_must_state_its_size_and_end_there():
    with pytest.raises(codecs.BlobError, match="claims -1 bytes"):
        codecs.decode(zstd(b"\xc0", write_content_size=False))
    with pytest.raises(codecs.BlobError, match="unused data"):
        codecs.decode(zstd(b"\xc0") + b"more")
    assert codecs.decode(zstd(b"\xc0")) is None


def test_more_than_the_limit_is_neither_compressed_nor_expanded(monkeypatch):
    blob = codecs.encode(np.zeros(1000), compression="zstd")
    monkeypatch.setattr(compression, "MAX_RAW", 1000)
    with pytest.raises(codecs.BlobError, match=r"more than a compressed blob may hold.*store it uncompressed"):
        codecs.encode(np.zeros(1000), compression="zstd")
    with pytest.raises(codecs.BlobError, match=r"claims 8,0\d\d bytes; at most 1,000"):
        codecs.decode(blob)


def test_without_zstandard_the_message_says_what_to_install(monkeypatch):
    blob = codecs.encode(1, compression="zstd")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    for work in (lambda: codecs.encode(1, compression="zstd"), lambda: codecs.decode(blob)):
        with pytest.raises(codecs.BlobError, match=r"pip install 'compdb\[zstd\]'"):
            work()
    assert codecs.describe(blob, len(blob)).startswith("blob, ")


DESCRIBED = [
    (np.zeros((872, 1000)), "float64 (872, 1000)"),
    (np.zeros(3, ">i2"), ">i2 (3,)"),
    (np.array(1), "int64 ()"),
    (np.random.default_rng(1).random(100_000), "float64 (100000,)"),
    ((np.random.default_rng(1).random(100_000),), "tuple"),
    (np.zeros(2, "M8[ns]"), "datetime64[ns] (2,)"),
    (np.array(["ab"]), "<U2 (1,)"),
    (np.zeros(5, [("x", "f4"), ("y", "f4")]), "struct[x, y] (5,)"),
    (
        np.zeros(5, [(f"field_{i}", "f4") for i in range(8)]),
        "struct[field_0, field_1, field_2, field_3, field_4, field_5, fie...] (5,)",
    ),
    (np.float32(1), "float32"),
    (np.datetime64("2026"), "datetime64[Y]"),
    ({"a": 1}, "dict"),
    ({1: 1}, "dict"),
    ({"nd": np.zeros(2)}, "dict"),
    ([1] * 100, "list"),
    ((1,) * 20, "tuple"),
    ((1,) * 70_000, "tuple"),
    ({1}, "set"),
    (frozenset({1}), "frozenset"),
    ([(1,)], "list"),
    ([], "list"),
    ("text", "str"),
    ("text" * 100, "str"),
    (b"bytes" * 1000, "bytes"),
    (bytearray(3), "bytearray"),
    (None, "None"),
    (True, "bool"),
    (-1, "int"),
    (2**40, "int"),
    (2**80, "int"),
    (0.5, "float"),
    (1j, "complex"),
]


@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize(("value", "text"), DESCRIBED, ids=lambda case: str(case)[:20])
def test_the_first_512_bytes_tell_what_it_is(value, text, compression):
    blob = codecs.encode(value, compression=compression)
    told = codecs.describe(blob[:512], len(blob))
    assert told == text


def test_an_array_whose_fields_are_longer_than_the_head_is_told_to_be_one():
    blob = codecs.encode(np.zeros(5, [(f"field_{i}", "f4") for i in range(40)]))
    assert codecs.describe(blob[:512], len(blob)) == "array"
    assert codecs.describe(blob, len(blob)).endswith("...] (5,)")


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "blob"), (999, "blob, 999 bytes"), (1_234_567, "blob, 1.2 MB"), (5 * 10**12, "blob, 5000.0 GB")],
)
def test_what_cannot_be_told_is_a_blob_of_its_size(size, text):
    assert codecs.describe(b"anything", size) == text
    assert codecs.describe(b"", size) == text


def test_encoded_bytes_are_bytes_and_marked():
    blob = codecs.encode(EXAMPLES["nested arrays"])
    marked = codecs.Encoded(blob)
    assert marked == blob
    assert isinstance(marked, bytes)
    assert type(blob) is bytes
    assert difference(EXAMPLES["nested arrays"], codecs.decode(marked)) is None


class Reversed:
    """Text, backwards."""

    id = 201
    name = "reversed"

    def encode(self, value):
        return [value[::-1].encode(), bytearray(b"!"), memoryview(b"?")]

    def decode(self, payload):
        return bytes(payload[:-2]).decode()[::-1]

    def describe(self, head):
        raise struct.error


@pytest.fixture
def other():
    codec = Reversed()
    codecs.register(codec)
    yield codec
    del base._CODECS[codec.id]


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_a_blob_is_decoded_by_the_codec_that_wrote_it(other, compression):
    blob = codecs.encode("abc", codec="reversed", compression=compression)
    assert blob[5] == other.id
    assert codecs.decode(blob) == "abc"
    assert codecs.describe(blob) == "blob"


def test_whatever_a_codec_raises_becomes_a_blob_error(other):
    with pytest.raises(codecs.BlobError, match=r"damaged blob.*utf-8"):
        codecs.decode(codecs.encode("abc", codec="reversed")[: frame.HEADER] + b"\xff??")


def test_an_id_or_a_name_belongs_to_one_codec(other):
    codecs.register(Reversed())  # a module reloaded
    for number, name in ((201, "new"), (202, "reversed"), (1, "mine")):
        taken = type("Taken", (Reversed,), {"id": number, "name": name})()
        with pytest.raises(ValueError, match="already"):
            codecs.register(taken)
    for number in (0, 256):
        with pytest.raises(ValueError, match="from 1 to 255"):
            codecs.register(type("Wrong", (Reversed,), {"id": number, "name": "wrong"})())
