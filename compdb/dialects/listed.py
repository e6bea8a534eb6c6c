"""One of some rows: `(a, b) IN (...)` for two rows or a hundred thousand, all bound as one value where a database can take it so.

>>> import sqlalchemy as sa
>>> trial = sa.table("trial", sa.column("subject", sa.Integer), sa.column("trial", sa.Integer))
>>> print(listed([trial.c.subject, trial.c.trial], [(1, 2), (3, 4)]).compile(dialect=sa.create_engine("sqlite://").dialect))
(trial.subject, trial.trial) IN (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?))

A parameter for each value has its limits (65,535 on PostgreSQL, 32,766 and more on SQLite), and costs more than the query. So the rows
travel as JSON: SQLite then looks them up in an index, which it does not do for `IN (VALUES ...)`, and PostgreSQL hashes them, where it
would compare with a list one by one. Drivers of MySQL write the values into the statement anyway, and know no limit.

SQLite, which reads the last digit of a number with a point not always right, and has no way from text to bytes, gets these one by one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

__all__ = ["MANY", "Rows", "listed"]

Type = sa.types.TypeEngine[Any]

MANY = 30_000
"""Values up to which each can be a parameter on every database."""

EXACT = (sa.Integer, sa.String, sa.Boolean, sa.Date, sa.DateTime, sa.Time, sa.Uuid)
"""Types whose values come through JSON unchanged on SQLite."""

CASTS = {
    "SMALLINT": "smallint",
    "INTEGER": "integer",
    "BIGINT": "bigint",
    "FLOAT": "float8",
    "DOUBLE PRECISION": "float8",
    "NUMERIC": "numeric",
    "BOOLEAN": "boolean",
    "BYTEA": "bytea",
    "VARCHAR": "varchar",
    "TEXT": "text",
    "DATE": "date",
    "TIME WITHOUT TIME ZONE": "time",
    "TIMESTAMP WITHOUT TIME ZONE": "timestamp",
    "UUID": "uuid",
}
"""What text is turned into for a type of PostgreSQL, by its name in CREATE TABLE, which may add a length that would cut text off."""


class Rows(sa.types.TypeDecorator[Any]):
    """Rows of values, of these types, as JSON text: a list of lists, or of values where there is one type."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, *types: Type) -> None:
        super().__init__()
        self.types = types

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str:
        """Return the text."""
        processors = [type_.dialect_impl(dialect).bind_processor(dialect) for type_ in self.types]
        columns = [
            column if process is None else [process(v) for v in column]
            for process, column in zip(processors, zip(*value))
        ]
        rows = columns[0] if len(columns) == 1 else list(zip(*columns))
        return json.dumps(rows, ensure_ascii=False, separators=(",", ":"), default=_text)

    process_literal_param = process_bind_param

    def coerce_compared_value(self, op: Any, value: Any) -> Any:
        """Stay what it is."""
        return self


def _text(value: Any) -> str:
    """Return what JSON lacks as the text that databases read."""
    inner = getattr(value, "obj", value)  # psycopg's Binary
    return "\\x" + inner.hex() if isinstance(inner, bytes) else str(inner)


def listed(
    columns: Sequence[sa.ColumnElement[Any]], rows: Sequence[tuple[Any, ...]], types: Sequence[Type] = ()
) -> sa.ColumnElement[bool]:
    """Return the condition that columns have one of some rows of values.

    Parameters
    ----------
    columns : sequence of ColumnElement
    rows : sequence of tuple
        At least one, without None.
    types : sequence of TypeEngine, optional
        What to bind the values as; by default as the columns' types.
    """
    types = tuple(types) or tuple(column.type for column in columns)
    if not any(map(_leads_an_index, columns)):
        columns = [_Scanned(column) for column in columns]
    left: sa.ColumnElement[Any] = columns[0] if len(columns) == 1 else sa.tuple_(*columns)
    return left.bool_op("IN", precedence=5)(_Source(rows, types))


def _leads_an_index(column: sa.ColumnElement[Any]) -> bool:
    """Say whether an index begins with the column of a table that this one is."""
    for base in column.base_columns:
        table = getattr(base, "table", None)
        if isinstance(table, sa.Table):
            unique = (c for c in table.constraints if isinstance(c, sa.UniqueConstraint))
            indexes: list[Any] = [table.primary_key, *table.indexes, *unique]
            if any(next(iter(index.columns), None) is base for index in indexes):
                return True
    return False


class _Scanned(FunctionElement[Any]):
    """A column that no index begins with: SQLite, which takes every list for 25 long, would try its luck with one that has it further on."""

    inherit_cache = True

    def __init__(self, column: sa.ColumnElement[Any]) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(_Scanned)
def _as_it_is(element: _Scanned, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(element.clauses, **kw)


@compiles(_Scanned, "sqlite")
def _without_index(element: _Scanned, compiler: SQLCompiler, **kw: Any) -> str:
    return f"+{compiler.process(element.clauses, **kw)}"


class _Source(FunctionElement[Any]):
    """What stands behind IN."""

    inherit_cache = True

    def __init__(self, rows: Sequence[tuple[Any, ...]], types: tuple[Type, ...]) -> None:
        together = sa.bindparam(None, list(rows), type_=Rows(*types))
        if len(types) == 1:
            values, type_ = [value for (value,) in rows], types[0]
        else:
            values, type_ = list(rows), sa.types.TupleType(*types)
        large = len(rows) * len(types) > MANY and not all(map(_is_exact, types))
        written = large and not any(isinstance(v, (bytes, memoryview)) for v in rows[0])  # which have no literal
        one_by_one = sa.bindparam(None, values, type_=type_, expanding=True, literal_execute=written)
        super().__init__(together, one_by_one)


def _is_exact(type_: Type) -> bool:
    inner = type_
    while isinstance(inner, sa.types.TypeDecorator):
        inner = inner.impl_instance
    return isinstance(inner, EXACT)


@compiles(_Source)
def _one_by_one(element: _Source, compiler: SQLCompiler, **kw: Any) -> str:
    _, values = element.clauses
    return compiler.process(values, **kw)


@compiles(_Source, "sqlite")
def _sqlite(element: _Source, compiler: SQLCompiler, **kw: Any) -> str:
    rows, _ = element.clauses
    types: tuple[Type, ...] = rows.type.types  # type: ignore[attr-defined]
    if not all(map(_is_exact, types)):
        return _one_by_one(element, compiler, **kw)
    values = ", ".join(f"json_extract(value, '$[{i}]')" for i in range(len(types))) if len(types) > 1 else "value"
    return f"(SELECT {values} FROM json_each({compiler.process(rows, **kw)}))"  # noqa: S608 (names and parameters)


@compiles(_Source, "postgresql")
def _postgresql(element: _Source, compiler: SQLCompiler, **kw: Any) -> str:
    rows, _ = element.clauses
    types: tuple[Type, ...] = rows.type.types  # type: ignore[attr-defined]
    names = [re.split(r"\(| COLLATE", type_.compile(dialect=compiler.dialect), maxsplit=1)[0] for type_ in types]
    if not all(name in CASTS for name in names):
        return _one_by_one(element, compiler, **kw)
    one = len(types) == 1
    values = ", ".join(f"CAST(line.value{'' if one else f' ->> {i}'} AS {CASTS[name]})" for i, name in enumerate(names))
    function = "json_array_elements_text" if one else "json_array_elements"
    return f"(SELECT {values} FROM {function}(CAST({compiler.process(rows, **kw)} AS json)) AS line(value))"  # noqa: S608
