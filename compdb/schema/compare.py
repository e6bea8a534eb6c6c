"""Comparing: what differs between a table in the database and its class, each difference in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import sqlalchemy as sa

from compdb import dialects
from compdb.schema.declared import stored_name
from compdb.schema.family import family
from compdb.schema.state import Check, Column, ForeignKey, Index, Table, Unique

__all__ = ["Difference", "align", "compare", "same_column", "same_default", "same_item", "same_type"]

Item = TypeVar("Item", ForeignKey, Unique, Index, Check)
COLLATE = re.compile(r' COLLATE "?(\w+)"?')


@dataclass(frozen=True)
class Difference:
    """What differs between a class and its table.

    Attributes
    ----------
    kind : str
        What it is about: "table", "column", "type", "nullable", "default", "key", "foreign key", "unique", "index", "check",
        "comment", "tier", "collation", "lookup" or "migration".
    table : str
        The user's name of the table.
    words : str
        What is in the database, and what the class says.
    fits : bool
        Whether rows can be written and read all the same, and what is computed from them is what the class says.
    """

    kind: str
    table: str
    words: str
    fits: bool = True

    def __str__(self) -> str:
        return f"{self.table}: {self.words}"


def compare(there: Table, ours: Table, dialect: sa.Dialect, *, whole: bool = True) -> Iterator[Difference]:
    """Tell what differs between the table that is there and what its class says.

    Parameters
    ----------
    whole : bool
        Everything; otherwise only columns and key.
    """
    told = _Teller(ours.label, dialect)
    there = align(there, ours, dialect)
    yield from told.columns(there, ours, whole)
    yield from told.key(there, ours)
    if not whole:
        return
    yield from told.items("foreign key", there.foreign_keys, ours.foreign_keys, _foreign_key)
    yield from told.items("unique", there.uniques, ours.uniques, _unique)
    yield from told.items("index", there.indexes, ours.indexes, _index)
    yield from told.items("check", there.checks, ours.checks, _check)
    yield from told.comments(there, ours)
    if there.collation and ours.collation and there.collation != ours.collation:
        words = (
            f"its text has the collation {there.collation} in the database, {ours.collation} in the class, so that keys that"
            f" differ in Python may be one there; ALTER TABLE {there.name} CONVERT TO CHARACTER SET utf8mb4 COLLATE {ours.collation}"
        )
        yield Difference("collation", ours.label, words)


# ---------------------------------------------------------------- what counts as the same


def align(there: Table, ours: Table, dialect: sa.Dialect) -> Table:
    """Return the table that is there with its items under the names that the class has for them.

    Names that the database has cut get their whole length back; where it makes no difference between a unique index and a unique
    constraint, an item is what the class says; what the class leaves unnamed is known by its columns.
    """
    uniques, indexes = dict(there.uniques), dict(there.indexes)
    if dialects.of(dialect).unique_is_index:
        for name in [stored_name(n, dialect) for n in ours.indexes]:
            if name in uniques:
                indexes[name] = Index(name, uniques.pop(name).columns, unique=True)
        for name in [stored_name(n, dialect) for n in ours.uniques]:
            if name in indexes and indexes[name].unique:
                uniques[name] = Unique(name, indexes.pop(name).columns or ())

    def named(items: Mapping[str, Item], known: Mapping[str, Item]) -> dict[str, Item]:
        whole = {stored_name(n, dialect): n for n in known}
        found = {whole.get(n, n): replace(item, name=whole.get(n, n)) for n, item in items.items()}
        for name in [n for n in known if n in ours.unnamed and n not in found]:
            same = (
                n for n, item in found.items() if n not in known and same_item(replace(item, name=name), known[name])
            )
            if (stored := next(same, None)) is not None:
                found[name] = replace(found.pop(stored), name=name, stored=stored)
        return found

    return replace(
        there,
        label=ours.label,
        uniques=named(uniques, ours.uniques),
        indexes=named(indexes, ours.indexes),
        foreign_keys=named(there.foreign_keys, ours.foreign_keys),
        checks=named(there.checks, ours.checks),
    )


def same_type(a: Column, b: Column, dialect: sa.Dialect) -> bool:
    """Tell whether two columns hold the same, in the same words; where those are not known, the same kind of values."""
    if a.spelled is None or b.spelled is None:
        return family(a.type, dialect) == family(b.type, dialect)
    return a.spelled == b.spelled


def same_default(a: Column, b: Column) -> bool:
    """Tell whether two columns have the same server default; where its words are not known, whether both have one."""
    if a.computed is not None or b.computed is not None:
        return (a.computed is None) == (b.computed is None)
    if a.spelled is None or b.spelled is None:
        return (a.made_default is None) == (b.made_default is None)
    return a.default == b.default


def same_column(a: Column, b: Column, dialect: sa.Dialect) -> bool:
    """Tell whether two columns are the same but for their comments."""
    return same_type(a, b, dialect) and same_default(a, b) and a.nullable == b.nullable


def same_item(a: Any, b: Any) -> bool:
    """Tell whether two foreign keys, uniques, indexes or checks are the same."""
    if isinstance(a, Check):
        return bool(a.text is None or b.text is None or a.text == b.text)
    if isinstance(a, Index) and (a.columns is None or b.columns is None):
        return bool(a.unique == b.unique)
    return bool(a == b)


# ---------------------------------------------------------------- words


class _Teller:
    """The differences of one table."""

    def __init__(self, label: str, dialect: sa.Dialect) -> None:
        self.label, self.dialect = label, dialect

    def columns(self, there: Table, ours: Table, whole: bool) -> Iterator[Difference]:
        """Yield what differs between the columns that are there and ours."""
        for column in ours.columns.values():
            old = there.columns.get(column.name)
            if old is None:
                yield Difference("column", self.label, f"column {column.name!r} is not in the database", fits=False)
                continue
            yield from self.type(old, column)
            if old.nullable != column.nullable and column.name not in there.key:
                words = f"{_null(old)} in the database, {_null(column)} in the class"
                yield Difference("nullable", self.label, f"column {column.name!r} is {words}", fits=False)
            if whole and not same_default(old, column):
                words = f"{_default(old)} in the database, {_default(column)} in the class"
                yield Difference("default", self.label, f"column {column.name!r} has {words}")
        for name in there.columns:
            if name not in ours.columns:
                words = f"the class has no column {name!r}, which is in the database"
                yield Difference("column", self.label, words, fits=False)

    def type(self, old: Column, new: Column) -> Iterator[Difference]:
        """Yield in what the types of two columns differ: in what they hold, in a collation, or in words only."""
        kinds = family(old.type, self.dialect), family(new.type, self.dialect)
        if kinds[0] != kinds[1]:
            words = f"column {new.name!r} is {old.spelled or old.type} in the database, which is no {kinds[1]}"
            yield Difference("type", self.label, words, fits=False)
        elif not same_type(old, new, self.dialect):
            a, b = str(old.spelled), str(new.spelled)
            kind = "collation" if COLLATE.sub("", a) == COLLATE.sub("", b) else "type"
            yield Difference(kind, self.label, f"column {new.name!r} is {a} in the database, {b} in the class")

    def key(self, there: Table, ours: Table) -> Iterator[Difference]:
        """Yield that the primary key has other columns."""
        if set(there.key) != set(ours.key):
            words = f"its key is ({', '.join(there.key)}) in the database, ({', '.join(ours.key)}) in the class"
            yield Difference("key", self.label, words, fits=False)

    def items(
        self, kind: str, there: Mapping[str, Item], ours: Mapping[str, Item], words: Callable[[Any], str]
    ) -> Iterator[Difference]:
        """Yield what differs between foreign keys, uniques, indexes or checks of one name, and what only one side has."""
        for name in [*ours, *(n for n in there if n not in ours)]:
            old, new = there.get(name), ours.get(name)
            if old is not None and new is not None:
                if not same_item(old, new):
                    told = f"{kind} {name} is {words(old)} in the database, {words(new)} in the class"
                    yield Difference(kind, self.label, told)
            elif new is not None:
                yield Difference(kind, self.label, f"{kind} {name}, {words(new)}, is not in the database")
            else:
                yield Difference(
                    kind, self.label, f"the class has no {kind} {name}, {words(old)}, which is in the database"
                )

    def comments(self, there: Table, ours: Table) -> Iterator[Difference]:
        """Yield in what the tier, the comment and those of the columns differ."""
        if ours.tier is not None and there.tier != ours.tier:
            yield Difference("tier", self.label, f"its tier is {there.tier} in the database, {ours.tier} in the class")
        elif there.comment != ours.comment:
            words = f"its comment is {there.comment!r} in the database, {ours.comment!r} in the class"
            yield Difference("comment", self.label, words)
        for name, column in ours.columns.items():
            if name in there.columns and there.columns[name].comment != column.comment:
                words = f"{there.columns[name].comment!r} in the database, {column.comment!r} in the class"
                yield Difference("comment", self.label, f"the comment of column {name!r} is {words}")


def _null(column: Column) -> str:
    return "NULL" if column.nullable else "NOT NULL"


def _default(column: Column) -> str:
    return "no default" if column.default is None else f"the default {column.default}"


def _foreign_key(key: ForeignKey) -> str:
    parent = ".".join(filter(None, key.parent))
    deleted = f" ON DELETE {key.ondelete}" if key.ondelete else ""
    return f"({', '.join(key.columns)}) -> {parent} ({', '.join(key.refers)}){deleted}"


def _unique(unique: Unique) -> str:
    return f"({', '.join(unique.columns)})"


def _index(index: Index) -> str:
    columns = "of expressions" if index.columns is None else f"({', '.join(index.columns)})"
    return f"unique {columns}" if index.unique else columns


def _check(check: Check) -> str:
    return str(check.made if check.text is None else check.text)
