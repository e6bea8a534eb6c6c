"""One type, spelled as each database needs it.

>>> vary(sa.DateTime(), mysql=mysql.DATETIME(fsp=6))

A plain SQLAlchemy type with variants, rather than a class of our own: `isinstance(column.type, sa.DateTime)` stays true,
alembic renders it without us, and no Python code runs per value.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from compdb import dialects

__all__ = ["is_generic", "vary"]

Type = sa.types.TypeEngine[Any]


def is_generic(type_: Type) -> bool:
    """Say whether `type_` is one of SQLAlchemy's own for any database, not a dialect's or a user's."""
    return type(type_).__module__ == "sqlalchemy.sql.sqltypes"


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
