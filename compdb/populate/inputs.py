"""Inputs of a window: what many makes ask for one by one is read for all of them at the first one's asking.

Only what cannot change an answer is read ahead: rows of a table upstream of the target, found by a key that is part of the make's own key,
from the snapshot that the makes of the window share. Blobs stay on the server until they are asked for; so does everything once it
would weigh too much.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm.attributes import set_committed_value

from compdb import dag, types
from compdb.dialects import Dialect
from compdb.insert import facts

__all__ = ["Inputs"]

BYTES = 32_000_000
"""How much the inputs of a window may weigh that are read ahead."""
AT_ONCE = 900
"""How many parameters a statement may have."""
FEW, GROWTH = 4, 8
"""How many rows are read first where nobody knows how long they are, and by how much more then."""

_UNKNOWN = object()
Key = Mapping[str, Any]


@dataclass(slots=True)
class _Read:
    """Rows of one table that were read ahead, and for which keys there is nothing to be read any more."""

    rows: dict[Any, tuple[Any, ...]] = field(default_factory=dict)
    left: set[Any] = field(default_factory=set)


class Inputs:
    """The rows that a window has read ahead.

    Parameters
    ----------
    target : Table
        The table that is populated.
    links : dict of str to (class, pairs)
        Relationships of the target to rows of which each key has at most one: parent class, (own, parent's) columns.
    dialect : Dialect
        That of the database they are read from.
    enabled : bool

    Attributes
    ----------
    weight : int
        Bytes of what is kept, as far as they are not counted by the number of rows.
    """

    def __init__(
        self, cls: type[Any], below: frozenset[sa.Table], names: Sequence[str], dialect: Dialect, enabled: bool
    ) -> None:
        self.above = frozenset(dag.ancestors(cls.__table__)) - below
        self.names = frozenset(names)
        self.dialect, self.enabled = dialect, enabled
        self.links = _links(cls, self.names) if enabled else {}
        self.batch: Sequence[Key] = ()
        self.state = -1
        self._shapes: dict[tuple[sa.Table, tuple[str, ...]], Any] = {}  # a key, None, or not looked at yet
        self._rows: dict[tuple[sa.Table, tuple[str, ...]], _Read] = {}
        self._kept: dict[type[Any], list[Any]] = {}
        self._linked: list[tuple[str, tuple[str, ...], dict[Any, Any]]] = []
        self.links_again: tuple[type[Any], ...] = ()
        self.weight = 0

    def forget(self) -> None:
        """The window has ended: what was read is of the past."""
        if self._kept:
            self.links_again = tuple(self._kept)
        self._rows.clear()
        self._kept.clear()
        self._linked.clear()
        self.weight = 0

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
    ) -> list[tuple[Any, ...]] | None:
        """Return the row of `table` for `key`, as tuples of `names`: one or none; or None if it was left on the server."""
        if state != self.state:
            self.forget()
            self.state = state
        own = self._shapes[table, names]
        there = self._rows.get((table, names))
        if there is None:
            there = self._rows[table, names] = self._read(connection, table, own, names)
        wanted = _wanted(key, own)
        found = there.rows.get(wanted)
        if found is None:
            return None if wanted in there.left else []
        return [found]

    def _read(self, connection: sa.Connection, table: sa.Table, own: tuple[str, ...], names: tuple[str, ...]) -> _Read:
        keys = list(dict.fromkeys(tuple([k[n] for n in own]) for k in self.batch))
        query = sa.select(*(table.c[n].label(f"k{i}") for i, n in enumerate(own)), *(table.c[n] for n in names))
        found, wide = _Read(), len(own)
        long = [wide + i for i, n in enumerate(names) if _is_long(table.c[n])]
        slices = self._slices(keys, wide, long)
        for some in slices:
            rows = connection.execute(query.where(self.dialect.among([table.c[n] for n in own], some))).all()
            for row in rows:
                found.rows[row[0] if wide == 1 else tuple(row[:wide])] = tuple(row[wide:])
            self.weight += sum([_size(row[i]) for i in long for row in rows])
        found.left = {k[0] if wide == 1 else k for k in slices.left}
        return found

    @property
    def knows_links(self) -> bool:
        """Whether makes have looked for parent rows by links."""
        return bool(self._linked or self.links_again)

    def load(self, session: orm.Session, parent: type[Any]) -> None:
        """Bring the parent rows of the whole batch into the session, so that links find them there."""
        if parent in self._kept or len(self.batch) < 2:
            return
        self._kept[parent] = []
        for name, (target, pairs) in self.links.items():
            if target is not parent:
                continue
            found: dict[Any, Any] = {}
            attributes = [sa.inspect(parent).get_property_by_column(parent.__table__.c[n]).key for _, n in pairs]
            table: sa.Table = parent.__table__
            keys = list(dict.fromkeys(tuple([k[mine] for mine, _ in pairs]) for k in self.batch))
            columns = [table.c[theirs] for _, theirs in pairs]
            long = [p.key for p in sa.inspect(parent).column_attrs if not p.deferred and _is_long(p.columns[0])]
            for some in self._slices(keys, len(pairs), long):
                rows = session.scalars(sa.select(parent).where(self.dialect.among(columns, some))).all()
                self._kept[parent] += rows
                found.update({_wanted(row.__dict__, attributes): row for row in rows})
                self.weight += sum([_size(row.__dict__.get(n)) for n in long for row in rows])
            self._linked.append((name, tuple(mine for mine, _ in pairs), found))

    def link(self, session: orm.Session, row: Any, key: Key) -> None:
        """Give the row to be made the parent rows that makes have looked for before, rather than wait until it asks for them."""
        parents, self.links_again = self.links_again, ()
        for parent in parents:
            self.load(session, parent)
        for name, own, rows in self._linked:
            found = rows.get(_wanted(key, own))
            if found is not None:
                set_committed_value(row, name, found)

    def _slices(self, keys: list[tuple[Any, ...]], wide: int, long: Sequence[Any]) -> _Slices:
        """Return the keys in slices: as many as a statement takes, or few at first where rows may be `long`."""
        most = max(1, AT_ONCE // wide)
        return _Slices(self, keys, most, min(FEW, most) if long else None)


class _Slices(Iterator[list[tuple[Any, ...]]]):
    """Keys to be read ahead; where rows may be long (`few` at first), as many as there is room for, and the rest is `left`."""

    def __init__(self, inputs: Inputs, keys: list[tuple[Any, ...]], most: int, few: int | None) -> None:
        self.inputs, self.left, self.most, self.few = inputs, keys, most, few
        self._read, self._before = 0, inputs.weight

    def __next__(self) -> list[tuple[Any, ...]]:
        size = self.most if self.few is None else self._fitting(self.few)
        if not self.left or not size:
            raise StopIteration
        some, self.left = self.left[:size], self.left[size:]
        self._read += len(some)
        return some

    def _fitting(self, few: int) -> int:
        """Return how many rows are likely to fit into what room is left, judged by those before them."""
        room, weight = max(0, BYTES - self.inputs.weight), self.inputs.weight - self._before
        likely = room * self._read // weight if weight else self.most
        return min(self.most, likely, max(few, GROWTH * self._read)) if room else 0


def _wanted(values: Key, names: Sequence[str]) -> Any:
    """Return these values as a key of a dict: one by itself, several as a tuple."""
    return values[names[0]] if len(names) == 1 else tuple([values[n] for n in names])


def _is_long(column: Any) -> bool:
    """Say whether single values may be large: text without a length, bytes, JSON."""
    return column.name in facts(column.table).long or isinstance(column.type, sa.JSON)


def _size(value: Any) -> int:
    if isinstance(value, (dict, list)):
        return len(repr(value))
    return len(value) if isinstance(value, (bytes, str)) else 0


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

