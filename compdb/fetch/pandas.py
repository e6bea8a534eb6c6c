"""A pandas DataFrame, with the primary key as its index.

===========================  ===========================================  =======
column                       dtype                                        NULL
===========================  ===========================================  =======
int                          int64; Int64 where NULL may occur            <NA>
bool                         bool; boolean where NULL may occur           <NA>
float                        float64                                      NaN
str                          str (object before pandas 3)                 missing
datetime, UtcDateTime        datetime64[us], datetime64[us, UTC]          NaT
timedelta                    timedelta64[us]                              NaT
Enum, Literal of text        category, of the labels in the database      missing
Decimal, UUID, date, time,   object                                       None
JSON, bytes, arrays
===========================  ===========================================  =======

So an int stays an int, whether or not a NULL is among the rows, and an empty frame has the dtypes of a full one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from compdb.database import Database
from compdb.errors import MissingExtra
from compdb.fetch import fast
from compdb.fetch.arrays import array, objects
from compdb.fetch.kinds import Field, Kind, Values, codes

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["to_pandas"]

STORED = (Kind.CHOICE,)


def to_pandas(
    database: Database, select: sa.Select[Any], key: Sequence[str] = (), nullable: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return all rows as a DataFrame.

    Parameters
    ----------
    key : sequence of str
        The columns that become the index; none for a plain numbered one.
    nullable : sequence of str, optional
        The columns that may be NULL, where the caller knows better than the columns themselves (outer joins).
    """
    try:
        import pandas as pd  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtra("to_pandas", "pandas", "pandas") from error
    found = fast.gather(database, select, _part, _taken, STORED, nullable)
    columns = {field.name: _joined(field, parts) for field, parts in found}
    frame = pd.DataFrame(columns, copy=False)
    return frame.set_index(list(key)) if key else frame


def _part(field: Field, values: Values) -> Any:  # a numpy or a pandas array
    """Return a part of a column."""
    if field.kind is Kind.TEXT:
        return _texts(values)
    if field.kind is Kind.CHOICE:
        return np.array(codes(field, values), "int32")
    if field.kind is Kind.DATE:
        return objects(values)
    return array(field, values)


def _taken(field: Field, column: pa.Array) -> Any:  # as of `_part`
    """Return a part of a column that came as Arrow."""
    if field.kind is Kind.TEXT:
        return column.to_pandas().array
    if field.kind is Kind.CHOICE:
        return column.indices.fill_null(-1).to_numpy()
    if field.kind is Kind.DATE or (field.kind in (Kind.INT, Kind.BOOL) and column.null_count):
        return objects(column.to_pylist())
    return column.to_numpy(zero_copy_only=False)


def _joined(field: Field, parts: list[Any]) -> pd.Series:
    """Return the column."""
    import pandas as pd  # noqa: PLC0415

    if field.kind is Kind.TEXT:
        return pd.Series(pd.concat([pd.Series(part) for part in parts or [_texts([])]], ignore_index=True))
    column = np.concatenate(parts or [_part(field, [])])
    match field.kind:
        case Kind.INT | Kind.BOOL if field.nullable or column.dtype == object:
            return pd.Series(column, dtype="Int64" if field.kind is Kind.INT else "boolean")
        case Kind.CHOICE:
            return pd.Series(pd.Categorical.from_codes(column, categories=list(field.labels)))
        case Kind.UTC:
            return pd.Series(column).dt.tz_localize("UTC")
    return pd.Series(column, dtype=column.dtype)  # pandas would take objects that are all text for a text column


def _texts(values: Values) -> Any:  # an array of the dtype that text has in this version of pandas
    import pandas as pd  # noqa: PLC0415

    return pd.array(list(values), dtype=pd.Series([""]).dtype)
