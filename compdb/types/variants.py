"""One type, spelled as each database needs it.

>>> vary(sa.DateTime(), mysql=of_mysql("DATETIME", fsp=6))

A plain SQLAlchemy type with variants, rather than a class of our own: `isinstance(column.type, sa.DateTime)` stays true,
alembic renders it without us, and no Python code runs per value.
"""

from __future__ import annotations

from typing import Any, TypeVar

import sqlalchemy as sa

from compdb import dialects

__all__ = ["Varied", "is_generic", "of_mysql", "vary"]

Type = sa.types.TypeEngine[Any]
Value = TypeVar("Value")


class Varied(sa.types.TypeDecorator[Value]):
    """A decorator of a type with variants, which are made with its first instance rather than with the class."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        # SQLAlchemy would look for this name in the type below, which a copy or a pickle has not yet, and keep the class's instead
        self.__dict__.update(state)


def is_generic(type_: Type) -> bool:
    """Say whether `type_` is one of SQLAlchemy's own for any database, not a dialect's or a user's."""
    return type(type_).__module__ == "sqlalchemy.sql.sqltypes"


def of_mysql(name: str, **options: Any) -> Type:
    """Return a type that only MySQL and MariaDB have; their types are read when the first table wants one."""
    from sqlalchemy.dialects import mysql  # noqa: PLC0415 - a twelfth of the time that importing compdb takes

    found: Type = getattr(mysql, name)(**options)
    return found


def vary(type_: Type, *, instead_of: Type | None = None, **ours: Type) -> Type:
    """Return `type_` with a variant per database; what its author chose for a database stays.

    Parameters
    ----------
    instead_of : TypeEngine, optional
        The type that `type_` replaces; its variants are carried over.
    **ours : TypeEngine
        Variant per dialect; one holds for the databases like it too (`dialects.LIKE`).
    """
    wanted = {**ours, **(type_ if instead_of is None else instead_of)._variant_mapping}
    for name, other in dialects.LIKE.items():
        if other in wanted:
            wanted.setdefault(name, wanted[other])
    present = type_._variant_mapping
    for name, variant in wanted.items():
        if name not in present:
            type_ = type_.with_variant(variant, name)
    return type_
