"""Reading the annotations of a class: `Key[T]`, `Mapped[T]`, `Mapped[T | None]`, also as strings.

A name in a string is looked for among the tables of the pipeline, then in the module of the class (and what its functions see
as globals), then among its enclosing tables; never in the frames of the caller.
"""

from __future__ import annotations

import builtins
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import Mapped
from sqlalchemy.util import get_annotations

from compdb.declare.catalog import Catalog
from compdb.errors import DeclarationError, nearest

__all__ = ["Annotation", "ForeignKeySpec", "Key", "foreign_key", "is_mapped", "read"]

T = TypeVar("T")

if TYPE_CHECKING:
    Key = Mapped
else:

    class Key(Mapped[T]):
        """An attribute of the primary key: `image_id: Key[int]`, or a link that becomes part of it, `image: Key[Image]`.

        For type checkers `Key[T]` is SQLAlchemy's `Mapped[T]`.
        """


@dataclass(frozen=True)
class ForeignKeySpec:
    """How a link differs from the plain one; see `foreign_key`."""

    rename: Mapping[str, str]
    unique: bool


def foreign_key(*, rename: Mapping[str, str] | None = None, unique: bool = False) -> Any:
    """Say how a link brings its columns: `mother: Mapped["Subject | None"] = foreign_key(rename={"subject_id": "mother_id"})`.

    Parameters
    ----------
    rename : mapping of str to str, optional
        Key attribute of the parent -> its name here.
    unique : bool
        At most one row here per parent row (1:1).
    """
    return ForeignKeySpec(dict(rename or {}), unique)


@dataclass(frozen=True)
class Annotation:
    """One annotated attribute of a class.

    Attributes
    ----------
    name : str
    key : bool
        `Key[...]` rather than `Mapped[...]`.
    type : object
        What stands in the brackets, without `| None`.
    nullable : bool
        `| None` was there.
    given : object
        What the class body assigned to the name, or None.
    """

    name: str
    key: bool
    type: Any  # a Python type, a typing construct or a table class
    nullable: bool
    given: Any  # whatever the user wrote after the equals sign


def is_mapped(thing: object) -> bool:
    """Say whether `thing` is a mapped class, of a pipeline or of any declarative base."""
    return isinstance(thing, type) and isinstance(sa.inspect(thing, raiseerr=False), orm.Mapper)


def read(cls: type[Any], label: str, catalog: Catalog, master: type[Any] | None) -> list[Annotation]:
    """Return the annotated attributes of `cls` and its plain mixins, mixins first, in the order written.

    Annotations that are not ours (ClassVar, an explicit relationship) are left out.
    """
    found: dict[str, Annotation] = {}
    for home in _homes(cls):
        names = _Names(cls, home, catalog, master)
        for name, written in get_annotations(home).items():
            if name.startswith("__") or _is_class_variable(written):
                continue
            annotation = _one(cls, label, home, name, written, names, catalog)
            found.pop(name, None)
            if annotation is not None:
                found[name] = annotation
    return list(found.values())


def _homes(cls: type[Any]) -> list[type[Any]]:
    """Return the classes whose annotations count: plain mixins, farthest first, then the class itself."""

    def plain(base: type[Any]) -> bool:
        return not base.__module__.startswith(("compdb.", "sqlalchemy.", "builtins", "typing")) and not any(
            name in vars(base) for name in ("__catalog__", "_sa_registry", "__table__")
        )

    return [base for base in reversed(cls.__mro__[1:]) if base is not object and plain(base)] + [cls]


def _is_class_variable(written: Any) -> bool:
    if isinstance(written, str):
        return written.replace("typing.", "").lstrip().startswith("ClassVar")
    return written is typing.ClassVar or typing.get_origin(written) is typing.ClassVar


class _Names(Mapping[str, Any]):
    """The names that a string annotation may use, in the order of design section 2."""

    def __init__(self, cls: type[Any], home: type[Any], catalog: Catalog, master: type[Any] | None) -> None:
        own = {cls.__name__: cls} if master is None else {master.__name__: master}
        tables = {c.__name__: c for c in catalog}
        functions = [f for f in vars(home).values() if isinstance(f, types.FunctionType)]
        enclosing = {n: v for n, v in vars(master).items() if isinstance(v, type)} if master is not None else {}
        fallback = {"Key": Key, "Mapped": Mapped, "cdb": sys.modules.get("compdb"), "compdb": sys.modules.get("compdb")}
        module = vars(sys.modules[home.__module__]) if home.__module__ in sys.modules else {}
        if home.__module__ == "builtins":  # exec without a __name__
            module = {}
        self.places: list[Mapping[str, Any]] = [
            own,
            tables,
            module,
            *(f.__globals__ for f in functions[:1]),
            enclosing,
            fallback,
            vars(builtins),
        ]

    def __getitem__(self, name: str) -> Any:
        for place in self.places:
            if name in place:
                return place[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for place in self.places for name in place))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _one(
    cls: type[Any], label: str, home: type[Any], name: str, written: Any, names: _Names, catalog: Catalog
) -> Annotation | None:
    given = vars(cls).get(name, vars(home).get(name))
    if given is not None and not isinstance(given, (ForeignKeySpec, orm.MappedColumn)):
        if isinstance(given, orm.interfaces.MapperProperty) or _is_ours(written) is False:
            return None
        raise DeclarationError(
            f"{label}.{name} = {given!r}: a default is written {name}: Mapped[...] = mapped_column(default={given!r})"
        )
    evaluated = _evaluate(label, home, name, written, names)
    origin = typing.get_origin(evaluated)
    if origin is not Key and origin is not Mapped:
        if isinstance(given, ForeignKeySpec) or (origin is None and given is None and not isinstance(evaluated, str)):
            shown = getattr(evaluated, "__name__", str(evaluated))
            raise DeclarationError(
                f"{label}.{name}: {shown} makes no attribute; write {name}: Key[{shown}] for the primary key"
                f" or {name}: Mapped[{shown}] for the rest"
            )
        return None
    (inner,) = typing.get_args(evaluated)
    inner, nullable = _without_none(inner)
    if isinstance(inner, type) and hasattr(inner, "__catalog__"):
        inner = inner.__catalog__.current(inner)
    if origin is Key and nullable:
        raise DeclarationError(f"{label}.{name}: a key attribute cannot be NULL; write {name}: Key[...] without None")
    return Annotation(name, origin is Key, inner, nullable, given)


def _is_ours(written: Any) -> bool:
    if isinstance(written, str):
        return "Key[" in written or "Mapped[" in written
    return typing.get_origin(written) in (Key, Mapped)


def _without_none(inner: Any) -> tuple[Any, bool]:
    if typing.get_origin(inner) not in (typing.Union, types.UnionType):
        return inner, False
    rest = [a for a in typing.get_args(inner) if a is not type(None)]
    nullable = len(rest) < len(typing.get_args(inner))
    return (rest[0] if len(rest) == 1 else typing.Union[tuple(rest)]), nullable  # noqa: UP007 (built at run time)


def _evaluate(label: str, home: type[Any], name: str, written: Any, names: _Names) -> Any:
    holder = types.SimpleNamespace(__annotations__={name: written})
    try:
        return typing.get_type_hints(holder, {}, typing.cast("dict[str, Any]", names), include_extras=True)[name]
    except NameError as error:
        missing = error.name or str(error)
        guess = nearest(missing, [n for place in names.places[:3] for n in place])
        raise DeclarationError(
            f"{label}.{name}: {_text(written)} names {missing!r}, which is no table of this pipeline and not in the module"
            f" {home.__module__!r}"
            + (f"; did you mean {guess!r}?" if guess else "; declare parents before their children")
        ) from error
    except (TypeError, SyntaxError, AttributeError) as error:
        raise DeclarationError(f"{label}.{name}: cannot read the annotation {_text(written)}: {error}") from error


def _text(written: Any) -> str:
    return written if isinstance(written, str) else repr(written)
