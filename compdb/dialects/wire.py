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
WIDTHS = {0xFC: 2, 0xFD: 3, 0xFE: 8}
LONGEST_PACKET = 0xFFFFFF
LOST = 2013
NEEDED = ("unbuffered_active", "converters", "_check_packet_is_eof")
NEEDED_OF_CLASS = ("_read_rowdata_packet", "_check_packet_is_eof", "init_unbuffered_query", "read")
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

    theirs: Any = connections.Connection
    result_of_theirs: Any = connections.MySQLResult

    class Result(result_of_theirs):  # type: ignore[misc]
        """A result that is read in one go."""

        connection: Any

        def _read_rowdata_packet(self) -> None:
            connection, self.connection = self.connection, None
            columns: list[list[Any]] = [[] for _ in self.converters]
            last = _read_or_close(self, connection, columns, sys.maxsize)
            assert last is not None
            _finish(self, connection, last)
            self.rows = tuple(zip(*(_converted(v, *how) for v, how in zip(columns, self.converters))))
            self.affected_rows = len(self.rows)

    class Quick(theirs):  # type: ignore[misc]
        """A connection whose results are read column by column."""

        def _read_query_result(self, unbuffered: bool = False) -> Any:
            if unbuffered:
                return super()._read_query_result(unbuffered=True)
            self._result = None
            result = Result(self)
            result.read()
            self._result = result
            if result.server_status is not None:
                self.server_status = result.server_status
            return result.affected_rows

    known = hasattr(theirs, "_read_query_result") and all(hasattr(result_of_theirs, name) for name in NEEDED_OF_CLASS)
    return Quick if known else theirs


def _read_or_close(unread: Any, connection: Any, columns: list[list[Any]], size: int) -> bytes | None:
    """Do what `_read` does; a connection where that fails is closed, since nobody can go on from the middle of a packet."""
    try:
        return _read(connection, columns, size)
    except BaseException as error:
        unread.unbuffered_active = False
        connection._force_close()
        if isinstance(error, (OSError, EOFError)):
            raise _lost(error) from error
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
            head = read(4)
            length = int.from_bytes(head[:3], "little")
            data += read(length)
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
    packet = MysqlPacket(data, connection.encoding)
    packet.check_error()
    unread._check_packet_is_eof(packet)


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
