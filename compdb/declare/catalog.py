"""What one pipeline knows of itself: its registry, its MetaData, its settings and its table classes by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

__all__ = ["Catalog", "Settings", "naming_convention"]

naming_convention = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
}
"""A name for every constraint, so that alembic can change it. Two parents may bring the same columns to one table, so a
foreign key's name ends in the referred table."""


@dataclass(frozen=True)
class Settings:
    """The class keywords of a pipeline.

    Attributes
    ----------
    commit_interval : float, s
        How much work of populate shares one commit.
    lease : float, s
        How long a worker's reservations outlive its last sign of life.
    keep_completed : bool
        Whether a finished job stays in the jobs table.
    """

    commit_interval: float = 0.2
    lease: float = 120
    keep_completed: bool = False


@dataclass(eq=False)
class Catalog:
    """The classes of one pipeline."""

    name: str
    pipeline: type[Any]
    metadata: sa.MetaData
    registry: orm.registry
    schema: str | None
    settings: Settings
    classes: dict[str, type[Any]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[type[Any]]:
        """Iterate over the masters and other top-level tables, in the order of their declaration."""
        return (cls for name, cls in self.classes.items() if "." not in name)

    def current(self, cls: type[Any]) -> type[Any]:
        """Return the class that now stands for `cls`: itself, or the one that was declared again in its place."""
        table = vars(cls).get("__table__")
        if table is None:
            return cls
        return self.classes.get(table.info.get("label", ""), cls)
