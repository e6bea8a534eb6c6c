"""One row, as makes insert it thousands of times: checked without the setting up that only pays for columns."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from compdb import types
from compdb.errors import InvalidValue
from compdb.insert.checks import Facts
from compdb.insert.permission import Row

__all__ = ["single"]


def single(known: Facts, row: Mapping[str, Any]) -> Row | None:
    """Return a row checked and converted; None if anything about it needs the closer look that all others get."""
    adapters = _adapters(known, tuple(row))
    if adapters is None:
        return None
    try:
        return {name: adapter.one(value) for adapter, (name, value) in zip(adapters, row.items())}
    except InvalidValue:
        return None


@functools.lru_cache(maxsize=1024)
def _adapters(known: Facts, names: tuple[str, ...]) -> tuple[types.Adapter, ...] | None:
    """Return the checks of these attributes; None if there are others, some are missing, or some may have to be filled in."""
    given = set(names)
    if not known.columns.keys() >= given >= {*known.required, *known.key_defaults}:
        return None
    if any(not known.columns[n].nullable and n not in known.required for n in names):
        return None
    return tuple(known.adapters[n] for n in names)
