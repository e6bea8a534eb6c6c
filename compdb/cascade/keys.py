"""Sets of keys, fetched before the first row goes, and the conditions that pick a table's rows by them.

Values stay as the driver gives them, so that what is found is what is deleted, whatever the types in between do. A set is sent
in batches: `a IN (...)` for one column; for several, grouped by all columns but the one that varies most, `a = 1 AND b IN (...)
OR a = 2 AND b IN (...)`, which every database answers from an index.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

__all__ = ["ALL", "Key", "Keys", "Term", "absorb", "raw"]

Key = tuple[Any, ...]  # values as the driver gives them

_VALUES = 500  # in one IN; MariaDB turns a longer list than 1,000 into a subquery, and subqueries make its DELETE slow
_GROUPS = 60  # in one OR; PostgreSQL's time to plan grows with their square


class Keys:
    """A set of keys; `layers` are to be deleted one after the other. None stands for every row there is."""

    def __init__(self, layers: Iterable[Iterable[Key]] | None) -> None:
        self.layers = None if layers is None else [list(layer) for layer in layers]

    def __len__(self) -> int:
        return sum(map(len, self.layers or ()))

    def __iter__(self) -> Iterator[Key]:
        return (key for layer in self.layers or () for key in layer)

    @property
    def empty(self) -> bool:
        """Whether no row can match."""
        return self.layers is not None and not any(self.layers)


ALL = Keys(None)


@dataclass(frozen=True)
class Term:
    """The rows of a table whose `columns` hold one of `keys`, and whose `given` columns are not NULL.

    A foreign key that is NULL in part refers to nothing, so those of its columns that may be NULL are to be given.
    """

    keys: Keys
    columns: tuple[str, ...]
    given: frozenset[str] = frozenset()

    def conditions(self, table: sa.FromClause) -> list[sa.ColumnElement[bool]]:
        """Return conditions that no row fulfils two of: one for each batch of keys."""
        given = [table.c[name].is_not(None) for name in sorted(self.given)]
        if self.keys.layers is None:
            return [sa.and_(sa.true(), *given)]
        columns = [raw(table.c[name]) for name in self.columns]
        return [
            sa.and_(_among(columns, batch), *given)
            for layer in self.keys.layers
            for batch in _batches(layer, len(columns))
        ]

    def covers(self, other: Term) -> bool:
        """Whether every row of `other` is one of ours, as far as their form tells."""
        if self.keys is ALL:
            return self.given <= other.given | set(other.columns)
        return self.keys is other.keys and self.columns == other.columns and self.given <= other.given


def absorb(terms: Iterable[Term]) -> list[Term]:
    """Return `terms` without those that are empty or covered by another."""
    kept: list[Term] = []
    for term in terms:
        if not term.keys.empty and not any(other.covers(term) for other in kept):
            kept = [other for other in kept if not term.covers(other)] + [term]
    return kept


class _AsDriven(sa.types.UserDefinedType[Any]):
    """Values as the driver gives and takes them: nothing converts them, and no cast is written around them."""

    cache_ok = True


def raw(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    """Return `column` so that its values, and those compared with it, pass unconverted."""
    return sa.type_coerce(column, _AsDriven())


_Batch = list[tuple[Key, list[Any]]]  # values of all columns but one, values of that one


def _batches(keys: Sequence[Key], width: int) -> Iterator[tuple[int, _Batch]]:
    """Yield batches of keys, grouped by all columns but one, with the place of that one."""
    varied = max(range(width), key=lambda i: -len({key[:i] + key[i + 1 :] for key in keys})) if width > 1 else 0
    groups: dict[Key, list[Any]] = {}
    for key in keys:
        groups.setdefault(key[:varied] + key[varied + 1 :], []).append(key[varied])
    batch: _Batch = []
    room = _VALUES
    for rest, values in groups.items():
        while values:
            batch.append((rest, values[:room]))
            values, room = values[room:], room - len(values[:room])
            if room == 0 or len(batch) == _GROUPS:
                yield varied, batch
                batch, room = [], _VALUES
    if batch:
        yield varied, batch


def _among(columns: list[sa.ColumnElement[Any]], batch: tuple[int, _Batch]) -> sa.ColumnElement[bool]:
    varied, groups = batch
    others = columns[:varied] + columns[varied + 1 :]
    return sa.or_(
        *(sa.and_(*(c == v for c, v in zip(others, rest)), columns[varied].in_(values)) for rest, values in groups)
    )
