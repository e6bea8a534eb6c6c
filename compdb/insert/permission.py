"""Who may insert: a make into its own tables, everybody else into those that no make fills.

In a make the rows go to its *sink*, a buffer that populate writes in one transaction for many keys.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Literal, Protocol

import sqlalchemy as sa

from compdb import dag
from compdb.errors import DirectInsertError, MakeError

__all__ = ["SINK", "Mode", "Row", "Sink", "check_permission"]

Mode = Literal["plain", "skip", "replace"]
Row = dict[str, Any]  # column name -> value, whatever the types of the table say


class Sink(Protocol):
    """Where the rows of a running make go."""

    @property
    def allowed(self) -> frozenset[sa.Table]:
        """The tables that this make may insert into."""
        ...

    def insert(self, table: sa.Table, rows: list[Row], mode: Mode) -> None:
        """Take rows, checked and converted."""

    def check_row(self, table: sa.Table, row: Row) -> None:
        """Refuse a row, about to be inserted by the session, that is of another key than the make."""


SINK: ContextVar[Sink | None] = ContextVar("compdb_sink", default=None)
"""The make that runs in this context, if one does."""


def check_permission(table: sa.Table, *, allow_direct_insert: bool = False) -> None:
    """Refuse rows that only a make may insert, and rows that this make may not.

    Raises
    ------
    DirectInsertError
        Outside make, for an Imported or Computed table or its part.
    MakeError
        Inside make, for a table that is not its own.
    """
    sink = SINK.get()
    label = dag.label(table)
    if sink is not None:
        if table in sink.allowed:
            return
        owner = next(iter(sorted((dag.label(t) for t in sink.allowed), key=len)), "this table")
        home = dag.master(table) if dag.tier(table) == "part" else table
        if home is not None and dag.tier(home) in dag.AUTO_TIERS:
            raise MakeError(f"make of {owner} may not insert into {label}, which its own make fills")
        raise MakeError(
            f"make of {owner} may not insert into {label}: a make fills its own table and its parts; if that is meant, declare"
            f" allow_writes_to = ({label},) in {owner}"
        )
    if allow_direct_insert:
        return
    home = dag.master(table) if dag.tier(table) == "part" else table
    if home is not None and dag.tier(home) in dag.AUTO_TIERS:
        raise DirectInsertError(
            f"{label} is filled by make only: call {dag.label(home)}.populate(), or insert(..., allow_direct_insert=True)"
        )
