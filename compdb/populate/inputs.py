"""Inputs of a window: what many makes ask for one by one is read for all of them at the first one's asking.

Only what cannot change an answer is read ahead: rows of a table upstream of the target, found by a key that is part of the make's own key,
from the snapshot that the makes of the window share. Blobs stay on the server until they are asked for; so does everything once it
would weigh too much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from compdb import dag, types

__all__ = ["Inputs", "among"]

_UNKNOWN = object()
Key = Mapping[str, Any]


class Inputs:
    """The rows that a window has read ahead.

    Parameters
    ----------
    target : Table
        The table that is populated.
    links : dict of str to (class, pairs)
        Relationships of the target to rows of which each key has at most one: parent class, (own, parent's) columns.
    enabled : bool
    """

    def __init__(self, cls: type[Any], below: frozenset[sa.Table], names: Sequence[str], enabled: bool) -> None:
        self.above = frozenset(dag.ancestors(cls.__table__)) - below
        self.names = frozenset(names)
        self.enabled = enabled
        self.links = _links(cls, self.names) if enabled else {}
        self.batch: Sequence[Key] = ()
        self.state = -1
        self._shapes: dict[tuple[sa.Table, tuple[str, ...]], Any] = {}  # a key, None, or not looked at yet
        self._rows: dict[tuple[sa.Table, tuple[str, ...]], dict[Any, tuple[Any, ...]]] = {}
        self._kept: dict[type[Any], list[Any]] = {}

    def forget(self) -> None:
        """The window has ended: what was read is of the past."""
        self._rows.clear()
        self._kept.clear()

    def serves(self, table: sa.Table, names: tuple[str, ...], equality: Key, key: Key) -> bool:
        """Say whether `(table & key)` is of the shape that may be read ahead."""
        if not self.enabled or len(self.batch) < 2:
            return False
        own = self._shapes.get((table, names), _UNKNOWN)
        if own is _UNKNOWN:
            own = self._shapes[table, names] = self._shape(table, names)
        if own is None or len(equality) != len(own):
            return False
        return all(n in equality and equality[n] == key[n] for n in own)

    def _shape(self, table: sa.Table, names: tuple[str, ...]) -> tuple[str, ...] | None:
        """Return the primary key of a table of which each make has at most one row, or None if it may not be read ahead."""
        own = tuple(c.name for c in table.primary_key)
        if table not in self.above or not self.names.issuperset(own):
            return None
        return None if any(isinstance(table.c[n].type, types.Blob) for n in names) else own

    def rows(
        self, connection: sa.Connection, state: int, table: sa.Table, names: tuple[str, ...], key: Key
    ) -> list[tuple[Any, ...]]:
        """Return the row of `table` for `key`, as tuples of `names`: one or none."""
        if state != self.state:
            self.forget()
            self.state = state
        own = self._shapes[table, names]
        there = self._rows.get((table, names))
        if there is None:
            there = self._rows[table, names] = self._read(connection, table, own, names)
        found = there.get(key[own[0]] if len(own) == 1 else tuple([key[n] for n in own]))
        return [] if found is None else [found]

    def _read(
        self, connection: sa.Connection, table: sa.Table, own: tuple[str, ...], names: tuple[str, ...]
    ) -> dict[Any, tuple[Any, ...]]:
        keys = list(dict.fromkeys(tuple([k[n] for n in own]) for k in self.batch))
        query = sa.select(*(table.c[n].label(f"k{i}") for i, n in enumerate(own)), *(table.c[n] for n in names))
        found: dict[Any, tuple[Any, ...]] = {}
        wide = len(own)
        for some in _slices(keys, max(1, 900 // wide)):
            for row in connection.execute(query.where(among([table.c[n] for n in own], some))):
                found[row[0] if wide == 1 else tuple(row[:wide])] = tuple(row[wide:])
        return found

    def load(self, session: orm.Session, parent: type[Any]) -> None:
        """Bring the parent rows of the whole batch into the session, so that links find them there."""
        if parent in self._kept or len(self.batch) < 2:
            return
        self._kept[parent] = []
        for target, pairs in self.links.values():
            if target is not parent:
                continue
            table: sa.Table = parent.__table__
            keys = list(dict.fromkeys(tuple([k[mine] for mine, _ in pairs]) for k in self.batch))
            columns = [table.c[theirs] for _, theirs in pairs]
            for some in _slices(keys, max(1, 900 // len(pairs))):
                self._kept[parent] += session.scalars(sa.select(parent).where(among(columns, some))).all()


def _links(cls: type[Any], names: frozenset[str]) -> dict[str, tuple[type[Any], list[tuple[str, str]]]]:
    found = {}
    for relation in sa.inspect(cls).relationships:
        pairs = [(mine.name, theirs.name) for mine, theirs in relation.local_remote_pairs or ()]
        keys = {c.name for c in relation.mapper.local_table.primary_key}
        if (
            {m for m, _ in pairs} <= names
            and {t for _, t in pairs} == keys
            and relation.mapper.local_table is not cls.__table__
        ):
            found[relation.key] = (relation.mapper.class_, pairs)
    return found


def _slices(keys: list[tuple[Any, ...]], size: int) -> list[list[tuple[Any, ...]]]:
    return [keys[i : i + size] for i in range(0, len(keys), size)]


def among(columns: list[Any], keys: list[tuple[Any, ...]]) -> sa.ColumnElement[bool]:
    """Return the condition that columns have the values of one of `keys`."""
    if len(columns) == 1:
        only: sa.ColumnElement[Any] = columns[0]
        return only.in_([k[0] for k in keys])
    return sa.tuple_(*columns).in_(keys)
