"""Previews: the first rows of a relation as a table in the terminal, or as HTML in a notebook.

>>> print(text(lambda: (database, select), title="Detection", key=["image_id"]))
Detection
 *image_id │ nblobs │ pixels
───────────┼────────┼────────────────────
 1         │ 1921   │ float64 (872, 1000)
1 row

A preview never loads a blob: the database is asked for the first bytes of each, which tell what it holds. And a preview never
fails: an error becomes a line of text.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from compdb.preview.sampling import Column, Sample, Source, sample

if TYPE_CHECKING:
    from compdb.preview.html import html
    from compdb.preview.text import table, text

__all__ = ["Column", "Sample", "Source", "html", "sample", "table", "text"]

_PLACES = {"html": "compdb.preview.html", "table": "compdb.preview.text", "text": "compdb.preview.text"}


def __getattr__(name: str) -> Any:
    """Read what draws, and rich with it, when something is drawn."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(_PLACES[name]), name)
    globals()[name] = found  # not the module of that name
    return found
