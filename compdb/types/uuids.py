"""UUIDs: the UUID type of PostgreSQL, 32 hexadecimal digits elsewhere, so that they sort alike and none is refused.

MariaDB has a UUID type of its own, which refuses UUIDs outside RFC 4122 and sorts them by their parts; it is not used.
"""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa

from compdb.errors import InvalidValue, shorten
from compdb.types.adapter import Adapter, wrong
from compdb.types.variants import is_generic, vary

__all__ = ["UuidAdapter", "adapter", "column_type", "portable"]

Type = sa.types.TypeEngine[Any]


def column_type(python_type: Any) -> Type | None:
    """Return the column type of `UUID`."""
    return portable(sa.Uuid()) if python_type is uuid.UUID else None


def portable(type_: Type) -> Type | None:
    """Use digits on MySQL and MariaDB."""
    if not is_generic(type_) or not isinstance(type_, sa.Uuid):
        return None
    digits: Type = sa.Uuid(type_.as_uuid, native_uuid=False)  # type: ignore[call-overload]
    base: Type = type_ if type(type_) is sa.Uuid else sa.Uuid(type_.as_uuid)  # type: ignore[call-overload]
    return vary(base, instead_of=type_, mysql=digits)


def adapter(type_: Type, nullable: bool, key: bool) -> Adapter | None:
    """Return the adapter of a UUID column."""
    return UuidAdapter(type_, nullable, key) if isinstance(type_, sa.Uuid) else None


class UuidAdapter(Adapter):
    """UUIDs, or their text where the column says as_uuid=False."""

    exact = uuid.UUID
    takes = "a UUID"
    key_bytes = 128

    def convert(self, value: Any) -> uuid.UUID:
        """Take the text of a UUID."""
        if isinstance(value, uuid.UUID):
            return uuid.UUID(int=value.int)
        if not isinstance(value, str):
            raise wrong(value, self.takes)
        try:
            return uuid.UUID(value)
        except ValueError as error:
            raise InvalidValue(f"{shorten(value)} is no UUID; write it as '{uuid.UUID(int=7)}'", value=value) from error

    def check(self, value: uuid.UUID) -> Any:
        """Return text where the column wants text."""
        return value if getattr(self.type, "as_uuid", True) else str(value)

    def bulk(self, values: list[uuid.UUID]) -> list[Any]:
        """Every UUID fits."""
        return values if getattr(self.type, "as_uuid", True) else list(map(str, values))
