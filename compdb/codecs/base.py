"""The family of codecs: what one is, and which there are.

>>> from compdb.codecs import base
>>> base.by_name("numpy").id
1

A codec turns a value into pieces of bytes and bytes back into the value. The frame (`frame.py`) adds the header, the
compression and the promise that nothing but a `BlobError` escapes; a codec only has to be exact. A new one passes
`compdb.testing.codecs.CodecConformance` and is then registered under an id of its own, which no other may ever take:
ids stand in the header of every blob ever written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from compdb.errors import BlobError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["Codec", "by_id", "by_name", "register"]


class Codec(Protocol):
    """What a codec answers.

    Attributes
    ----------
    id : int
        1 to 255, in the header of every blob; never reused.
    name : str
        What users write: `encode(value, codec="numpy")`.
    """

    id: int
    name: str

    def encode(self, value: Any) -> Sequence[Buffer]:  # Any: a codec is where values of every type go in
        """Return the value as pieces of bytes, which the frame joins once; BlobError for what would not survive."""
        ...

    def decode(self, payload: memoryview) -> Any:  # Any: and where they come out
        """Return the value of untrusted bytes; any exception becomes a BlobError."""
        ...

    def describe(self, head: memoryview) -> str | None:
        """Return what the value is, as `float64 (872, 1000)`, from its first bytes; None when they do not tell."""
        ...


_CODECS: dict[int, Codec] = {}


def register(codec: Codec) -> None:
    """Make a codec known.

    Raises
    ------
    ValueError
        If its id or name belongs to another codec, or the id does not fit one byte.
    """
    if not 1 <= codec.id <= 255:
        raise ValueError(f"the id of codec {codec.name!r} is {codec.id}; it must be from 1 to 255")
    for other in _CODECS.values():
        if type(other) is not type(codec) and (other.id == codec.id or other.name == codec.name):
            raise ValueError(f"codec {codec.name!r} (id {codec.id}): codec {other.name!r} has id {other.id} already")
    _CODECS[codec.id] = codec


def by_id(number: int) -> Codec:
    """Return the codec with this id; BlobError if there is none."""
    try:
        return _CODECS[number]
    except KeyError:
        raise BlobError(f"blob of the unknown codec {number}; known: {_known()}") from None


def by_name(name: str) -> Codec:
    """Return the codec with this name; BlobError if there is none."""
    for codec in _CODECS.values():
        if codec.name == name:
            return codec
    raise BlobError(f"no codec named {name!r}; known: {_known()}")


def _known() -> str:
    return ", ".join(f"{codec.name} ({number})" for number, codec in sorted(_CODECS.items()))
