"""The frame of a blob: eight bytes of header, then the payload of one codec.

>>> from compdb import codecs
>>> codecs.decode(codecs.encode({"rate": 30.0, "channels": (1, 2)}, compression="zstd"))
{'rate': 30.0, 'channels': (1, 2)}

    c1 63 64 62   the mark: a byte that msgpack never uses, then "cdb"
    01            format version
    01            id of the codec
    00            flags: the compression of the payload (0 none, 1 zstd); all others must be zero
    00            must be zero

The bytes after the header of an uncompressed blob are what its codec wrote, nothing more.
"""

from __future__ import annotations

from typing import Any

from compdb.codecs import base, compression
from compdb.errors import BlobError, shorten

__all__ = ["HEADER", "MARK", "Encoded", "decode", "describe", "encode"]

MARK = b"\xc1cdb"
VERSION = 1
HEADER = 8
_FOREIGN = {
    b"mYm\0": "a blob of DataJoint",
    b"dj0\0": "a blob of DataJoint",
    b"\x93NUM": "an .npy file",
    b"PK\x03\x04": "a zip or .npz file",
    b"\x80": "perhaps bare msgpack: codecs.decode_msgpack_numpy reads what the msgpack-numpy package wrote",
}


class Encoded(bytes):
    """Bytes that are a blob already: a `Blob` column stores them as they are.

    >>> from compdb import codecs
    >>> codecs.decode(codecs.Encoded(codecs.encode([1, 2])))
    [1, 2]
    """

    __slots__ = ()


def encode(value: Any, compression: str | None = None, codec: str = "numpy") -> bytes:
    """Return a value as a blob.

    Parameters
    ----------
    value : object
        An array, number, text, or dicts, lists, tuples and sets of them: see `compdb.codecs`.
    compression : "zstd", optional
        Slower to write, smaller to keep.
    codec : str, optional
        Name of the codec.

    Returns
    -------
    blob : bytes
        `decode(blob)` is the value again: same types, dtype, byte and memory order, shape, bits.

    Raises
    ------
    BlobError
        If the value would come back changed; it names the place in the value, and the fix.
    """
    chosen = base.by_name(codec)
    pieces = chosen.encode(value)
    flag = 0
    if compression is not None:
        flag, pieces = _compress(compression, pieces)
    return b"".join([MARK, bytes((VERSION, chosen.id, flag, 0)), *pieces])


def decode(data: bytes | bytearray | memoryview) -> Any:
    """Return the value of a blob; its arrays are writable and its own.

    The bytes are not trusted: nothing in them is ever run, and memory is bounded (see `compdb.codecs`).

    Raises
    ------
    BlobError
        Whatever is wrong with the bytes. No other exception escapes.
    """
    try:
        codec, flag, payload = _opened(data)
        if flag:
            payload = memoryview(compression.expand(flag, payload))
        return codec.decode(payload)
    except BlobError:
        raise
    except Exception as error:  # the border: numpy, msgpack and zstd complain in many types about forged bytes
        raise damaged(error) from error


def describe(head: bytes | bytearray | memoryview, size: int | None = None) -> str:
    """Say what a blob holds, from its first bytes alone; never raises.

    Parameters
    ----------
    head : bytes
        The beginning of the blob; 512 bytes are enough.
    size : int, bytes, optional
        Length of the whole blob, told where the head does not tell more.

    Returns
    -------
    description : str
        `"float64 (872, 1000)"`, `"dict"`, `"str"`, ...; `"blob, 1.2 MB"` for what cannot be told.
    """
    try:
        codec, flag, payload = _opened(head)
        if flag:
            payload = memoryview(compression.peek(flag, payload))
        text = codec.describe(payload)
    except Exception:  # a preview goes on beside a damaged blob
        text = None
    return text or (f"blob, {_readable(size)}" if size is not None else "blob")


def damaged(error: Exception) -> BlobError:
    """Return the BlobError for bytes that some library could not read."""
    reason = "not enough memory" if isinstance(error, MemoryError) else shorten(str(error) or type(error).__name__)
    return BlobError(f"damaged blob: {reason}")


def _compress(name: str, pieces: Any) -> tuple[int, Any]:  # the parameter `compression` hides the module in `encode`
    return compression.compress(name, pieces)


def _opened(data: bytes | bytearray | memoryview) -> tuple[base.Codec, int, memoryview]:
    """Return codec, compression flag and payload of a blob."""
    view = as_view(data)
    if len(view) < HEADER or view[:4] != MARK:
        raise BlobError(f"not a blob of compdb: {_guess(bytes(view[:8]))}")
    version, number, flag, zero = view[4:HEADER]
    if version != VERSION:
        raise BlobError(f"blob of format version {version}; this compdb reads version {VERSION}: upgrade compdb")
    if zero or flag not in compression.FLAGS:
        raise BlobError(f"damaged blob: flags {flag:#04x} {zero:#04x} are not in use")
    return base.by_id(number), flag, view[HEADER:]


def as_view(data: bytes | bytearray | memoryview) -> memoryview:
    """Return any contiguous bytes as a memoryview of single bytes."""
    try:
        return memoryview(data).cast("B")
    except TypeError:
        raise BlobError(f"not a blob of compdb: {shorten(data)} is {type(data).__name__}, not bytes") from None


def _guess(head: bytes) -> str:
    """Say what bytes without our mark may be."""
    if not head:
        return "no bytes at all"
    if 0x80 <= head[0] <= 0x9F:
        known = _FOREIGN.get(head[:4], _FOREIGN[b"\x80"])
    else:
        known = _FOREIGN.get(head[:4], "other bytes, or damaged ones")
    return f"it begins with {head!r} ({known})"


def _readable(size: int) -> str:
    """Return a number of bytes as `1.2 MB`."""
    amount, unit = float(size), "bytes"
    for unit in ("bytes", "kB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            break
        amount /= 1000
    return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
