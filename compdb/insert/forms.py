"""Rows of any form: dicts, mapped objects, tuples, arrays, frames, relations, CSV files; told as dicts, or as whole columns."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy import orm

from compdb import dag, frames
from compdb.algebra import Relation
from compdb.errors import InvalidValue
from compdb.insert.checks import facts

__all__ = ["columns", "dicts"]


def columns(table: sa.Table, rows: Any) -> dict[str, list[Any]] | None:
    """Return a frame as columns of values; None if `rows` is no frame."""
    found = None if hasattr(rows, "__relation__") else frames.columns(rows, _types(table))
    if found is None:
        return None
    whole: dict[str, list[Any]] = {}
    for part in found:
        for name, values in part.items():
            whole.setdefault(name, []).extend(values)
    return whole


def _types(table: sa.Table) -> dict[str, sa.types.TypeEngine[Any]]:
    return {c.name: c.type for c in table.columns}


def dicts(table: sa.Table, rows: Any) -> Iterator[Mapping[str, Any]]:
    """Return `rows`, of any form that insert takes, as dicts."""
    if isinstance(rows, Relation):
        return iter(rows)
    if isinstance(rows, Mapping):
        return iter([rows])
    if isinstance(rows, Path):
        return _csv(table, rows)
    if isinstance(rows, (str, bytes)):
        raise InvalidValue(
            f"a row is a dict, not {type(rows).__name__}; a CSV file is given as pathlib.Path({rows!r})",
            table=dag.label(table),
        )
    if isinstance(sa.inspect(rows, raiseerr=False), orm.InstanceState):
        return iter([_of_object(table, rows)])
    records = frames.records(rows, _types(table))
    if records is not None:
        return iter(records)
    if isinstance(rows, list) and set(map(type, rows)) == {dict}:
        return iter(rows)
    relate = getattr(rows, "__relation__", None)
    if relate is not None:
        return iter(relate())
    try:
        return (_one_dict(table, row) for row in rows)
    except TypeError as error:
        raise InvalidValue(f"{type(rows).__name__} is no form of rows", value=rows, table=dag.label(table)) from error


def _one_dict(table: sa.Table, row: Any) -> Mapping[str, Any]:
    if isinstance(row, Mapping):
        return row
    if isinstance(row, np.void) and row.dtype.names:
        return {n: row[n] for n in row.dtype.names}
    if isinstance(sa.inspect(row, raiseerr=False), orm.InstanceState):
        return _of_object(table, row)
    if isinstance(row, sa.Row):
        return dict(row._mapping)
    if isinstance(row, Sequence) and not isinstance(row, (str, bytes)):
        names = [c.name for c in table.columns]
        if len(row) != len(names):
            raise InvalidValue(
                f"a row given as a {type(row).__name__} needs {len(names)} values ({', '.join(names)}), not {len(row)}: {row!r}",
                value=row,
                table=dag.label(table),
            )
        return dict(zip(names, row))
    raise InvalidValue(
        f"a row is a dict, a mapped object or a tuple in heading order, not {type(row).__name__}: {row!r}",
        value=row,
        table=dag.label(table),
    )


def _of_object(table: sa.Table, row: Any) -> dict[str, Any]:
    mapper = sa.inspect(type(row))
    if mapper.local_table is not table:
        raise InvalidValue(f"this is a row of {dag.label(mapper.local_table)}", value=row, table=dag.label(table))
    state = row.__dict__
    return {p.columns[0].name: state[p.key] for p in mapper.column_attrs if p.key in state}


def _csv(table: sa.Table, path: Path) -> Iterator[dict[str, Any]]:
    columns, label = facts(table).columns, dag.label(table)
    for number, names, texts in _lines(path, label):
        row: dict[str, Any] = {}
        for name, text in zip(names, texts):
            if name not in columns:
                row[name] = text
            elif text != "":
                row[name] = _parse(columns[name], text, label, number)
            elif columns[name].nullable is False and isinstance(columns[name].type, sa.String):
                row[name] = ""
        yield row


def _lines(path: Path, label: str) -> Iterator[tuple[int, list[str], list[str]]]:
    """Yield the number, the names and the values of each line of a CSV file that is not empty."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        try:
            names = next(reader, [])
            for number, texts in enumerate(line for line in reader if line):
                if len(texts) != len(names):
                    raise InvalidValue(
                        f"line {reader.line_num} of {path} has {len(texts)} values, and its first line names {len(names)}"
                        f" attributes: {', '.join(names)}",
                        value=texts,
                        table=label,
                        row=number,
                    )
                yield number, names, texts
        except UnicodeDecodeError as error:
            raise InvalidValue(f"{path} is no text in UTF-8: {error}; save it as UTF-8", table=label) from error
        except csv.Error as error:
            raise InvalidValue(f"{path} cannot be read as CSV, line {reader.line_num}: {error}", table=label) from error


def _parse(column: sa.Column[Any], text: str, label: str, number: int) -> Any:
    """Read a CSV field as a value of its column; what is not listed is read by the type's own check (ISO dates, UUID)."""
    try:
        kind = column.type.python_type
    except NotImplementedError:  # types without a Python type of their own
        return text
    try:
        if kind is bool:
            return {"true": True, "1": True, "false": False, "0": False}[text.strip().lower()]
        if kind in (int, float, Decimal):
            return kind(text)
        if kind in (dict, list):
            return json.loads(text)
    except (ValueError, KeyError, ArithmeticError) as error:
        raise InvalidValue(
            f"{text!r} is no {kind.__name__}", value=text, table=label, attribute=column.name, row=number
        ) from error
    return text
