"""What a preview shows: a few rows as short, harmless text, and how many there are in all."""

from __future__ import annotations

import datetime as dt
import enum
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from compdb import codecs
from compdb.database import Database
from compdb.dialects import Dialect
from compdb.errors import shorten
from compdb.fetch.kinds import Field, Kind, fields, inferred
from compdb.sessions import Transaction

__all__ = ["Column", "Sample", "Source", "harmless", "sample"]

Source = Callable[[], tuple[Database, sa.Select[Any]]]
"""Gives the database and what to select; whatever it raises is shown."""

HEAD = 512  # bytes of a blob that tell what it holds
LONGEST = 200  # characters of a value that are read
SHORT_BYTES = 12
LARGEST = 4_000  # bytes of a value that is read whole, where nobody knows its type
SIZED = (Kind.BLOB, Kind.BYTES, Kind.OTHER)  # kinds that are asked for as size and value


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a preview."""

    name: str
    key: bool
    number: bool
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """What there is to show.

    Attributes
    ----------
    title, comment : str
        What it is.
    rows : list of list of str or None
        None is NULL.
    total : int
        How many rows there are.
    error : str
        Why there is nothing to show, or empty.
    """

    title: str = ""
    comment: str = ""
    columns: list[Column] = field(default_factory=list)
    rows: list[list[str | None]] = field(default_factory=list)
    total: int = 0
    error: str = ""

    @property
    def count(self) -> str:
        """How many rows there are, in words."""
        total = f"{self.total:,} row" + ("" if self.total == 1 else "s")
        return total if len(self.rows) == self.total else f"first {len(self.rows)} of {total}"


def sample(
    source: Source,
    *,
    title: str = "",
    comment: str = "",
    key: Sequence[str] = (),
    comments: Mapping[str, str | None] | None = None,
    limit: int = 12,
    told: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Sample:
    """Read what a preview shows; never raises.

    Parameters
    ----------
    source : callable
        Returns the database and the select.
    title, comment : str
        What is shown, and a line about it.
    key : sequence of str
        The attributes of the primary key.
    comments : mapping of str to str, optional
        By attribute; otherwise those of the columns.
    limit : int
        How many rows to show.
    told : callable
        Gives a context in which errors of the database are turned into words of the caller's.
    """
    title, comment = harmless(title), harmless(comment)
    try:
        database, select = source()
        wanted = fields(select)
        own = {str(c.key): getattr(c, "comment", None) for c in select.selected_columns}
        told_of = {**own, **(comments or {})}
        with told(), database.reading(select) as connection, _guarded(database, connection):
            found = connection.execute(_first(select, wanted, limit, database.dialect)).all()
            rows = [_row(wanted, values) for values in found]
            total = len(rows) if len(rows) < limit else connection.execute(_count(select)).scalar_one()
        known = _inferred(wanted, found)
        columns = [
            Column(harmless(f.name), f.name in key, f.kind in _NUMBERS, harmless(told_of.get(f.name) or "")) for f in known
        ]
    except Exception as error:
        text = str(error).strip().splitlines() or [""]
        return Sample(title, comment, error=harmless(f"{type(error).__name__}: {text[0]}"))
    return Sample(title, comment, columns, rows, total)


_NUMBERS = {Kind.INT, Kind.FLOAT, Kind.DECIMAL}


def _guarded(database: Database, connection: sa.Connection) -> AbstractContextManager[object]:
    """Keep the open transaction, if there is one, from an error of ours: PostgreSQL would abort it."""
    return connection.begin_nested() if isinstance(database.holder(), Transaction) else nullcontext()


# ---------------------------------------------------------------- what is asked


def _first(select: sa.Select[Any], wanted: Sequence[Field], limit: int, dialect: Dialect) -> sa.Select[Any]:
    """Return the select of the first rows, in which a value that may be large is only its size and its beginning."""
    whole = select if _reshapable(select) else sa.select(select.subquery())
    asked: list[sa.ColumnElement[Any]] = []
    for column, f in zip(whole.selected_columns, wanted):
        asked += _asked(column, f, dialect)
    return whole.with_only_columns(*asked, maintain_column_froms=True).limit(limit)


def _reshapable(select: sa.Select[Any]) -> bool:
    """Tell whether columns and limit of a select can be changed without changing its rows."""
    return not select._distinct and not select._has_row_limiting_clause and not select._group_by_clauses


def _asked(column: sa.ColumnElement[Any], f: Field, dialect: Dialect) -> list[sa.ColumnElement[Any]]:
    plain = column.element if isinstance(column, sa.Label) else column
    if f.kind in (Kind.BLOB, Kind.BYTES):
        head = sa.func.substr(plain, 1, HEAD, type_=sa.LargeBinary())
        return [sa.func.length(plain, type_=sa.BigInteger()).label(None), head.label(None)]
    if f.kind is Kind.OTHER:
        size = dialect.size_of(plain)
        return [size.label(None), sa.type_coerce(sa.case((size <= LARGEST, plain)), column.type).label(None)]
    if f.kind is Kind.JSON:
        plain = sa.cast(plain, sa.Text())
    if f.long:
        return [sa.func.substr(plain, 1, LONGEST, type_=sa.Text()).label(None)]
    return [column]


def _count(select: sa.Select[Any]) -> sa.Select[Any]:
    if _reshapable(select):
        select = select.with_only_columns(sa.literal_column("1").label("one"), maintain_column_froms=True).order_by(
            None
        )
    return sa.select(sa.func.count()).select_from(select.subquery())


# ---------------------------------------------------------------- values as text


def _row(wanted: Sequence[Field], values: Sequence[Any]) -> list[str | None]:
    rest = iter(values)
    return [
        _sized(f, next(rest), next(rest)) if f.kind in SIZED else _told(next(rest)) for f in wanted
    ]


def _inferred(wanted: Sequence[Field], found: Sequence[Sequence[Any]]) -> list[Field]:
    """Return the columns, those without a type of their own with that of their values."""
    known, place = [], 0
    for f in wanted:
        known.append(inferred(f, [values[place + 1] for values in found]) if f.kind is Kind.OTHER else f)
        place += 2 if f.kind in SIZED else 1
    return known


def _sized(f: Field, size: int | None, head: Any) -> str | None:
    if size is None:
        return None
    if f.kind is Kind.OTHER:
        return _told(head) if size <= LARGEST else f"{size:,} bytes"
    head = bytes(head or b"")  # SQLite's substr of nothing is NULL
    if f.kind is Kind.BLOB:
        return harmless(codecs.describe(head, size))
    return repr(head) if size <= SHORT_BYTES else f"{size:,} bytes"


def _told(value: Any) -> str | None:  # whatever a column holds
    """Return a value as text."""
    match value:
        case None:
            return None
        case str():
            return harmless(value)
        case bool() | int():
            return str(value)
        case float():
            return f"{value:.6g}"
        case enum.Enum():
            return harmless(value.name)
        case dt.datetime():
            return value.isoformat(sep=" ").removesuffix("+00:00") + ("Z" if value.tzinfo is not None else "")
        case dict() | list():
            return harmless(json.dumps(value, ensure_ascii=False, default=repr))
    try:
        return harmless(str(value))
    except Exception:  # a str of the user's own may do anything
        return harmless(shorten(value))


def harmless(text: str) -> str:
    """Return text in one line, in which what is not to be seen (control characters, ANSI, direction marks) is written out."""
    cut = text if len(text) <= LONGEST else text[:LONGEST] + "…"
    if cut.isprintable():
        return cut
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
