"""Matching: which attributes of two relations are one and the same, and which of them need comparing.

Namesakes are one attribute if they have one origin: the column where, at the root of the foreign keys, their values were first
declared. Of those, an attribute that hangs on others is not compared: if both sides read it from one column of a table, and the
primary key of the row it stands in is matched, both read the same cell, be it NULL, a blob or a float.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from compdb import dag
from compdb.algebra.heading import Attribute, Heading, Place
from compdb.errors import JoinError

if TYPE_CHECKING:
    from compdb.algebra.relation import Relation

__all__ = ["common", "compared", "determines", "matched", "merge_attributes", "refuse_json", "route"]


def common(left: Heading, right: Heading) -> tuple[list[str], list[str]]:
    """Return the namesakes that are one attribute, and those that only share the name."""
    one: list[str] = []
    two: list[str] = []
    for name in left.names:
        if name in right:
            origin = left[name].origin
            same = origin is not None and origin is right[name].origin
            (one if same else two).append(name)
    return one, two


def compared(left: Heading, right: Heading, names: Iterable[str]) -> list[str]:
    """Return those of the matched `names` that must be compared; the others follow from them, if by way of each other.

    Raises
    ------
    JoinError
        If one of them is JSON.
    """
    todo = list(names)
    follows = {name: _named_by(left[name], right[name], set(todo)) for name in todo}
    for name in sorted(todo, key=lambda name: left[name].key + right[name].key):  # the secondary first
        rest = [n for n in todo if n != name]
        if follows[name] and name in _closure(rest, follows):
            todo = rest
    refuse_json(left, todo)
    return todo


def refuse_json(heading: Heading, names: Iterable[str]) -> None:
    """Refuse to compare JSON, of which databases do not agree when two are equal.

    Raises
    ------
    JoinError
        Shows what to write instead.
    """
    for name in names:
        if isinstance(heading[name].type, sa.JSON):
            raise JoinError(
                f"{name!r} is JSON, which is not compared as a whole; leave it out with proj(..., '-{name}'), "
                f"or take out of it what counts: proj(x='{name}.member:int')"
            )


def _named_by(mine: Attribute, theirs: Attribute, names: set[str]) -> list[frozenset[str]]:
    """Return the sets of matched attributes each of which names the one cell that both sides read the attribute from."""
    cells = {(p.column, p.row) for p in mine.places if p.row is not None and names.issuperset(p.row)}
    return [frozenset(p.row) for p in theirs.places if p.row is not None and (p.column, p.row) in cells]


def _closure(names: Iterable[str], follows: dict[str, list[frozenset[str]]]) -> set[str]:
    """Return `names` and all that follows from them."""
    known, size = set(names), -1
    while len(known) > size:
        size = len(known)
        known.update(name for name, rows in follows.items() if any(row <= known for row in rows))
    return known


def matched(left: Relation[Any], right: Relation[Any], operation: str) -> list[str]:
    """Return the attributes on which two relations join.

    Raises
    ------
    JoinError
        If namesakes have different origins; shows the `proj` to write.
    """
    same, strangers = common(left.heading, right.heading)
    if strangers:
        raise JoinError(_clash(left, right, strangers, operation))
    return same


def _clash(left: Relation[Any], right: Relation[Any], names: list[str], operation: str) -> str:
    lines = [f"{name!r} in {left.label} and {name!r} in {right.label} are not the same attribute" for name in names]
    lines += [f"  {name}: {_source(left.heading[name])} and {_source(right.heading[name])}" for name in names]
    prefix = dag.label(right.table).replace(".", "_").lower() if right.table is not None else "other"
    renames = ", ".join(f'{prefix}_{name}="{name}"' for name in names)
    keep = "" if all(right.heading[name].key for name in names) and len(right.heading.secondary_attributes) == 0 else "..., "
    written = right.written if " " not in right.written else f"({right.written})"
    fix = f"{written}.proj({keep}{renames})"
    return "\n".join([*lines, f"rename on one side: {operation.format(left.written, fix)}"])


def _source(attribute: Attribute) -> str:
    origin = attribute.origin
    return "computed" if origin is None else f"from {dag.label(origin.table)}.{origin.name}"


def determines(left: Heading, right: Heading, names: Iterable[str]) -> bool:
    """Say whether a row of `left` has at most one match in `right`: all of its key is matched."""
    return set(names).issuperset(right.primary_key)


def merge_attributes(left: Heading, right: Heading, names: Iterable[str]) -> dict[str, Attribute]:
    """Return the matched attributes: the left column, and the places of both."""
    merged = {}
    for name in names:
        mine, theirs = left[name], right[name]
        places = (*mine.places, *(p for p in theirs.places if p not in mine.places))
        merged[name] = replace(mine, places=places)
    return merged


def route(left: Relation[Any], right: Relation[Any]) -> tuple[sa.FromClause | None, list[tuple[Any, Any]]]:
    """Return how two relations without a common attribute are related by foreign keys.

    Returns
    -------
    between : FromClause or None
        The tables between them, joined.
    pairs : list of (ColumnElement, ColumnElement)
        What must be equal at both ends; without tables between: a column of `right` and one of `left`.

    Raises
    ------
    JoinError
        If there is no path, or more than one; lists them.
    """
    found = []
    for path, down in _all_paths(left, right):
        ends = (path[0], path[-1])
        lower, upper = (left, right) if not down else (right, left)
        start = _columns(lower, ends[0].child, [mine for mine, _ in ends[0].pairs])
        stop = _columns(upper, ends[1].parent, [theirs for _, theirs in ends[1].pairs])
        if start is not None and stop is not None:
            found.append((path, start, stop, down))
    if len(found) != 1:
        raise JoinError(_no_route(left, right, [path for path, *_ in found]))
    path, start, stop, down = found[0]
    if len(path) == 1:
        return None, list(zip(start, stop) if down else zip(stop, start))
    return _joined(path, start, stop)


def _tables(relation: Relation[Any]) -> list[sa.Table]:
    """Return the tables whose columns are attributes of the relation."""
    if relation.table is not None:
        return [relation.table]
    return list(dict.fromkeys(p.column.table for a in relation.heading for p in a.places if p.row is not None))


def _all_paths(left: Relation[Any], right: Relation[Any]) -> list[tuple[list[dag.Edge], bool]]:
    """Return the paths of foreign keys between the tables of two relations, and whether `right` is the lower end."""
    mine, theirs = _tables(left), _tables(right)
    inner = {*mine, *theirs}
    found: list[tuple[list[dag.Edge], bool]] = []
    for a in mine:
        for b in theirs:
            found += [(path, False) for path in dag.paths(a, b)]
            found += [(path, True) for path in dag.paths(b, a)]
    return [(path, down) for path, down in found if not any(edge.parent in inner for edge in path[:-1])]


def _columns(relation: Relation[Any], table: sa.Table, names: list[str]) -> list[sa.ColumnElement[Any]] | None:
    """Return the columns of the relation that hold these columns of a table, or None if some are gone."""
    found = []
    for name in names:
        place = Place(table.c[name], None)
        held = [a for a in relation.heading if any(p.column is place.column for p in a.places)]
        if not held:
            return None
        found.append((next((a for a in held if a.name == name), held[0])).column)
    return found


def _joined(
    path: list[dag.Edge], start: list[sa.ColumnElement[Any]], stop: list[sa.ColumnElement[Any]]
) -> tuple[sa.FromClause, list[tuple[Any, Any]]]:
    """Join the tables between the ends of a path, each under a name of its own."""
    between = [edge.parent.alias() for edge in path[:-1]]
    source: sa.FromClause = between[0]
    for edge, lower, upper in zip(path[1:-1], between, between[1:]):
        source = source.join(upper, sa.and_(*(lower.c[mine] == upper.c[theirs] for mine, theirs in edge.pairs)))
    pairs: list[tuple[Any, Any]] = [(column, between[0].c[theirs]) for column, (_, theirs) in zip(start, path[0].pairs)]
    pairs += [(between[-1].c[mine], column) for column, (mine, _) in zip(stop, path[-1].pairs)]
    return source, pairs


def _no_route(left: Relation[Any], right: Relation[Any], paths: list[list[dag.Edge]]) -> str:
    pair = f"{left.label} and {right.label}"
    if not paths:
        return (
            f"{pair} have no attribute in common and no path of foreign keys between them; "
            "to ask whether the other has any row at all, write `A & bool(B)`"
        )
    lines = [
        f"{pair} have no attribute in common and {len(paths)} paths of foreign keys between them; "
        "choose one by renaming with proj, or by way of the tables between:"
    ]
    for path in paths:
        steps = [f"{dag.label(e.child)}({', '.join(mine for mine, _ in e.pairs)})" for e in path]
        fix = ""
        if len(path) == 1:
            renames = ", ".join(f'{theirs}="{mine}"' for mine, theirs in path[0].pairs)
            fix = f": {dag.label(path[0].child)}.proj({renames})"
        lines.append("  " + " -> ".join([*steps, dag.label(path[-1].parent)]) + fix)
    return "\n".join(lines)
