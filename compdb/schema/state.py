"""The state of a table: columns, key, foreign keys, uniques, indexes, checks and comments, whoever tells of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

__all__ = ["Check", "Column", "ForeignKey", "Index", "Place", "Table", "Unique"]

Place = tuple[str | None, str]
"""Where a table is: its schema (None: that of the connection) and its name."""


@dataclass(frozen=True)
class Column:
    """A column.

    Attributes
    ----------
    type : TypeEngine
        By which it can be made again.
    spelled : str or None
        Its type in the words of the database; None where it could not be asked.
    default : str or None
        The server default in the words of the database.
    made_default : object
        The server default as SQLAlchemy takes it.
    """

    name: str
    type: sa.types.TypeEngine[Any]
    spelled: str | None
    nullable: bool
    default: str | None = None
    made_default: Any = None
    comment: str | None = None
    autoincrement: bool = False
    computed: Any = None


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key.

    Attributes
    ----------
    ondelete : str or None
        What the database does with children; None where it refuses to orphan them.
    made_ondelete : str or None
        How to say so when it is made.
    stored : str or None
        Its name in the database, where the class leaves it unnamed.
    """

    name: str
    columns: tuple[str, ...]
    parent: Place
    refers: tuple[str, ...]
    ondelete: str | None = None
    made_ondelete: str | None = field(default=None, compare=False)
    stored: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Unique:
    """A unique constraint."""

    name: str
    columns: tuple[str, ...]
    stored: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Index:
    """An index; its columns are None where it is of expressions."""

    name: str
    columns: tuple[str, ...] | None
    unique: bool
    made: sa.Index | None = field(default=None, compare=False)
    stored: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Check:
    """A check; `text` in the words of the database, `made` as SQLAlchemy takes it."""

    name: str
    text: str | None
    made: Any = field(default=None, compare=False)
    stored: str | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes
    ----------
    label : str
        The user's name of it: `Detection.Blob`; its name in the database where no class is known.
    tier : str or None
    comment : str or None
        With the tier at its head.
    collation : str or None
        Of its text, where tables have one.
    options : dict
        Keywords for making it, beside those that all our tables have.
    unnamed : frozenset of str
        Names that the class does not say, so that the database has its own.
    """

    place: Place
    label: str
    tier: str | None
    comment: str | None
    columns: dict[str, Column]
    key: tuple[str, ...]
    key_name: str | None = None
    foreign_keys: dict[str, ForeignKey] = field(default_factory=dict)
    uniques: dict[str, Unique] = field(default_factory=dict)
    indexes: dict[str, Index] = field(default_factory=dict)
    checks: dict[str, Check] = field(default_factory=dict)
    collation: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    unnamed: frozenset[str] = frozenset()

    @property
    def schema(self) -> str | None:
        """The schema, None for that of the connection."""
        return self.place[0]

    @property
    def name(self) -> str:
        """The name in the database."""
        return self.place[1]
