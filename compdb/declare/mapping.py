"""Mapping a class: its plan becomes mapped columns, constraints and relationships, and SQLAlchemy does the rest."""

from __future__ import annotations

import inspect
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc, orm
from sqlalchemy.util import get_annotations

from compdb import dag, dialects, types
from compdb.declare import again, checks, links
from compdb.declare.annotations import read
from compdb.declare.catalog import Catalog
from compdb.declare.indexes import index_links
from compdb.declare.plan import LinkPlan, Plan, make_plan
from compdb.errors import DeclarationError
from compdb.names import snake_case

__all__ = ["declare"]


def declare(cls: type[Any], catalog: Catalog, parts: list[type[Any]]) -> None:
    """Map `cls` and its `parts` as tables of the pipeline.

    Raises
    ------
    DeclarationError
        With the line to write; nothing of the class stays behind then, and a class it was to replace stays in force.
    """
    label = cls.__name__
    _check_new(cls, label)
    with again.replacing(cls, label, catalog) as _:
        _declare_one(cls, label, catalog, None)
        catalog.classes[label] = cls
        for part in parts:
            name = f"{label}.{part.__name__}"
            inner = [v for v in vars(part).values() if isinstance(v, type) and getattr(v, "__tier__", None) == "part"]
            if inner:
                raise DeclarationError(
                    f"{name}.{inner[0].__name__}: a part has no parts; declare {inner[0].__name__} inside {label}, with a link"
                    f" to {part.__name__}: {snake_case(part.__name__)}: Key[{part.__name__}]"
                )
            if "__table__" in vars(part):
                raise DeclarationError(
                    f"{name}: this part class belongs to {part.__table__.info.get('label')} already; write a class of its own"
                )
            _declare_one(part, name, catalog, cls)
            catalog.classes[name] = part
    dag.changed()


def _check_new(cls: type[Any], label: str) -> None:
    for base in cls.__mro__[1:]:
        if "__table__" in vars(base):
            raise DeclarationError(
                f"{label}: the table {base.__name__} cannot be subclassed; put what they share into a plain mixin class, or link"
                f" to it: {snake_case(base.__name__)}: Key[{base.__name__}]"
            )


def _declare_one(cls: type[Any], label: str, catalog: Catalog, master: type[Any] | None) -> None:
    tier = cls.__tier__
    rows_per_key = getattr(cls, "rows_per_key", None)
    original = dict(get_annotations(cls))
    plan: Plan | None = None
    if "__table__" not in vars(cls):
        if "__tablename__" not in vars(cls):
            own = snake_case(cls.__name__)
            cls.__tablename__ = own if master is None else f"{master.__table__.name}__{own}"
        plan = make_plan(cls, label, read(cls, label, catalog, master), master)
        checks.check_names(plan, cls.__tablename__, tier)
        _check_table_name(cls.__tablename__, label, catalog)
        if not any(_is_plain_key(v) for v in vars(cls).values()) or plan.key():
            checks.check_key(plan, tier, rows_per_key)
        _expand(cls, plan, catalog)
    try:
        _map(cls, catalog, master)
    except exc.SQLAlchemyError as error:
        raise DeclarationError(f"{label}: {error}") from error
    finally:
        cls.__annotations__ = original
    table: sa.Table = cls.__table__
    table.info.update(
        {"tier": tier, "label": label, "class": cls, "links": plan.links if plan else [], "pipeline": catalog.name}
    )
    if master is not None:
        table.info["master_table"] = master.__table__.key
    if plan is None:
        _describe(table, cls, tier)
    else:
        index_links(table)
    dag.changed()
    checks.check_table(table, tier, rows_per_key)
    for link in plan.links if plan else []:
        if link.attribute:
            links.keep_columns_in_step(cls, link, plan.links if plan else [])


def _check_table_name(name: str, label: str, catalog: Catalog) -> None:
    there = catalog.metadata.tables.get(f"{catalog.schema}.{name}" if catalog.schema else name)
    if there is not None:
        raise DeclarationError(
            f"{label} and {dag.label(there)} would both be table {name!r}; give one of them another name"
        )


def _is_plain_key(value: object) -> bool:
    return (
        isinstance(value, (orm.MappedColumn, sa.Column))
        and (value.column if isinstance(value, orm.MappedColumn) else value).primary_key
    )


def _map(cls: type[Any], catalog: Catalog, master: type[Any] | None) -> None:
    """Hand the class to SQLAlchemy; a part under a name of its own, since two masters may have parts of one name."""
    short = cls.__name__
    if master is None:
        catalog.registry.mapped(cls)
        return
    type.__setattr__(cls, "__name__", f"{master.__name__}_{short}")
    try:
        catalog.registry.mapped(cls)
    finally:
        type.__setattr__(cls, "__name__", short)
    for name, value in (("registry", catalog.registry), ("metadata", catalog.metadata), ("__catalog__", catalog)):
        type.__setattr__(cls, name, value)


def _expand(cls: type[Any], plan: Plan, catalog: Catalog) -> None:
    """Put the plan into the class as SQLAlchemy writes it: mapped columns, relationships and table arguments."""
    handled = {c.attribute for c in plan.columns.values()} | {x.attribute for x in plan.links}
    for column in plan.columns.values():
        setattr(cls, column.attribute, _mapped_column(column))
    for link in plan.links:
        if link.attribute:
            setattr(cls, link.attribute, links.relate(cls, link, plan.links))
    rest = {n: a for n, a in get_annotations(cls).items() if n not in handled}
    cls.__annotations__ = {n: a for n, a in rest.items() if not isinstance(vars(cls).get(n), orm.MappedColumn)}
    cls.__table_args__ = _table_arguments(cls, plan, catalog)


def _mapped_column(column: Any) -> orm.MappedColumn[Any]:
    order = column.place - (100_000 if column.key else 0)
    if column.given is None:
        return orm.mapped_column(
            column.name,
            column.type,
            primary_key=column.key,
            nullable=column.nullable,
            autoincrement=False,
            comment=column.comment,
            sort_order=order,
            deferred=isinstance(column.type, types.Blob),  # blobs stay on the server until they are touched
        )
    given: orm.MappedColumn[Any] = column.given
    given.column.primary_key = column.key
    given.column.nullable = column.nullable
    given.column.autoincrement = False
    given.column.comment = column.comment
    if column.type is not None and column.type is not given.column.type:
        given.column.type = column.type
        if isinstance(column.type, sa.sql.base.SchemaEventTarget):  # as Column() does: an enum brings its CHECK
            column.type._set_parent_with_dispatch(given.column)
    given._has_nullable = True
    given._sort_order = order
    given.deferred = given.deferred or isinstance(column.type, types.Blob)
    return given


def _table_arguments(cls: type[Any], plan: Plan, catalog: Catalog) -> tuple[Any, ...]:
    user = getattr(cls, "__table_args__", None) or ()
    user = (user,) if isinstance(user, dict) else tuple(user)
    options = {**dialects.TABLE_OPTIONS, **(user[-1] if user and isinstance(user[-1], dict) else {})}
    items = list(user[:-1] if user and isinstance(user[-1], dict) else user)
    if catalog.schema != catalog.metadata.schema:
        options.setdefault("schema", catalog.schema)
    options["comment"] = _comment(cls.__tier__, options.get("comment") or _first_line(cls))
    for link in plan.links:
        items += _constraints(plan, link, cls.__tablename__, catalog)
    return (*items, options)


def _describe(table: sa.Table, cls: type[Any], tier: str) -> None:
    table.comment = _comment(tier, table.comment or _first_line(cls))


def _comment(tier: str, text: str | None) -> str:
    return f"{tier}: {text}" if text else tier


def _first_line(cls: type[Any]) -> str | None:
    doc = cls.__dict__.get("__doc__")
    return inspect.cleandoc(doc).split("\n")[0].strip() or None if doc else None


def _constraints(plan: Plan, link: LinkPlan, table_name: str, catalog: Catalog) -> list[sa.schema.SchemaItem]:
    mine = [m for m, _ in link.pairs]
    refers: list[Any]
    if link.table is None:
        schema = catalog.schema
        refers = [f"{schema + '.' if schema else ''}{table_name}.{theirs}" for _, theirs in link.pairs]
    elif link.table.metadata is catalog.metadata:
        refers = [f"{link.table.fullname}.{theirs}" for _, theirs in link.pairs]
    else:
        refers = [link.table.c[theirs] for _, theirs in link.pairs]
    found: list[sa.schema.SchemaItem] = [sa.ForeignKeyConstraint(mine, refers, ondelete="RESTRICT")]
    if link.unique:
        found.append(sa.UniqueConstraint(*mine))
    own = plan.own(link)
    if len(own) > 1:
        nothing = sa.and_(*(sa.column(name).is_(None) for name in own))
        everything = sa.and_(*(sa.column(name).is_not(None) for name in own))
        found.append(sa.CheckConstraint(sa.or_(nothing, everything), name=f"{link.attribute}_all_or_none"))
    return found
