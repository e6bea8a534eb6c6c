"""JSON: a `dict` or `list` that comes back equal, its keys in their order (MySQL sorts them).

Only what JSON holds exactly is taken: dict with str keys, list, str, int of 64 bits, finite float, bool and None, at most
30 deep. A tuple would come back as a list, a NaN not at all; numpy's scalars become Python's. Arrays belong into a Blob.

None is NULL, never the JSON `null`; inside a value it is `null`. On PostgreSQL the type is JSON, not JSONB: JSONB sorts keys and
gives 1e23 back as another number. A JSON column is not compared as a whole: databases do not agree when two are equal.
Compare an element, `Table.params["threshold"].as_float() > 1`.
"""

from __future__ import annotations

import math
import typing
from typing import Any

import numpy as np
import sqlalchemy as sa

from compdb.errors import InvalidValue, shorten
from compdb.types.adapter import Adapter, is_null, wrong
from compdb.types.text import clean
from compdb.types.variants import is_generic, vary

__all__ = ["JsonAdapter", "adapter", "column_type", "portable"]

Type = sa.types.TypeEngine[Any]

DEEPEST = 30
"""MariaDB's json_valid refuses more than 31 levels."""


def column_type(python_type: Any) -> Type | None:
    """Return the column type of `dict`, `list`, `dict[str, ...]`, `list[...]` and TypedDict classes."""
    plain = typing.get_origin(python_type) or python_type
    return sa.JSON(none_as_null=True) if plain in (dict, list) or typing.is_typeddict(plain) else None


def portable(type_: Type) -> Type | None:
    """Let None be NULL."""
    if not is_generic(type_) or not isinstance(type_, sa.JSON):
        return None
    return type_ if type_.none_as_null else vary(sa.JSON(none_as_null=True), instead_of=type_)


def adapter(type_: Type, nullable: bool, key: bool) -> Adapter | None:
    """Return the adapter of a JSON column, JSONB too."""
    return JsonAdapter(type_, nullable, key) if isinstance(type_, sa.JSON) else None


class JsonAdapter(Adapter):
    """dict and list of what JSON holds exactly."""

    takes = "a dict or a list"
    key_problem = "JSON cannot be part of a primary key, since databases do not agree when two values are equal"

    def one(self, value: Any) -> Any:
        """Return a copy made of plain dicts, lists and scalars."""
        if not isinstance(value, (dict, list)):
            if is_null(value):
                return self.null(value)
            hint = (
                "write value.tolist(), or declare a Blob"
                if isinstance(value, np.ndarray)
                else "put it in a list or a dict"
            )
            raise wrong(value, self.takes, hint)
        try:
            return _copied(value, 1)
        except _Unfit as unfit:
            place = "".join(f"[{step!r}]" for step in reversed(unfit.path))
            raise InvalidValue(f"at {place}: {unfit.reason}" if place else unfit.reason, value=value) from None

    def bulk(self, values: list[Any]) -> None:
        """Look at each one."""
        return

    def condition(self, value: Any) -> None:
        """Refuse all but None."""
        if is_null(value):
            return
        raise InvalidValue(
            'JSON is not compared as a whole; compare an element, as in Table.params["x"].as_float() > 1', value=value
        )


class _Unfit(Exception):
    """What is wrong in a JSON value, and where: the path from the inside out."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.path: list[Any] = []


def _copied(value: Any, depth: int) -> Any:
    """Return `value` in plain Python, or raise _Unfit."""
    kind = type(value)
    if kind is str or isinstance(value, str):
        return _text(value)
    if kind is float or kind is int:
        return _number(value)
    if value is None or kind is bool:
        return value
    if isinstance(value, (dict, list)):
        if depth > DEEPEST:
            raise _Unfit(f"it is more than {DEEPEST} levels deep, which not every database takes; use a Blob")
        if isinstance(value, list):
            return [_inside(item, depth, place) for place, item in enumerate(value)]
        return {_key(name): _inside(item, depth, name) for name, item in value.items()}
    if isinstance(value, (np.generic, int, float)):
        return _number(value)
    hint = {tuple: "; it would come back as a list", np.ndarray: "; write value.tolist(), or use a Blob"}.get(
        kind, "; use a Blob"
    )
    raise _Unfit(f"{shorten(value)} ({kind.__name__}) cannot be kept in JSON{hint}")


def _inside(item: Any, depth: int, place: Any) -> Any:
    try:
        return _copied(item, depth + 1)
    except _Unfit as unfit:
        unfit.path.append(place)
        raise


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise _Unfit(f"the key {shorten(key)} ({type(key).__name__}) is not a str and would come back as one")
    return _text(key)


def _text(text: str) -> str:
    if not clean(text):
        raise _Unfit(f"{shorten(text, 40)} holds NUL or half of a surrogate pair, which not every database can store")
    return str.__str__(text)


def _number(value: Any) -> bool | int | float:
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        if not -(2**63) <= value < 2**63:
            raise _Unfit(f"{shorten(value)} does not fit 64 bits, which is what JSON numbers keep")
        return int(value)
    if isinstance(value, np.floating) and np.isfinite(value) and float(value) == value:
        return float(value)
    raise _Unfit(f"{shorten(value)} ({type(value).__name__}) has no exact form in JSON; use None, or a Blob")
