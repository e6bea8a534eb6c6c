"""What stands at a path inside JSON, as a value of one kind: the same on every database.

>>> import sqlalchemy as sa
>>> params = sa.column("params", sa.JSON)
>>> print(member(params, ("gain",), "int").compile(dialect=sa.create_engine("sqlite://").dialect))
CASE WHEN json_type(params, ?) IN ('integer', 'real') THEN CAST(json_extract(params, ?) AS INTEGER) END

SQLAlchemy's own accessors differ: MariaDB has False where there is no bool, PostgreSQL an error where there is no number or one beyond 32
bits, SQLite a number where text was asked for. Here what is not there, or of another kind, is NULL; text is that of any value.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.visitors import InternalTraversal

__all__ = ["KINDS", "member"]

KINDS: dict[str, sa.types.TypeEngine[Any]] = {
    "str": sa.Text(),
    "int": sa.BigInteger(),
    "float": sa.Double(),
    "bool": sa.Boolean(),
    "json": sa.JSON(none_as_null=True),
}
"""The type of each kind."""


def member(column: sa.ColumnElement[Any], path: tuple[str | int, ...], kind: str) -> sa.ColumnElement[Any]:
    """Return what stands at a path of members and places inside a JSON column.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    """
    return _Member(sa.type_coerce(column, sa.JSON)[path], kind)


class _Member(FunctionElement[Any]):
    """A value at a path."""

    inherit_cache = True
    _traverse_internals = [*FunctionElement._traverse_internals, ("kind", InternalTraversal.dp_string)]

    def __init__(self, value: Any, kind: str) -> None:  # the accessor of SQLAlchemy, which knows how a path is bound
        super().__init__(value.left, value.right)
        self.type = KINDS[kind]
        self.kind = kind


def _parts(element: _Member, compiler: SQLCompiler, kw: dict[str, Any]) -> tuple[str, str]:
    column, path = element.clauses
    return compiler.process(column, **kw), compiler.process(path, **kw)


@compiles(_Member)
def _sqlite(element: _Member, compiler: SQLCompiler, **kw: Any) -> str:
    # each stands in the text once, since positional parameters are counted as they are written
    kind, value = ("{}({}, {})".format(name, *_parts(element, compiler, kw)) for name in ("json_type", "json_extract"))
    return {
        "str": f"CASE {kind} WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE CAST({value} AS TEXT) END",
        "int": f"CASE WHEN {kind} IN ('integer', 'real') THEN CAST({value} AS INTEGER) END",
        "float": f"CASE WHEN {kind} IN ('integer', 'real') THEN CAST({value} AS REAL) END",
        "bool": f"CASE {kind} WHEN 'true' THEN 1 WHEN 'false' THEN 0 END",
        "json": f"CASE coalesce({kind}, 'null') WHEN 'null' THEN NULL WHEN 'true' THEN 'true' WHEN 'false' THEN 'false'"
        f" ELSE json_quote({value}) END",
    }[element.kind]


@compiles(_Member, "mysql")
@compiles(_Member, "mariadb")
def _mysql(element: _Member, compiler: SQLCompiler, **kw: Any) -> str:
    values = ("JSON_EXTRACT({}, {})".format(*_parts(element, compiler, kw)) for _ in range(2))
    kind, value = f"JSON_TYPE({next(values)})", next(values)
    exactly = "utf8mb4_nopad_bin" if getattr(compiler.dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
    number = f"{kind} IN ('INTEGER', 'UNSIGNED INTEGER', 'DOUBLE', 'DECIMAL')"
    return {
        "str": f"CASE WHEN {kind} <> 'NULL' THEN JSON_UNQUOTE({value}) COLLATE {exactly} END",
        "int": f"CASE WHEN {number} THEN CAST({value} AS SIGNED) END",
        "float": f"CASE WHEN {number} THEN {value} + 0e0 END",
        "bool": f"CASE WHEN {kind} = 'BOOLEAN' THEN JSON_UNQUOTE({value}) = 'true' END",
        "json": f"CASE WHEN {kind} <> 'NULL' THEN {value} END",
    }[element.kind]


@compiles(_Member, "postgresql")
def _postgresql(element: _Member, compiler: SQLCompiler, **kw: Any) -> str:
    column, path = _parts(element, compiler, kw)
    if element.kind == "str":
        return f"({column} #>> {path})"
    kind, value = f"json_typeof(CAST({column} #> {path} AS json))", f"{column} #>> {path}"
    return {
        "int": f"CASE WHEN {kind} = 'number' THEN CAST(trunc(CAST({value} AS numeric)) AS bigint) END",
        "float": f"CASE WHEN {kind} = 'number' THEN CAST({value} AS double precision) END",
        "bool": f"CASE WHEN {kind} = 'boolean' THEN CAST({value} AS boolean) END",
        "json": f"CASE WHEN {kind} <> 'null' THEN {column} #> {path} END",
    }[element.kind]
