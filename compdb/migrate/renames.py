"""Renames: a column that goes while one of its type comes may be the same column under a new name. Only the user knows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import sqlalchemy as sa

from compdb.errors import MigrationError
from compdb.schema import Place, Table
from compdb.schema.compare import same_type

__all__ = ["Rename", "Renames", "find_renames", "renamed"]

Renames = Mapping[Place, Mapping[str, str]]
"""By table: old name of a column -> new name."""


@dataclass(frozen=True)
class Rename:
    """A column that goes while one of its type comes, and may be the same under a new name.

    Attributes
    ----------
    table : str
        The user's name of the table.
    old, new : str
        The names of the columns.
    """

    table: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.table}.{self.old} -> {self.new}"


def find_renames(
    before: Mapping[Place, Table],
    after: Mapping[Place, Table],
    dialect: sa.Dialect,
    confirm: Callable[[Rename], bool] | None,
) -> dict[Place, dict[str, str]]:
    """Return the columns that are renamed, old name -> new name, by table; parents stand before children in `after`.

    A column that a foreign key brings follows its parent without being asked for.

    Raises
    ------
    MigrationError
        If there is a question and nobody to answer it: nothing is dropped in silence.
    """
    found: dict[Place, dict[str, str]] = {}
    open_questions: list[Rename] = []
    for place, ours in after.items():
        there = before.get(place)
        if there is None:
            continue
        mine = dict(_followed(there, ours, found))
        for old, new in _candidates(there, ours, dialect):
            if old in mine or new in mine.values():
                continue
            question = Rename(ours.label, old, new)
            if confirm is None:
                open_questions.append(question)
            elif confirm(question):
                mine[old] = new
        if mine:
            found[place] = mine
    if open_questions:
        raise MigrationError(
            "a column goes while one of its type comes: is it the same under a new name, whose values stay, or is the old one to"
            " be dropped?\n  "
            + "\n  ".join(map(str, open_questions))
            + "\ncompdb migrate new asks for each at a terminal; migrate.new(..., confirm_rename=lambda rename: True) or False answers"
        )
    return found


def renamed(tables: Mapping[Place, Table], renames: Renames) -> dict[Place, Table]:
    """Return the tables with columns under their new names; constraints keep theirs."""
    return {place: _renamed(table, renames) for place, table in tables.items()}


def _candidates(there: Table, ours: Table, dialect: sa.Dialect) -> Iterator[tuple[str, str]]:
    for old in [c for n, c in there.columns.items() if n not in ours.columns]:
        for new in [c for n, c in ours.columns.items() if n not in there.columns]:
            if same_type(old, new, dialect):
                yield old.name, new.name


def _followed(there: Table, ours: Table, found: Mapping[Place, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
    """Return the columns whose parents' columns are renamed, or those of the table whose jobs these are."""
    target = found.get((there.schema, there.name.removesuffix("__jobs")), {}) if there.name.endswith("__jobs") else {}
    for old, new in target.items():
        if old in there.columns and new in ours.columns:
            yield old, new
    for key in there.foreign_keys.values():
        names = found.get(key.parent, {})
        for mine, theirs in zip(key.columns, key.refers):
            wanted = names.get(theirs)
            for other in ours.foreign_keys.values() if wanted and mine not in ours.columns else ():
                if other.parent == key.parent and wanted in other.refers:
                    new = other.columns[other.refers.index(wanted)]
                    if new not in there.columns:
                        yield mine, new


def _renamed(table: Table, renames: Renames) -> Table:
    mine = renames.get(table.place, {})

    def all_of(names: Iterable[str], of: Mapping[str, str] = mine) -> tuple[str, ...]:
        return tuple(of.get(n, n) for n in names)

    return replace(
        table,
        columns={mine.get(n, n): replace(c, name=mine.get(n, n)) for n, c in table.columns.items()},
        key=all_of(table.key),
        foreign_keys={
            n: replace(k, columns=all_of(k.columns), refers=all_of(k.refers, renames.get(k.parent, {})))
            for n, k in table.foreign_keys.items()
        },
        uniques={n: replace(u, columns=all_of(u.columns)) for n, u in table.uniques.items()},
        indexes={
            n: replace(i, columns=None if i.columns is None else all_of(i.columns)) for n, i in table.indexes.items()
        },
    )
