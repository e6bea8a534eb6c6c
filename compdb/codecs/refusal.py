"""Refusals: why a value cannot be a blob, where in the value, and what to store instead."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import enum
import pathlib
from collections.abc import Iterable
from typing import Any

import numpy as np

from compdb.errors import BlobError, shorten

__all__ = ["Refused", "unknown_type"]

_HOLDS = (
    "a blob holds numpy arrays and scalars, numbers, text, bytes, dates, UUIDs, None, and dicts, lists, tuples and "
    "sets of them"
)
_PLAIN = (dict, list, tuple, frozenset, set, str, bytes, bytearray, int, float, complex)


class Refused(Exception):
    """A value deep inside another that would not survive; becomes a BlobError once its path is known.

    Parameters
    ----------
    reason : str
        Follows the path: "is an array of Python objects".
    fix : str
        What to store instead; `{}` stands for the path.
    value : object
        The value itself.
    """

    def __init__(self, reason: str, fix: str = "", value: object = None) -> None:
        super().__init__(reason)
        self.reason, self.fix, self.value = reason, fix, value
        self.steps: list[str] = []

    def inside(self, step: str) -> Refused:
        """Return the same refusal, told from one level further out."""
        self.steps.append(step)
        return self

    def error(self) -> BlobError:
        """Return the BlobError, with the path: `value['a'][3] is ...`."""
        path, expression = "value", True
        for step in reversed(self.steps):
            expression = expression and step.startswith("[")
            path = path + step if expression else f"{step} of {path}"
        fix = ": " + self.fix.replace("{}", path if expression else "it") if self.fix else ""
        return BlobError(f"{path} {self.reason}{fix}", value=self.value)


def unknown_type(value: Any) -> Refused:  # Any: every type that is not ours
    """Return the refusal of a value whose exact type no codec knows, with the nearest thing that can be stored."""
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.split('.')[0]}.{kind.__name__}"
    reason, fix = _advice(value)
    return Refused(f"is {name} {shorten(value, 40)}{reason}".replace("\n", " "), fix or _HOLDS, value)


def _advice(value: Any) -> tuple[str, str]:
    """Return what would be lost, and the expression that keeps the rest."""
    kind = type(value)
    if isinstance(value, np.ma.MaskedArray):
        return ", whose mask would be lost", "store {}.filled(...) and {}.mask"
    if isinstance(value, np.ndarray):
        return ", which would come back as a plain array", "store np.asarray({})"
    if isinstance(value, enum.Enum):
        return ", which would come back as a plain value", "store {}.value"
    for base in _PLAIN:
        if isinstance(value, base):
            return f", which would come back as a plain {base.__name__}", f"store {base.__name__}({{}})"
    for method in ("to_pydatetime", "to_pytimedelta"):
        if hasattr(kind, method):
            return "", f"store {{}}.{method}()"
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta):
        return ", a subclass that would come back changed", f"store a {kind.__mro__[1].__name__}"
    if hasattr(kind, "to_dict") and hasattr(kind, "columns"):
        return "", 'store {}.to_dict("list"), or make it a table'
    if hasattr(kind, "__array__"):
        return "", "store np.asarray({})"
    if isinstance(value, pathlib.PurePath):
        return "", "store str({})"
    if isinstance(value, memoryview):
        return "", "store bytes({})"
    if dataclasses.is_dataclass(kind):
        return "", "store dataclasses.asdict({})"
    if isinstance(value, range | collections.deque) or (
        isinstance(value, Iterable) and not isinstance(value, type) and hasattr(kind, "__next__")
    ):
        return "", "store list({})"
    return "", ""
