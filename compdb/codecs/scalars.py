"""Single values that msgpack has no token for: each an extension with a code of its own.

The bytes of a value are canonical: reading checks that writing the value gives the same bytes again, so every reader
below may be as lenient as the library it calls.
"""

from __future__ import annotations

import decimal
import struct
import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from compdb.codecs.refusal import Refused

__all__ = ["SCALARS", "Scalar"]


class Scalar(NamedTuple):
    """How values of one type are written: the code never changes, since it stands in blobs."""

    code: int
    type: type
    write: Callable[[Any], bytes]  # Any: a value of exactly `type`
    read: Callable[[bytes], Any]


def _write_int(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)


def _read_int(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


def _write_complex(value: complex) -> bytes:
    return struct.pack("<dd", value.real, value.imag)


def _read_complex(data: bytes) -> complex:
    return complex(*struct.unpack("<dd", data))


def _write_decimal(value: decimal.Decimal) -> bytes:
    return str(value).encode()


def _read_decimal(data: bytes) -> decimal.Decimal:
    return decimal.Decimal(data.decode("ascii"))


def _write_text(value: np.str_) -> bytes:
    try:
        return str.encode(value)
    except UnicodeEncodeError:
        raise Refused("is text with a lone surrogate, which has no UTF-8", "store its bytes", value) from None


def _read_uuid(data: bytes) -> uuid.UUID:
    return uuid.UUID(bytes=data)


SCALARS = (
    Scalar(16, int, _write_int, _read_int),  # beyond 64 bits: the others are msgpack's own
    Scalar(17, complex, _write_complex, _read_complex),
    Scalar(18, decimal.Decimal, _write_decimal, _read_decimal),
    Scalar(19, uuid.UUID, lambda value: value.bytes, _read_uuid),
    Scalar(20, bytearray, bytes, bytearray),
    Scalar(21, np.str_, _write_text, lambda data: np.str_(data.decode())),
    Scalar(22, np.bytes_, bytes, np.bytes_),
)
