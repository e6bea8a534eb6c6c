"""Text whose equality and order are those of Python's `str` on every database.

`str` is `String(255)`: at most 255 characters (code points). "a", "A", "á" and "a " are four values, and so are a letter
composed and decomposed (NFC, NFD). On PostgreSQL the column has the collation "C"; on MySQL and MariaDB the binary collation is an
option of the table; SQLite compares bytes by itself. NUL and half surrogate pairs are refused: not every database holds them.

Blank-padded CHAR and the national types become VARCHAR, since they lose trailing spaces or emoji on some database.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import sqlalchemy as sa

from compdb.errors import InvalidValue, shorten
from compdb.types.adapter import NOTHING, Adapter, is_null, wrong
from compdb.types.variants import is_generic, of_mysql, vary

__all__ = ["TextAdapter", "adapter", "clean", "column_type", "portable", "short_text"]

Type = sa.types.TypeEngine[Any]

DEFAULT_LENGTH = 255
LONGEST_VARCHAR = 4096
"""Longer text leaves the row on MySQL, whose rows hold 65,535 bytes in all."""

BYTES_PER_CHARACTER = 4
_JOIN_AT_MOST = 1 << 22


def column_type(python_type: Any) -> Type | None:
    """Return the column type of `str`."""
    return short_text(DEFAULT_LENGTH) if python_type is str else None


def short_text(length: int) -> Type:
    """Return text of at most `length` characters."""
    return vary(sa.String(length), postgresql=sa.String(length, collation="C"))


def portable(type_: Type) -> Type | None:
    """Give text its binary collation, and long text its room; a collation that the user chose stays."""
    if not is_generic(type_) or not isinstance(type_, sa.String) or isinstance(type_, sa.Enum):
        return None
    if type_.collation is not None:
        return type_
    length = type_.length
    long = isinstance(type_, (sa.Text, sa.CLOB))
    plain = type(type_) in (sa.String, sa.VARCHAR, sa.Text, sa.TEXT)
    base: Type = type_ if plain else sa.Text(length) if long else sa.String(length)
    binary: Type = sa.Text(length, collation="C") if long else sa.String(length, collation="C")
    if long or length is None or length > LONGEST_VARCHAR:
        return vary(base, instead_of=type_, postgresql=binary, mysql=of_mysql("LONGTEXT"))
    return vary(base, instead_of=type_, postgresql=binary)


def adapter(type_: Type, nullable: bool, key: bool) -> Adapter | None:
    """Return the adapter of a text column."""
    return TextAdapter(type_, nullable, key) if isinstance(type_, sa.String) else None


def clean(text: str) -> bool:
    """Say whether every database can hold `text`: no NUL, no half of a surrogate pair."""
    if "\0" in text:
        return False
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return False
    return True


class TextAdapter(Adapter):
    """Text of at most so many characters."""

    exact = str
    takes = "text (str)"

    def __init__(self, type_: Any, nullable: bool = True, key: bool = False) -> None:
        super().__init__(type_, nullable, key)
        self.length: int | None = type_.length
        self.key_bytes = BYTES_PER_CHARACTER * (self.length or 0)
        if self.length is None or self.length > LONGEST_VARCHAR or isinstance(type_, sa.Text):
            self.key_problem = (
                "text without a short length cannot be part of a primary key, since MySQL cannot index it whole; use"
                " mapped_column(String(64))"
            )

    def convert(self, value: Any) -> str:
        """Take subclasses of str: numpy's, and the members of a StrEnum."""
        if isinstance(value, str):
            return str.__str__(value)
        hint = "write value.decode()" if isinstance(value, bytes) else f"write str({shorten(value, 24)})"
        raise wrong(value, self.takes, hint)

    def check(self, value: str) -> str:
        """Refuse what is too long, and characters that not every database holds."""
        if self.length is not None and len(value) > self.length:
            raise InvalidValue(
                f"text of {len(value)} characters does not fit the {self.length} of the column: {shorten(value, 40)};"
                f" declare mapped_column(String({len(value)})) or Text",
                value=value,
            )
        if not clean(value):
            what = "the character NUL" if "\0" in value else "half of a surrogate pair"
            raise InvalidValue(
                f"{shorten(value, 40)} holds {what}, which not every database can store; take it out, or use bytes",
                value=value,
            )
        return value

    def condition(self, value: Any) -> Any:
        """Return text of any length: what is too long is simply not there."""
        if is_null(value):
            return None
        text = self.convert(value)
        return text if clean(text) else NOTHING

    def bulk(self, values: list[str]) -> list[str] | None:
        """Look at the longest, and at all characters at once."""
        sizes = list(map(len, values))
        if self.length is not None and max(sizes) > self.length:
            return None
        per_join = max(1, _JOIN_AT_MOST // max(max(sizes), 1))
        rest = iter(values)
        while chunk := list(islice(rest, per_join)):
            if not clean("".join(chunk)):
                return None
        return values
