"""Rendering: types, defaults, checks and our own operations as the Python of a revision, which means the same on every database."""

from __future__ import annotations

import copy
import datetime as dt
import decimal
import uuid
from collections.abc import Mapping
from typing import Any, Literal

import sqlalchemy as sa
from alembic.autogenerate import renderers
from alembic.autogenerate.api import AutogenContext
from alembic.autogenerate.render import _repr_type as render_type  # there is no public way to it
from alembic.operations import ops
from sqlalchemy import exc
from sqlalchemy.sql import elements, functions, operators
from sqlalchemy.util import immutabledict

from compdb import codecs, dialects, types
from compdb.errors import InvalidValue
from compdb.migrate.operations import (
    AlterColumn,
    ChangeRows,
    CreateCheck,
    CreateKey,
    CreateTable,
    Fill,
    Inherit,
    Recompute,
)

__all__ = ["render_item"]

Type = sa.types.TypeEngine[Any]

_EVERYWHERE = tuple(database.unconnected() for database in dialects.FAMILY.values())


def render_item(kind: str, item: Any, context: AutogenContext) -> str | Literal[False]:
    """Write down a type, a default or a check for alembic; False leaves it to alembic."""
    if kind == "type":
        return _type(item, context)
    if kind == "server_default" and isinstance(getattr(item, "arg", None), dialects.utcnow):
        context.imports.add("from compdb import dialects")
        return "dialects.utcnow()"
    if kind == "server_default" and isinstance(item, sa.DefaultClause) and (written := _default(item.arg)) is not None:
        return written
    if isinstance(item, sa.CheckConstraint):
        return f"sa.CheckConstraint({_condition(item.sqltext, context)}, name=op.f({str(item.name)!r}))"
    return False


def _default(default: Any) -> str | None:
    """Write down a default so that it means the same on every database; None leaves it to alembic."""
    if isinstance(default, str):
        return repr(default)
    if isinstance(default, sa.TextClause):
        return f"sa.text({default.text!r})"  # alembic would double its percent signs
    if isinstance(default, (elements.False_, elements.True_)):
        return f"sa.{'true' if isinstance(default, elements.True_) else 'false'}()"
    if isinstance(default, functions.FunctionElement) and not list(default.clauses):
        return f"sa.func.{default.name}()"
    return None


# ---------------------------------------------------------------- types


def _type(type_: Type, context: AutogenContext) -> str | Literal[False]:
    if type(type_).__module__.startswith("compdb."):
        context.imports.add("from compdb import types")
        return f"types.{type_!r}"
    if isinstance(type_, sa.types.TypeDecorator):  # the user's own: the revision is to stand without it
        return render_type(type_.impl_instance, context)
    module = type(type_).__module__
    if not module.startswith("sqlalchemy."):
        context.imports.add(f"import {module}")
        return f"{module}.{type_!r}"
    if not type_._variant_mapping:
        return False
    base = copy.copy(type_)
    base._variant_mapping = immutabledict()
    if not _made_portable_is(base, type_):
        return False
    context.imports.add("from compdb import types")
    return f"types.portable({render_type(base, context)})"


def _made_portable_is(base: Type, type_: Type) -> bool:
    """Tell whether `types.portable(base)` is the same type everywhere."""
    try:
        made = types.portable(base)
        return all(made.compile(d) == type_.compile(d) for d in _EVERYWHERE)
    except (InvalidValue, exc.CompileError):
        return False


# ---------------------------------------------------------------- conditions

_OPERATORS = {
    operators.gt: ">",
    operators.ge: ">=",
    operators.lt: "<",
    operators.le: "<=",
    operators.eq: "==",
    operators.ne: "!=",
}


def _condition(condition: Any, context: AutogenContext) -> str:
    """Write down a CHECK: as SQLAlchemy expression where we can, so that each database quotes it in its own way, else as text."""
    written = _expression(condition)
    if written is not None:
        return written
    if isinstance(condition, str):
        return repr(condition)
    if isinstance(condition, sa.TextClause):
        return repr(condition.text)
    text = str(context.migration_context.impl.render_ddl_sql_expr(condition))
    return repr(
        text.replace("%%", "%") if context.dialect and context.dialect.paramstyle in ("format", "pyformat") else text
    )


def _expression(e: Any) -> str | None:
    if isinstance(e, elements.Grouping):
        return _expression(e.element)
    if isinstance(e, (sa.Column, elements.ColumnClause)) and not getattr(e, "is_literal", False):
        return f"sa.column({e.name!r})"
    if isinstance(e, elements.TypeCoerce):
        return _expression(e.clause)
    if isinstance(e, elements.BindParameter):
        return _constant(e.value)
    if isinstance(e, elements.Null):
        return "None"
    if isinstance(e, elements.BooleanClauseList):
        word = {operators.and_: "sa.and_", operators.or_: "sa.or_"}.get(e.operator)
        parts = [_expression(clause) for clause in e.clauses]
        return None if word is None or None in parts else f"{word}({', '.join(map(str, parts))})"
    if isinstance(e, elements.BinaryExpression):
        left, right = _expression(e.left), _expression(e.right)
        if left is None or right is None:
            return None
        if e.operator is operators.in_op:
            return f"{left}.in_({right})"
        if e.operator in (operators.is_, operators.is_not):
            return f"{left}.{e.operator.__name__}({right})"
        symbol = _OPERATORS.get(e.operator)
        return None if symbol is None else f"({left} {symbol} {right})"
    return None


def _constant(value: Any) -> str | None:
    plain = (str, int, float, bool, type(None))
    if isinstance(value, plain) or (isinstance(value, (list, tuple)) and all(isinstance(v, plain) for v in value)):
        return repr(list(value) if isinstance(value, tuple) else value)
    return None


# ---------------------------------------------------------------- operations


def _prefix(context: AutogenContext) -> str:
    return "batch_op." if context._has_batch else "op."


@renderers.dispatch_for(AlterColumn)
def _render_alter_column(context: AutogenContext, op: AlterColumn) -> str:
    text = str(renderers.dispatch(ops.AlterColumnOp)(context, op))
    more = "".join(f",\n           {name}={value!r}" for name, value in op.kw.items())
    return f"{text[:-1]}{more})"


@renderers.dispatch_for(CreateTable)
def _render_create_table(context: AutogenContext, op: CreateTable) -> str:
    first, *rest = str(renderers.dispatch(ops.CreateTableOp)(context, op)).split("\n")
    return "\n".join([first, *(f"    {line}" for line in rest[:-1]), rest[-1]])


@renderers.dispatch_for(CreateKey)
def _render_create_key(context: AutogenContext, op: CreateKey) -> str:
    prefix = _prefix(context)
    table = "" if context._has_batch else f"{op.table_name!r}, "
    return f"{prefix}create_primary_key({prefix}f({str(op.constraint_name)!r}), {table}{list(op.columns)!r})"


@renderers.dispatch_for(CreateCheck)
def _render_create_check(context: AutogenContext, op: CreateCheck) -> str:
    prefix = _prefix(context)
    table = "" if context._has_batch else f"{op.table_name!r}, "
    name = f"{prefix}f({str(op.constraint_name)!r})"
    return f"{prefix}create_check_constraint({name}, {table}{_condition(op.condition, context)})"


@renderers.dispatch_for(Fill)
def _render_fill(context: AutogenContext, op: Fill) -> list[str]:
    return [
        f"# what rows that are there get for {op.column_name}: a value, or SQL of their other attributes as sa.text('...')",
        f"op.fill({op.table_name!r}, {op.column_name!r}, {op.value!r}{_schema(op.schema)})",
    ]


@renderers.dispatch_for(Inherit)
def _render_inherit(context: AutogenContext, op: Inherit) -> str:
    more = _schema(op.schema) + ("" if op.parent_schema is None else f", parent_schema={op.parent_schema!r}")
    return f"op.inherit({op.table_name!r}, {op.parent!r}, {op.columns!r}, on={op.on!r}{more})"


@renderers.dispatch_for(Recompute)
def _render_recompute(context: AutogenContext, op: Recompute) -> str:
    return f"op.recompute({', '.join(map(repr, op.table_names))}{_schema(op.schema)})"


@renderers.dispatch_for(ChangeRows)
def _render_change_rows(context: AutogenContext, op: ChangeRows) -> str:
    columns = [f"sa.column({c.name!r}, {render_type(c.type, context)})" for c in op.table.c]
    lines = [f"sa.table({op.table.name!r}, {', '.join(columns)}{_schema(op.table.schema)})", f"key={op.key!r}"]
    if op.insert:
        lines.append("insert=[\n" + "".join(f"    {_row(r, context)},\n" for r in op.insert) + "]")
    if op.update:
        told = (", ".join(_row(part, context) for part in change) for change in op.update)
        lines.append("update=[\n" + "".join(f"    ({text}),\n" for text in told) + "]")
    if op.delete:
        lines.append("delete=[\n" + "".join(f"    {_row(r, context)},\n" for r in op.delete) + "]")
    return (
        "op.change_rows(\n"
        + "".join(f"    {line},\n" for line in "\x00".join(lines).replace("\n", "\n    ").split("\x00"))
        + ")"
    )


def _schema(schema: str | None) -> str:
    return "" if schema is None else f", schema={schema!r}"


def _row(row: Mapping[str, Any], context: AutogenContext) -> str:
    return "{" + ", ".join(f"{name!r}: {_value(value, context)}" for name, value in row.items()) + "}"


def _value(value: Any, context: AutogenContext) -> str:
    """Write down a value as its column keeps it."""
    if isinstance(value, codecs.Encoded):
        context.imports.add("from compdb import codecs")
        return f"codecs.Encoded(bytes.fromhex({bytes(value).hex()!r}))"
    if isinstance(value, (dt.date, dt.time, dt.timedelta)):
        context.imports.add("import datetime")
        return repr(value)
    if isinstance(value, decimal.Decimal):
        context.imports.add("from decimal import Decimal")
        return repr(value)
    if isinstance(value, uuid.UUID):
        context.imports.add("from uuid import UUID")
        return repr(value)
    return repr(value)
