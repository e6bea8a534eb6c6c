"""Hypothesis strategies for small pipelines: random tables that refer to each other, and rows that fit.

>>> from hypothesis import given
>>> @given(pipelines())
... def test_every_row_has_its_parents(made): ...

The tables have what breaks naive joins: composite keys, inherited columns that two links share (diamonds), renamed, secondary and
nullable foreign keys, references to the table itself, namesakes of different origin, hard texts and the ends of every range.
Values are few, so that rows meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from hypothesis import strategies as st

from compdb import dag, dialects
from compdb.testing.columns import HARD_TEXT
from compdb.types import column_type

__all__ = ["Link", "Made", "pipelines"]

Row = dict[str, Any]
Draw = Callable[[st.SearchStrategy[Any]], Any]

NUMBERS = (0, 1, 2, 2**63 - 1, -(2**63))
FLOATS = (0.5, 0.1, -1.5, 1.7976931348623157e308, 2.2250738585072014e-308)
MOST_TEXTS = 2
"""How many texts a key may have: MySQL has room for 3,072 bytes in one, of which a text of 255 characters takes 1,020."""
SECONDARY = ("x", "y", "note", "size")
"""Names that several tables use for attributes of their own."""


@dataclass(frozen=True)
class Link:
    """A foreign key of a table: the parent's name, and pairs of (own column, column of the parent)."""

    parent: str
    pairs: tuple[tuple[str, str], ...]


@dataclass
class Made:
    """Tables and rows.

    Attributes
    ----------
    metadata : MetaData
    links : dict
        The foreign keys of each table, by its name.
    rows : dict
        The rows of each table, parents first.
    """

    metadata: sa.MetaData
    links: dict[str, list[Link]] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=dict)

    @property
    def tables(self) -> list[sa.Table]:
        """The tables, parents first."""
        return list(self.metadata.tables.values())

    def create(self, engine: sa.Engine) -> None:
        """Create the tables and insert the rows; if that fails, there are none."""
        try:
            self.metadata.create_all(engine)
            with engine.begin() as connection:
                for table in self.tables:
                    for row in self.rows[table.name]:  # one by one: a row may refer to the one before
                        connection.execute(table.insert().values(row))
        except BaseException:
            self.metadata.drop_all(engine)
            raise


@st.composite
def pipelines(draw: Draw, max_tables: int = 5, max_rows: int = 8) -> Made:
    """Return a strategy for pipelines of up to so many tables, with up to so many rows in each."""
    made = Made(sa.MetaData(info={"pipeline": "Made"}))
    texts = draw(st.lists(st.sampled_from(HARD_TEXT), min_size=3, max_size=3, unique=True))
    domains = {int: NUMBERS, str: tuple(texts), float: FLOATS}
    for number in range(draw(st.integers(2, max_tables))):
        table = _table(draw, made, number)
        made.rows[table.name] = []
        for _ in range(draw(st.sampled_from([0, max_rows // 2, max_rows, max_rows]))):
            _add_row(draw, made, table, domains)
    dag.register(made.metadata)
    return made


def _table(draw: Draw, made: Made, number: int) -> sa.Table:
    """Declare one table more."""
    name = f"t{number}"
    columns: dict[str, sa.Column[Any]] = {}
    made.links[name] = []
    for _ in range(draw(st.sampled_from([0, 1, 1, 2])) if made.tables else 0):
        _link(draw, made, name, columns)
    if draw(st.booleans()) or not any(c.primary_key for c in columns.values()):
        key = draw(st.sampled_from([f"k{number}", f"k{number}", "a"]))
        while key in columns:
            key += "_"
        kinds = [int, int, str] if _texts(c for c in columns.values() if c.primary_key) < MOST_TEXTS else [int]
        columns[key] = sa.Column(key, column_type(draw(st.sampled_from(kinds))), primary_key=True, autoincrement=False)
    for own in draw(st.lists(st.sampled_from(SECONDARY), max_size=3, unique=True)):
        if own not in columns:
            kind = draw(st.sampled_from([int, str, float]))
            columns[own] = sa.Column(own, column_type(kind), nullable=draw(st.booleans()))
    if draw(st.integers(0, 3)) == 0:
        _self_link(made, name, columns)
    info = {"tier": "manual", "label": name.capitalize()}
    constraints = [_constraint(name, link) for link in made.links[name]]
    ordered = [*(c for c in columns.values() if c.primary_key), *(c for c in columns.values() if not c.primary_key)]
    options: dict[str, Any] = {"info": info, **dialects.TABLE_OPTIONS}
    return sa.Table(name, made.metadata, *ordered, *constraints, **options)


def _link(draw: Draw, made: Made, name: str, columns: dict[str, sa.Column[Any]]) -> None:
    """Refer to an earlier table: in the key or not, under its names or others; shared columns must have one origin."""
    parent = draw(st.sampled_from(made.tables))
    key = draw(st.booleans())
    nullable = not key and draw(st.booleans())
    renamed = draw(st.integers(0, 3)) == 0
    pairs = []
    for theirs in parent.primary_key:
        mine = f"{theirs.name}_{len(made.links[name])}" if renamed else theirs.name
        while mine in columns and _root(made, columns[mine], name) is not dag.origin(theirs):
            mine += "_"
        pairs.append((mine, theirs.name))
    link = Link(parent.name, tuple(pairs))
    if len({mine for mine, _ in pairs}) < len(pairs) or link in made.links[name]:
        return
    keyed = [c for c in columns.values() if c.primary_key]
    added = [parent.c[theirs] for mine, theirs in pairs if mine not in {c.name for c in keyed}]
    if key and _texts([*keyed, *added]) > MOST_TEXTS:
        return
    for mine, their_name in pairs:
        old = columns.get(mine)
        in_key = key or (old is not None and old.primary_key)
        null = nullable and not in_key and (old is None or bool(old.nullable))
        columns[mine] = sa.Column(
            mine, parent.c[their_name].type, primary_key=in_key, nullable=null, autoincrement=False
        )
    made.links[name].append(link)


def _texts(columns: Iterable[sa.Column[Any]]) -> int:
    """Return how many texts are among the columns of a key."""
    return sum(column.type.python_type is str for column in columns)


def _root(made: Made, column: sa.Column[Any], name: str) -> sa.Column[Any] | None:
    """Return the origin of a column of a table that is not declared yet."""
    for link in made.links[name]:
        for mine, theirs in link.pairs:
            if mine == column.name:
                return dag.origin(made.metadata.tables[link.parent].c[theirs])
    return None


def _self_link(made: Made, name: str, columns: dict[str, sa.Column[Any]]) -> None:
    """Let rows refer to rows of the same table; inherited parts of the key are shared."""
    own = [c for c in columns.values() if c.primary_key]
    inherited = {mine for link in made.links[name] for mine, _ in link.pairs}
    pairs = tuple((c.name if c.name in inherited else f"up_{c.name}", c.name) for c in own)
    if all(mine == theirs for mine, theirs in pairs) or any(
        mine != theirs and mine in columns for mine, theirs in pairs
    ):
        return
    for mine, theirs in pairs:
        if mine != theirs:
            columns[mine] = sa.Column(mine, columns[theirs].type, nullable=True)
    made.links[name].append(Link(name, pairs))


def _constraint(name: str, link: Link) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [mine for mine, _ in link.pairs],
        [f"{link.parent}.{theirs}" for _, theirs in link.pairs],
        name=f"fk_{name}_{'_'.join(mine for mine, _ in link.pairs)}_{link.parent}",
    )


def _add_row(draw: Draw, made: Made, table: sa.Table, domains: dict[type, tuple[Any, ...]]) -> None:
    """Add one row, if one can be found whose parents are there and whose key is new."""
    row: Row = {}
    for link in made.links[table.name]:
        free = [mine for mine, _ in link.pairs if mine not in row]
        there = [
            parent
            for parent in made.rows[link.parent]
            if all(row.get(mine, parent[theirs]) == parent[theirs] for mine, theirs in link.pairs)
        ]
        may_be_null = bool(free) and all(table.c[mine].nullable for mine in free)
        if there and not (may_be_null and draw(st.integers(0, 2)) == 0):
            parent = draw(st.sampled_from(there))
            row.update({mine: parent[theirs] for mine, theirs in link.pairs})
        elif may_be_null:
            row.update(dict.fromkeys(free))
        elif not any(row.get(mine) is None and mine in row for mine, _ in link.pairs):
            return
    for column in table.columns:
        if column.name not in row:
            values = st.sampled_from(domains[column.type.python_type])
            row[column.name] = draw(st.none() | values if column.nullable else values)
    key = [c.name for c in table.primary_key]
    if all([other[n] for n in key] != [row[n] for n in key] for other in made.rows[table.name]):
        made.rows[table.name].append(row)
