"""Delete rows and everything that depends on them, in one transaction, leaves first."""

from __future__ import annotations

import logging
import random
import time
from dataclasses import dataclass
from typing import Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from compdb import dag
from compdb.cascade.consent import agree, must_ask, named, rows, told
from compdb.cascade.plan import Plan, Stray, fetch
from compdb.cascade.surroundings import Surroundings
from compdb.database import Database
from compdb.dialects import Fault
from compdb.errors import DeleteError

__all__ = ["Integrity", "delete", "dependents"]

Integrity = Literal["enforce", "cascade", "ignore"]

_TRIES = 6
_log = logging.getLogger("compdb")


def delete(
    database: Database,
    table: sa.Table,
    keys: sa.Select[Any] | None,
    *,
    prompt: bool | None = None,
    dry_run: bool = False,
    part_integrity: str = "enforce",
) -> int | dict[str, int]:
    """Delete rows of `table` and everything downstream of them, or nothing at all.

    Parameters
    ----------
    keys : Select or None
        The primary keys of the rows, under their column names; None means every row. It is run before the first row goes, so it
        may ask for anything, also for what depends on these rows.
    prompt : bool, optional
        Ask first, with the counts per table; by default at a terminal or in a notebook. Elsewhere `prompt=False` is needed.
    dry_run : bool
        Only count.
    part_integrity : {"enforce", "cascade", "ignore"}
        A part row whose master row stays is an error, takes its master with it (and all that depends on that), or goes alone.

    Returns
    -------
    int or dict
        How many rows of `table` were deleted; with `dry_run` how many rows of each table would be, by name.

    Raises
    ------
    DeleteError
        If nobody is there to confirm, a part would go without its master, rows of a table that no loaded pipeline declares
        depend on these, or others keep adding rows that do. Nothing was deleted then.
    """
    if part_integrity not in get_args(Integrity):
        raise DeleteError(
            f"part_integrity is one of {', '.join(map(repr, get_args(Integrity)))}, not {part_integrity!r}"
        )
    goal = _Goal(database, table, keys, part_integrity)
    if dry_run:
        return goal.preview()
    if not must_ask(prompt, "delete", in_transaction=database.in_transaction()):
        return goal.carry_out(None)
    while True:
        expected = goal.preview()
        if not any(expected.values()):
            print(f"no rows of {dag.label(table)} to delete")
            return 0
        if not agree("delete", "Delete these rows?", expected):
            return 0
        try:
            return goal.carry_out(expected)
        except _Changed as changed:
            print(f"meanwhile it has changed to {told(changed.counts)}; nothing was deleted yet")


def dependents(connection: sa.Connection, table: sa.Table, keys: sa.Select[Any] | None) -> dict[sa.Table, int]:
    """Count the rows that depend on those of `table` that `keys` picks; tables without such rows are left out."""
    around = Surroundings(connection, [table])
    counts = Plan(connection, around, {table: [fetch(connection, table, keys)]}).counts()
    return {other: count for other, count in counts.items() if count and other is not table}


class _Changed(Exception):
    """Other rows are there now than those that were agreed upon."""

    def __init__(self, counts: dict[str, int]) -> None:
        self.counts = counts
        super().__init__(counts)


@dataclass(frozen=True)
class _Goal:
    """What to delete, and how."""

    database: Database
    table: sa.Table
    keys: sa.Select[Any] | None
    part_integrity: str

    def preview(self) -> dict[str, int]:
        """Count what would go."""
        with self.database.snapshot() as connection:
            return self._named(self._plan(connection, lock=None).counts())

    def carry_out(self, expected: dict[str, int] | None) -> int:
        """Delete in one transaction; again from the start where others were in the way.

        A child that was added meanwhile breaks a foreign key. From the second try on, the rows are locked from the top down first,
        so that no more children can be added to them.
        """
        for attempt in range(_TRIES):
            try:
                return self._once(expected, lock=attempt > 0)
            except DBAPIError as error:
                fault = self.database.dialect.classify(error).fault
                if not self._worth_another_try(fault, attempt):
                    raise self._told(fault, error) from error
            time.sleep(random.uniform(0, 0.02 * 2**attempt))  # noqa: S311
        raise AssertionError("the last try returns or raises")

    def _once(self, expected: dict[str, int] | None, *, lock: bool) -> int:
        with self.database.transaction() as session:
            deleted = self._plan(session.connection(), lock=lock).delete()
            counts = self._named(deleted)
            if expected is not None and counts != expected:
                raise _Changed(counts)
            session.expire_all()
        _log.info("deleted %s", told(counts))
        return deleted.get(self.table, 0)

    def _plan(self, connection: sa.Connection, *, lock: bool | None) -> Plan:
        """Find what goes; `lock` None: without locking anything, in a snapshot.

        Without locks, a part that was added with its master meanwhile looks as if it had none, so a second look is taken with them.
        """
        masters = self.part_integrity == "cascade"
        around = Surroundings(connection, [self.table], masters=masters)
        seeds = {self.table: [fetch(connection, self.table, self.keys)]}
        plan = Plan(connection, around, seeds, lock=bool(lock))
        while self.part_integrity != "ignore" and (strays := list(plan.strays())):
            if not masters and lock is False:
                return self._plan(connection, lock=True)
            if not masters:
                raise DeleteError(_about(connection, strays))
            for stray in strays:
                seeds.setdefault(stray.master, []).append(stray.masters)
            plan = Plan(connection, around, seeds, lock=bool(lock))
        if outside := plan.outside():
            raise DeleteError(
                f"rows of tables that no loaded pipeline declares depend on these rows of {dag.label(self.table)}: "
                + told(outside)
                + "; import their pipeline, or delete those rows first"
            )
        return plan

    def _named(self, counts: dict[sa.Table, int]) -> dict[str, int]:
        kept = {table: count for table, count in counts.items() if count or table is self.table}
        return named(kept or {self.table: 0})

    def _worth_another_try(self, fault: Fault, attempt: int) -> bool:
        if attempt + 1 == _TRIES:
            return False
        if fault is Fault.FOREIGN_KEY:
            return True
        return fault in (Fault.DEADLOCK, Fault.SERIALIZATION) and not self.database.in_transaction()

    def _told(self, fault: Fault, error: Exception) -> Exception:
        label = dag.label(self.table)
        if fault is Fault.FOREIGN_KEY:
            told_table = self.database.dialect.classify(error).table
            by = f" ({told_table})" if told_table else ""
            return DeleteError(
                f"{label}: rows that depend on these are added faster than they can be deleted, or belong to a table"
                f" that this user may not see{by}; nothing was deleted"
            )
        if fault in (Fault.DEADLOCK, Fault.SERIALIZATION, Fault.LOCK_TIMEOUT):
            return DeleteError(
                f"{label}: other connections keep these rows locked; nothing was deleted, try again later"
            )
        return error


def _about(connection: sa.Connection, strays: list[Stray]) -> str:
    said = []
    for stray in strays:
        master = stray.master
        query = (
            sa.select(*master.primary_key)
            .where(stray.masters.conditions(master)[0])
            .order_by(*master.primary_key)
            .limit(3)
        )
        some = [str(dict(row._mapping)) for row in connection.execute(query)]
        more = len(stray.masters.keys) - len(some)
        said.append(
            f"{rows(stray.count)} of {dag.label(stray.part)} would go without their master in {dag.label(master)}:"
            f" {', '.join(some)}" + (f" and {more} more" if more else "")
        )
    names = ", ".join(dict.fromkeys(dag.label(stray.master) for stray in strays))
    said.append(
        f"parts go with their master, {names}: delete there; or part_integrity='cascade' takes those rows of the master along,"
        " with all that depends on them, and 'ignore' the parts alone"
    )
    return "\n".join(said)
