"""Tables that refer to themselves: the rows below a row, in the order in which they can go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa

from compdb import dag
from compdb.cascade.keys import Key, Keys, Term, raw

__all__ = ["close", "empty", "peel", "untie"]


def close(
    connection: sa.Connection, table: sa.Table, loops: Sequence[dag.Edge], starts: Sequence[sa.ColumnElement[bool]]
) -> tuple[list[list[Key]], list[Key]]:
    """Follow the self-references `loops` down from the rows that `starts` pick, to any depth.

    Returns
    -------
    layers : list of list of key
        Primary keys, the rows that nobody refers to first.
    knots : list of key
        Rows that refer to each other in a circle, and those that such rows refer to.
    """
    names = tuple(column.name for column in table.primary_key)
    child, parent = table.alias("child"), table.alias("parent")
    query = sa.select(*(raw(table.c[n]) for n in names))
    found = {tuple(row): None for where in starts for row in connection.execute(query.where(where))}
    below: dict[Key, set[Key]] = {}
    todo = Keys([found])
    while not todo.empty:
        fresh: dict[Key, None] = {}
        for edge in loops:
            refers = sa.and_(*(child.c[mine] == parent.c[theirs] for mine, theirs in edge.pairs))
            pairs = sa.select(*(raw(t.c[n]) for t in (child, parent) for n in names)).select_from(
                child.join(parent, refers)
            )
            for where in Term(todo, names).conditions(parent):
                for row in map(tuple, connection.execute(pairs.where(where))):
                    below.setdefault(row[len(names) :], set()).add(row[: len(names)])
                    if row[: len(names)] not in found:
                        fresh[row[: len(names)]] = None
        found |= fresh
        todo = Keys([fresh])
    return peel(found, below)


def untie(connection: sa.Connection, table: sa.Table, loops: Sequence[dag.Edge], knots: Keys) -> None:
    """Set the self-references of `knots` to NULL, where they may be NULL, so that the rows can go."""
    nothing = {mine: None for edge in loops for mine, _ in edge.pairs if table.c[mine].nullable}
    if nothing:
        names = tuple(column.name for column in table.primary_key)
        for where in Term(knots, names).conditions(table):
            connection.execute(sa.update(table).where(where).values(nothing))


def empty(connection: sa.Connection, table: sa.Table, loops: Sequence[dag.Edge]) -> None:
    """Delete all rows of a table to which only itself refers."""
    layers, knots = close(connection, table, loops, [sa.true()])
    untie(connection, table, loops, Keys([knots]))
    names = tuple(column.name for column in table.primary_key)
    for where in Term(Keys([*layers, knots]), names).conditions(table):
        connection.execute(sa.delete(table).where(where))


def peel(rows: Iterable[Key], below: Mapping[Key, set[Key]]) -> tuple[list[list[Key]], list[Key]]:
    """Order `rows` into layers, each without rows of `below` once the layers before it are gone; and what is left over."""
    waiting = {row: len(below.get(row, ())) for row in rows}
    above: dict[Key, list[Key]] = {}
    for upper, lowers in below.items():
        for lower in lowers:
            above.setdefault(lower, []).append(upper)
    layers = []
    layer = [row for row, count in waiting.items() if not count]
    while layer:
        layers.append(layer)
        ready = []
        for row in layer:
            for upper in above.get(row, ()):
                waiting[upper] -= 1
                if not waiting[upper]:
                    ready.append(upper)
        layer = ready
    return layers, [row for row, count in waiting.items() if count]
