"""What the expressions of `aggr` are for a row of the left side that has no rows on the right.

They are what the database makes of an aggregate over no rows: `count(*)` is 0 and `max(x)` NULL. A row
without a group has no such value in the groups, so it is asked for beside them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from compdb.algebra.columns import rewrite, verbatim
from compdb.algebra.project import computed_attributes, scope

if TYPE_CHECKING:
    from compdb.algebra.relation import Relation

__all__ = ["row_over_nothing", "value_over_nothing"]


def row_over_nothing(rows: Relation[Any], left: Relation[Any], aggregates: Mapping[str, Any]) -> sa.Subquery:
    """Return a FROM of one row, to stand beside `left`: these aggregates over none of `rows`, under their names with `_nothing` after them.

    A FROM of its own rather than a subquery for each row of `left`: MariaDB (as of 10.11) may repeat there what it found for the row
    before.
    """
    pool = _bare(rows, left, list(aggregates.values()))
    columns = [verbatim(a) if isinstance(a, str) else rewrite(pool, a) for a in aggregates.values()]
    named = [column.label(f"{name}_nothing") for name, column in zip(aggregates, columns)]
    return sa.select(*named).select_from(pool.source).where(sa.false()).subquery()


def value_over_nothing(rows: Relation[Any], left: Relation[Any], value: Any) -> sa.ColumnElement[Any]:
    """Return what an expression is over none of `rows`, as a subquery for the row of `left`."""
    pool = _bare(rows, left, [value])
    (attribute,), _ = computed_attributes(pool, {"value": value})
    return sa.select(attribute.column).select_from(pool.source).where(sa.false()).scalar_subquery()


def _bare(rows: Relation[Any], left: Relation[Any], values: list[Any]) -> Relation[Any]:
    """Return the relation beside `left`, where these expressions can be computed; which rows it has no longer matters."""
    return scope(replace(rows.joinable(), where=(), equal={}).apart(left.tables), values)
