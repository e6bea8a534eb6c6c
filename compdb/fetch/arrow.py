"""An Arrow table, or a reader that streams record batches to any library that speaks Arrow.

==============================  =====================================================
column                          type
==============================  =====================================================
int, bool, float, str           int64, bool, double, string (large_string without a length)
date, time                      date32, time64[us]
datetime, UtcDateTime           timestamp[us], timestamp[us, UTC]
timedelta                       duration[us]
Decimal                         decimal128(p, s); decimal256 beyond 38 digits
Enum, Literal of text           dictionary of the labels in the database
UUID                            string
dict, list (JSON)               large_string: JSON text
bytes                           large_binary
arrays and other blobs          large_binary: the encoded blob, for `compdb.codecs.decode`
==============================  =====================================================

Insert takes all of it back. The table is built chunk by chunk; the reader holds one chunk at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from compdb.database import Database
from compdb.errors import MissingExtra
from compdb.fetch import fast
from compdb.fetch.kinds import Field, Kind, Values, codes, inferred
from compdb.fetch.stream import stream

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["text_of", "to_arrow", "to_reader"]

STORED = (Kind.CHOICE, Kind.BLOB)


def to_arrow(database: Database, select: sa.Select[Any]) -> pa.Table:
    """Return all rows as an Arrow table."""
    pa = _pyarrow("to_arrow")
    found = fast.gather(database, select, _array, _taken, STORED)
    columns = [pa.chunked_array(parts, None if parts else _type(field) or pa.null()) for field, parts in found]
    return pa.table(columns, names=[field.name for field, _ in found])


def to_reader(database: Database, select: sa.Select[Any], size: int = 20_000) -> pa.RecordBatchReader:
    """Return a reader of record batches of about `size` rows, which asks the database as it is read.

    A column without a type of its own (SQL text) has that of its first values.
    """
    pa = _pyarrow("__arrow_c_stream__")
    batches = _batches(database, select, size)
    return pa.RecordBatchReader.from_batches(next(batches), batches)


def text_of(field: Field, values: Values) -> list[str | None]:
    """Return JSON values and UUIDs as text."""
    if field.kind is Kind.UUID:
        return [None if v is None else str(v) for v in values]
    return [None if v is None else json.dumps(v, ensure_ascii=False) for v in values]


def _batches(database: Database, select: sa.Select[Any], size: int) -> Iterator[Any]:
    """Yield the schema, then the batches."""
    pa = _pyarrow("__arrow_c_stream__")
    with stream(database, select, interleaved=True) as source:
        known, chunks = source.fields, source.columns(STORED)
        first = next(chunks, None)
        if first is not None:
            known = tuple(inferred(f, v) if f.kind is Kind.OTHER else f for f, v in zip(known, first))
        empty = pa.schema(
            [(f.name, _type(f) or _type_of(v)) for f, v in zip(known, first or [()] * len(known))]
        ).empty_table()
        yield empty.schema
        pieces, rows = [empty], 0
        for columns in chain([] if first is None else [first], chunks):
            pieces.append(pa.table([_array(f, v) for f, v in zip(known, columns)], schema=empty.schema))
            rows += len(pieces[-1])
            if rows >= size:
                yield from pa.concat_tables(pieces).combine_chunks().to_batches()
                pieces, rows = [empty], 0
        yield from pa.concat_tables(pieces).combine_chunks().to_batches()


def _type_of(values: Values) -> pa.DataType:
    """Return the type of values whose column has none, with room for longer decimals."""
    pa = _pyarrow("__arrow_c_stream__")
    found = pa.array(values).type
    return pa.decimal128(38, found.scale) if pa.types.is_decimal128(found) else found


def _taken(field: Field, column: pa.Array) -> pa.Array:
    """Return a part of a column that came as Arrow."""
    return column.cast(_type(field))


def _array(field: Field, values: Values) -> pa.Array:
    """Return a part of a column."""
    pa = _pyarrow("to_arrow")
    if field.kind in (Kind.JSON, Kind.UUID):
        values = text_of(field, values)
    if field.kind is Kind.CHOICE:
        places = pa.array([None if i < 0 else i for i in codes(field, values)], pa.int32())
        return pa.DictionaryArray.from_arrays(places, pa.array(field.labels, pa.string()))
    return pa.array(values, _type(field))


def _type(field: Field) -> pa.DataType | None:
    """Return the type of a column; None where the values decide."""
    pa = _pyarrow("to_arrow")
    match field.kind:
        case Kind.CHOICE:
            return pa.dictionary(pa.int32(), pa.string())
        case Kind.DECIMAL:
            if field.digits is None:
                return None
            return pa.decimal128(*field.digits) if field.digits[0] <= 38 else pa.decimal256(*field.digits)
        case Kind.TEXT:
            return pa.large_string() if field.long else pa.string()
        case Kind.OTHER:
            return None
    return {
        Kind.INT: pa.int64(),
        Kind.BOOL: pa.bool_(),
        Kind.FLOAT: pa.float64(),
        Kind.UUID: pa.string(),
        Kind.JSON: pa.large_string(),
        Kind.DATE: pa.date32(),
        Kind.TIME: pa.time64("us"),
        Kind.DATETIME: pa.timestamp("us"),
        Kind.UTC: pa.timestamp("us", "UTC"),
        Kind.DURATION: pa.duration("us"),
        Kind.BYTES: pa.large_binary(),
        Kind.BLOB: pa.large_binary(),
    }[field.kind]


def _pyarrow(verb: str) -> Any:  # the package
    try:
        import pyarrow as pa  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise MissingExtra(verb, "pyarrow", "arrow") from error
    return pa
