"""Columns as numpy arrays.

==========================  =================  =============================================
column                      dtype              NULL
==========================  =================  =============================================
int                         int64              the column is an object array, with None in it
bool                        bool               the same
float                       float64            NaN
date                        datetime64[D]      NaT
datetime, UtcDateTime       datetime64[us]     NaT
timedelta                   timedelta64[us]    NaT
all others                  object             None
==========================  =================  =============================================

The dtype follows from the type of the column, also in an empty result. Text is an object array of `str`: numpy's own `U` would give
each row the width of the longest. A column of arrays stays one array of arrays, also where all of them have one shape.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from compdb.database import Database
from compdb.fetch import fast
from compdb.fetch.kinds import Field, Kind, Values, fields
from compdb.fetch.stream import known, stream

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["DTYPES", "array", "objects", "taken", "to_arrays"]

Array = np.ndarray[Any, np.dtype[Any]]

DTYPES: dict[Kind, str] = {
    Kind.INT: "int64",
    Kind.BOOL: "bool",
    Kind.FLOAT: "float64",
    Kind.DATE: "datetime64[D]",
    Kind.DATETIME: "datetime64[us]",
    Kind.UTC: "datetime64[us]",
    Kind.DURATION: "timedelta64[us]",
}

EPOCH = dt.datetime(1970, 1, 1)
EPOCH_UTC = EPOCH.replace(tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)
NAT = np.iinfo("int64").min
SINCE: dict[Kind, Callable[[Any], int]] = {  # four times as fast as numpy's own conversion
    Kind.DATE: lambda v: v.toordinal() - 719_163,
    Kind.DATETIME: lambda v: (v - EPOCH) // MICROSECOND,
    Kind.UTC: lambda v: (v - EPOCH_UTC) // MICROSECOND,
    Kind.DURATION: lambda v: v // MICROSECOND,
}


def to_arrays(
    database: Database,
    select: sa.Select[Any],
    names: Sequence[str] = (),
    key: Sequence[str] | None = None,
    rows: Sequence[Sequence[Any]] | None = None,
) -> Any:  # an array or a tuple, as the caller asked
    """Return columns as arrays.

    Parameters
    ----------
    names : sequence of str
        One name gives an array, several give a tuple of arrays, none a structured array of all columns.
    key : sequence of str, optional
        Put a list of dicts of these columns before the arrays.
    rows : sequence of rows, optional
        What `select` would find, where that is known; the database is not asked then.
    """
    if not names:
        return _structured(database, select, key, rows)
    found = None if key is not None or rows is not None else fast.quickly(database, select, array, taken)
    kept: dict[str, list[Any]] = {name: [] for name in key or ()}

    def build(field: Field, values: Values) -> Array:
        if field.name in kept:
            kept[field.name].extend(values)
        return array(field, values)

    if found is None:
        with stream(database, select) if rows is None else nullcontext(known(select, rows)) as source:
            found = source.gather(build)
    arrays = {field.name: _joined(field, parts) for field, parts in found}
    columns = [arrays[name] for name in names]
    if key is not None:
        return (_dicts(kept), *columns)
    return columns[0] if len(columns) == 1 else tuple(columns)


def _dicts(columns: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def array(field: Field, values: Values) -> Array:
    """Return one column as an array."""
    dtype = DTYPES.get(field.kind)
    if dtype is None or (field.kind in (Kind.INT, Kind.BOOL) and None in values):
        return objects(values)
    since = SINCE.get(field.kind)
    if since is None:
        try:
            return np.array(values, dtype)
        except OverflowError:  # a sum beyond 64 bits
            return objects(values)
    return np.array([NAT if v is None else since(v) for v in values], "int64").view(dtype)


def taken(field: Field, column: pa.Array) -> Array:
    """Return a part of a column that came as Arrow."""
    if field.kind in (Kind.INT, Kind.BOOL) and column.null_count:
        return objects(column.to_pylist())
    found: Array = column.to_numpy(zero_copy_only=False)
    return found


def objects(values: Values) -> Array:
    """Return an array of Python objects, one for each value, whatever the values are."""
    return np.fromiter(values, dtype=object, count=len(values))


def _joined(field: Field, parts: list[Array]) -> Array:
    column = np.concatenate(parts) if parts else np.empty(0, DTYPES.get(field.kind, "O"))
    parts.clear()
    return column


def _structured(
    database: Database, select: sa.Select[Any], key: Sequence[str] | None, rows: Sequence[Sequence[Any]] | None
) -> Any:
    """Return all columns as one structured array, after the keys if they are asked for."""
    wanted = fields(select)
    table = _Table(wanted)
    if key is None and rows is None and fast.lean(database, wanted):
        quick = _Table(wanted)

        def put(field: Field, column: pa.Array) -> None:
            quick.put(field, taken(field, column))

        small = _Table(wanted)
        found = fast.quickly(database, select, lambda field, values: small.put(field, array(field, values)), put)
        if found is not None:
            return (quick if quick.rows else small).whole()
    kept: dict[str, list[Any]] = {name: [] for name in key or ()}

    def build(field: Field, values: Values) -> None:
        if field.name in kept:
            kept[field.name].extend(values)
        table.put(field, array(field, values))

    with stream(database, select) if rows is None else nullcontext(known(select, rows)) as source:
        source.gather(build)
    return table.whole() if key is None else (_dicts(kept), table.whole())


class _Table:
    """A structured array that grows as parts of its columns come: it is most of the memory that is needed."""

    def __init__(self, wanted: Sequence[Field]) -> None:
        self.dtypes = {field.name: np.dtype(DTYPES.get(field.kind, "O")) for field in wanted}
        self.ends = dict.fromkeys(self.dtypes, 0)
        self.table: Array = np.empty(0, list(self.dtypes.items()))

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return max(self.ends.values(), default=0)

    def put(self, field: Field, part: Array) -> None:
        """Put the next part of a column in its place."""
        name, start = field.name, self.ends[field.name]
        end = start + len(part)
        if part.dtype != self.dtypes[name] and (part.dtype.hasobject or not start):
            self._change(name, part.dtype)
        if end > len(self.table):
            self.table.resize(max(end, len(self.table) * 5 // 4), refcheck=False)
        self.table[name][start:end] = part
        self.ends[name] = end

    def _change(self, name: str, dtype: np.dtype[Any]) -> None:
        """Change the type of a column: with the first NULL among ints, or once the values of an expression have told theirs."""
        self.dtypes[name] = dtype
        changed = np.empty(len(self.table), list(self.dtypes.items()))
        for other, end in self.ends.items():
            changed[other][:end] = self.table[other][:end]
        self.table = changed

    def whole(self) -> Array:
        """Return the array, as long as it has rows."""
        self.table.resize(self.rows, refcheck=False)
        return self.table
