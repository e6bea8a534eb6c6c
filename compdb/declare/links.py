"""Links at work: the relationship of a link, and what assigning a parent row to it does to the key columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, orm

from compdb.declare.plan import LinkPlan
from compdb.errors import InvalidValue, RestrictionError, shorten

__all__ = ["attribute_of", "keep_columns_in_step", "relate"]


def attribute_of(cls: type[Any], column: str) -> str:
    """Return the name of the attribute that `column` is mapped as: its own name, or `rig_` beside a link `rig`."""
    table = cls.__table__
    return str(sa.inspect(cls).get_property_by_column(table.c[column]).key)


class _Link(orm.RelationshipProperty.Comparator[Any]):
    """What a link answers in an expression: it is a row, so only a row (or None) compares with it."""

    def operate(self, op: Callable[..., Any], *other: Any, **kwargs: Any) -> Any:
        """Compare the link with a row or None; refuse anything else, naming the column to compare."""
        if op.__name__ in ("eq", "ne") and (
            other[0] is None or (sa.inspect(other[0], raiseerr=False) is not None and not isinstance(other[0], type))
        ):
            return super().operate(op, *other, **kwargs)
        cls = self._parententity.class_
        link = next(x for x in cls.__table__.info["links"] if x.attribute == self.prop.key)
        columns = [f"{cls.__name__}.{attribute_of(cls, mine)}" for mine, _ in link.pairs]
        raise RestrictionError(
            f"{cls.__name__}.{self.prop.key} is a link to a row of {link.target.__name__}; compare its columns: "
            + ", ".join(columns)
        )

    def __eq__(self, other: Any) -> Any:
        return self.operate(_eq, other) if not _is_row(other) else super().__eq__(other)

    def __ne__(self, other: Any) -> Any:
        return self.operate(_ne, other) if not _is_row(other) else super().__ne__(other)

    __hash__ = None


def _is_row(other: Any) -> bool:
    return other is None or (
        not isinstance(other, type) and isinstance(sa.inspect(other, raiseerr=False), orm.InstanceState)
    )


def _is_row_of(row: Any, target: type[Any]) -> bool:
    """Say whether `row` is one of `target`'s table; the class may have been declared again since."""
    if not _is_row(row):
        return False
    table = sa.inspect(target).local_table
    return any(mapper.local_table.key == table.key for mapper in sa.inspect(type(row)).iterate_to_root())


def _eq(a: Any, b: Any) -> Any:
    return a == b


def _ne(a: Any, b: Any) -> Any:
    return a != b


_eq.__name__, _ne.__name__ = "equals", "differs"


def relate(cls: type[Any], link: LinkPlan, links: list[LinkPlan]) -> orm.RelationshipProperty[Any]:
    """Return the relationship for `link` of `cls`: an ordinary one that shares columns with its siblings in peace."""
    target = cls if link.table is None else link.target

    def join() -> sa.ColumnElement[bool]:
        mine, theirs = cls.__table__, sa.inspect(target).local_table
        return sa.and_(*(orm.foreign(mine.c[m]) == orm.remote(theirs.c[t]) for m, t in link.pairs))

    return orm.relationship(
        (lambda: cls) if link.table is None else target,
        primaryjoin=join,
        uselist=False,
        overlaps=",".join(x.attribute for x in links if x.attribute),
        comparator_factory=_Link,
    )


def keep_columns_in_step(cls: type[Any], link: LinkPlan, links: list[LinkPlan]) -> None:
    """Let assigning a parent row to the link set its columns at once; parents must agree on shared columns."""
    assert link.attribute is not None
    shared = {mine for other in links if other is not link for mine, _ in other.pairs}
    label = cls.__table__.info["label"]
    target = cls if link.table is None else link.target

    @event.listens_for(getattr(cls, link.attribute), "set", propagate=True)
    def _set(row: Any, parent: Any, old: Any, initiator: Any) -> None:
        if parent is None:
            return
        if not _is_row_of(parent, target):
            columns = ", ".join(attribute_of(cls, mine) for mine, _ in link.pairs)
            raise InvalidValue(
                f"the link takes a row of {target.__name__}, not {shorten(parent)}; a value goes into its columns: {columns}",
                value=parent,
                table=label,
                attribute=link.attribute,
            )
        source = type(parent)
        for mine, theirs in link.pairs:
            value = getattr(parent, attribute_of(source, theirs))
            name = attribute_of(cls, mine)
            there = row.__dict__.get(name)
            if value is None:
                continue  # a default of the parent, known at its flush
            if mine in shared and there is not None and there != value:
                raise InvalidValue(
                    f"this {link.target.__name__} has {theirs} = {value!r}, but {mine} is {there!r} already, by another link or"
                    " value; the parents of one row must agree",
                    value=value,
                    table=label,
                    attribute=link.attribute,
                )
            setattr(row, name, value)
