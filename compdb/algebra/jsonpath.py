"""Paths into JSON attributes: `params.filter.band[0]:float`, in dicts and in proj.

After the name of the attribute come members and, in brackets, places in lists; after a colon the type: str (if none is given), int,
float, bool or json. What is not there is NULL.
"""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa

from compdb.algebra.heading import Heading
from compdb.errors import RestrictionError

__all__ = ["json_path"]

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
    value = sa.type_coerce(attribute.column, sa.JSON)[steps]
    kinds = {
        "str": value.as_string,
        "int": value.as_integer,
        "float": value.as_float,
        "bool": value.as_boolean,
        "json": value.as_json,
    }
    kind = found["type"] or found["cast"] or "str"
    if kind not in kinds:
        raise RestrictionError(f"{text!r}: {kind!r} is not a type of JSON values; these are {', '.join(kinds)}")
    result: sa.ColumnElement[Any] = kinds[kind]()
    return result


def _is_json(type_: sa.types.TypeEngine[Any]) -> bool:
    return isinstance(type_, sa.JSON) or isinstance(getattr(type_, "impl", None), sa.JSON)
