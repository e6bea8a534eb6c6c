"""Former tables: what a database tells of them, turned into what can be made again, on any database.

A revision that goes back has to make what the classes no longer declare. Where a column or check is still declared, it is taken from the
class; otherwise the type is the one of compdb's that this database would spell in the same way, and the checks that compdb writes (of
choices, of links that are all NULL or all set) are read back from their names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from compdb import dialects, types
from compdb.schema import Check, Column, Table
from compdb.schema.compare import same_default, same_type
from compdb.schema.literals import texts

__all__ = ["makeable"]

Type = sa.types.TypeEngine[Any]

KINDS: tuple[Type, ...] = (
    sa.Boolean(),
    sa.BigInteger(),
    sa.Integer(),
    sa.SmallInteger(),
    sa.Double(),
    sa.Date(),
    sa.DateTime(),
    sa.Time(),
    sa.Uuid(),
    sa.JSON(),
    sa.LargeBinary(),
    sa.Text(),
)
NUMBER = re.compile(r"-?\b\d+\b")
NAMED = re.compile(r"""[`"(\s]?(\w+)[`"]?\s+is\s+null""", re.IGNORECASE)


def makeable(there: Table, ours: Table | None, dialect: sa.Dialect) -> Table:
    """Return the table that is there with types, defaults and checks by which it can be made."""
    columns = {n: _column(c, ours.columns.get(n) if ours else None, dialect) for n, c in there.columns.items()}
    checks = {n: _check(c, ours.checks.get(n) if ours else None, there, dialect) for n, c in there.checks.items()}
    return replace(there, columns=columns, checks=checks)


def _column(there: Column, ours: Column | None, dialect: sa.Dialect) -> Column:
    if ours is not None and same_type(there, ours, dialect):
        default = ours.made_default if same_default(there, ours) else there.made_default
        return replace(there, type=ours.type, made_default=default, computed=ours.computed)
    return replace(there, type=_portable(there.type, dialect))


def _portable(type_: Type, dialect: sa.Dialect) -> Type:
    spelled = dialects.of(dialect).spelled
    wanted = spelled(type_)
    return next((kind for kind in _candidates(type_) if spelled(kind) == wanted), type_)


def _candidates(type_: Type) -> Iterator[Type]:
    length, digits, places = (getattr(type_, name, None) for name in ("length", "precision", "scale"))
    if length is not None:
        yield types.portable(sa.String(length))
    yield from map(types.portable, KINDS)
    if isinstance(type_, sa.Numeric) and not isinstance(type_, sa.Float) and digits is not None:
        yield sa.Numeric(digits, places)
    if length is not None and isinstance(type_, (sa.BINARY, sa.VARBINARY)):
        yield types.portable(sa.VARBINARY(length))
        yield types.portable(sa.BINARY(length))


def _check(there: Check, ours: Check | None, table: Table, dialect: sa.Dialect) -> Check:
    if ours is not None and ours.text == there.text:
        return replace(there, made=ours.made)
    text = str(there.text)
    prefix = f"ck_{table.name}_"
    short = there.name.removeprefix(prefix)
    if short.endswith("_choice") and (column := short.removesuffix("_choice")) in table.columns:
        labels: list[Any] = list(texts(text, dialect))
        labels = labels or [int(number) for number in NUMBER.findall(text)]
        return replace(there, made=sa.column(column).in_(labels))
    if short.endswith("_all_or_none"):
        names = [name for name in dict.fromkeys(NAMED.findall(text)) if name in table.columns]
        nothing = sa.and_(*(sa.column(name).is_(None) for name in names))
        return replace(there, made=sa.or_(nothing, sa.and_(*(sa.column(name).is_not(None) for name in names))))
    return there
