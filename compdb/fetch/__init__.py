"""Rows into dicts, arrays, frames, Arrow and mapped objects: one file per format, its public function in each.

Every function takes the `Database` and a `Select`, whose `selected_columns` give names and types, and knows nothing of the
relation it came from. A new format is a file: it opens the `stream` and says what becomes of each kind of column.

    to_dicts    iterate       dicts.py      values as Python knows them
    to_arrays                 arrays.py     numpy; pandas.py, polars.py: to_pandas, to_polars
    to_arrow    to_reader     arrow.py      a table, or batches as they are read
    to_rows                   rows.py       mapped objects

`kinds.py` says what a column holds, `stream.py` brings the rows (`dialects/wire.py` those of PyMySQL), `fast.py` knows when a reader
that writes Arrow by itself can bring them instead. The way back is `compdb.frames`.
"""

from __future__ import annotations

from compdb.fetch.arrays import to_arrays
from compdb.fetch.arrow import to_arrow, to_reader
from compdb.fetch.dicts import iterate, to_dicts
from compdb.fetch.pandas import to_pandas
from compdb.fetch.polars import to_polars
from compdb.fetch.rows import to_rows

__all__ = ["iterate", "to_arrays", "to_arrow", "to_dicts", "to_pandas", "to_polars", "to_reader", "to_rows"]
