"""Paths into JSON attributes: `params.filter.band[0]:float`, in dicts and in proj.

After the name of the attribute come members and, in brackets, places in lists; after a colon the type: str (if none is given), int,
float, bool or json. What is not there, or of another type, is NULL; any value has a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import sqlalchemy as sa

from compdb.algebra.heading import Heading
from compdb.dialects.members import KINDS, member
from compdb.errors import InvalidValue, RestrictionError, shorten

__all__ = ["json_path", "refuse_untyped"]

_PATH = re.compile(r"(?P<name>\w+)(?P<path>(?:\.\w+|\[\d+\])+)(?::(?P<type>\w+))?\Z|(?P<bare>\w+):(?P<cast>\w+)\Z")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")


def json_path(heading: Heading, text: object) -> sa.ColumnElement[Any] | None:
    """Return what stands at a path inside a JSON attribute, or None if `text` is no such path.

    Raises
    ------
    RestrictionError
        If the type is none that JSON has.
    """
    found = _PATH.match(text.strip()) if isinstance(text, str) else None
    attribute = heading.get(found["name"] or found["bare"]) if found else None
    if found is None or attribute is None or not _is_json(attribute.type):
        return None
    steps = tuple(int(place) if place else member for member, place in _STEP.findall(found["path"] or ""))
    kind = found["type"] or found["cast"] or "str"
    if kind not in KINDS:
        raise RestrictionError(f"{text!r}: {kind!r} is not a type of JSON values; these are {', '.join(KINDS)}")
    return member(attribute.column, steps, kind)


def refuse_untyped(path: str, values: Iterable[object]) -> None:
    """Refuse values that are no text beside a path that says no type.

    Raises
    ------
    InvalidValue
        Shows the path to write.
    """
    kinds = {bool: "bool", int: "int", float: "float"}
    for value in values:
        plain = value.item() if isinstance(value, np.generic) else value
        if ":" not in path and type(plain) in kinds:
            fix = f"{path}:{kinds[type(plain)]}"
            raise InvalidValue(f"{path!r} is read as text, and {shorten(value)} is none; write {{{fix!r}: {plain!r}}}", value=value)


def _is_json(type_: sa.types.TypeEngine[Any]) -> bool:
    return isinstance(type_, sa.JSON) or isinstance(getattr(type_, "impl", None), sa.JSON)
