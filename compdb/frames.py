"""Tables of other libraries as rows: pandas, polars, Arrow and numpy's structured arrays, the way back from `fetch`.

>>> Session.insert(frame)                      # what Session.to_pandas() gave, or any other
>>> list(records(pd.DataFrame({"n": [1, None], "s": ["a", np.nan]})))
[{'n': 1.0, 's': 'a'}, {'n': None, 's': None}]

Each library has its own way to say that a value is missing (NaN, NaT, NA, null): here it becomes None, before a text column can
take NaN for the text "nan". Named levels of a pandas index are columns: the key, as `to_pandas` puts it there.

Three things can only be told from the type of the column that a value is for. Text for a JSON attribute is JSON text, and binary
for a Blob is an encoded blob if it begins like one: Arrow and polars have them so. numpy's datetimes for a UtcDateTime are UTC.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa

from compdb.codecs.frame import MARK, Encoded
from compdb.errors import InvalidValue, MissingExtra, shorten
from compdb.types import Blob, UtcDateTime

__all__ = ["columns", "records"]

Types = Mapping[str, sa.types.TypeEngine[Any]]
Columns = dict[str, list[Any]]


def records(rows: object, types: Types | None = None) -> Iterator[dict[str, Any]] | None:
    """Return the rows of a frame as dicts; None if it is no frame.

    Parameters
    ----------
    rows : object
        A pandas or polars DataFrame, an Arrow table, batch or reader, anything with `__arrow_c_stream__`, a structured array.
    types : mapping of str to TypeEngine, optional
        The types of the columns that the values are for, where they are known.

    Raises
    ------
    InvalidValue
        Two columns of one name; a time finer than a microsecond; text that is no JSON.
    """
    parts = columns(rows, types)
    if parts is None:
        return None
    return (dict(zip(part, row)) for part in parts for row in zip(*part.values()))


def columns(rows: Any, types: Types | None = None) -> Iterable[Columns] | None:  # any object at all
    """Return the parts of a frame, each a dict of columns, as `records` returns its rows; None if it is no frame."""
    types = types or {}
    if isinstance(rows, type):
        return None
    if isinstance(rows, np.ndarray | np.void) and rows.dtype.names:
        return [_of_array(np.atleast_1d(rows).ravel(), types)]
    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")
    if pandas is not None and isinstance(rows, pandas.DataFrame):
        return [_of_pandas(rows, types)]
    if polars is not None and isinstance(rows, polars.DataFrame | polars.LazyFrame):
        frame: Any = rows
        return [_of_polars(frame.lazy().collect(), types)]
    if hasattr(rows, "__arrow_c_stream__") or hasattr(rows, "__arrow_c_array__"):
        return (_of_batch(batch, types) for batch in _batches(rows))
    return None


# ---------------------------------------------------------------- numpy


def _of_array(rows: np.ndarray[Any, Any], types: Types) -> Columns:
    assert rows.dtype.names
    return {name: _values(name, rows[name], types.get(name)) for name in rows.dtype.names}


def _values(name: str, column: np.ndarray[Any, Any], type_: Any = None) -> list[Any]:
    """Return a column as Python values; NaT is None, each element of a column of arrays an array."""
    if column.ndim > 1:
        return list(column)
    if column.dtype.kind in "mM":
        column = _to_microseconds(name, column)
    values: list[Any] = column.tolist()
    if column.dtype.kind == "M" and isinstance(type_, UtcDateTime):
        return [None if v is None else v.replace(tzinfo=dt.UTC) for v in values]
    return _json(name, values) if isinstance(type_, sa.JSON) else values


def _to_microseconds(name: str, column: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return times in microseconds, or coarser; numpy gives finer ones back as mere numbers."""
    unit = np.datetime_data(column.dtype)[0]
    if unit not in ("ns", "ps", "fs", "as"):
        return column
    coarse = column.astype(f"{column.dtype.kind}8[us]")
    lost = (coarse != column) & ~np.isnat(column)
    if lost.any():
        row = int(np.argmax(lost))
        raise InvalidValue(
            f"{column[row]} is finer than a microsecond, which is what databases keep; round it first",
            value=column[row],
            attribute=name,
            row=row,
        )
    return coarse


# ---------------------------------------------------------------- pandas


def _of_pandas(frame: Any, types: Types) -> Columns:
    """Return the columns of a DataFrame, the named levels of its index first."""
    index = frame.index
    columns = [(name, index.get_level_values(i).to_series()) for i, name in enumerate(index.names) if name is not None]
    columns += [(name, frame.iloc[:, i]) for i, name in enumerate(frame.columns)]
    _refuse_namesakes([name for name, _ in columns])
    return {name: _of_series(name, series, types.get(name)) for name, series in columns}


def _of_series(name: str, series: Any, type_: Any) -> list[Any]:
    dtype = series.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "biumM":
        return _values(name, series.to_numpy(), type_)
    if getattr(dtype, "tz", None) is not None:
        naive = _values(name, series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
        return [None if v is None else v.replace(tzinfo=dt.UTC) for v in naive]
    values: list[Any] = series.to_numpy(dtype=object).tolist()
    if isinstance(type_, Blob):  # where NaN is a value
        return values
    missing = series.isna().to_numpy()
    values = [None if gone else v for v, gone in zip(values, missing)]
    if isinstance(dtype, np.dtype) and dtype.kind == "f" and isinstance(type_, sa.Integer) and missing.any():
        return _whole(values)
    return _json(name, values) if isinstance(type_, sa.JSON) else values


def _whole(values: list[Any]) -> list[Any]:
    """Return ints that pandas has made floats of because others are missing; floats in their own right stay."""
    whole = all(v is None or (v.is_integer() and abs(v) <= 2**53) for v in values)
    return [None if v is None else int(v) for v in values] if whole else values


# ---------------------------------------------------------------- polars


def _of_polars(frame: Any, types: Types) -> Columns:
    return {series.name: _of_polars_series(series, types.get(series.name)) for series in frame.get_columns()}


def _of_polars_series(series: Any, type_: Any) -> list[Any]:
    dtype = series.dtype
    if getattr(dtype, "time_unit", None) == "ns":
        _to_microseconds(
            series.name,
            series.drop_nulls().dt.replace_time_zone(None).to_numpy()
            if _zoned(dtype)
            else series.drop_nulls().to_numpy(),
        )
        series = series.dt.cast_time_unit("us")
    if dtype.base_type().__name__ == "Array":
        return [None if v is None else v.to_numpy() for v in series]
    return _for_type(series.name, series.to_list(), type_)


def _zoned(dtype: Any) -> bool:
    return getattr(dtype, "time_zone", None) is not None


# ---------------------------------------------------------------- Arrow


def _batches(rows: Any) -> Iterable[Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtra(f"reading a {type(rows).__name__}", "pyarrow", "arrow") from error
    if hasattr(rows, "__arrow_c_array__") and not hasattr(rows, "__arrow_c_stream__"):
        return [pa.record_batch(rows)]
    return pa.RecordBatchReader.from_stream(rows)  # type: ignore[no-any-return]


def _of_batch(batch: Any, types: Types) -> Columns:
    names = batch.schema.names
    _refuse_namesakes(names)
    return {name: _of_arrow(name, column, types.get(name)) for name, column in zip(names, batch.columns)}


def _of_arrow(name: str, column: Any, type_: Any) -> list[Any]:
    import pyarrow as pa  # noqa: PLC0415

    kind = column.type
    if (pa.types.is_timestamp(kind) or pa.types.is_duration(kind)) and kind.unit == "ns":
        coarse = pa.timestamp("us", kind.tz) if pa.types.is_timestamp(kind) else pa.duration("us")
        try:
            column = column.cast(coarse)
        except pa.ArrowInvalid as error:
            raise InvalidValue(
                f"a time is finer than a microsecond, which is what databases keep: {error}", attribute=name
            ) from error
    return _for_type(name, column.to_pylist(), type_)


# ---------------------------------------------------------------- all


def _for_type(name: str, values: list[Any], type_: Any) -> list[Any]:
    """Return values as the column takes them, where the library could hold them only as text or bytes."""
    if isinstance(type_, sa.JSON):
        return _json(name, values)
    if isinstance(type_, Blob):
        return [Encoded(v) if isinstance(v, bytes) and v[:4] == MARK else v for v in values]
    return values


def _json(name: str, values: list[Any]) -> list[Any]:
    found = []
    for row, value in enumerate(values):
        try:
            found.append(json.loads(value) if isinstance(value, str) else value)
        except ValueError as error:
            raise InvalidValue(
                f"{shorten(value)} is no JSON text: {error}", value=value, attribute=name, row=row
            ) from error
    return found


def _refuse_namesakes(names: list[Any]) -> None:
    for i, name in enumerate(names):
        if name in names[:i]:
            raise InvalidValue(
                f"two columns of the frame (or levels of its index) are named {name!r}", attribute=str(name)
            )
