"""Declaring a class again, as a notebook does when a cell is run a second time: it replaces the first, children follow by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from compdb import dag
from compdb.declare import links
from compdb.declare.catalog import Catalog
from compdb.errors import DeclarationError

__all__ = ["replacing"]


@contextmanager
def replacing(cls: type[Any], label: str, catalog: Catalog) -> Iterator[None]:
    """Take the class that `cls` declares again out of force while the new one is mapped; put it back if that fails."""
    old = catalog.classes.get(label)
    if old is not None and (old.__module__, old.__qualname__) != (cls.__module__, cls.__qualname__):
        raise DeclarationError(
            f"{catalog.name} has a table {label} already, from {old.__module__}.{old.__qualname__}; this one is from"
            f" {cls.__module__}.{cls.__qualname__}. Give one of them another name"
        )
    replaced = _family(catalog, label)
    following = [f for c in replaced.values() for f in _followers(c) if f.child.info.get("label") not in replaced]
    places = list(catalog.classes)
    for name in replaced:
        _forget(catalog, name)
    try:
        yield
    except BaseException:
        for name in _family(catalog, label):
            _forget(catalog, name)
        _drop_half_made(cls, catalog)
        for name, former in replaced.items():
            _restore(catalog, name, former)
        _sort(catalog, places)
        dag.changed()
        raise
    _sort(catalog, places)
    dag.changed()
    if replaced:
        _follow(label, replaced, following, catalog)


def _sort(catalog: Catalog, places: list[str]) -> None:
    """Let a replaced class keep its place in the order of declaration."""
    rank = {name: i for i, name in enumerate(places)}
    catalog.classes = dict(sorted(catalog.classes.items(), key=lambda item: rank.get(item[0], len(rank))))


def _family(catalog: Catalog, label: str) -> dict[str, type[Any]]:
    return {n: c for n, c in catalog.classes.items() if n == label or n.startswith(label + ".")}


@dataclass(frozen=True)
class _Follower:
    """A foreign key to a class that is declared again: its columns, and those of the former class that they refer to."""

    child: sa.Table
    former: type[Any]
    constraint: sa.ForeignKeyConstraint
    pairs: tuple[tuple[str, sa.Column[Any]], ...]


def _followers(former: type[Any]) -> list[_Follower]:
    """Return the foreign keys, those of jobs tables too, that refer to the table of `former`."""
    table: sa.Table = former.__table__
    found = {e.constraint for e in dag.children(table) if e.child is not table}
    jobs = (t for t in table.metadata.tables.values() if dag.tier(t) == "jobs")
    found |= {c for t in jobs for c in t.foreign_key_constraints if c.elements[0].column.table is table}
    return [_Follower(c.table, former, c, tuple((e.parent.name, e.column) for e in c.elements)) for c in found]


def _forget(catalog: Catalog, name: str) -> None:
    cls = catalog.classes.pop(name)
    table: sa.Table = cls.__table__
    catalog.metadata.remove(table)
    jobs = catalog.metadata.tables.get(f"{table.key}__jobs")
    if jobs is not None:
        catalog.metadata.remove(jobs)
    _unregister(catalog, cls, name)


def _unregister(catalog: Catalog, cls: type[Any], name: str) -> None:
    short = cls.__name__
    type.__setattr__(cls, "__name__", name.replace(".", "_"))
    try:
        catalog.registry._dispose_cls(cls)
    finally:
        type.__setattr__(cls, "__name__", short)


def _drop_half_made(cls: type[Any], catalog: Catalog) -> None:
    """Take out what a failed declaration had put into the MetaData before it failed."""
    mine = [cls, *(v for v in vars(cls).values() if isinstance(v, type) and getattr(v, "__tier__", None) == "part")]
    for made in mine:
        table = vars(made).get("__table__")
        name = vars(made).get("__tablename__")
        if table is None and name is not None:
            schema = catalog.schema
            table = catalog.metadata.tables.get(f"{schema}.{name}" if schema else name)
        if isinstance(table, sa.Table) and table.info.get("class") not in (None, made):
            continue  # of another class that has this table name
        if isinstance(table, sa.Table) and table.key in catalog.metadata.tables and table.metadata is catalog.metadata:
            catalog.metadata.remove(table)
        if isinstance(sa.inspect(made, raiseerr=False), orm.Mapper):
            label = made.__name__ if made is cls else f"{cls.__name__}.{made.__name__}"
            _unregister(catalog, made, label)


def _restore(catalog: Catalog, name: str, cls: type[Any]) -> None:
    table: sa.Table = cls.__table__
    catalog.metadata._add_table(table.name, table.schema, table)
    jobs = table.info.get("jobs")
    if jobs is not None:
        catalog.metadata._add_table(jobs.table.name, jobs.table.schema, jobs.table)
    catalog.registry._class_registry[name.replace(".", "_")] = cls
    catalog.classes[name] = cls


def _follow(label: str, replaced: dict[str, type[Any]], following: list[_Follower], catalog: Catalog) -> None:
    """Let the foreign keys and links of the children refer to the new classes."""
    lost: dict[str, str] = {}
    for follower in following:
        name = follower.former.__table__.info["label"]
        new = catalog.classes.get(name)
        problem = f"{name} is gone" if new is None else _lacks(follower, new.__table__)
        if problem:
            lost[str(follower.child.info.get("label", follower.child.name))] = problem
    if lost:
        _refuse(label, replaced, lost, catalog)
    for follower in following:
        new = catalog.classes[follower.former.__table__.info["label"]]
        _repoint(follower, new.__table__)
        _relink(follower.child, follower.former, new)
    dag.changed()


def _refuse(label: str, replaced: dict[str, type[Any]], lost: dict[str, str], catalog: Catalog) -> None:
    """Take the class and all that builds on it out of the pipeline, so that running their cells again works; say so."""
    masters = {name.split(".")[0] for name in lost if name.split(".")[0] in catalog.classes}
    below = {dag.label(t).split(".")[0] for m in masters for t in dag.descendants(catalog.classes[m].__table__)}
    cells = [name for name in catalog.classes if name in masters | below]
    for name in [*reversed(cells), label]:
        for member in list(_family(catalog, name)):
            _forget(catalog, member)
    dag.changed()
    reasons = "; ".join(f"{problem}, which {child} refers to" for child, problem in lost.items())
    raise DeclarationError(
        f"{label} was declared again without what others build on: {reasons}. They are out of the pipeline now: run the cells"
        f" of {', '.join([label, *cells])} again, in this order (the database is as it was)"
    )


def _lacks(follower: _Follower, new: sa.Table) -> str | None:
    """Return what `new` no longer has of what the foreign key needs, or None."""
    for _, old in follower.pairs:
        there = new.c.get(old.name)
        if there is None:
            return f"{dag.label(new)} has lost {old.name!r}"
        if old.primary_key and not there.primary_key:
            return f"{dag.label(new)} no longer has {old.name!r} in its key"
        if there.type._type_affinity is not old.type._type_affinity or _size(there) != _size(old):
            return f"{dag.label(new)} has retyped {old.name!r}"
    former: sa.Table = follower.former.__table__
    if {c.name for c in former.primary_key} == {old.name for _, old in follower.pairs}:
        more = sorted({c.name for c in new.primary_key} - {c.name for c in former.primary_key})
        if more:
            return f"{dag.label(new)} has gained {', '.join(map(repr, more))} in its key"
    return None


def _repoint(follower: _Follower, new: sa.Table) -> None:
    """Make the foreign key refer to `new`."""
    child, constraint = follower.child, follower.constraint
    child.constraints.discard(constraint)
    for element in list(constraint.elements):
        element.parent.foreign_keys.discard(element)
        child.foreign_keys.discard(element)
    names = [name for name, _ in follower.pairs]
    targets = [old.name for _, old in follower.pairs]
    refers: list[Any] = (
        [f"{new.fullname}.{t}" for t in targets] if new.metadata is child.metadata else [new.c[t] for t in targets]
    )
    child.append_constraint(sa.ForeignKeyConstraint(names, refers, name=constraint.name, ondelete=constraint.ondelete))


def _size(column: sa.Column[Any]) -> Any:
    return getattr(column.type, "length", None)


def _relink(child: sa.Table, old: type[Any], new: type[Any]) -> None:
    """Give the child's links to `old` a new relationship, to `new`."""
    cls = child.info.get("class")
    if cls is None:
        return
    all_links = child.info["links"]
    for link in all_links:
        if link.target is not old:
            continue
        link.target, link.table = new, new.__table__
        if link.attribute is None:
            continue
        _unmap(cls, link.attribute)
        setattr(cls, link.attribute, links.relate(cls, link, all_links))
        links.keep_columns_in_step(cls, link, all_links)


def _unmap(cls: type[Any], name: str) -> None:
    """Take a relationship off a mapped class, which SQLAlchemy has no public way for: a new one takes its place at once."""
    mapper = sa.inspect(cls)
    manager = mapper.class_manager
    manager.local_attrs.pop(name, None)
    manager.pop(name, None)
    manager._reset_memoizations()
    mapper._props.pop(name, None)
    type.__delattr__(cls, name)
