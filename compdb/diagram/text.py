"""How wide a text may become, whatever sans-serif font shows it.

An SVG names only generic fonts, so its author cannot know the widths. These are the largest of Verdana, DejaVu Sans
and Arial: boxes made for them are roomy in most fonts and cut nothing in those.
"""

from __future__ import annotations

import unicodedata
from functools import cache

__all__ = ["width"]

_WIDTHS = {
    0.37: " ',.fijl",
    0.46: '!"()-/:;I[\\]rt|',
    0.57: "?JLcsz",
    0.65: "$*0123456789FT_`abdeghknopquvxy{}",
    0.7: "BEKPSVXYZ",
    0.75: "ACNRU",
    0.8: "&DGHOQ",
    0.87: "#+<=>M^w~",
    1.02: "@Wm",
    1.09: "%",
}
_KNOWN = {letter: ems for ems, letters in _WIDTHS.items() for letter in letters}


@cache
def _ems(letter: str) -> float:
    if letter in _KNOWN:
        return _KNOWN[letter]
    if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Cf"):
        return 0.0
    base = unicodedata.normalize("NFD", letter)[0]
    if base in _KNOWN:
        return _KNOWN[base]
    return 1.3 if unicodedata.category(letter) == "So" else 1.15


def width(text: str, size: float) -> float:
    """Return the room that one line of text needs in a font of `size`."""
    return sum(map(_ems, text)) * size
