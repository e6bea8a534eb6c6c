"""The families of column types: what kind of values a column holds, in words."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa

__all__ = ["family"]

_FAMILIES = {
    "whole number": r"(BIG|SMALL|TINY|MEDIUM)?INT|BOOL|YEAR",
    "floating point number": r"FLOAT|DOUBLE|REAL",
    "decimal number": r"NUMERIC|DECIMAL",
    "bytes": r"(TINY|MEDIUM|LONG)?BLOB|BYTEA|(VAR)?BINARY",
    "date with time": r"DATETIME|TIMESTAMP",
    "date": r"DATE\b",
    "time": r"TIME\b",
    "interval": r"INTERVAL",
}


def family(type_: sa.types.TypeEngine[Any], dialect: sa.Dialect) -> str:
    """Return what kind of values a column type holds, in words; what is none of the list is text (JSON, UUID, enums)."""
    name = type_.compile(dialect).upper()
    return next((family for family, pattern in _FAMILIES.items() if re.match(pattern, name)), "text")
