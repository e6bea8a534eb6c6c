"""Every answer that differs between databases: one file each, and `of` to find it.

>>> import sqlalchemy as sa
>>> of(sa.create_engine("sqlite://")).has_schemas
False
"""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Iterator, Mapping
from typing import ClassVar, cast

import sqlalchemy as sa

from compdb.dialects.base import LAZY, READ, WRITE, Dialect
from compdb.dialects.clock import utcnow
from compdb.dialects.faults import Diagnosis, Fault, original
from compdb.dialects.listed import listed
from compdb.dialects.options import MARIADB, MYSQL
from compdb.dialects.statements import reads_only

__all__ = [
    "FAMILY",
    "LAZY",
    "LIKE",
    "READ",
    "TABLE_OPTIONS",
    "WRITE",
    "Diagnosis",
    "Dialect",
    "Fault",
    "family",
    "listed",
    "of",
    "original",
    "reads_only",
    "share",
    "utcnow",
]


class _Family(Mapping[str, type[Dialect]]):
    """The databases by name; the file of each is read when it is asked for, since SQLAlchemy's own are large."""

    PLACES: ClassVar[dict[str, tuple[str, str]]] = {
        "sqlite": ("compdb.dialects.sqlite", "SQLite"),
        "mysql": ("compdb.dialects.mysql", "MySQL"),
        "mariadb": ("compdb.dialects.mysql", "MariaDB"),
        "postgresql": ("compdb.dialects.postgresql", "PostgreSQL"),
    }

    def __getitem__(self, name: str) -> type[Dialect]:
        module, cls = self.PLACES[name]
        return cast("type[Dialect]", getattr(importlib.import_module(module), cls))

    def __iter__(self) -> Iterator[str]:
        return iter(self.PLACES)

    def __len__(self) -> int:
        return len(self.PLACES)


FAMILY: Mapping[str, type[Dialect]] = _Family()
OTHER_NAMES = {"postgres": "postgresql"}
"""What else a database is called in URLs."""

LIKE = {"mariadb": "mysql"}
"""Databases whose types are those of another, though SQLAlchemy asks for them by a name of their own."""

TABLE_OPTIONS: dict[str, str] = {**MYSQL, **MARIADB}
"""Keywords for every `sa.Table`: each database takes its own and passes over the others', so models stay neutral."""

_KNOWN: weakref.WeakKeyDictionary[sa.Dialect, Dialect] = weakref.WeakKeyDictionary()


def of(bound: sa.Engine | sa.Connection | sa.Dialect) -> Dialect:
    """Return the answers of the database behind an engine, a connection or SQLAlchemy's own dialect."""
    dialect = bound if isinstance(bound, sa.Dialect) else bound.dialect
    found = _KNOWN.get(dialect)
    if found is None:
        found = _KNOWN[dialect] = FAMILY.get(dialect.name, Dialect)(dialect)
    return found


def share(engine: sa.Engine, dialect: Dialect) -> None:
    """Let a second engine on the same database have the answers of the first."""
    _KNOWN[engine.dialect] = dialect


def family(url: sa.URL) -> type[Dialect]:
    """Return the class of answers for a URL, before there is an engine."""
    name = url.get_backend_name()
    return FAMILY.get(OTHER_NAMES.get(name, name), Dialect)
