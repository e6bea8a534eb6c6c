"""What there is to draw: a node for each table, a link for each foreign key between them, in words that all formats share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from compdb import dag

__all__ = ["Link", "Node", "Scene", "Stroke", "scene_of"]

Stroke = Literal["thick", "solid", "dashed"]
"""thick: the child's key is exactly the parent's; solid: part of the child's key; dashed: a secondary attribute."""


@dataclass(frozen=True, slots=True)
class Node:
    """A table as it is drawn.

    Attributes
    ----------
    table : Table
    name : str
        Its label; with its name in the database where two tables share a label.
    tier : str
        lookup, manual, imported, computed, part, or other for a table of no tier.
    colour : str
        The tier whose colours it has: a part has its master's.
    dimension : bool
        Whether its key has an attribute of its own, which no other table declares.
    tooltip : str
        Tier, comment and heading.
    progress : (int, int) or None
        Rows done, and rows there will be.
    """

    table: sa.Table
    name: str
    tier: str
    colour: str
    dimension: bool
    tooltip: str
    progress: tuple[int, int] | None

    @property
    def count(self) -> str:
        """The progress in words, or nothing."""
        return "{:,} / {:,}".format(*self.progress) if self.progress else ""


@dataclass(frozen=True, slots=True)
class Link:
    """A foreign key as it is drawn, between nodes given by their numbers.

    Attributes
    ----------
    parent, child : int
    stroke : Stroke
    alias : str
        The child's names of the columns that are renamed; empty if none is.
    tooltip : str
    """

    parent: int
    child: int
    stroke: Stroke
    alias: str
    tooltip: str


@dataclass(frozen=True, slots=True)
class Scene:
    """All nodes and links of a diagram."""

    nodes: tuple[Node, ...]
    links: tuple[Link, ...]


def scene_of(tables: Sequence[sa.Table], progress: Mapping[str, tuple[int, int]] | None = None) -> Scene:
    """Return what to draw for these tables.

    Parameters
    ----------
    tables : sequence of Table
    progress : mapping of label to (remaining, total), optional
        What populate has still to do, as `Table.progress()` tells it.
    """
    number = {table: i for i, table in enumerate(tables)}
    shared = {label for label, count in Counter(map(dag.label, tables)).items() if count > 1}
    nodes = tuple(_node(table, dag.label(table) in shared, progress or {}) for table in tables)
    names = {table: node.name for table, node in zip(tables, nodes)}
    edges = [edge for table in tables for edge in dag.parents(table) if edge.parent in number]
    links = tuple(Link(number[e.parent], number[e.child], _stroke(e), _alias(e), _link_tip(e, names)) for e in edges)
    return Scene(nodes, links)


def _node(table: sa.Table, shared: bool, progress: Mapping[str, tuple[int, int]]) -> Node:
    tier = dag.tier(table) or "other"
    master = dag.master(table) if tier == "part" else None
    label = dag.label(table)
    remaining, total = progress.get(label, (None, None))
    return Node(
        table,
        f"{label} ({table.fullname})" if shared else label,
        tier,
        (dag.tier(master) if master is not None else None) or ("other" if tier == "part" else tier),
        any(dag.origin(column) is column for column in table.primary_key),
        _node_tip(table, label, tier),
        None if remaining is None or total is None else (total - remaining, total),
    )


def _node_tip(table: sa.Table, label: str, tier: str) -> str:
    before, _, after = (table.comment or "").partition(":")
    comment = (after if before == tier else table.comment or "").strip()
    head = [f"{label} ({tier})" if tier != "other" else label, *([comment] if comment else [])]
    inherited = {mine: e for e in reversed(dag.parents(table)) for mine, _ in e.pairs}

    def line(column: sa.Column[Any]) -> str:
        text = f"{column.name} : {_type_name(column)}"
        if column.name in inherited:
            text += f"  -> {dag.label(inherited[column.name].parent)}"
        return text + (f"  # {column.comment}" if column.comment else "")

    key = [line(c) for c in table.columns if c.primary_key]
    rest = [line(c) for c in table.columns if not c.primary_key]
    return "\n".join([*head, "", *key, *(["---", *rest] if rest else [])])


def _type_name(column: sa.Column[Any]) -> str:
    """Return the Python type of a column as one would annotate it."""
    try:
        name = column.type.python_type.__name__
    except Exception:  # a type of the user's own may do anything; sa.types.NullType has none
        name = type(column.type).__name__
    return f"{name} | None" if column.nullable else name


def _stroke(edge: dag.Edge) -> Stroke:
    if not edge.primary:
        return "dashed"
    whole = {c.name for c in edge.child.primary_key} == {mine for mine, _ in edge.pairs}
    return "thick" if whole and edge.child is not edge.parent else "solid"


def _alias(edge: dag.Edge) -> str:
    renamed = [mine for mine, theirs in edge.pairs if mine != theirs]
    more = f" +{len(renamed) - 2}" if len(renamed) > 2 else ""
    return ", ".join(renamed[:2]) + more


def _link_tip(edge: dag.Edge, names: Mapping[sa.Table, str]) -> str:
    pairs = [mine if mine == theirs else f"{mine} = {theirs}" for mine, theirs in edge.pairs]
    kind = "in the key" if edge.primary else "may be empty" if edge.nullable else "a secondary attribute"
    return f"{names[edge.child]} -> {names[edge.parent]}: {', '.join(pairs)} ({kind})"
