"""How a relation was written: `Session & {'subject_id': 'M001'} - Session.Trial`, for messages and titles; asks no database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sqlalchemy as sa

from compdb.errors import shorten

__all__ = ["Arguments", "History", "told", "written"]

History = str | tuple[Any, ...]
"""A name, or a template and what stands in it."""

BINDING = {"{0} & {1}": 1, "{0} - {1}": 2, "{0} + {1}": 2, "{0} * {1}": 3}
METHOD = 4  # a method call or a name binds most
MANY = 3  # elements of a list that are told
LONGEST = 200


class Arguments:
    """The arguments of a proj or aggr."""

    __slots__ = ("attributes", "named")

    def __init__(self, attributes: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        self.attributes, self.named = attributes, named

    def __repr__(self) -> str:
        listed = ["..." if a is ... else repr(a) for a in self.attributes]
        listed += [f"{n}={v!r}" if isinstance(v, str) else f"{n}={v}" for n, v in self.named.items()]
        return ", ".join(listed)


def written(history: History) -> str:
    """Return the text of a history."""
    if isinstance(history, str):
        return history
    template, *parts = history
    left = _binding(template)
    right = 0 if left == METHOD else left + 1
    return str(template).format(*(told(part, right if i else left) for i, part in enumerate(parts)))


def _binding(history: History) -> int:
    """Return how strongly the operator of a relation binds in Python."""
    return BINDING.get(history if isinstance(history, str) else history[0], METHOD)


def told(part: Any, binds: int = 0) -> str:
    """Return an operand or a condition as it was written, in parentheses if the operator beside it binds more strongly."""
    history = getattr(part, "history", None)
    if isinstance(history, (str, tuple)):
        text = written(history)
        return f"({text})" if _binding(history) < binds else text
    if isinstance(part, sa.ClauseElement):
        return _cut(f"({part})")
    if isinstance(part, type):
        return part.__name__
    if isinstance(part, np.ndarray) and part.ndim:
        return f"an array of {len(part)}"
    if isinstance(part, (list, tuple)):
        more = [f"... {len(part) - MANY} more"] if len(part) > MANY else []
        listed = ", ".join([*(told(p) for p in part[:MANY]), *more])
        return f"AndList([{listed}])" if type(part).__name__ == "AndList" else f"[{listed}]"
    return shorten(part, LONGEST)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
