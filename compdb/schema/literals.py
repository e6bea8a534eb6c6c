"""Text in SQL: the strings that a default or a check of a database holds, as Python's."""

from __future__ import annotations

import re

import sqlalchemy as sa

from compdb import dialects

__all__ = ["only_text", "texts"]

QUOTED = re.compile(r"'((?:[^']|'')*)'", re.DOTALL)
ESCAPED = re.compile(r"'((?:[^'\\]|''|\\.)*)'", re.DOTALL)
"""Where a backslash is an escape."""

CAST = re.compile(r"(::[\w ]+(\(\d+\))?)?")
SIGNS = {"0": "\0", "n": "\n", "r": "\r", "t": "\t", "Z": "\x1a", "b": "\b"}


def texts(sql: str, dialect: sa.Dialect) -> list[str]:
    """Return the strings that stand in a piece of SQL, in their order."""
    return [_plain(found[1], dialect) for found in _pattern(dialect).finditer(sql)]


def only_text(sql: str, dialect: sa.Dialect) -> str | None:
    """Return the string that a piece of SQL is, apart from a cast; None if it is something else.

    >>> import sqlalchemy as sa
    >>> only_text("'it''s'::character varying", sa.create_engine("sqlite://").dialect)
    "it's"
    """
    found = _pattern(dialect).match(sql)
    if found is None or not CAST.fullmatch(sql[found.end() :]):
        return None
    return _plain(found[1], dialect)


def _pattern(dialect: sa.Dialect) -> re.Pattern[str]:
    return ESCAPED if _escapes(dialect) else QUOTED


def _escapes(dialect: sa.Dialect) -> bool:
    return dialects.of(dialect).backslash_escapes


def _plain(quoted: str, dialect: sa.Dialect) -> str:
    if not _escapes(dialect):
        return quoted.replace("''", "'")
    return re.sub(r"''|\\(.)", lambda m: "'" if m[1] is None else SIGNS.get(m[1], m[1]), quoted, flags=re.DOTALL)
