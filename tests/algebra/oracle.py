"""What the algebra means, over Python lists of dicts: the oracle that every result is compared with.

Written for truth, not for speed, and without a look at the SQL: a `Model` is rows, and for each attribute its origin and the
*cells* it was read from: a column of a table, and the attributes that name the row of that table.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from compdb.testing.pipelines import Made

Row = dict[str, Any]
Truth = bool | None
Column = tuple[str, str]  # table, column
Cell = tuple[Column, tuple[str, ...] | None]


class Refused(Exception):
    """The expression must be refused: a join of strangers, a name that is not there."""


@dataclass(frozen=True)
class Attr:
    name: str
    key: bool
    origin: Column | None
    cells: frozenset[Cell] = frozenset()
    kind: type = int


@dataclass
class Model:
    """A relation as Python knows it."""

    world: World
    attrs: list[Attr]
    rows: list[Row]
    table: str | None = None  # of which table these are whole rows
    text: str = field(default="", compare=False)

    def __getitem__(self, name: str) -> Attr:
        return next(a for a in self.attrs if a.name == name)

    @property
    def names(self) -> list[str]:
        return [a.name for a in self.attrs if a.key] + [a.name for a in self.attrs if not a.key]

    @property
    def key(self) -> list[str]:
        return [a.name for a in self.attrs if a.key]

    @property
    def secondary(self) -> list[str]:
        return [a.name for a in self.attrs if not a.key]


@dataclass
class World:
    """The tables: what refers to what."""

    made: Made

    def origin(self, table: str, column: str) -> Column:
        seen = set()
        while True:
            seen.add((table, column))
            above = [
                (link.parent, theirs)
                for link in self.made.links[table]
                for mine, theirs in link.pairs
                if mine == column and (link.parent, theirs) not in seen
            ]
            if not above:
                return table, column
            table, column = above[0]

    def base(self, table: str) -> Model:
        columns = list(self.made.metadata.tables[table].columns)
        key = tuple(c.name for c in columns if c.primary_key)
        attrs = [
            Attr(
                c.name,
                c.primary_key,
                self.origin(table, c.name),
                frozenset([((table, c.name), key)]),
                c.type.python_type,
            )
            for c in columns
        ]
        return Model(self, attrs, [dict(r) for r in self.made.rows[table]], table, table.capitalize())

    def key_names(self) -> set[str]:
        return {c.name for t in self.made.tables for c in t.primary_key}

    def paths(self, start: str, end: str, seen: frozenset[str] = frozenset()) -> list[list[tuple[str, Any]]]:
        """All ways up from `start` to `end`: lists of (table, link)."""
        found: list[list[tuple[str, Any]]] = []
        seen |= {start}
        for link in self.made.links[start]:
            if link.parent == end:
                found.append([(start, link)])
            elif link.parent not in seen:
                found += [[(start, link), *rest] for rest in self.paths(link.parent, end, seen)]
        return found


# --- matching


def shared(a: Model, b: Model) -> tuple[list[str], list[str]]:
    both = [n for n in a.names if n in b.names]
    same = [n for n in both if a[n].origin is not None and a[n].origin == b[n].origin]
    return same, [n for n in both if n not in same]


def compared(a: Model, b: Model, names: list[str]) -> list[str]:
    """Leave out what is read from one cell on both sides, if what names its row is compared (or follows)."""
    todo = list(names)
    for name in sorted(names, key=lambda n: a[n].key + b[n].key):
        known = {n for n in todo if n != name}
        for _ in names:
            known |= {n for n in names for _, row in a[n].cells & b[n].cells if row is not None and set(row) <= known}
        if name in known:
            todo.remove(name)
    return todo


def matcher(a: Model, b: Model, names: list[str]) -> Callable[[Row, Row], bool]:
    on = compared(a, b, names)
    return lambda r, s: all(r[n] is not None and r[n] == s[n] for n in on)


# --- operators


def restrict(a: Model, test: Callable[[Row], bool]) -> Model:
    return replace(a, rows=[r for r in a.rows if test(r)])


def tables_of(m: Model) -> list[str]:
    if m.table is not None:
        return [m.table]
    return list(
        dict.fromkeys(column[0] for a in m.attrs for column, row in sorted(a.cells, key=repr) if row is not None)
    )


def _holders(m: Model, table: str, columns: list[str]) -> list[str] | None:
    found = []
    for c in columns:
        held = [n for n in m.names if any(column == (table, c) for column, _ in m[n].cells)]
        if not held:
            return None
        found.append(c if c in held else held[0])
    return found


def by_path(a: Model, b: Model) -> Callable[[Row], bool]:
    """Restriction by a relation without common attributes: over the one path of foreign keys."""
    world, ways = a.world, []
    inner = {*tables_of(a), *tables_of(b)}
    for ta, tb in itertools.product(tables_of(a), tables_of(b)):
        for start, end, low, high in ((ta, tb, a, b), (tb, ta, b, a)):
            for path in world.paths(start, end):
                if any(link.parent in inner for _, link in path[:-1]):
                    continue
                first = _holders(low, start, [m for m, _ in path[0][1].pairs])
                last = _holders(high, end, [t for _, t in path[-1][1].pairs])
                if first is not None and last is not None:
                    ways.append((path, low is a, first, last))
    if len(ways) != 1:
        raise Refused(f"{len(ways)} paths")
    path, a_is_low, first, last = ways[0]

    def climb(row: Row, low: Model) -> list[tuple[Any, ...]]:
        """The values at the upper end that a row of the lower side leads to."""
        values = [tuple(row[n] for n in first)]
        for (_, link), (_, following) in itertools.pairwise(path):
            rows = world.made.rows[link.parent]
            values = [
                tuple(r[m] for m, _ in following.pairs)
                for v in values
                for r in rows
                if None not in v and tuple(r[t] for _, t in link.pairs) == v
            ]
        return [v for v in values if None not in v]

    def test(row: Row) -> bool:
        if a_is_low:
            return any(tuple(s[n] for n in last) in climb(row, a) for s in b.rows)
        return any(tuple(row[n] for n in last) in climb(s, b) for s in b.rows)

    return test


def matching(a: Model, b: Model) -> Callable[[Row], bool]:
    names, _ = shared(a, b)
    if not names:
        return by_path(a, b)
    match = matcher(a, b, names)
    return lambda r: any(match(r, s) for s in b.rows)


def join(a: Model, b: Model) -> Model:
    names, strangers = shared(a, b)
    if strangers:
        raise Refused("strangers")
    match = matcher(a, b, names)
    rows = [{**s, **r} for r in a.rows for s in b.rows if match(r, s)]
    if set(b.key) <= set(names):
        key, first, second = a.key, a, b
    elif set(a.key) <= set(names):
        key, first, second = b.key, b, a
    else:
        key, first, second = [*a.key, *(n for n in b.key if n not in a.key)], a, b
    attrs = []
    for n in dict.fromkeys([*key, *first.names, *second.names]):
        mine = (a if n in a.names else b)[n]
        cells = mine.cells | b[n].cells if n in names else mine.cells
        attrs.append(replace(mine, key=n in key, cells=cells))
    return Model(a.world, attrs, rows)


def extend(a: Model, b: Model) -> Model:
    names, strangers = shared(a, b)
    if strangers or not set(b.key) <= set(names):
        raise Refused("not determined")
    match = matcher(a, b, names)
    extra = [x for x in b.attrs if x.name not in names]
    rows = []
    for r in a.rows:
        found = [s for s in b.rows if match(r, s)]
        assert len(found) <= 1
        rows.append({**r, **{x.name: found[0][x.name] if found else None for x in extra}})
    loose = [replace(x, key=False, cells=frozenset((c, None) for c, _ in x.cells)) for x in extra]
    return Model(a.world, [*a.attrs, *loose], rows)


def proj(
    a: Model,
    keep: list[str],
    renames: dict[str, str],
    copies: dict[str, str],
    computed: dict[str, Callable[[Row], Any]],
) -> Model:
    """`renames` and `copies` are new -> old."""
    old_names = {old: new for new, old in renames.items()}
    stay = [n for n in a.names if (n in keep or a[n].key) and n not in old_names]
    moved = {**{n: n for n in stay}, **old_names}
    new = [*stay, *renames, *copies, *computed]
    if len(set(new)) < len(new):
        raise Refused("clash")

    def cells(old: str) -> frozenset[Cell]:
        return frozenset(
            (c, tuple(moved[n] for n in row) if row is not None and all(n in moved for n in row) else None)
            for c, row in a[old].cells
        )

    attrs = [replace(a[old], name=moved[old], cells=cells(old)) for old in a.names if old in moved]
    attrs += [replace(a[old], name=n, key=False, cells=cells(old)) for n, old in copies.items()]
    attrs += [Attr(n, False, None) for n in computed]
    rows = [
        {
            **{moved[old]: r[old] for old in moved},
            **{n: r[old] for n, old in copies.items()},
            **{n: f(r) for n, f in computed.items()},
        }
        for r in a.rows
    ]
    whole = a.table if len(attrs) == len(a.attrs) and not (renames or copies or computed) else None
    return Model(a.world, attrs, rows, whole)


Aggregates = dict[str, Callable[[list[Row]], Any]]


OfBoth = dict[str, Callable[[Row, list[Row]], Any]]


def aggr(a: Model, b: Model, keep: list[str], values: Aggregates, of_both: OfBoth, exclude: bool) -> Model:
    names, _ = shared(a, b)
    if not set(a.key) <= set(names):
        raise Refused("not the whole key")
    base = proj(a, keep, {}, {}, {})
    if {*values, *of_both} & set(base.names):
        raise Refused("clash")
    match = matcher(a, b, names)
    rows = []
    for r in a.rows:
        group = [s for s in b.rows if match(r, s)]
        if group or not exclude:
            told = {**{n: f(group) for n, f in values.items()}, **{n: f(r, group) for n, f in of_both.items()}}
            rows.append({**{n: r[n] for n in base.names}, **told})
    return Model(a.world, [*base.attrs, *(Attr(n, False, None) for n in (*values, *of_both))], rows)


def occurring(names: list[str], a: Model, values: Aggregates | None = None) -> Model:
    """U(*names) & a, and U(*names).aggr(a, **values)."""
    if any(n not in a.names for n in names) or set(values or {}) & set(names):
        raise Refused("unknown")
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for r in a.rows:
        groups.setdefault(tuple(r[n] for n in names), []).append(r)
    if not names and values is not None:
        groups.setdefault((), [])
    attrs = []
    for n in names:
        cells = frozenset((c, row if row is not None and set(row) <= set(names) else None) for c, row in a[n].cells)
        attrs.append(replace(a[n], key=True, cells=cells))
    attrs += [Attr(n, False, None) for n in values or {}]
    rows = [{**dict(zip(names, k)), **{n: f(g) for n, f in (values or {}).items()}} for k, g in groups.items()]
    return Model(a.world, attrs, rows)


def union(a: Model, b: Model) -> Model:
    if set(a.key) != set(b.key) or shared(a, b)[1]:
        raise Refused("keys")
    names = [*a.names, *(n for n in b.names if n not in a.names)]

    def same(r: Row, s: Row) -> bool:
        return all(r[n] == s[n] for n in a.key)

    rows = []
    for r in a.rows:
        other = next((s for s in b.rows if same(r, s)), {})
        rows.append({n: r[n] if n in r else other.get(n) for n in names})
    rows += [{n: s.get(n) for n in names} for s in b.rows if not any(same(r, s) for r in a.rows)]
    attrs = []
    for n in names:
        mine = (a if n in a.names else b)[n]
        theirs = b[n].cells if n in a.names and n in b.names else frozenset()
        attrs.append(replace(mine, cells=frozenset(c if c in theirs else (c[0], None) for c in mine.cells)))
    return Model(a.world, attrs, rows)


def order_key(value: Any) -> Any:
    """NULL is less than any value."""
    return (0,) if value is None else (1, value)


def ordered(a: Model, by: Iterable[tuple[str, bool]]) -> list[Row]:
    """The rows in an order, given as (attribute, descending)."""
    rows = list(a.rows)
    for name, down in reversed(list(by)):
        rows.sort(key=lambda r: order_key(r[name]), reverse=down)
    return rows


def resolve(a: Model, table: str, column: str) -> str:
    """The attribute that a column of a table is."""
    found = [n for n in a.names if any(c == (table, column) for c, _ in a[n].cells)]
    if not found:
        found = [n for n in a.names if a[n].origin == a.world.origin(table, column)]
    if len(found) > 1 and column in found:
        found = [column]
    if len(found) != 1:
        raise Refused(f"{table}.{column} is {found}")
    return found[0]
