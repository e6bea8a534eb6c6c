"""Large results by another door: readers that write Arrow without a Python object for each value.

ADBC reads PostgreSQL, ConnectorX reads MySQL and MariaDB, some twenty times as fast as any driver that makes Python values. They
are used without being asked for, where they are installed and give exactly what the plain path gives:

1. No transaction is open here: a reader has a connection of its own and would not see what is not yet committed.
2. The engine is one that we made from a URL without options: whoever hands in an engine may have set up its connections.
3. Every column is of a kind in `READ`, and arrives in a type that holds its values unchanged; else the plain path is taken.
4. The values in the statement are numbers, dates, or text without quotes, backslashes and such: readers take no parameters.
5. More than `WORTH` rows have come by the plain path, and quickly: what is small is over before a reader has connected, and
   what the server computes for long is not computed twice.
6. It is `lean`, where a structured array is asked for: what ConnectorX needs once to begin is half of what a million strings are.

SQLite has no such reader on purpose. ADBC and ConnectorX carry a SQLite library of their own, and two of them in one process undo
each other's file locks, which can destroy the database (https://www.sqlite.org/howtocorrupt.html, 2.2.1).
"""

from __future__ import annotations

import datetime as dt
import functools
import importlib
import importlib.util
import re
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from compdb.database import Database
from compdb.fetch.kinds import Field, Kind, Values, fields
from compdb.fetch.stream import CHUNK, stream
from compdb.types import Duration

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["READ", "WORTH", "gather", "lean", "quickly"]

T = TypeVar("T")

WORTH = 50_000
"""Rows from which on a second connection costs less than it saves."""

BATCH = 20_000
"""Rows that ConnectorX gives at a time."""

PATIENCE = 1.0
"""Seconds for these rows, beyond which the server has had work that should not be done again."""

READ = frozenset(
    {Kind.INT, Kind.FLOAT, Kind.BOOL, Kind.TEXT, Kind.DATE, Kind.DATETIME, Kind.UTC, Kind.DURATION, Kind.CHOICE}
)
DEFAULTS = {("charset", "utf8mb4")}
"""Options of a URL that change nothing: readers speak UTF-8."""

PLAIN_TEXT = re.compile(r"[\w .,:/+-]*")


def gather(
    database: Database,
    select: sa.Select[Any],
    build: Callable[[Field, Values], T],
    take: Callable[[Field, pa.Array], T],
    stored: Sequence[Kind] = (),
    nullable: Sequence[str] | None = None,
) -> list[tuple[Field, list[T]]]:
    """Return, for each column, its field and the parts of it, as `Stream.gather` does.

    Parameters
    ----------
    build : callable
        Makes a part of Python values.
    take : callable
        Makes the same part of an Arrow array.
    """
    found = quickly(database, select, build, take, stored, nullable)
    if found is not None:
        return found
    with stream(database, select, nullable=nullable) as source:
        return source.gather(build, stored)


def quickly(
    database: Database,
    select: sa.Select[Any],
    build: Callable[[Field, Values], T],
    take: Callable[[Field, pa.Array], T],
    stored: Sequence[Kind] = (),
    nullable: Sequence[str] | None = None,
) -> list[tuple[Field, list[T]]] | None:
    """Return what `gather` returns where a reader stands ready, or None where the plain path is to be taken."""
    wanted = fields(select, nullable)
    read = _reader(database, select, wanted, stored)
    if read is None:
        return None
    started = time.monotonic()

    def worth(rows: int) -> bool:
        return 0 <= rows - WORTH < CHUNK and time.monotonic() - started < PATIENCE

    with stream(database, select, nullable=nullable) as source:
        found = source.gather_unless(worth, build, stored)
    return found if found is not None else _gathered(wanted, read, take)


def lean(database: Database, wanted: Sequence[Field]) -> bool:
    """Say whether a reader adds little to the memory that these columns need as one array, which is often all that is there."""
    module, _ = READERS.get(database.engine.driver, ("", None))
    return module != "connectorx" or not any(field.kind in (Kind.TEXT, Kind.CHOICE) for field in wanted)


def _reader(
    database: Database, select: sa.Select[Any], wanted: Sequence[Field], stored: Sequence[Kind]
) -> Callable[[], Iterator[pa.RecordBatch]] | None:
    """Return what reads the select by the fast door, or None where conditions 1 to 4 do not hold."""
    engine = database.engine
    module, read = READERS.get(engine.driver, ("", None))
    if read is None or not (_installed(module) and _installed("pyarrow")):
        return None
    if database.in_transaction() or database.reader.pool is engine.pool or not engine.url.query.items() <= DEFAULTS:
        return None
    if not all(field.kind in READ and (field.kind is not Kind.CHOICE or Kind.CHOICE in stored) for field in wanted):
        return None
    sql = _text(select, engine)
    return None if sql is None else functools.partial(read, engine.url, sql)


@functools.cache
def _installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _text(select: sa.Select[Any], engine: sa.Engine) -> str | None:
    """Return the statement with its values written out, or None if they cannot be written beyond all doubt."""
    if engine.get_execution_options().get("schema_translate_map"):
        return None
    try:
        values = select.compile(engine, compile_kwargs={"render_postcompile": True}).params.values()
        if not all(_plain(value) for value in values):
            return None
        text = str(select.compile(engine, compile_kwargs={"literal_binds": True}))
    except (exc.SQLAlchemyError, NotImplementedError):
        return None
    return None if "%" in text else text  # which drivers want doubled, and readers do not


def _plain(value: Any) -> bool:  # whatever the user compares with
    if type(value) is str:
        return PLAIN_TEXT.fullmatch(value) is not None
    if type(value) in (list, tuple):
        return all(map(_plain, value))
    return value is None or type(value) in (int, float, bool, dt.date, dt.datetime)


# ---------------------------------------------------------------- the readers


def _adbc(url: sa.URL, sql: str) -> Iterator[pa.RecordBatch]:
    from adbc_driver_postgresql import dbapi  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415

    with dbapi.connect(_address(url, "postgresql")) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        yield from cursor.fetch_record_batch()


def _connectorx(url: sa.URL, sql: str) -> Iterator[pa.RecordBatch]:
    import connectorx  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415

    yield from connectorx.read_sql(_address(url, "mysql"), sql, return_type="arrow_stream", batch_size=BATCH)


READERS: dict[str, tuple[str, Callable[[sa.URL, str], Iterator[Any]]]] = {
    "psycopg": ("adbc_driver_postgresql", _adbc),
    "pymysql": ("connectorx", _connectorx),
    "mysqldb": ("connectorx", _connectorx),
    "mariadbconnector": ("connectorx", _connectorx),
}
"""By the driver that a reader stands in for: the package, and the function that reads."""


def _address(url: sa.URL, name: str) -> str:
    return url.set(drivername=name, query={}).render_as_string(hide_password=False)


def _gathered(
    wanted: Sequence[Field], read: Callable[[], Iterator[pa.RecordBatch]], take: Callable[[Field, pa.Array], T]
) -> list[tuple[Field, list[T]]] | None:
    """Return the columns that a reader gives, or None if they are not what the plain path would give."""
    parts: list[list[T]] = [[] for _ in wanted]
    try:
        for batch in read():
            for field, column, part in zip(wanted, batch.columns, parts, strict=True):
                part.append(take(field, _exact(column, field)))
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException:  # the plain path will say what is wrong, if anything is; a panic of Rust is a BaseException
        return None
    return list(zip(wanted, parts))


def _exact(column: pa.Array, field: Field) -> pa.Array:
    """Return a column in the Arrow type of its kind; raise if it came in one that may have lost something."""
    import pyarrow as pa  # noqa: PLC0415

    compute: Any = importlib.import_module("pyarrow.compute")  # whose functions are made as it is imported
    is_, came = pa.types, column.type
    moment = is_.is_timestamp(came) and came.unit == "us"
    text = is_.is_string(came) or is_.is_large_string(came)
    fits, target = {
        Kind.INT: (is_.is_integer(came), pa.int64()),
        Kind.FLOAT: (is_.is_float64(came), pa.float64()),
        Kind.BOOL: (is_.is_boolean(came) or is_.is_integer(came), pa.bool_()),
        Kind.TEXT: (text, came),
        Kind.CHOICE: (text, pa.string()),
        Kind.DATE: (is_.is_date32(came), pa.date32()),
        Kind.DATETIME: (moment and came.tz is None, pa.timestamp("us")),
        Kind.UTC: (moment, pa.timestamp("us", "UTC")),
        Kind.DURATION: (is_.is_int64(came) and isinstance(field.type, Duration), pa.duration("us")),
    }[field.kind]
    if not fits:
        raise TypeError(f"{field.name} came as {came}")
    column = column.cast(target)
    if field.kind in (Kind.DATE, Kind.DATETIME, Kind.UTC):
        compute.min_max(column).as_py()  # raises for an infinity, which a driver would refuse
    if field.kind is Kind.CHOICE:
        labels = pa.array(field.labels, pa.string())
        places = compute.index_in(column, value_set=labels)
        if places.null_count != column.null_count:
            raise ValueError(f"{field.name} holds what is none of its labels")
        return pa.DictionaryArray.from_arrays(places, labels)
    return column
