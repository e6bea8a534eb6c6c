"""The rows of a select as the driver gives them, a chunk at a time, and what makes Python values of them.

Every format begins here: it opens the `stream` and turns chunk after chunk into its own shape, so that no result is ever
held twice. What the server is asked to do differs:

* psycopg sends the query as always and hands the rows over in chunks, in binary format. A server-side cursor would cost four
  round trips more.
* Drivers of MySQL read unbuffered, PyMySQL by way of `dialects/wire.py`. A result that is given up half-way costs its connection: the
  server cannot be told to stop.
* SQLite steps through its rows anyway.

`iterate` lets the caller's statements run between the chunks. Outside a transaction it has a connection of its own. Inside one it
has a server-side cursor on PostgreSQL; other databases have no room for a second statement, or let the rows still to come
change under it, so there the driver's rows are read first and turned into dicts one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine.cursor import CursorFetchStrategy
from sqlalchemy.engine.interfaces import DBAPICursor

from compdb import dialects
from compdb.database import Database
from compdb.dialects import wire
from compdb.errors import SessionError
from compdb.fetch.kinds import Field, Kind, Values, fields, inferred, whole_numbers
from compdb.sessions import Holder, Transaction

__all__ = ["CHUNK", "Stream", "known", "stream"]

CHUNK = 1_000
"""Rows: so few that a chunk is used while it is in the processor's cache; 20,000 take twice the time."""

CHUNK_OF_LONG = 16
"""Rows, where single values may be large: megabytes come twice as fast as in chunks of 100, whose memory is new each time."""

PART = 16_000
"""Values of a column that are built at once, unless they may be large."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stream:
    """An open result.

    Attributes
    ----------
    fields : tuple of Field
        The columns.
    processors : tuple of callable or None
        What makes a Python value of a driver's value, per column.
    chunks : iterator of lists of columns
        The driver's values.
    """

    fields: tuple[Field, ...]
    processors: tuple[Callable[[Any], Any] | None, ...]
    chunks: Iterator[Sequence[Values]]

    def columns(self, stored: Sequence[Kind] = ()) -> Iterator[list[Values]]:
        """Yield each chunk as columns of Python values; those of the kinds `stored` as the database has them."""
        whole = [i for i, f in enumerate(self.fields) if f.kind in (Kind.INT, Kind.BOOL)]
        processors = [None if f.kind in stored else p for f, p in zip(self.fields, self.processors)]
        for chunk in self.chunks:
            columns: list[Values] = [
                column if process is None else [process(value) for value in column]
                for column, process in zip(chunk, processors)
            ]
            for i in whole:
                columns[i] = whole_numbers(self.fields[i], columns[i])
            yield columns

    def gather(self, build: Callable[[Field, Values], T], stored: Sequence[Kind] = ()) -> list[tuple[Field, list[T]]]:
        """Return, for each column, its field and what `build` makes of one part of it after the other.

        A column of kind `OTHER` is kept until its last value is known, and then built in one piece.
        """
        found = self.gather_unless(lambda rows: False, build, stored)
        assert found is not None
        return found

    def gather_unless(
        self, stop: Callable[[int], bool], build: Callable[[Field, Values], T], stored: Sequence[Kind] = ()
    ) -> list[tuple[Field, list[T]]] | None:
        """Return what `gather` returns, or None as soon as `stop` says so of the number of rows read."""
        parts: list[list[T]] = [[] for _ in self.fields]
        kept: list[list[Any]] = [[] for _ in self.fields]
        rows = 0
        for columns in self.columns(stored):
            rows += len(columns[0])
            if stop(rows):
                return None
            for field, values, part, new in zip(self.fields, kept, parts, columns):
                values.extend(new)
                if field.kind is not Kind.OTHER and len(values) >= (1 if field.long else PART):
                    part.append(build(field, values))
                    values.clear()
        result = [inferred(f, values) if f.kind is Kind.OTHER else f for f, values in zip(self.fields, kept)]
        for field, values, part in zip(result, kept, parts):
            if values:
                part.append(build(field, values))
        return list(zip(result, parts))


def known(select: sa.Select[Any], rows: Sequence[Sequence[Any]]) -> Stream:
    """Return rows of Python values, read before, as if `select` had just been run."""
    wanted = fields(select)
    return Stream(wanted, (None,) * len(wanted), iter([list(zip(*rows))] if rows else []))


@contextmanager
def stream(
    database: Database,
    select: sa.Select[Any],
    *,
    nullable: Sequence[str] | None = None,
    chunk: int | None = None,
    interleaved: bool = False,
) -> Iterator[Stream]:
    """Run `select` and give its rows in chunks.

    Parameters
    ----------
    nullable : names, optional
        Which columns may be NULL; see `fields`.
    interleaved : bool
        Other statements may run on the same connection while the stream is open.
    """
    wanted = fields(select, nullable)
    size = chunk or (CHUNK_OF_LONG if any(field.long for field in wanted) else CHUNK)
    holder = database.holder()
    with database.reading(select) as connection:
        shared = interleaved and holder is not None
        options = _shared(connection, holder) if shared else _alone(connection, holder, wanted, size)
        result = connection.execute(select, execution_options=options)
        processors = _processors(result, wanted)
        unread = _Unread(result, size, holder)
        try:
            yield Stream(wanted, processors, iter(list(unread)) if shared and not options else unread)
        finally:
            if not unread.finished and holder is None and options.get("stream_results"):
                _abandon(connection, result.cursor)
            if holder is None or not holder.closed:  # else the connection may be somebody else's by now
                result.close()


class _Unread:
    """The chunks of an open result."""

    def __init__(self, result: sa.CursorResult[Any], size: int, holder: Holder | None) -> None:
        self.result, self.size, self.holder = result, size, holder
        self.finished = not result.returns_rows
        self.read = self._first_row if wire.readable(result) else self._rows

    def __iter__(self) -> Iterator[Sequence[Values]]:
        return self

    def __next__(self) -> Sequence[Values]:
        if self.holder is not None and self.holder.closed and not self.finished:
            raise SessionError("the transaction in which this iteration began has ended; read the rows inside it")
        columns = [] if self.finished else self.read()
        if not columns:
            self.finished = True
            raise StopIteration
        return columns

    def _rows(self) -> Sequence[Values]:
        return self._from_driver(self.size)

    def _first_row(self) -> Sequence[Values]:
        self.read = self._from_wire  # once SQLAlchemy has given the row that it has read ahead
        return self._from_driver(1)

    def _from_driver(self, size: int) -> Sequence[Values]:
        # the seam below CursorResult: rows without a Row for each, and errors told as SQLAlchemy tells them
        cursor = self.result.cursor
        return [] if cursor is None else list(zip(*self.result.cursor_strategy.fetchmany(self.result, cursor, size)))

    def _from_wire(self) -> Sequence[Values]:
        try:
            return wire.read_columns(self.result.cursor, self.size)
        except BaseException as error:
            self.result.cursor_strategy.handle_exception(self.result, self.result.cursor, error)


def _processors(result: sa.CursorResult[Any], wanted: Sequence[Field]) -> tuple[Callable[[Any], Any] | None, ...]:
    if not result.returns_rows:
        return (None,) * len(wanted)
    assert result.cursor is not None
    dialect = result.context.dialect
    codes = [column[1] for column in result.cursor.description]
    return tuple(f.type.dialect_impl(dialect).result_processor(dialect, code) for f, code in zip(wanted, codes))


def _shared(connection: sa.Connection, holder: Holder | None) -> dict[str, Any]:
    """Return the execution options for rows between which other statements run on the same connection."""
    server_side = connection.dialect.driver == "psycopg" and isinstance(holder, Transaction)
    return {"stream_results": True} if server_side else {}


def _alone(connection: sa.Connection, holder: Holder | None, wanted: Sequence[Field], size: int) -> dict[str, Any]:
    """Return the execution options for rows that are read while nothing else runs on the connection.

    Nothing stays unread on the snapshot of a make, which may be ended from another thread: psycopg keeps the two apart,
    drivers of MySQL do not.
    """
    if connection.dialect.driver != "psycopg":
        safe = holder is None or isinstance(holder, Transaction)
        return {"stream_results": safe and bool(connection.dialect.supports_server_side_cursors)}
    if not connection.dialect.loaded_dbapi.capabilities.has_stream_chunked():  # libpq 16 and older
        return {}
    if not event.contains(connection.dialect, "do_execute", _execute):
        event.listen(connection.dialect, "do_execute", _execute)
        dialects.of(connection).listeners.add(_execute)
    return {"compdb_chunk": (size, all(field.kind is not Kind.OTHER for field in wanted))}


# ---------------------------------------------------------------- psycopg

def _execute(cursor: Any, statement: str, parameters: Any, context: Any) -> bool | None:  # as SQLAlchemy calls it
    """Run a statement with psycopg's `stream`, where the execution options say so."""
    if context is None or "compdb_chunk" not in context.execution_options:
        return None
    size, binary = context.execution_options["compdb_chunk"]
    rows = cursor.stream(statement, parameters, size=size, binary=binary)
    first = list(islice(rows, 1))
    if first and binary and not all(cursor.adapters.get_loader(c.type_code, 1) for c in cursor.description):
        rows.close()  # a type that psycopg knows in text format only, such as an ENUM
        rows = cursor.stream(statement, parameters, size=size, binary=False)
        first = list(islice(rows, 1))
    context.cursor_fetch_strategy = _Chunks(first, rows)
    return True


class _Chunks(CursorFetchStrategy):
    """Fetch from the generator that psycopg's `stream` is; only closing the generator ends the query."""

    __slots__ = ("_first", "_rows")

    def __init__(self, first: list[Any], rows: Generator[Any]) -> None:
        self._first, self._rows = first, rows

    def fetchmany(self, result: sa.CursorResult[Any], dbapi_cursor: DBAPICursor, size: int | None = None) -> Any:
        """Return the next rows, those read in advance first."""
        first, self._first = self._first, []
        try:
            return first + list(islice(self._rows, None if size is None else size - len(first)))
        except BaseException as error:
            self.handle_exception(result, dbapi_cursor, error)

    def hard_close(self, result: sa.CursorResult[Any], dbapi_cursor: DBAPICursor | None) -> None:
        """Let go of the rows that are still to come."""
        self._rows.close()
        super().hard_close(result, dbapi_cursor)


# ---------------------------------------------------------------- MySQL


def _abandon(connection: sa.Connection, cursor: Any) -> None:  # any driver's
    """Give up an unbuffered result of which the server is still sending rows: they can only be read, or the line cut."""
    unread = getattr(cursor, "_result", cursor)
    if hasattr(unread, "unbuffered_active"):  # PyMySQL would read on even as garbage, from a socket that is gone
        unread.unbuffered_active = False
    connection.invalidate()
