"""Bytes from a database are not trusted: they run nothing, crash nothing, fill no memory, and raise BlobError alone."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgpack
import msgpack_numpy
import numpy as np
import pytest

from compdb import codecs
from compdb.codecs import ext, reader
from compdb.testing.values import examples

ATTACK = Path(__file__).with_name("attack.py")
TIMEOUT = 300 + examples() // 4
pytestmark = pytest.mark.timeout(TIMEOUT)
HEADER = b"\xc1cdb\x01\x01\0\0"


def attack(*arguments):
    """Run attack.py in a process of its own, whose memory it limits; return what it printed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, str(ATTACK), *map(str, arguments)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout)


class Evil:
    """What unpickling runs."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def payloads(tmp_path):
    """The published attack on msgpack-numpy, as its own packer writes it, bare and in containers."""
    evil = np.array([Evil(tmp_path / "PWNED")], dtype=object)
    return [msgpack_numpy.packb(value) for value in (evil, [evil], {"a": {"b": evil}})]


def test_the_payload_runs_code_in_the_package_itself(payloads, tmp_path):
    msgpack_numpy.unpackb(payloads[0])
    assert (tmp_path / "PWNED").exists()


def test_the_payload_runs_nothing_here(payloads, tmp_path):
    for payload in payloads:
        with pytest.raises(codecs.BlobError, match="compdb never unpickles"):
            codecs.decode_msgpack_numpy(payload)
        with pytest.raises(codecs.BlobError):
            codecs.decode(HEADER + payload)
        assert codecs.describe(HEADER + payload[:512], len(payload))
    assert not (tmp_path / "PWNED").exists()


def forged(type_, kind=b"", data=b"\x41" * 8, exact=None, shape=(1,)):
    layout = {b"nd": True, b"type": type_, b"kind": kind, b"shape": list(shape)}
    if exact is not None:
        layout[b"dtype"] = exact
    return msgpack.packb({**layout, b"data": data})


def struct(*fields, size=8, align=False):
    return {"fields": list(fields), "size": size, "align": align}


POINTERS = [
    *(
        forged(text)
        for text in ("O", "|O", "|O8", "<O8", "O8", "object", "object_", "numpy.object_", "f8,O", "V8,|O8", "T")
    ),
    forged("|V8", exact="|O8"),
    forged("|V8", exact="O"),
    forged("|V8", exact=struct(["a", "|O8", 0])),
    forged("|V8", exact=struct(["a", struct(["b", "|O", 0]), 0])),
    forged("|V8", exact={"base": "|O8", "shape": [1]}),
    forged("|V8", exact=struct(["a", {"base": struct(["b", "O", 0]), "shape": [1]}, 0])),
    forged([["a", "|O8"]], b"V"),
    forged([["a", [["b", "|O"]]]], b"V"),
    forged([["a", "|O", [1]]], b"V"),
    forged([["a", "O"]]),
    forged({"names": ["a"], "formats": ["O"]}, b"V"),
    forged(["O", 1], b"V"),
    forged("<f8", b"O"),
    forged([["a", "|O8"]], b"O"),
    msgpack.packb({b"nd": False, b"type": "|O", b"data": b"\x41" * 8}),
    msgpack.packb({b"nd": False, b"type": [["a", "|O"]], b"data": b"\x41" * 8}),
    msgpack.packb({b"nd": False, b"type": "|O", b"data": b"\x41" * 8, b"dtype": "|O"}),
]


@pytest.mark.parametrize("payload", POINTERS, ids=range(len(POINTERS)))
def test_no_dtype_that_holds_pointers_is_ever_made(payload):
    for nested in (payload, b"\x91" + payload, b"\x81\xa1a" + payload):
        with pytest.raises(codecs.BlobError):
            codecs.decode(HEADER + nested)
        with pytest.raises(codecs.BlobError):
            codecs.decode_msgpack_numpy(nested)


def test_a_structure_with_pointers_that_the_package_wrote_in_good_faith_is_refused():
    payload = msgpack_numpy.packb(np.zeros(1, [("a", "O"), ("b", "f8")]))
    for decode, given in ((codecs.decode_msgpack_numpy, payload), (codecs.decode, HEADER + payload)):
        with pytest.raises(codecs.BlobError, match="is not allowed"):
            decode(given)


@pytest.mark.parametrize(
    "text",
    [
        "<M8[07s]",
        "<U01",
        "<f16",
        "<c32",
        "f8",
        "=f8",
        "<i3",
        "|S",
        "<U-1",
        "<M8[fortnight]",
        "<M8[s/3]",
        "(2,)f8",
        "f8, ",
        "|b2",
    ],
)
def test_other_dtypes_are_refused(text):
    with pytest.raises(codecs.BlobError, match="is not allowed"):
        codecs.decode(HEADER + forged(text, data=bytes(8)))


@pytest.mark.parametrize(
    "exact",
    [
        struct(["a", "<f8", 1]),
        struct(["a", "<f8", 0], ["a", "|i1", 0]),
        struct(["a", "<f8", 0, 1]),
        struct(["a", "<f8"]),
        struct(["a", "<f8", True]),
        struct([1, "<f8", 0]),
        struct(["a", "<f8", 0], size=True),
        struct(["a", "<f8", 0], align=0),
        struct(["a", "|i1", 0], ["b", "<i4", 1], align=True),
        {"fields": [["a", "<f8", 0]], "size": 8},
        {"base": "<f8", "shape": [1]},
        {"base": "<f8", "shape": [-1]},
        {"base": "<f8"},
        ["<f8"],
        8,
        {},
    ],
    ids=str,
)
def test_other_structures_are_refused(exact):
    with pytest.raises(codecs.BlobError):
        codecs.decode(HEADER + forged("|V8", exact=exact))


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (forged("<f8", data=bytes(16)), "another length than its shape"),
        (forged("<f8", data=bytes(7)), "another length than its shape"),
        (forged("<f8", shape=[2]), "another length than its shape"),
        (forged("<f8")[:-1], "cut off"),
        (forged("<f8").replace(b"\xc4\x08", b"\xc5\0\x08"), "another length than its shape"),
        (
            forged("<f8").replace(b"\x85\xc4", b"\x86\xc4").replace(b"\xc4\x04data", b"\xc4\x05order\xa1C\xc4\x04data"),
            "is none",
        ),
        (forged("<f8").replace(b"shape", b"shale"), "other keys"),
        (forged("<f8").replace(b"\x85\xc4", b"\x84\xc4"), "without its data"),
        (forged("|b1", data=b"\0\x02", shape=[2]), "bools that are neither 0 nor 1"),
        (forged("|V2", data=b"\0\x02", exact=struct(["a", "|b1", 1], size=2)), "bools that are neither"),
        (forged("<U2", data=b"\xff" * 8), "characters beyond Unicode"),
        (forged(">U2", data=b"\0\x11\0\0" * 2), "characters beyond Unicode"),
        (forged("<f8", kind=b"Q"), "array kind b'Q'"),
        (forged("|V8", exact={"base": "<f8", "shape": [1]}), "is none"),
        (forged("|S0", data=b""), "dtype .S0"),
        (forged("|V4", exact=struct(["a", "<U1", 0], ["b", "<U1", 0], size=4), data=bytes(4)), "text over text"),
        (forged("<f8", b"O"), "compdb never unpickles"),
        (forged("<f8", shape=[True]), "a shape that is none"),
        (forged("<f8", shape=[-1, -1]), "a shape that is none"),
        (forged("<f8", shape=[1] * 65), "a shape that is none"),
        (b"\xdd\xff\xff\xff\xff\xc0", "cut off, or not msgpack, at byte"),
        (b"\xc1", "cut off, or not msgpack, at byte"),
        (b"\x92\xc0\xc7\0\1", "extension 1 at byte"),
        (b"\x81\xa1a\xc7\0\1", "extension 1 at byte"),
        (b"\x92\xc7\0\1\xc7\0\2", "extension 2 at byte"),
        (b"\x91\xc7\1\1\0", "unknown extension 1"),
        (b"\x92\xc7\0\4\xa1a", "damaged blob"),
        (b"\x93\xc7\0\4\x90\xc0", "unhashable"),
        (b"\x93\xc7\0\2\xc0\xc0", "twice"),
        (b"\xd4\x7f\0", "extension 127 at byte"),
        (b"\x81\x01\x02", "damaged blob"),
        (msgpack.packb({b"nd": False, b"type": "<U1", b"data": b"a\0\0\0"}), "a scalar of dtype"),
        (msgpack.packb({b"nd": False, b"type": "<f8", b"shape": [], b"data": bytes(8)}), "a scalar of dtype"),
        (b"\xc7\x09\x10" + b"\x01" + bytes(8), "is no int"),
        (b"\xc7\x03\x12" + b"1_0", "is no Decimal"),
        (b"\xc7\x04\x12" + b"+1.5", "is no Decimal"),
        (b"\xc7\x0a\x20" + b"2026-3-001", "damaged"),
        (b"\xc7\x08\x20" + b"20260301", "is no date"),
    ],
)
def test_lengths_keys_and_values_must_be_exact(payload, message):
    for nested in (payload, b"\x91" + payload):
        with pytest.raises(codecs.BlobError, match=message):
            codecs.decode(HEADER + nested)


MANY = {
    "list": [1] * 50,
    "dict": {str(number): number for number in range(20)},
    "arrays": [np.zeros(1)] * 12,
    "single values": [1j] * 16,
    "fields": np.zeros(1, [(str(number), "i1") for number in range(10)]),
}


@pytest.mark.parametrize("name", MANY)
def test_what_costs_memory_is_counted(name, monkeypatch):
    blob = codecs.encode([MANY[name]])
    codecs.decode(blob)
    monkeypatch.setattr(reader, "MAX_MEMORY", 3000)
    with pytest.raises(codecs.BlobError, match="more Python objects than allowed"):
        codecs.decode(blob)


def test_many_keys_of_one_hash_are_refused(monkeypatch):
    monkeypatch.setattr(ext, "_SAME_HASH", 10**6)
    same = {(number * (2**61 - 1),): 0 for number in range(200)}
    blobs = [codecs.encode(same), codecs.encode(set(same))]
    monkeypatch.undo()
    for blob in blobs:
        with pytest.raises(codecs.BlobError, match="too many keys of one hash"):
            codecs.decode(blob)
    complexes = [complex(-1_000_003 * number, number) for number in range(1, 201)]
    assert len({hash(number) for number in complexes}) == 1
    with pytest.raises(codecs.BlobError, match="too many keys of one hash"):
        codecs.decode_msgpack_numpy(msgpack_numpy.packb(dict.fromkeys(complexes)))


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_forged_payloads_cost_little():
    told = attack("forged")
    for name, (ours, theirs, units, megabytes) in told.items():
        assert units < 300, (name, units)
        assert megabytes < 600, (name, megabytes)
        if name not in ("array of no width", "decimal of a million digits", "decimal of a huge exponent"):
            assert ours.startswith("refused: "), (name, ours)
        assert theirs.startswith("re"), name
    assert "60 million" in " ".join(told)


@pytest.mark.fuzz
def test_changed_blobs_raise_blob_errors_only():
    counts = attack("mutate", examples() // 2)
    assert min(counts.values()) > 0


@pytest.mark.fuzz
def test_random_bytes_and_tokens_raise_blob_errors_only():
    counts = attack("raw", 5 * examples())
    assert min(counts.values()) > 0


def test_every_byte_changed_raises_blob_errors_only():
    counts = attack("exhaust")
    assert min(counts.values()) > 0
