"""Bytes as they are: LONGBLOB on MySQL and MariaDB, whose plain BLOB ends at 64 kB, BYTEA on PostgreSQL."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from compdb.errors import InvalidValue
from compdb.types.adapter import Adapter, is_null, wrong
from compdb.types.variants import is_generic, of_mysql, vary

__all__ = ["BytesAdapter", "adapter", "column_type", "portable"]

Type = sa.types.TypeEngine[Any]

LONGEST_KEY = 3072


def column_type(python_type: Any) -> Type | None:
    """Return the column type of `bytes`."""
    return portable(sa.LargeBinary()) if python_type is bytes else None


def portable(type_: Type) -> Type | None:
    """Give bytes their room; BINARY and VARBINARY stay where they exist, since they can be keys."""
    if not is_generic(type_):
        return None
    if isinstance(type_, sa.LargeBinary):
        base: Type = type_ if type(type_) is sa.LargeBinary else sa.LargeBinary(type_.length)
        return vary(base, instead_of=type_, mysql=of_mysql("LONGBLOB"))
    if isinstance(type_, (sa.BINARY, sa.VARBINARY)):
        return vary(type_, postgresql=sa.LargeBinary(type_.length), sqlite=sa.LargeBinary(type_.length))
    return None


def adapter(type_: Type, nullable: bool, key: bool) -> Adapter | None:
    """Return the adapter of a bytes column."""
    return BytesAdapter(type_, nullable, key) if isinstance(type_, (sa.LargeBinary, sa.BINARY, sa.VARBINARY)) else None


class BytesAdapter(Adapter):
    """Bytes, of a length where the column has one."""

    exact = bytes
    takes = "bytes"

    def __init__(self, type_: Any, nullable: bool = True, key: bool = False) -> None:
        super().__init__(type_, nullable, key)
        self.length: int | None = type_.length
        self.fixed = isinstance(type_, sa.BINARY)
        self.key_bytes = self.length or 0
        if isinstance(type_, sa.LargeBinary) or not 0 < self.key_bytes <= LONGEST_KEY:
            self.key_problem = (
                "bytes cannot be part of a primary key, since MySQL cannot index them whole; use mapped_column(VARBINARY(32)),"
                " or text such as value.hex()"
            )

    def convert(self, value: Any) -> bytes:
        """Take bytearray, memoryview and numpy's bytes."""
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(value)
        raise wrong(value, self.takes, "write value.encode()" if isinstance(value, str) else "")

    def check(self, value: bytes) -> bytes:
        """Refuse what is too long, or for BINARY too short: it would be filled up with NUL."""
        if self.length is not None and (len(value) > self.length or (self.fixed and len(value) != self.length)):
            raise InvalidValue(
                f"{len(value)} bytes do not fit the {self.length} of the column, {self.type!r}", value=value
            )
        return value

    def condition(self, value: Any) -> bytes | None:
        """Return bytes of any length: those of another are simply not there."""
        return None if is_null(value) else self.convert(value)

    def bulk(self, values: list[bytes]) -> list[bytes] | None:
        """Look at the lengths."""
        return values if self.length is None else super().bulk(values)
