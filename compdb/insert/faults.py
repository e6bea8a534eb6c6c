"""What the database finds wrong with rows, told in table and attribute names with the key concerned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from compdb import dag
from compdb.database import Database
from compdb.dialects import Fault
from compdb.errors import ConstraintError, DuplicateKey, MissingParent
from compdb.insert.checks import facts
from compdb.insert.permission import Mode

__all__ = ["translate"]



def translate(
    database: Database,
    table: sa.Table,
    rows: Sequence[Mapping[str, Any]],
    error: exc.DBAPIError,
    mode: Mode = "plain",
) -> Exception:
    """Return the error to raise for `error`, told in table and attribute names with the key concerned."""
    fault = database.dialect.classify(error).fault
    label = dag.label(table)
    if fault is Fault.FOREIGN_KEY:
        return _missing_parent(database, table, rows) or ConstraintError(
            f"{label}: a foreign key is broken: {_first(error)}"
        )
    if fault is Fault.DUPLICATE:
        told = _duplicate(database, table, rows) if mode == "plain" else None
        return told or ConstraintError(
            f"{label}: {_doubled(database, table, rows) or f'a unique constraint is broken: {_first(error)}'}"
        )
    if fault in (Fault.NOT_NULL, Fault.CHECK):
        return ConstraintError(f"{label}: a row breaks a constraint: {_first(error)}")
    return error


def _first(error: exc.DBAPIError) -> str:
    return str(error.orig).strip().splitlines()[0]


@dataclass(frozen=True)
class _There:
    """Which of some keys a table has."""

    database: Database
    table: sa.Table

    def among(self, names: Sequence[str], keys: Sequence[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
        """Return those of `keys` that are there."""
        return set(self.rows(names, names, keys))

    def rows(
        self, wanted: Sequence[str], names: Sequence[str], keys: Sequence[tuple[Any, ...]]
    ) -> list[tuple[Any, ...]]:
        """Return the `wanted` values of the rows whose `names` have the values of one of `keys`."""
        columns = [self.table.c[n] for n in names]
        found: list[tuple[Any, ...]] = []
        step = max(1, 400 // len(names))
        for i in range(0, len(keys), step):
            part = keys[i : i + step]
            match = (
                columns[0].in_([k[0] for k in part])
                if len(columns) == 1
                else sa.or_(*(sa.and_(*(c == v for c, v in zip(columns, k))) for k in part))
            )
            query = sa.select(*(self.table.c[n] for n in wanted)).where(match)
            with self.database.reading(query) as connection:
                found += [tuple(row) for row in connection.execute(query)]
        return found


def _missing_parent(database: Database, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> MissingParent | None:
    for edge in dag.parents(table):
        mine = [m for m, _ in edge.pairs]
        theirs = [t for _, t in edge.pairs]
        keys = list(
            dict.fromkeys(tuple(row.get(m) for m in mine) for row in rows if all(row.get(m) is not None for m in mine))
        )
        there = _There(database, edge.parent).among(theirs, keys)
        if edge.parent is table:
            there |= {tuple(row.get(t) for t in theirs) for row in rows}
        missing = [k for k in keys if k not in there]
        if missing:
            key = dict(zip(theirs, missing[0]))
            return MissingParent(dag.label(table), dag.label(edge.parent), key, len(missing), mine)
    return None


def _duplicate(database: Database, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> DuplicateKey | None:
    names = facts(table).key
    keys = [tuple(row.get(n) for n in names) for row in rows]
    there = _There(database, table).among(names, keys)
    first = next((k for k in keys if k in there), None)
    return DuplicateKey(dag.label(table), dict(zip(names, first))) if first is not None else None


def _doubled(database: Database, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Say which values, that may stand in one row only, are there already or stand in two of these rows."""
    key = facts(table).key
    for names in _unique(table):
        given = [row for row in rows if all(row.get(n) is not None for n in names)]
        seen: dict[tuple[Any, ...], tuple[Any, ...]] = {}
        for row in given:
            values, own = tuple(row[n] for n in names), tuple(row.get(n) for n in key)
            if seen.setdefault(values, own) != own:
                return f"two of these rows have the same {', '.join(names)}, which is unique: {dict(zip(names, values))}"
        pairs = [*names, *key]
        there = {
            found[: len(names)]: found[len(names) :]
            for found in _There(database, table).rows(pairs, names, list(seen))
        }
        for values, own in seen.items():
            if there.get(values, own) != own:
                return (
                    f"another row has the same {', '.join(names)}, which is unique: {dict(zip(names, values))}"
                    f" is in {dict(zip(key, there[values]))}"
                )
    return None


def _unique(table: sa.Table) -> list[list[str]]:
    """Return the columns of each unique constraint and index."""
    found = [[c.name for c in x.columns] for x in table.constraints if isinstance(x, sa.UniqueConstraint)]
    return found + [[c.name for c in x.columns] for x in table.indexes if x.unique and len(x.columns) == len(x.expressions)]
