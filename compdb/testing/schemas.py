"""Random schemas with random rows, and what depends on what in them, worked out with Python sets.

>>> import random
>>> made = random_schema(random.Random(1), tables=4)
>>> sorted(made.rows) == sorted(made.metadata.tables)
True

The tables have what pipelines have: inherited, renamed, secondary, nullable, self-referencing and unique foreign keys, foreign
keys to a unique attribute, diamonds, parts. `Schema.downstream` is the oracle for deletion: it knows rows, not SQL.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

__all__ = ["Row", "Schema", "random_schema"]

Row = dict[str, Any]
Spot = tuple[str, tuple[Any, ...]]  # table, primary key


@dataclass
class _Link:
    """A foreign key to be."""

    parent: sa.Table | None  # None: the table itself
    pairs: list[tuple[str, str]]
    key: bool
    nullable: bool


@dataclass
class Schema:
    """Tables and rows.

    Attributes
    ----------
    metadata : MetaData
    rows : dict
        Rows by the name of their table, parents first.
    """

    metadata: sa.MetaData
    rows: dict[str, list[Row]] = field(default_factory=dict)

    def tables(self) -> list[sa.Table]:
        """Return the tables, parents first."""
        return list(self.metadata.tables.values())

    def fill(self, connection: sa.Connection) -> None:
        """Create the tables and insert the rows, one by one where a row may refer to the one before."""
        self.metadata.create_all(connection)
        for table in self.tables():
            for row in self.rows[table.name]:
                connection.execute(table.insert().values(row))

    def spot(self, table: sa.Table, row: Row) -> Spot:
        """Return where a row is."""
        return table.name, tuple(row[c.name] for c in table.primary_key)

    def parents(self, table: sa.Table, row: Row) -> Iterator[Spot]:
        """Yield the rows that a row refers to; a foreign key that is NULL in part refers to none."""
        for constraint in table.foreign_key_constraints:
            values = [row[e.parent.name] for e in constraint.elements]
            if None in values:
                continue
            parent, theirs = constraint.elements[0].column.table, [e.column.name for e in constraint.elements]
            assert isinstance(parent, sa.Table)
            found = [r for r in self.rows[parent.name] if [r[n] for n in theirs] == values]
            assert len(found) == 1, f"{table.name} {row} refers to {len(found)} rows of {parent.name}"
            yield self.spot(parent, found[0])

    def master(self, table: sa.Table, row: Row) -> Spot | None:
        """Return the master row of a part row."""
        name = table.info.get("master_table")
        key = [c.name for c in self.metadata.tables[name].primary_key] if name else []
        return (str(name), tuple(row[n] for n in key)) if name else None

    def downstream(self, spots: set[Spot], *, masters: bool = False) -> set[Spot]:
        """Return `spots` and all rows that depend on them; with `masters`, parts take their master along."""
        going = set(spots)
        everything = [(table, row, self.spot(table, row)) for table in self.tables() for row in self.rows[table.name]]
        while True:
            fresh = {s for t, r, s in everything if s not in going and not going.isdisjoint(self.parents(t, r))}
            if masters:
                fresh |= {m for t, r, s in everything if s in going and (m := self.master(t, r)) and m not in going}
            if not fresh:
                return going
            going |= fresh

    def bereft(self, going: set[Spot]) -> set[Spot]:
        """Return the part rows that would go without their master."""
        everything = [(table, row, self.spot(table, row)) for table in self.tables() for row in self.rows[table.name]]
        return {s for t, r, s in everything if s in going and (m := self.master(t, r)) is not None and m not in going}


def random_schema(rng: random.Random, tables: int = 6, rows: int = 8) -> Schema:
    """Return a schema of so many tables, with up to so many rows in each."""
    made = Schema(sa.MetaData())
    for number in range(tables):
        links = _random_table(rng, made.metadata, number)
        _random_rows(rng, made, made.tables()[-1], links, rows)
    return made


def _random_table(rng: random.Random, metadata: sa.MetaData, number: int) -> list[_Link]:
    name = f"t{number}"
    before = list(metadata.tables.values())
    type_: sa.types.TypeEngine[Any] = rng.choice([sa.Integer(), sa.Integer(), sa.String(12)])
    own = [f"k{number}{x}" for x in "ab"[: rng.choice([1, 1, 2])]]
    master = rng.choice(before) if before and rng.random() < 0.35 else None
    if master is not None and "master_table" in master.info:
        master = None
    links = [_link(rng, name, master, key=True, rename=False)] if master is not None else []
    for _ in range(rng.choice([0, 1, 1, 2, 3]) if before else 0):
        key = rng.random() < 0.5
        brought = {mine for link in links for mine, _ in link.pairs}
        near = [
            t
            for t in before
            if brought & set(t.primary_key.columns.keys()) and not brought >= set(t.primary_key.columns.keys())
        ]
        parent = rng.choice(
            near if near and rng.random() < 0.6 else before
        )  # near: a diamond, or a foreign key NULL in part
        links.append(_link(rng, f"{name}_{len(links)}", parent, key=key, rename=rng.random() < 0.3))
    columns: dict[str, sa.Column[Any]] = {}
    has_own = master is not None or not any(link.key for link in links) or rng.random() < 0.3
    for link in links:
        assert link.parent is not None
        for mine, theirs in link.pairs:
            key = link.key or (mine in columns and columns[mine].primary_key)
            nullable = link.nullable and not key and (mine not in columns or bool(columns[mine].nullable))
            columns[mine] = sa.Column(
                mine, link.parent.c[theirs].type, primary_key=key, nullable=nullable, autoincrement=False
            )
    for n in own if has_own else ():
        columns[n] = sa.Column(n, type_, primary_key=True, autoincrement=False)
    columns["v"] = sa.Column("v", sa.Integer)
    columns[f"u{number}"] = sa.Column(f"u{number}", sa.Integer, nullable=False, unique=True)
    if has_own and rng.random() < 0.3:
        links.append(_self_link(number, own, columns))
    table = sa.Table(name, metadata, *columns.values(), info={"tier": "manual", "label": f"T{number}"})
    if master is not None:
        table.info.update(tier="part", label=f"{master.info['label']}.T{number}", master_table=master.key)
    for link in links:
        parent = table if link.parent is None else link.parent
        table.append_constraint(
            sa.ForeignKeyConstraint(
                [m for m, _ in link.pairs], [parent.c[t] for _, t in link.pairs], ondelete="RESTRICT"
            )
        )
    return links


def _link(rng: random.Random, prefix: str, parent: sa.Table, *, key: bool, rename: bool) -> _Link:
    names = [c.name for c in parent.primary_key]
    if not key and rng.random() < 0.2:
        names = [f"u{parent.name[1:]}"]
    wanted = set(rng.sample(names, rng.randint(1, len(names)))) if rename else set()
    pairs = [(f"{prefix}_{n}" if n in wanted else n, n) for n in names]
    return _Link(parent, pairs, key, nullable=not key and rng.random() < 0.6)


def _self_link(number: int, own: list[str], columns: dict[str, sa.Column[Any]]) -> _Link:
    key = [c for c in columns.values() if c.primary_key]
    pairs = [(f"up{number}_{c.name}" if c.name in own else c.name, c.name) for c in key]
    for mine, theirs in pairs:
        if mine != theirs:
            columns[mine] = sa.Column(mine, columns[theirs].type, nullable=True)
    return _Link(None, pairs, key=False, nullable=True)


def _random_rows(rng: random.Random, made: Schema, table: sa.Table, links: list[_Link], most: int) -> None:
    made.rows[table.name] = []
    there: set[Spot] = set()
    for attempt in range(most):
        row = _random_row(rng, made, table, links)
        row[f"u{table.name[1:]}"] = attempt + 1000 * int(table.name[1:])
        spot = made.spot(table, row)
        if spot not in there and all(_refers(made, table, link, row) for link in links):
            made.rows[table.name].append(row)
            there.add(spot)


def _random_row(rng: random.Random, made: Schema, table: sa.Table, links: list[_Link]) -> Row:
    row: Row = {}
    for link in links:
        parent = table if link.parent is None else link.parent
        agreeing = [r for r in made.rows[parent.name] if all(row.get(m, r[t]) in (None, r[t]) for m, t in link.pairs)]
        if agreeing and not (link.nullable and rng.random() < 0.3):
            chosen = agreeing[-1] if link.parent is None and rng.random() < 0.6 else rng.choice(agreeing)  # long lines
            row.update({mine: chosen[theirs] for mine, theirs in link.pairs})
    for column in table.columns:
        if column.name not in row:
            value = rng.randint(0, 4)
            text = isinstance(column.type, sa.String)
            row[column.name] = None if column.nullable and column.name != "v" else f"x{value}" if text else value
    return row


def _refers(made: Schema, table: sa.Table, link: _Link, row: Row) -> bool:
    """Whether a row refers to an existing row by `link`, or to none."""
    values = [row[mine] for mine, _ in link.pairs]
    parent = table if link.parent is None else link.parent
    return None in values or any([r[theirs] for _, theirs in link.pairs] == values for r in made.rows[parent.name])
