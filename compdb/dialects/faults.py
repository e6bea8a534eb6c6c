"""What went wrong in a database, told alike for all of them."""

from __future__ import annotations

import enum
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import exc

__all__ = ["Diagnosis", "Fault", "disconnected", "original"]


class Fault(enum.Enum):
    """A kind of thing that goes wrong in databases."""

    DUPLICATE = "duplicate"
    FOREIGN_KEY = "foreign key"
    NOT_NULL = "not null"
    CHECK = "check"
    BAD_VALUE = "bad value"
    TOO_LARGE = "too large"
    DEADLOCK = "deadlock"
    LOCK_TIMEOUT = "lock timeout"
    SERIALIZATION = "serialization"
    DISCONNECT = "disconnect"
    DISK_FULL = "disk full"
    READ_ONLY = "read only"
    DENIED = "denied"
    MISSING_TABLE = "missing table"
    MISSING_COLUMN = "missing column"
    SYNTAX = "syntax"
    BROKEN = "broken"  # a statement before failed, and with it the transaction
    OTHER = "other"

    @property
    def transient(self) -> bool:
        """Whether the same work, sent again, may well succeed."""
        return self in _TRANSIENT


_TRANSIENT = {Fault.DEADLOCK, Fault.LOCK_TIMEOUT, Fault.SERIALIZATION, Fault.DISCONNECT}


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One error of a driver.

    Attributes
    ----------
    fault : Fault
        What kind of thing went wrong.
    constraint : str or None
        The constraint that was broken, where the database names it ("PRIMARY" for a primary key of MySQL).
    table : str or None
        The table whose constraint it is, where the database names it. For a foreign key that is the child, whether its
        parent was missing or the parent was to go.
    columns : tuple of str
        The columns at fault, where the database names them.
    """

    fault: Fault
    constraint: str | None = None
    table: str | None = None
    columns: tuple[str, ...] = ()

    def in_key(self, table: sa.Table) -> bool:
        """Tell whether a duplicate is one of the primary key of `table`, and not of another unique constraint."""
        if self.constraint is not None and self.constraint in {"PRIMARY", table.primary_key.name}:
            return True
        return bool(self.columns) and set(self.columns) == {column.name for column in table.primary_key}


def disconnected(error: BaseException) -> bool:
    """Tell whether SQLAlchemy has given the connection up after this error."""
    return isinstance(error, exc.DBAPIError) and error.connection_invalidated


def original(error: BaseException) -> BaseException:
    """Return the driver's own error behind SQLAlchemy's."""
    if isinstance(error, exc.DBAPIError) and error.orig is not None:
        return error.orig
    return error
