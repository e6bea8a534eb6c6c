"""Planning a table: which columns, foreign keys and links the annotations of a class ask for.

A link brings all primary-key columns of its parent. Two links may bring the same column when its values are first declared in
one place (a diamond); namesakes of different origin need a `rename`. A shared column is a key if any link is a key, and NOT NULL if
any link is.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import orm

from compdb import dag, types
from compdb.declare.annotations import Annotation, ForeignKeySpec, is_mapped
from compdb.errors import DeclarationError, InvalidValue, nearest

__all__ = ["ColumnPlan", "LinkPlan", "Plan", "make_plan"]


@dataclass
class ColumnPlan:
    """A column to be: its facts, and the links that bring it."""

    name: str
    type: sa.types.TypeEngine[Any] | None  # None: taken from the ForeignKey the user wrote
    key: bool
    nullable: bool
    place: int
    attribute: str
    origin: sa.Column[Any] | None = None
    given: orm.MappedColumn[Any] | None = None
    comment: str | None = None
    brought_by: list[str] = field(default_factory=list)


@dataclass
class LinkPlan:
    """A foreign key to be, with the relationship that stands for it (none for a part's link to its master)."""

    attribute: str | None
    target: type[Any]
    table: sa.Table | None  # None: the table itself
    pairs: tuple[tuple[str, str], ...]
    key: bool
    nullable: bool
    unique: bool


@dataclass
class Plan:
    """All that a table will have."""

    label: str
    columns: dict[str, ColumnPlan] = field(default_factory=dict)
    links: list[LinkPlan] = field(default_factory=list)

    def key(self) -> list[ColumnPlan]:
        """Return the key columns, in the order declared."""
        return sorted((c for c in self.columns.values() if c.key), key=lambda c: c.place)

    def own(self, link: LinkPlan) -> list[str]:
        """Return the columns that only this link brings and that may be NULL."""
        mine = [self.columns[name] for name, _ in link.pairs]
        return [c.name for c in mine if c.nullable and c.brought_by == [link.attribute]]


def make_plan(cls: type[Any], label: str, annotations: list[Annotation], master: type[Any] | None) -> Plan:
    """Return the plan of `cls`.

    Raises
    ------
    DeclarationError
        If the annotations contradict each other; shows the line to write.
    """
    plan = Plan(label)
    links: list[tuple[int, Annotation]] = []
    natives: list[tuple[int, Annotation]] = []
    for place, annotation in enumerate(annotations):
        is_link = annotation.type is cls or is_mapped(annotation.type)
        (links if is_link else natives).append((place, annotation))
        if not is_link and isinstance(annotation.given, ForeignKeySpec):
            raise DeclarationError(
                f"{label}.{annotation.name} = foreign_key(...): {_shown(annotation.type)} is no table of a pipeline; foreign_key"
                " goes with a link, Key[Parent] or Mapped[Parent]"
            )
    if master is not None:
        _add_link(plan, -1, Annotation("", True, master, False, None), cls)
    names = {annotation.name for _, annotation in links}
    for place, annotation in natives:
        _add_native(plan, place, annotation, cls)
    for wanted in (True, False):  # what is a key is settled before secondary links share it
        for place, annotation in links:
            if annotation.key is wanted and annotation.type is not cls and not _is_master(annotation, master):
                _add_link(plan, place, annotation, cls)
    for place, annotation in links:
        if annotation.type is cls:
            _add_link(plan, place, annotation, cls)
        elif _is_master(annotation, master):
            plan.links[0].attribute = annotation.name
    for column in plan.columns.values():
        if column.name in names and column.given is None:
            column.attribute = column.name + "_"
    return plan


def _is_master(annotation: Annotation, master: type[Any] | None) -> bool:
    return annotation.key and annotation.type is master and annotation.given is None


def _add_native(plan: Plan, place: int, annotation: Annotation, cls: type[Any]) -> None:
    where = f"{plan.label}.{annotation.name}"
    python_type, given = annotation.type, annotation.given
    if typing.get_origin(python_type) is typing.Annotated:
        python_type, *extra = typing.get_args(python_type)
        template = next((e for e in extra if isinstance(e, orm.MappedColumn)), None)
        given = given if given is not None or template is None else template._copy()
    elif given is not None and vars(cls).get(annotation.name) is not given:
        given = given._copy()  # a mixin's: each class needs a column of its own
    column = given.column if given is not None else None
    type_: sa.types.TypeEngine[Any] | None
    try:
        if column is not None and not column.type._isnull:
            type_ = types.portable(column.type)
        elif column is not None and column.foreign_keys:
            type_ = None
        else:
            type_ = types.column_type(python_type)
    except InvalidValue as error:
        raise DeclarationError(f"{where}: {error.reason}") from error
    if type_ is None and (column is None or not column.foreign_keys):
        raise DeclarationError(_no_type(where, annotation, python_type))
    name = (column.name if column is not None else None) or annotation.name
    key = annotation.key or (column is not None and column.primary_key)
    if column is not None and annotation.key and column.nullable and given is not None and given._has_nullable:
        raise DeclarationError(f"{where}: a key attribute cannot be NULL; take nullable=True out")
    nullable = not key and (
        bool(column.nullable)
        if column is not None and given is not None and given._has_nullable
        else annotation.nullable
    )
    plan.columns[name] = ColumnPlan(
        name,
        type_,
        key,
        nullable,
        place,
        annotation.name,
        given=given,
        comment=column.comment if column is not None else None,
    )


def _no_type(where: str, annotation: Annotation, python_type: Any) -> str:
    if isinstance(python_type, type) and hasattr(python_type, "__catalog__"):
        return f"{where}: {python_type.__name__} is a pipeline, or a table that is not declared yet; link to a table"
    shown = _shown(python_type)
    return (
        f"{where}: no column type for {shown}; give one, {annotation.name}: Mapped[{shown}] = mapped_column(...),"
        " or use Blob for arrays and nested data"
    )


def _shown(thing: Any) -> str:
    return getattr(thing, "__name__", None) or str(thing)


def _add_link(plan: Plan, place: int, annotation: Annotation, cls: type[Any]) -> None:
    spec = annotation.given if annotation.given is not None else ForeignKeySpec({}, unique=False)
    where = f"{plan.label}.{annotation.name}" if annotation.name else plan.label
    if not isinstance(spec, ForeignKeySpec):
        raise DeclarationError(
            f"{where} is a link to {_shown(annotation.type)}: write {annotation.name}: ... = foreign_key(...) to rename its"
            " columns or make it unique; mapped_column is for plain attributes"
        )
    table = None if annotation.type is cls else sa.inspect(annotation.type).local_table
    parent = _parent_key(plan, table)
    unknown = [name for name in spec.rename if name not in parent]
    if unknown:
        guess = nearest(unknown[0], parent)
        raise DeclarationError(
            f"{where}: rename of {unknown[0]!r}, which is no key attribute of {_shown(annotation.type)}"
            + (f"; did you mean {guess!r}?" if guess else "")
            + f"\nits key is: {', '.join(parent)}"
        )
    pairs = tuple((spec.rename.get(name, name), name) for name in parent)
    if table is None and all(mine == theirs for mine, theirs in pairs):
        example = {name: f"parent_{name}" for name in parent}
        raise DeclarationError(
            f"{where} refers to its own table, so a column needs another name here: {annotation.name}: ..."
            f" = foreign_key(rename={example})"
        )
    link = LinkPlan(
        annotation.name or None, annotation.type, table, pairs, annotation.key, annotation.nullable, spec.unique
    )
    for mine, theirs in pairs:
        _bring(plan, place, link, mine, parent[theirs])
    plan.links.append(link)


def _parent_key(plan: Plan, table: sa.Table | None) -> dict[str, ColumnPlan | sa.Column[Any]]:
    if table is None:
        return {c.name: c for c in plan.key()}
    return {c.name: c for c in table.primary_key}


def _bring(plan: Plan, place: int, link: LinkPlan, name: str, source: ColumnPlan | sa.Column[Any]) -> None:
    """Add column `name` for `link`, or share the one that is there."""
    if isinstance(source, ColumnPlan):
        origin = source.origin
        type_ = source.type
    else:
        origin = dag.origin(source)
        type_ = source.type
    there = plan.columns.get(name)
    if there is None:
        copied = type_.copy() if isinstance(type_, sa.types.SchemaType) else type_
        plan.columns[name] = ColumnPlan(
            name,
            copied,
            link.key,
            link.nullable and not link.key,
            place,
            name,
            origin,
            None,
            source.comment,
            [str(link.attribute)],
        )
        if link.attribute is None:
            plan.columns[name].brought_by = []
        return
    if isinstance(source, ColumnPlan) and there is source:
        return
    _check_shared(plan, link, name, there, origin, type_)
    there.key = there.key or link.key
    there.nullable = not there.key and there.nullable and link.nullable
    there.place = min(there.place, place)
    there.origin = there.origin if there.origin is not None else origin
    if link.attribute is not None:
        there.brought_by.append(link.attribute)
    if there.type is None or not there.brought_by[1:]:
        there.type = type_ if there.type is None else there.type


def _check_shared(
    plan: Plan, link: LinkPlan, name: str, there: ColumnPlan, origin: Any, type_: sa.types.TypeEngine[Any] | None
) -> None:
    where = f"{plan.label}.{link.attribute}"
    if there.origin is not None and origin is not None and there.origin is not origin:
        raise DeclarationError(
            f"{where} brings {name!r} of {dag.label(origin.table)}, and {plan.label} already has {name!r} of"
            f" {dag.label(there.origin.table)}; give one of them another name: {link.attribute}: ..."
            f" = foreign_key(rename={{{name!r}: '{link.attribute}_{name}'}})"
        )
    if there.origin is None and there.type is not None and type_ is not None:  # declared natively beside the link
        if there.given is not None and there.given.column.foreign_keys:
            return
        if there.type._type_affinity is not type_._type_affinity:
            raise DeclarationError(
                f"{where} brings {name!r} as {type_!r}, but {plan.label}.{there.attribute} declares it as {there.type!r}; use"
                " the parent's type or a foreign_key(rename=...)"
            )
        there.type = type_
