"""Rows checked and converted, column by column, before the first one is sent: names, types, missing values, doubled keys.

Rows that give the same attributes are one `Batch`; in most inserts there is one. Checking a column costs a tenth of checking its values
one by one, and what is sent in bulk is sent by columns too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from typing import Any
from weakref import WeakKeyDictionary

import sqlalchemy as sa

from compdb import dag, types
from compdb.errors import DuplicateKey, InvalidValue, MissingAttribute, UnknownAttribute
from compdb.insert.permission import Mode, Row

__all__ = ["Batch", "Facts", "check", "check_columns", "check_names", "facts", "prepare", "rows_of"]


class Facts:
    """What insert needs to know of a table, found out once."""

    def __init__(self, table: sa.Table) -> None:
        self.table = table
        self.label = dag.label(table)
        self.columns: dict[str, sa.Column[Any]] = {c.name: c for c in table.columns}
        self.key = tuple(c.name for c in table.primary_key)
        self.required = frozenset(
            c.name
            for c in table.columns
            if not c.nullable
            and c.default is None
            and c.server_default is None
            and c.computed is None
            and c.identity is None
        )

    @cached_property
    def long(self) -> tuple[str, ...]:
        """The columns whose values may be of any size."""
        return tuple(n for n, c in self.columns.items() if _is_long(c.type))

    @cached_property
    def adapters(self) -> dict[str, types.Adapter]:
        """The check of each column's values."""
        return {
            n: types.adapter(c.type, bool(c.nullable) or n not in self.required, bool(c.primary_key))
            for n, c in self.columns.items()
        }

    @cached_property
    def key_defaults(self) -> dict[str, Any]:
        """Python-side defaults of key columns: a key must be known before it is sent."""
        return {n: self.columns[n].default for n in self.key if self.columns[n].default is not None}

    @cached_property
    def refers_to_itself(self) -> bool:
        """Whether a row may have its parent among the rows beside it."""
        return any(edge.parent is self.table for edge in dag.parents(self.table))


def _is_long(type_: sa.types.TypeEngine[Any]) -> bool:
    return isinstance(type_, (types.Blob, sa.LargeBinary)) or (isinstance(type_, sa.String) and type_.length is None)


_FACTS: WeakKeyDictionary[sa.Table, Facts] = WeakKeyDictionary()


def facts(table: sa.Table) -> Facts:
    """Return what insert knows of `table`."""
    known = _FACTS.get(table)
    if known is None:
        known = _FACTS[table] = Facts(table)
    return known


@dataclass(frozen=True, slots=True)
class Batch:
    """Checked rows that give the same attributes.

    Attributes
    ----------
    names : list of str
    columns : list of lists
        Their values, in the order of `names`.
    numbers : sequence of int
        Which of the rows that were given these are.
    """

    names: list[str]
    columns: list[list[Any]]
    numbers: Sequence[int]

    def rows(self) -> list[Row]:
        """Return the rows as dicts."""
        if not self.names:
            return [{} for _ in self.numbers]
        return [dict(zip(self.names, row)) for row in zip(*self.columns)]

    def keys(self, key: Sequence[str]) -> list[Any] | None:
        """Return the key of each row; None if the server is to make it up."""
        if not key or not set(key) <= set(self.names):
            return None
        columns = [self.columns[self.names.index(name)] for name in key]
        return columns[0] if len(columns) == 1 else list(zip(*columns))

    def only(self, numbers: set[int]) -> Batch:
        """Return the rows with these numbers."""
        keep = [n in numbers for n in self.numbers]
        return Batch(
            self.names, [list(compress(c, keep)) for c in self.columns], list(compress(self.numbers, keep))
        )


def rows_of(batches: Sequence[Batch]) -> list[Row]:
    """Return the rows in the order in which they were given."""
    if len(batches) == 1:
        return batches[0].rows()
    numbered = [pair for batch in batches for pair in zip(batch.numbers, batch.rows())]
    return [row for _, row in sorted(numbered, key=lambda pair: pair[0])]


def prepare(
    table: sa.Table,
    rows: Iterable[Mapping[str, Any]],
    mode: Mode = "plain",
    ignore_extra_fields: bool = False,
) -> list[Row]:
    """Return `rows` checked and converted, each with the columns it gives, defaults of its key filled in.

    Raises
    ------
    UnknownAttribute, MissingAttribute, InvalidValue, DuplicateKey
        Naming the table, the attribute and the number of the row.
    """
    return rows_of(check(table, rows, mode, ignore_extra_fields))


def check(
    table: sa.Table,
    rows: Iterable[Mapping[str, Any]],
    mode: Mode = "plain",
    ignore_extra_fields: bool = False,
    start: int = 0,
) -> list[Batch]:
    """Return `rows`, checked and converted, in batches; see `prepare`.

    Parameters
    ----------
    start : int
        The number of the first row.
    """
    known = facts(table)
    given = list(rows)
    numbers: Sequence[int] = range(start, start + len(given))
    kinds = set(map(tuple, given))
    if len(kinds) <= 1:
        parts = [(given, numbers)] if given else []
    else:
        groups: dict[tuple[str, ...], list[int]] = {}
        for i, row in enumerate(given):
            groups.setdefault(tuple(row), []).append(i)
        parts = [([given[i] for i in some], [start + i for i in some]) for some in groups.values()]
    batches = []
    for members, places in parts:
        keep = check_names(known, members[0], places[0], ignore_extra_fields)
        columns = {name: [row[name] for row in members] for name in keep}
        batches.append(_batch(known, columns, places, members.__getitem__))
    return _without_doubles(known, batches, mode)


def check_columns(
    table: sa.Table, columns: Mapping[str, list[Any]], mode: Mode = "plain", ignore_extra_fields: bool = False
) -> list[Batch]:
    """Return the rows that stand in these columns, checked and converted; see `prepare`."""
    known = facts(table)
    size = len(next(iter(columns.values()), []))
    if not size:
        unknown = next((name for name in columns if name not in known.columns), None)
        if unknown is not None and not ignore_extra_fields:
            raise UnknownAttribute(unknown, known.label, known.columns)
        return []

    def row(place: int) -> Mapping[str, Any]:
        return {name: values[place] for name, values in columns.items()}

    keep = check_names(known, row(0), 0, ignore_extra_fields)
    batch = _batch(known, {name: columns[name] for name in keep}, range(size), row)
    return _without_doubles(known, [batch], mode)


def _batch(
    known: Facts, columns: dict[str, list[Any]], numbers: Sequence[int], row: Callable[[int], Mapping[str, Any]]
) -> Batch:
    done = {name: _column(known, name, values, numbers, row) for name, values in columns.items()}
    for name in known.key_defaults:
        if name not in done:
            done[name] = [_default(known, name) for _ in numbers]
    return Batch(list(done), list(done.values()), numbers)


def check_names(known: Facts, row: Mapping[str, Any], number: int, extra_is_fine: bool) -> list[str]:
    """Return the attributes that a row gives the table, and refuse one that gives too few or others."""
    keep = []
    for name in row:
        if name in known.columns:
            keep.append(name)
        elif not extra_is_fine:
            raise UnknownAttribute(name, known.label, known.columns)
    lacking = [n for n in known.columns if n in known.required and n not in keep]
    if lacking:
        raise MissingAttribute(known.label, lacking, dict(row), number)
    return keep


def _column(
    known: Facts, name: str, values: list[Any], numbers: Sequence[int], row: Callable[[int], Mapping[str, Any]]
) -> list[Any]:
    """Return one column, checked and converted."""
    adapter = known.adapters[name]
    try:
        converted = adapter.many(values)
    except InvalidValue as error:
        at = error.row or 0
        given = row(at)
        if values[at] is None and name in known.required:
            raise MissingAttribute(known.label, [name], dict(given), numbers[at]) from None
        key = {n: given[n] for n in known.key if n in given}
        raise error.at(table=known.label, attribute=name, row=numbers[at], key=key) from None
    column = known.columns[name]
    if not column.nullable and name not in known.required and None in converted:
        return [_default(known, name) if v is None else v for v in converted]
    return converted


def _default(known: Facts, name: str) -> Any:
    default: Any = known.columns[
        name
    ].default  # a scalar, or a callable that SQLAlchemy has given one argument, the context
    if default is None or not (default.is_scalar or default.is_callable):
        raise MissingAttribute(known.label, [name], {}, None)
    value = default.arg(None) if default.is_callable else default.arg
    return known.adapters[name].one(value)


def _without_doubles(known: Facts, batches: list[Batch], mode: Mode) -> list[Batch]:
    """Refuse keys that stand in several rows, or keep one row of each: the first to skip, the last to replace."""
    found = [(batch, keys) for batch in batches if (keys := batch.keys(known.key)) is not None]
    if len(set().union(*(keys for _, keys in found))) == sum(len(keys) for _, keys in found):
        return batches
    seen: dict[Any, int] = {}
    for number, key in sorted(pair for batch, keys in found for pair in zip(batch.numbers, keys)):
        if key in seen and mode == "plain":
            values = key if isinstance(key, tuple) else (key,)
            hint = f"rows {seen[key]} and {number} of this insert both have this key"
            raise DuplicateKey(known.label, dict(zip(known.key, values)), hint)
        if mode == "replace" or key not in seen:
            seen[key] = number
    keep = set(seen.values())
    rest = [batch if batch.keys(known.key) is None else batch.only(keep) for batch in batches]
    return [batch for batch in rest if batch.numbers]
