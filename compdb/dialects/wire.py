"""Rows of MySQL read from PyMySQL's socket, column by column.

PyMySQL makes an object of every packet and calls four functions for every value; a million rows of five columns take six
seconds in it. Here the packets are cut into columns directly, and each column is converted at once, by the same functions: a third
of the time, and the same values. `read_columns` reads an unbuffered cursor; connections of `connection_class` read all
other results so.

https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response_text_resultset_row.html
"""

from __future__ import annotations

import datetime as dt
import functools
import sys
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

__all__ = ["connection_class", "read_columns", "readable"]

NULL, EOF, ERROR = 0xFB, 0xFE, 0xFF
ONE_BYTE = b"\x01\x00\x00"
SHORTEST = 5
UNKNOWN = object()
WIDTHS = {0xFC: 2, 0xFD: 3, 0xFE: 8}
LONGEST_PACKET = 0xFFFFFF
LOST = 2013
MORE_RESULTS = 8
KNOWN = 500
"""Of how many results a connection remembers the columns."""
NEEDED = ("unbuffered_active", "converters", "_check_packet_is_eof")
NEEDED_OF_CLASS = ("_read_rowdata_packet", "_get_descriptions", "_check_packet_is_eof", "init_unbuffered_query", "read")
NEEDED_OF_CONNECTION = ("_rfile", "_next_seq_id", "_force_close", "encoding")


def readable(result: sa.CursorResult[Any]) -> bool:
    """Tell whether a result is one of PyMySQL's unbuffered ones, of a version whose parts we know."""
    unread: Any = getattr(result.cursor, "_result", None)
    return (
        type(unread).__module__ == "pymysql.connections"
        and all(hasattr(unread, name) for name in NEEDED)
        and bool(unread.unbuffered_active)
        and all(hasattr(unread.connection, name) for name in NEEDED_OF_CONNECTION)
    )


def read_columns(cursor: Any, size: int) -> list[list[Any]]:
    """Return up to `size` rows as columns; no columns at the end."""
    unread = cursor._result
    if not unread.unbuffered_active:
        return []
    connection = unread.connection
    columns: list[list[Any]] = [[] for _ in unread.converters]
    last = _read_or_close(unread, connection, columns, size)
    if last is not None:
        _finish(unread, connection, last)
    if not columns or not columns[0]:
        return []
    return [_converted(values, *conversion) for values, conversion in zip(columns, unread.converters)]


@functools.cache
def connection_class() -> Any:  # a class of PyMySQL's
    """Return PyMySQL's connection, of which results are read as here; its own for a version whose parts we do not know."""
    from pymysql import connections  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415
    from pymysql.protocol import MysqlPacket  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415

    theirs: Any = connections.Connection
    result_of_theirs: Any = connections.MySQLResult

    class Result(result_of_theirs):  # type: ignore[misc]
        """A result that is read in one go."""

        connection: Any
        fields: Any
        converters: Any
        description: Any

        def _get_descriptions(self) -> None:
            connection = self.connection
            said: list[tuple[bytes, bytes]] = []
            try:
                while len(said) <= self.field_count and not (said and said[-1][1][0] == ERROR):
                    said.append(_packet(connection))
            except BaseException as error:
                _close(connection, error)
                raise
            MysqlPacket(said[-1][1], connection.encoding).check_error()
            known = connection.known
            about = (b"".join([head + data for head, data in said[:-1]]), connection.encoding)
            if about not in known:
                self.connection = _Replay(connection, [data for _, data in said])
                try:
                    super()._get_descriptions()
                finally:
                    self.connection = connection
                if len(known) >= KNOWN:
                    known.clear()
                known[about] = self.fields, self.converters, self.description
            self.fields, self.converters, self.description = known[about]

        def _read_rowdata_packet(self) -> None:
            connection, self.connection = self.connection, None
            columns: list[list[Any]] = [[] for _ in self.converters]
            last = _read_or_close(self, connection, columns, sys.maxsize)
            assert last is not None
            _finish(self, connection, last)
            self.rows = tuple(zip(*(_converted(v, *how) for v, how in zip(columns, self.converters))))
            self.affected_rows = len(self.rows)

    class Quick(theirs):  # type: ignore[misc]
        """A connection whose results are read column by column; what the server says of columns is understood once."""

        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.known: dict[Any, Any] = {}
            super().__init__(*arguments, **options)

        def _read_query_result(self, unbuffered: bool = False) -> Any:
            if unbuffered:
                return super()._read_query_result(unbuffered=True)
            self._result = None
            result = Result(self)
            if not _read_short(self, result):
                result.read()
            self._result = result
            if result.server_status is not None:
                self.server_status = result.server_status
            return result.affected_rows

    known = hasattr(theirs, "_read_query_result") and all(hasattr(result_of_theirs, name) for name in NEEDED_OF_CLASS)
    return Quick if known else theirs


def _read_short(connection: Any, result: Any) -> bool:
    """Read a result that has arrived as a whole, is not long, and of columns seen before; else read nothing, and return False."""
    try:
        noted = getattr(connection, "_current_timeout", UNKNOWN)  # not by PyMySQL 1.1
        if noted != connection._read_timeout:
            connection._sock.settimeout(connection._read_timeout)
            if noted is not UNKNOWN:
                connection._current_timeout = connection._read_timeout
        rows = _arrived(connection, result, connection._rfile.peek(1))
    except BaseException as error:  # an interrupt, too: what has arrived would be taken for the answer to the next query
        _close(connection, error)
        raise
    if rows is None:
        return False
    if len(rows) > 1:
        values = (_converted(list(column), *how) for column, how in zip(zip(*rows), result.converters))
        result.rows = tuple(zip(*values))
    else:
        result.rows = tuple([tuple([_one(v, *how) for v, how in zip(row, result.converters)]) for row in rows])
    return True


def _arrived(connection: Any, result: Any, data: bytes) -> list[list[bytes | None]] | None:
    """Return the rows of a whole result, and take it from the socket; None if it is not all there, or of another kind."""
    if len(data) < SHORTEST or data[:3] != ONE_BYTE or data[3] != connection._next_seq_id or not 0 < data[4] < NULL:
        return None
    try:
        at, count = 5, data[4]
        for _ in range(count):
            at += 4 + (data[at] | data[at + 1] << 8 | data[at + 2] << 16)
        columns = connection.known.get((data[5:at], connection.encoding))
        if columns is None:
            return None
        at += 4 + data[at]  # an EOF
        rows: list[list[bytes | None]] = []
        while True:
            length = data[at] | data[at + 1] << 8 | data[at + 2] << 16
            at += 4
            first = data[at]
            if first == ERROR:
                return None
            if first == EOF and length < 9:
                break
            row: list[bytes | None] = []
            place = at
            for _ in range(count):
                size = data[place]
                place += 1
                if size >= NULL:
                    if size == NULL:
                        row.append(None)
                        continue
                    width = WIDTHS[size]
                    size = int.from_bytes(data[place : place + width], "little")
                    place += width
                row.append(data[place : place + size])
                place += size
            rows.append(row)
            at += length
        result.warning_count, result.has_next = data[at + 1] | data[at + 2] << 8, data[at + 3] & MORE_RESULTS
        at += length
        if len(data) < at:
            return None
    except IndexError:  # there is more to come
        return None
    connection._rfile.read(at)
    connection._next_seq_id = (count + len(rows) + 3 + connection._next_seq_id) % 256
    result.connection, result.field_count, result.affected_rows = None, count, len(rows)
    result.fields, result.converters, result.description = columns
    return rows


def _one(value: bytes | None, encoding: str | None, converter: Callable[[Any], Any] | None) -> Any:
    """Return the value that PyMySQL would have given."""
    if value is None or (encoding is None and converter is None):
        return value
    if converter is int or converter is float:
        return converter(value)
    return _converted([value], encoding, converter)[0]


class _Replay:
    """A connection of PyMySQL that reads packets which have come already."""

    def __init__(self, connection: Any, packets: list[bytes]) -> None:
        self._connection, self._packets = connection, iter(packets)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def _read_packet(self, kind: Any = None) -> Any:
        from pymysql.protocol import MysqlPacket  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415

        return (kind or MysqlPacket)(next(self._packets), self._connection.encoding)


def _packet(connection: Any) -> tuple[bytes, bytes]:
    """Return the next packet, which is shorter than the longest one, and its head before it."""
    read = connection._rfile.read
    head = read(4)
    if len(head) < 4:
        raise EOFError
    length = head[0] | head[1] << 8 | head[2] << 16
    data: bytes = read(length)
    if len(data) < length:
        raise EOFError
    connection._next_seq_id = (connection._next_seq_id + 1) % 256
    return head, data


def _read_or_close(unread: Any, connection: Any, columns: list[list[Any]], size: int) -> bytes | None:
    """Do what `_read` does; a connection where that fails is closed, since nobody can go on from the middle of a packet."""
    try:
        return _read(connection, columns, size)
    except BaseException as error:
        unread.unbuffered_active = False
        _close(connection, error)
        raise


def _read(connection: Any, columns: list[list[Any]], size: int) -> bytes | None:
    """Append `size` rows to the columns; return the packet that ends the result if it comes before that."""
    read = connection._rfile.read
    appends = [column.append for column in columns]
    number = connection._next_seq_id
    for _ in range(size):
        head = read(4)
        if len(head) < 4:
            raise EOFError
        length = head[0] | head[1] << 8 | head[2] << 16
        data = read(length)
        if len(data) < length:
            raise EOFError
        number += 1
        while length == LONGEST_PACKET:
            connection._next_seq_id = number
            head, more = _packet(connection)
            length = len(more)
            data += more
            number += 1
        first = data[0]
        if first == ERROR or (first == EOF and len(data) < 9):
            connection._next_seq_id = number % 256
            return bytes(data)
        at = 0
        for append in appends:
            length = data[at]
            at += 1
            if length >= NULL:
                if length == NULL:
                    append(None)
                    continue
                width = WIDTHS[length]
                length = int.from_bytes(data[at : at + width], "little")
                at += width
            end = at + length
            append(data[at:end])
            at = end
    connection._next_seq_id = number % 256
    return None


def _finish(unread: Any, connection: Any, data: bytes) -> None:
    """Leave the result as PyMySQL does after its last packet, or raise the error that it holds."""
    from pymysql.protocol import MysqlPacket  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415

    unread.unbuffered_active = False
    unread.connection = None
    if data[0] == EOF:
        unread.warning_count = data[1] | data[2] << 8
        unread.has_next = data[3] & MORE_RESULTS
        return
    packet = MysqlPacket(data, connection.encoding)
    packet.check_error()


def _close(connection: Any, error: BaseException) -> None:
    """Close a connection on which reading failed; if the line broke, raise what PyMySQL does."""
    connection._force_close()
    if isinstance(error, (OSError, EOFError)):
        raise _lost(error) from error


def _lost(error: BaseException) -> Any:  # an exception of PyMySQL
    from pymysql.err import OperationalError  # type: ignore[import-untyped, unused-ignore]  # noqa: PLC0415

    return OperationalError(LOST, f"Lost connection to MySQL server during query ({error})")


def _converted(values: list[Any], encoding: str | None, converter: Callable[[Any], Any] | None) -> list[Any]:
    """Return the values that PyMySQL would have given."""
    complete = None not in values
    if encoding is not None and converter not in (int, float):
        values = (
            [v.decode(encoding) for v in values]
            if complete
            else [None if v is None else v.decode(encoding) for v in values]
        )
    if converter is None:
        return values
    if converter.__name__ == "convert_datetime":
        try:
            quick = dt.datetime.fromisoformat
            return list(map(quick, values)) if complete else [None if v is None else quick(v) for v in values]
        except ValueError:  # what MySQL calls a date and Python does not, such as 0000-00-00
            pass
    return list(map(converter, values)) if complete else [None if v is None else converter(v) for v in values]
