"""Parcels: the classes of a notebook, packed from how they were written, and declared again where they are opened.

First come the classes in the order of their declaration, without their functions; then the functions, which may name any of the classes.
"""

from __future__ import annotations

import io
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from compdb.errors import PopulateError

__all__ = ["Written", "pack"]

_CLASSES: dict[str, type[Any]] = {}
"""The classes of the parcel that is being opened, by qualified name."""


@dataclass(frozen=True)
class Written:
    """A class, and how it was written: what `type(name, bases, namespace, **keywords)` takes."""

    made: type[Any]
    name: str
    bases: tuple[type[Any], ...]
    namespace: Mapping[str, Any]
    keywords: Mapping[str, Any]


def pack(statements: Sequence[Written], finish: Callable[[type[Any], str, Any], None]) -> bytes:
    """Return a parcel of classes that may name each other.

    Parameters
    ----------
    statements : sequence of Written
        In the order in which they are to be declared.
    finish : callable
        Puts a function into a class once all classes are there; importable by name.

    Raises
    ------
    PopulateError
        If cloudpickle is missing, or something that a function names cannot travel.
    """
    try:
        import cloudpickle  # noqa: PLC0415 (an extra)
    except ModuleNotFoundError as error:
        raise PopulateError(
            "classes of a notebook travel to worker processes by cloudpickle: pip install compdb[notebook], or move them into a module"
        ) from error
    known = {id(w.made): w.made.__qualname__ for w in statements}

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, type) and id(obj) in known:
                return _named, (known[id(obj)],)
            return super().reducer_override(obj)

    def dump(thing: Any, what: str) -> bytes:
        buffer = io.BytesIO()
        try:
            Pickler(buffer).dump(thing)
        except Exception as error:  # whatever a user's own object raises when it is pickled
            raise PopulateError(
                f"{what} cannot travel to a worker process ({error}); move the class into a module"
            ) from error
        return buffer.getvalue()

    shells, functions = [], []
    for w in statements:
        plain = {n: v for n, v in w.namespace.items() if not _is_function(v) and id(v) not in known}
        qualname = w.made.__qualname__
        shell = (type(w.made), w.name, w.bases, plain, dict(w.keywords), qualname, _inner(w, known))
        shells.append(dump(shell, qualname))
        functions += [dump((qualname, n, v), f"{qualname}.{n}") for n, v in w.namespace.items() if _is_function(v)]
    return dump(_Opener(shells, functions, finish), "the notebook")


def _inner(written: Written, known: Mapping[int, str]) -> list[tuple[str, str]]:
    """Return the classes that stand inside this one: attribute and qualified name."""
    return [(n, known[id(v)]) for n, v in written.namespace.items() if isinstance(v, type) and id(v) in known]


def _is_function(value: object) -> bool:
    return isinstance(value, (types.FunctionType, property, classmethod, staticmethod))


def _named(qualname: str) -> type[Any]:
    return _CLASSES[qualname]


@dataclass(frozen=True)
class _Opener:
    """What a parcel is, unpickled: called, it declares its classes and returns them by qualified name."""

    shells: list[bytes]
    functions: list[bytes]
    finish: Callable[[type[Any], str, Any], None]

    def __call__(self) -> dict[str, type[Any]]:
        import cloudpickle  # noqa: PLC0415 (an extra)

        _CLASSES.clear()
        for shell in self.shells:
            metaclass, name, bases, namespace, keywords, qualname, inner = cloudpickle.loads(shell)
            namespace.update({attribute: _CLASSES[q] for attribute, q in inner})
            namespace["__qualname__"] = qualname
            _CLASSES[qualname] = metaclass(name, bases, namespace, **keywords)
        for function in self.functions:
            qualname, name, value = cloudpickle.loads(function)
            self.finish(_CLASSES[qualname], name, value)
        return dict(_CLASSES)
