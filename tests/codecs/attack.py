"""Forged bytes, decoded in a process of its own with little memory: run by test_untrusted.py, not collected.

    python attack.py mutate 2000     changes to the blobs of drawn values
    python attack.py raw 20000       random tokens and random bytes
    python attack.py exhaust         every byte of every small example, changed to everything that may mean something
    python attack.py forged          named payloads; prints what each one cost

Any exception but BlobError ends the process with a traceback; so does a crash, with a signal.
"""

import itertools
import json
import random
import resource
import sys
import time
import timeit
from pathlib import Path

import msgpack
import zstandard
from hypothesis import strategies as st

from compdb import codecs
from compdb.testing.codecs import EXAMPLES
from compdb.testing.values import for_all, values

HEADER = b"\xc1cdb\x01\x01\0\0"
ZSTD = b"\xc1cdb\x01\x01\x01\0"
COUNTS = {"read": 0, "refused": 0}


def attempt(data):
    """Decode as our blob and as bare msgpack."""
    for decode, given in ((codecs.decode, data), (codecs.decode_msgpack_numpy, data[8:])):
        try:
            decode(given)
            COUNTS["read"] += 1
        except codecs.BlobError:
            COUNTS["refused"] += 1
    codecs.describe(data[:512], len(data))


def mutate(count):
    changes = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4)

    def check(drawn):
        value, edits, cut = drawn
        blob = bytearray(codecs.encode(value, compression="zstd" if cut % 7 == 0 else None))
        for place, byte in edits:
            blob[8 + place % (len(blob) - 8)] = byte
        attempt(bytes(blob[: cut % len(blob)] if cut % 5 == 0 else blob))

    for_all(st.tuples(values(), changes, st.integers(0, 10**6)), check, count)


def raw(count):
    chance = random.Random(1)
    alphabet = [bytes((first,)) for first in range(256)] + [
        b"\x85\xc4\x02nd\xc3", b"\x83\xc4\x02nd\xc2", b"\xc4\x04type", b"\xc4\x04kind\xc4\0", b"\xc4\x05shape", b"\xc4\x04data",
        b"\xa3<f8", b"\xa3|V9", b"\xa2|O", b"\xc4\x05dtype", b"\xc4\x05order\xa1F", b"\xc7\0\1", b"\xc7\0\2", b"\xc7\0\4", b"\x83\xa6fields",
        b"\xa4size", b"\xa5align\xc2", b"\xc4\x08" + bytes(8), b"\xd6\x7f\0\0\0\0", b"\xd4\x7f\0", b"\xa2nd", b"\xc4\x07complex",
    ]  # fmt: skip
    for _ in range(count):
        attempt(HEADER + b"".join(chance.choices(alphabet, k=chance.randint(1, 30))))
        attempt(HEADER + chance.randbytes(chance.randint(0, 200)))


def exhaust():
    interesting = [0, 0x7F, 0x81, 0x91, 0xC1, 0xC4, 0xC7, 0xFF]
    for value in EXAMPLES.values():
        blob = codecs.encode(value)
        if len(blob) < 400:
            for place in range(8, len(blob)):
                for byte in interesting:
                    attempt(blob[:place] + bytes((byte,)) + blob[place + 1 :])


def array(shape, type_="<f8", kind=b"", data=b"", **more):
    layout = {b"nd": True, b"type": type_, b"kind": kind, b"shape": shape}
    layout |= {key.encode(): value for key, value in more.items()}
    return msgpack.packb(layout | {b"data": data})


def fields(*described, size=8):
    return {"fields": list(described), "size": size, "align": False}


def forged():
    yield "list of 60 million dicts", b"\xdd\x03\x93\x87\x00" + b"\x80" * 60_000_000
    yield "list that claims 4 billion items", b"\xdd\xff\xff\xff\xff" + b"\xc0" * 1000
    yield (
        "lists that each claim all bytes",
        b"".join(b"\xdd" + (10_000_000 - 5 * i).to_bytes(4, "big") for i in range(900)) + bytes(10_000_000),
    )
    yield "dict that claims 4 billion keys", b"\xdf\xff\xff\xff\xff" + b"\xa0\xc0" * 1000
    yield "dicts of one key", b"\xdd\x00\x16\xe3\x60" + b"\x81\xa0\xc0" * 1_500_000
    yield "300,000 levels", b"\x91" * 300_000 + b"\xc0"
    yield "tuples of tuples", b"\x92\xc7\0\1" * 200_000 + b"\xc0"
    yield "text that claims 4 GB", b"\xdb\xff\xff\xff\xffabc"
    yield "bytes that claim 4 GB", b"\xc6\xff\xff\xff\xffabc"
    yield "extension that claims 4 GB", b"\xc9\xff\xff\xff\xff\x10abc"
    yield "array of a huge shape", array([2**40, 2**40])
    yield "array of a huge shape and no data", array([0, 2**62, 2**62])
    yield "array of a negative shape", array([-1, -8], data=bytes(64))
    yield "array of a shape of bools", array([True], data=bytes(8))
    yield "array of 1000 dimensions", array([1] * 1000, data=bytes(8))
    yield "array of wide items and no data", array([0], "<U999999999")
    yield "array of no width", array([2**60], "|V0")
    yield "scalar without data", msgpack.packb({b"nd": False, b"type": "<f8", b"data": b""})
    yield (
        "dtype of 100,000 fields",
        array([1], "|V8", dtype=fields(*[[str(i), "|i1", 0] for i in range(100_000)]), data=bytes(8)),
    )
    yield (
        "5,000 arrays with 30 fields",
        b"\xdc\x75\x30" + 30_000 * array([0], "|V8", dtype=fields(*[[str(i), "|i1", 0] for i in range(30)])),
    )
    deep = "|i1"
    for _ in range(5000):
        deep = {"base": deep, "shape": [1]}
    yield (
        "dtype of 5000 levels",
        array([1], "|V1", dtype=deep, data=bytes(1)) if deep == "|i1" else b"\x86\xc4\x02nd\xc3",
    )
    yield "fields outside the item", array([1], "|V8", dtype=fields(["a", "<f8", 4]), data=bytes(8))
    yield "fields before the item", array([1], "|V8", dtype=fields(["a", "<f8", -8]), data=bytes(8))
    text = fields(*[[str(i), "<U250000", 0] for i in range(4000)], size=1_000_000)
    yield "text fields one over the other", array([20], "|V8", dtype=text, data=bytes(20_000_000))
    yield "text beyond Unicode", array([1], "<U2", data=b"\xff" * 8)
    yield (
        "keys that end a thousand heads",
        b"\x85\xc4\x02nd\xc3\xc4\x04type\xc6\x00\x0f\x00\x00" + b"\xc4\x04data" * 170_000,
    )
    same_hash = b"".join(b"\xc7\x0a\x10" + (k * (2**61 - 1)).to_bytes(10, "little") for k in range(5000, 105_000))
    yield "set of ints of one hash", b"\xdd" + (100_001).to_bytes(4, "big") + b"\xc7\0\2" + same_hash
    yield (
        "dict of tuples of one hash",
        b"\xdd"
        + (199_999).to_bytes(4, "big")
        + b"\xc7\0\4"
        + b"".join(b"\x92\xc7\0\1\xcf" + (k % 8 * (2**61 - 1)).to_bytes(8, "big") + b"\xc0" for k in range(99_999)),
    )
    yield "decimal of a million digits", b"\xc9" + (1_000_000).to_bytes(4, "big") + b"\x12" + b"9" * 1_000_000
    yield "decimal of a huge exponent", b"\xc7\x14\x12" + b"1E+99999999999999999"
    yield "mark in the middle of a list", b"\x92\xc0\xc7\0\1"
    yield "mark alone", b"\xc7\0\1"
    yield "mark as a value of a dict", b"\x81\xa1a\xc7\0\1"
    yield "mark with data", b"\x91\xc7\1\1\0"
    yield "dict with a key and no value", b"\x92\xc7\0\4\xa1a"
    yield "dict with a list as key", b"\x93\xc7\0\4\x90\xc0"
    yield "placeholder of ours", b"\xd4\x7f\0"
    yield "msgpack timestamp", b"\xd6\xff\0\0\0\0"
    yield "zone from another place", b"\xc7\x2d\x21" + b"2026-01-01T00:00:00[../../../../../etc/passwd]"
    yield "two values", b"\xc0\xc0"
    yield "nothing", b""


def compressed():
    claim = zstandard.ZstdCompressor().compressobj(size=2**50)
    yield "zstd that claims a petabyte", claim.compress(bytes(100)) + claim.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
    packer = zstandard.ZstdCompressor(level=1).compressobj(size=3 << 29)
    yield "zstd of 1.5 GB", b"".join(packer.compress(bytes(1 << 24)) for _ in range(96)) + packer.flush()
    yield "zstd of 60 million dicts", zstandard.compress(b"\xdd\x03\x93\x87\x00" + b"\x80" * 60_000_000)
    yield "zstd of nothing", zstandard.compress(b"")


def peak():
    """Return the peak of resident memory since it was last reset, in MB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def measured():
    """Decode each forged payload; print what became of it, the time, and by how many MB memory grew at its peak.

    The time is that of the processor, in units of what this machine takes to make a million dicts.
    """
    told, unit = {}, min(timeit.repeat("[{} for _ in range(1_000_000)]", number=1, repeat=3, timer=time.process_time))
    payloads = itertools.chain(((HEADER, *case) for case in forged()), ((ZSTD, *case) for case in compressed()))
    for header, name, data in payloads:
        blob, outcome = header + data, []
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before, start = peak(), time.process_time()
        for decode, given in ((codecs.decode, blob), (codecs.decode_msgpack_numpy, data)):
            try:
                outcome.append(f"read: {type(decode(given)).__name__}")
            except codecs.BlobError as error:
                outcome.append(f"refused: {error!s:.120}")
        told[name] = (*outcome, (time.process_time() - start) / unit, peak() - before)
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
    what, *numbers = sys.argv[1:]
    {"mutate": mutate, "raw": raw, "exhaust": exhaust, "forged": measured}[what](*map(int, numbers))
    if what != "forged":
        print(json.dumps(COUNTS))
