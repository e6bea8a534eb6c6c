"""A table told as the class statement that declares it, from what its `Table` holds.

>>> print(Session.describe())
class Session(cdb.Manual, Lab):
    '''One session.'''

    subject: Key[Subject]
    session_idx: Key[int]
    quality: Mapped[float | None]
    rig: Mapped[Rig | None]
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import sqlalchemy as sa
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from compdb import dag, types

__all__ = ["describe"]

NAMES: dict[type, str] = {dt.date: "date", dt.datetime: "datetime", dt.time: "time", dt.timedelta: "timedelta"}
"""How a type is written where it is imported by its name."""


def describe(table: sa.Table) -> str:
    """Return the declaration of a table as Python, with its parts."""
    return "\n".join(_class(table))


def _class(table: sa.Table) -> Iterator[str]:
    name, tier = dag.label(table).rsplit(".")[-1], (dag.tier(table) or "table").capitalize()
    yield f"class {name}({', '.join([f'cdb.{tier}', *_pipeline(table, tier)])}):"
    told = (table.comment or "").removeprefix(f"{tier.lower()}:").strip()
    body = [f'"""{told}"""' if told.isprintable() and not set(told) & set("\\\"") else repr(told), ""] if told else []
    body += [*_attributes(table)]
    for part in dag.parts(table):
        body += ["", *_class(part)]
    yield from (f"    {line}" if line else "" for line in body or ["..."])


def _pipeline(table: sa.Table, tier: str) -> list[str]:
    declared = getattr(table.info.get("class"), "__mro__", ())
    return [base.__name__ for base in declared if "__catalog__" in vars(base)][:1] if tier != "Part" else []


def _attributes(table: sa.Table) -> Iterator[str]:
    """Yield a line for each link, at the place of its first column, and for each attribute of the table's own."""
    master = dag.master(table)
    links: dict[str, list[dag.Edge]] = {}
    brought: set[str] = set()
    for edge in dag.parents(table):
        brought.update(mine for mine, _ in edge.pairs)
        if edge.parent is not master:
            first = next(c.name for c in table.columns if c.name in dict(edge.pairs))
            links.setdefault(first, []).append(edge)
    for column in table.columns:
        for edge in links.get(column.name, []):
            yield _link(edge)
        if column.name not in brought:
            yield _native(column)


def _link(edge: dag.Edge) -> str:
    plans = edge.child.info.get("links", ())
    named = next((p.attribute for p in plans if p.attribute and set(p.pairs) == set(edge.pairs)), None)
    others = sum(e.parent is edge.parent for e in dag.parents(edge.child)) > 1
    name = named or f"{edge.parent.name.split('__')[-1]}{f'_by_{edge.pairs[0][0]}' if others else ''}"
    options = [f"rename={ {theirs: mine for mine, theirs in edge.pairs if mine != theirs} }"] if edge.renamed else []
    plan = next((p for p in plans if p.attribute == name), None)
    if plan is not None and plan.unique:
        options.append("unique=True")
    kind = "Key" if edge.primary else "Mapped"
    value = f" = foreign_key({', '.join(options)})" if options else ""
    return f"{name}: {kind}[{dag.label(edge.parent)}{' | None' if edge.nullable else ''}]{value}"


def _native(column: sa.Column[Any]) -> str:
    kind = "Key" if column.primary_key else "Mapped"
    written, plain = _annotation(column.type)
    options = [] if plain else [_type(column.type)]
    if isinstance(column.default, ScalarElementColumnDefault):
        options.append(f"default={column.default.arg!r}")
    if isinstance(column.server_default, sa.DefaultClause):
        default = column.server_default.arg
        options.append(f"server_default={repr(default) if isinstance(default, str) else f'sa.text({str(default)!r})'}")
    options += ["unique=True"] if column.unique else []
    options += ["index=True"] if column.index else []
    options += [f"comment={column.comment!r}"] if column.comment else []
    value = f" = mapped_column({', '.join(options)})" if options else ""
    return f"{column.name}: {kind}[{written}{' | None' if column.nullable else ''}]{value}"


def _annotation(type_: sa.types.TypeEngine[Any]) -> tuple[str, bool]:
    """Return how a type is annotated, and whether the annotation says all of it."""
    if isinstance(type_, types.Choice):
        if isinstance(type_.choices, type):
            return type_.choices.__name__, repr(type_) == repr(types.column_type(type_.choices))
        return f"Literal[{', '.join(map(repr, type_.labels))}]", repr(type_) == repr(types.Choice(type_.choices))
    if isinstance(type_, sa.JSON):
        return "dict", repr(type_) == repr(types.column_type(dict))
    if isinstance(type_, types.UtcDateTime):
        return "UtcDateTime", True
    if isinstance(type_, types.Blob):
        return "np.ndarray", repr(type_) == repr(types.Blob())
    try:
        python: Any = type_.python_type
    except NotImplementedError:  # types without a Python type of their own
        return "Any", False
    usual = None if python is Decimal else types.column_type(python)
    known = python in (int, float, bool, str, bytes, dict, list, Decimal, UUID, np.ndarray) or python in NAMES
    written = NAMES.get(python, python.__name__) if known or issubclass(python, enum.Enum) else "Any"
    return written, usual is not None and repr(type_) == repr(usual)


def _type(type_: sa.types.TypeEngine[Any]) -> str:
    ours = type(type_).__module__.startswith("compdb.")
    return repr(type_) if ours else f"sa.{type_!r}"
