"""How much of a table is done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from compdb import dag
from compdb.database import database_of
from compdb.populate.keys import Pending

__all__ = ["progress_all", "progress_of"]


def progress_of(cls: type[Any], *restrictions: Any, display: bool = True) -> tuple[int, int]:
    """Count the key source and what of it remains; see `Computed.progress`."""
    table: sa.Table = cls.__table__
    pending = Pending(cls, restrictions)
    remaining, total = pending.count(), pending.total()
    if display:
        why = "" if total else _why_empty(table)
        share = 100 * (total - remaining) / total if total else 100
        print(f"{dag.label(table)}: {total - remaining} of {total} done ({share:.1f} %), {remaining} to do{why}")
    return remaining, total


def _why_empty(table: sa.Table) -> str:
    empty = [e.parent for e in dag.parents(table) if e.primary and not _has_rows(e.parent)]
    return f"; {', '.join(dag.label(t) for t in empty)} is empty" if empty else ""


def _has_rows(table: sa.Table) -> bool:
    query = sa.select(sa.literal(1)).select_from(table).limit(1)
    with database_of(table).reading(query) as connection:
        return connection.execute(query).first() is not None


def progress_all(
    classes: Sequence[type[Any]], restrictions: tuple[Any, ...], *, display: bool = True
) -> dict[str, tuple[int, int]]:
    """Count every Imported and Computed table, parents first; see `Lab.progress`."""
    tables = dag.topological(c.__table__ for c in classes if c.__tier__ in dag.AUTO_TIERS)
    return {dag.label(t): progress_of(t.info["class"], *restrictions, display=display) for t in tables}
