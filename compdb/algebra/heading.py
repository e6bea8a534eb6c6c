"""Headings: the ordered attributes of a relation, each with its type, its nullability and where it comes from.

>>> Session.heading
subject_id: VARCHAR(16) [key]
session_id: BIGINT [key]
quality: FLOAT NULL

An attribute knows the *places* its values come from: the columns of tables it passed through on its way, and under which names
the primary key of that table's row stands beside it. Joins and restrictions are decided by that, never by names alone.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from compdb import dag

__all__ = ["Attribute", "Heading", "Place", "heading_of"]


@dataclass(frozen=True, slots=True)
class Place:
    """A column of a table that an attribute's values come from.

    Attributes
    ----------
    column : Column
    row : tuple of str, or None
        The attributes that hold the primary key of the row of that table. None where they are gone, or where the value may
        be NULL though the row is not (the right side of a left join).
    """

    column: sa.Column[Any]
    row: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute of a relation.

    Attributes
    ----------
    name : str
    column : ColumnElement
        Its value in the scope of the relation's FROM.
    key : bool
        Whether it belongs to the primary key.
    type : TypeEngine
    nullable : bool
    comment : str or None
    places : tuple of Place
        Where its values come from; empty for a computed attribute.
    computed : bool
        Whether `column` is an expression, and not a column of the FROM.
    """

    name: str
    column: sa.ColumnElement[Any]
    key: bool
    type: sa.types.TypeEngine[Any]
    nullable: bool
    comment: str | None = None
    places: tuple[Place, ...] = ()
    computed: bool = False

    @property
    def origin(self) -> sa.Column[Any] | None:
        """The column where the values are first declared, at the root of its foreign keys; None if they are computed."""
        return dag.origin(self.places[0].column) if self.places else None

    @property
    def selected(self) -> sa.ColumnElement[Any]:
        """The column as it stands in a SELECT: under the attribute's name."""
        own = getattr(self.column, "key", None) == self.name == getattr(self.column, "name", None)
        return self.column if own else self.column.label(self.name)

    def __str__(self) -> str:
        marks = (" NULL" if self.nullable else "") + (" [key]" if self.key else "")
        return f"{self.name}: {self.type!r}{marks}" + (f"  # {self.comment}" if self.comment else "")


class Heading:
    """The attributes of a relation: those of the primary key first, otherwise in the order of declaration.

    Iterates over attributes and finds them by name, as SQLAlchemy's `table.c` does.

    Attributes
    ----------
    names, primary_key, secondary_attributes : tuple of str
    """

    __slots__ = ("_attributes", "names", "primary_key", "secondary_attributes")

    def __init__(self, attributes: Iterable[Attribute]) -> None:
        listed = list(attributes)
        self._attributes = {a.name: a for a in [*(a for a in listed if a.key), *(a for a in listed if not a.key)]}
        self.names = tuple(self._attributes)
        self.primary_key = tuple(a.name for a in listed if a.key)
        self.secondary_attributes = tuple(a.name for a in listed if not a.key)

    def __getitem__(self, name: str) -> Attribute:
        return self._attributes[name]

    def __contains__(self, name: object) -> bool:
        return name in self._attributes

    def get(self, name: str) -> Attribute | None:
        """Return the attribute of that name, or None."""
        return self._attributes.get(name)

    def __iter__(self) -> Iterator[Attribute]:
        return iter(self._attributes.values())

    def __len__(self) -> int:
        return len(self._attributes)

    def __repr__(self) -> str:
        return "\n".join(map(str, self)) or "no attributes"


@functools.lru_cache(maxsize=4096)
def heading_of(table: sa.Table) -> Heading:
    """Return the heading of a table: its columns under their names in the database."""
    key = tuple(str(c.name) for c in table.primary_key)  # SQLAlchemy's are `quoted_name`, which no blob holds
    return Heading(
        Attribute(str(c.name), c, c.name in key, c.type, bool(c.nullable), c.comment, (Place(c, key),))
        for c in table.columns
    )
