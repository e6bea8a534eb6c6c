"""Compression of payloads: zstd, on request, and never more out than allowed.

The first bytes of a payload go into a zstd block of their own, so that a preview can tell what the blob holds from its
head. Frames carry a checksum and the size of their content; a frame without a size, with more than `MAX_RAW`, or with
bytes after its end is refused before anything is expanded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from compdb.errors import BlobError

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["FLAGS", "MAX_RAW", "compress", "expand", "peek"]

NONE, ZSTD = 0, 1
FLAGS = frozenset({NONE, ZSTD})
MAX_RAW = 1 << 30
_HEAD = 256


def _zstandard() -> Any:  # Any: an optional package
    try:
        import zstandard  # noqa: PLC0415 - optional
    except ModuleNotFoundError:
        raise BlobError("zstd needs the zstandard package: pip install 'compdb[zstd]'") from None
    return zstandard


def compress(name: str, pieces: Sequence[Buffer]) -> tuple[int, list[bytes]]:
    """Return the flag of a compression and the compressed pieces.

    Raises
    ------
    BlobError
        If the name is not "zstd", or the payload is too large to be expanded again.
    """
    if name != "zstd":
        raise BlobError(f"no compression named {name!r}; there is 'zstd', and None for no compression")
    zstandard = _zstandard()
    views = [_flat(piece) for piece in pieces]
    size = sum(view.nbytes for view in views)
    if size > MAX_RAW:
        raise BlobError(f"{size:,} bytes are more than a compressed blob may hold ({MAX_RAW:,}): store it uncompressed")
    packer = zstandard.ZstdCompressor(write_checksum=True).compressobj(size=size)
    first, *rest = views
    out = [packer.compress(first[:_HEAD]), packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)]
    out.extend(packer.compress(view) for view in (first[_HEAD:], *rest))
    out.append(packer.flush())
    return ZSTD, out


def _flat(piece: Buffer) -> memoryview:
    """Return a piece as single bytes; an array is asked itself, since a memoryview cannot hold every dtype."""
    if isinstance(piece, np.ndarray):
        return piece.reshape(-1).view("u1").data if piece.nbytes else memoryview(b"")
    return memoryview(piece).cast("B")


def expand(flag: int, payload: memoryview) -> bytes:
    """Return the payload as it was before compression."""
    zstandard = _zstandard()
    size = zstandard.frame_content_size(payload)
    if not 0 <= size <= MAX_RAW:
        raise BlobError(f"damaged blob: its compressed payload claims {size:,} bytes; at most {MAX_RAW:,} are allowed")
    raw: bytes = zstandard.ZstdDecompressor().decompress(payload, max_output_size=size, allow_extra_data=False)
    if len(raw) != size:
        raise BlobError(f"damaged blob: {len(raw):,} of {size:,} bytes after decompression")
    return raw


def peek(flag: int, head: memoryview) -> bytes:
    """Return the beginning of a payload from the beginning of its compressed form."""
    zstandard = _zstandard()
    peeked: bytes = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj().decompress(head)
    return peeked
