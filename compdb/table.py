"""What every table class answers to: the operators of the algebra, the fetch verbs, insert, update1, delete and drop.

>>> Session & {"subject_id": "M001"}          # on the class
>>> len(Session() & "session_idx > 1")        # a row answers for its table, as in DataJoint
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.orm.decl_api import DeclarativeAttributeIntercept

from compdb import cascade, dag, update
from compdb import insert as inserting
from compdb.algebra import Heading, Relation
from compdb.database import database_of
from compdb.declare.description import describe
from compdb.errors import DeclarationError, UnknownAttribute

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["Definition", "Table", "TableMeta"]

T = TypeVar("T")


@dataclass(frozen=True)
class Definition:
    """A class statement as it was written, from which a worker declares the class again."""

    name: str
    bases: tuple[type[Any], ...]
    namespace: Mapping[str, Any]
    keywords: Mapping[str, Any]


class TableMeta(DeclarativeAttributeIntercept):
    """The type of table classes: a class is its table, so operators, `len`, `in` and `for` work on it."""

    __definition__: Definition

    def __new__(mcs, name: str, bases: tuple[type[Any], ...], namespace: dict[str, Any], **keywords: Any) -> Any:
        """Make the class and keep how it was written."""
        written = {k: v for k, v in namespace.items() if k not in ("__dict__", "__weakref__")}
        if "__annotations__" in written:
            written["__annotations__"] = dict(written["__annotations__"])
        cls = super().__new__(mcs, name, bases, namespace, **keywords)
        type.__setattr__(cls, "__definition__", Definition(name, bases, written, keywords))
        return cls

    def __and__(cls: type[T], condition: Any) -> Relation[T]:
        """Restrict: the rows for which `condition` holds."""
        return _relation(cls).restrict(condition)

    def __sub__(cls: type[T], condition: Any) -> Relation[T]:
        """Anti-restrict: the rows for which `condition` does not hold."""
        return _relation(cls).__sub__(condition)

    def __mul__(cls: type[T], other: Any) -> Relation[Any]:
        """Join on namesakes of common lineage."""
        found: Relation[Any] = _relation(cls) * other
        return found

    def __add__(cls: type[T], other: Any) -> Relation[Any]:
        """Unite."""
        return _relation(cls).__add__(other)

    def __neg__(cls: type[T]) -> Any:
        """Negate, for use as a condition."""
        return -_relation(cls)

    def __len__(cls) -> int:
        """Count the rows."""
        return len(_relation(cast("type[Any]", cls)))

    def __iter__(cls) -> Iterator[dict[str, Any]]:
        """Iterate over the rows as dicts."""
        return iter(_relation(cast("type[Any]", cls)))

    def __contains__(cls, key: Any) -> bool:
        """Say whether there is a row that `key` restricts to."""
        return key in _relation(cast("type[Any]", cls))

    def __bool__(cls) -> bool:
        """A class is true: SQLAlchemy and typing ask. `bool(Session & True)` asks the database."""
        return True


def _relation(cls: type[T]) -> Relation[T]:
    own = vars(cls)
    table = own.get("__table__")
    if table is None:
        raise DeclarationError(f"{cls.__name__} is not a table of a pipeline")
    whole = own.get("__whole__")
    if whole is None or whole.table is not table:
        whole = Relation.of(table, cls)
        type.__setattr__(cls, "__whole__", whole)
    return cast("Relation[T]", whole)


class _OfRelation:
    """A property of the relation of all rows, on the class and on a row."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, row: Any, owner: type[Table]) -> Any:
        return getattr(_relation(owner), self.name)


class Table(metaclass=TableMeta):
    """Base of all tiers: the verbs of a table. Each works on the class and, as in DataJoint, on a row for its table."""

    __tier__: ClassVar[str]
    if TYPE_CHECKING:
        __table__: ClassVar[sa.FromClause]
        primary_key: ClassVar[tuple[str, ...]]
        heading: ClassVar[Heading]
    else:
        primary_key = _OfRelation("primary_key")
        heading = _OfRelation("heading")

    def __init__(self, **attributes: Any) -> None:
        cls = type(self)
        known = {a.key for a in sa.inspect(cls).attrs}
        for name, value in attributes.items():
            if name not in known and not any(name in vars(base) for base in cls.__mro__):
                raise UnknownAttribute(name, dag.label(cls.__table__), sorted(known))
            setattr(self, name, value)

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        pipeline = any(hasattr(base, "__catalog__") for base in cls.__mro__)
        tier = cls.__dict__.get("__tier__")
        if not pipeline and tier is None and "__abstract__" not in vars(cls) and cls.__tier__ != "part":
            base = cls.__tier__.capitalize()
            raise DeclarationError(
                f"{cls.__name__} has a tier but no pipeline; write\n\n    class Lab(cdb.Pipeline):\n        ...\n\n"
                f"    class {cls.__name__}(cdb.{base}, Lab):"
            )

    # ------------------------------------------------------------ a row answers for its table

    def __and__(self, condition: Any) -> Relation[Self]:
        return _relation(type(self)).restrict(condition)

    def __sub__(self, condition: Any) -> Relation[Self]:
        return _relation(type(self)).__sub__(condition)

    def __mul__(self, other: Any) -> Relation[Any]:
        found: Relation[Any] = _relation(type(self)) * other
        return found

    def __add__(self, other: Any) -> Relation[Any]:
        return _relation(type(self)).__add__(other)

    def __neg__(self) -> Any:
        return -_relation(type(self))

    def __len__(self) -> int:
        return len(_relation(type(self)))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(_relation(type(self)))

    def __contains__(self, key: Any) -> bool:
        return key in _relation(type(self))

    def __bool__(self) -> bool:
        return True

    @classmethod
    def __relation__(cls) -> Relation[Self]:
        """Return all rows as a Relation; how the algebra sees a table, or a row."""
        return _relation(cls)

    def __repr__(self) -> str:
        cls = type(self)
        table = vars(cls).get("__table__")
        if table is None:
            return object.__repr__(self)
        shown = [f"{c.name}={_brief(_value(self, c.name))}" for c in table.columns if _value(self, c.name) is not None]
        return f"{dag.label(table)}({', '.join(shown)})"

    def _repr_html_(self) -> str | None:
        if any(_value(self, c.name) is not None for c in self.__table__.columns):
            return None
        return _relation(type(self))._repr_html_()

    # ------------------------------------------------------------ the algebra as verbs

    @classmethod
    def proj(cls, *attributes: Any, **named: Any) -> Relation[Any]:
        """Project: keep, rename (`new="old"`) or compute (`new="expression"`) attributes; see `Relation.proj`."""
        return _relation(cls).proj(*attributes, **named)

    @classmethod
    def aggr(cls, group: Any, *attributes: Any, exclude_nonmatching: bool = False, **named: Any) -> Relation[Any]:
        """Aggregate `group` for each row of this table, also those without a match; see `Relation.aggr`."""
        return _relation(cls).aggr(group, *attributes, exclude_nonmatching=exclude_nonmatching, **named)

    @classmethod
    def extend(cls, other: Any) -> Relation[Any]:
        """Left join with a relation of which there is at most one row per row here; see `Relation.extend`."""
        return _relation(cls).extend(other)

    @classmethod
    def join(cls, other: Any, *, left: bool = False) -> Relation[Any]:
        """Join; with `left` keep the rows without a match; see `Relation.join`."""
        return _relation(cls).join(other, left=left)

    @classmethod
    def restrict(cls, condition: Any) -> Relation[Self]:
        """Restrict, as `&` does."""
        return _relation(cls).restrict(condition)

    # ------------------------------------------------------------ fetching

    @classmethod
    def to_dicts(
        cls, *, order_by: Any = None, limit: int | None = None, offset: int | None = None
    ) -> list[dict[str, Any]]:
        """Fetch all rows as dicts; see `Relation.to_dicts`."""
        return _relation(cls).to_dicts(order_by=order_by, limit=limit, offset=offset)

    @classmethod
    def to_arrays(
        cls,
        *attributes: str,
        include_key: bool = False,
        order_by: Any = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> Any:
        """Fetch columns as numpy arrays; see `Relation.to_arrays`."""
        return _relation(cls).to_arrays(
            *attributes, include_key=include_key, order_by=order_by, limit=limit, offset=offset
        )

    @classmethod
    def to_pandas(cls, *, order_by: Any = None, limit: int | None = None, offset: int | None = None) -> pd.DataFrame:
        """Fetch a pandas DataFrame with the key as its index; see `Relation.to_pandas`."""
        return _relation(cls).to_pandas(order_by=order_by, limit=limit, offset=offset)

    @classmethod
    def to_polars(cls, *, order_by: Any = None, limit: int | None = None, offset: int | None = None) -> pl.DataFrame:
        """Fetch a polars DataFrame; see `Relation.to_polars`."""
        return _relation(cls).to_polars(order_by=order_by, limit=limit, offset=offset)

    @classmethod
    def to_arrow(cls, *, order_by: Any = None, limit: int | None = None, offset: int | None = None) -> pa.Table:
        """Fetch an Arrow table; see `Relation.to_arrow`."""
        return _relation(cls).to_arrow(order_by=order_by, limit=limit, offset=offset)

    @classmethod
    def __arrow_c_stream__(cls, requested_schema: object | None = None) -> object:
        """Stream all rows to whatever speaks Arrow; see `Relation.__arrow_c_stream__`."""
        return _relation(cls).__arrow_c_stream__(requested_schema)

    @classmethod
    def keys(cls, *, order_by: Any = None, limit: int | None = None, offset: int | None = None) -> list[dict[str, Any]]:
        """Fetch the primary keys as dicts; see `Relation.keys`."""
        return _relation(cls).keys(order_by=order_by, limit=limit, offset=offset)

    if TYPE_CHECKING:

        @classmethod
        def fetch1(cls, *attributes: str) -> Any:
            """Fetch the one row of this table; see `Relation.fetch1`."""

    else:
        fetch1 = _OfRelation("fetch1")  # so that DataJoint's brackets are told here too

    @classmethod
    def head(cls, limit: int = 25) -> list[dict[str, Any]]:
        """Fetch the first rows in key order."""
        return _relation(cls).head(limit)

    @classmethod
    def tail(cls, limit: int = 25) -> list[dict[str, Any]]:
        """Fetch the last rows in key order."""
        return _relation(cls).tail(limit)

    @classmethod
    def row1(cls) -> Self:
        """Fetch the one row of this table as a mapped object."""
        return _relation(cls).row1()

    @classmethod
    def rows(
        cls, *, load: Any = (), order_by: Any = None, limit: int | None = None, offset: int | None = None
    ) -> list[Self]:
        """Fetch rows as mapped objects; see `Relation.rows`."""
        return _relation(cls).rows(load=load, order_by=order_by, limit=limit, offset=offset)

    @classmethod
    def select(cls) -> sa.Select[Any]:
        """Return the SQLAlchemy Select of all rows."""
        return _relation(cls).select()

    @classmethod
    def sql(cls) -> str:
        """Return the text of `select()` in the database's dialect."""
        return _relation(cls).sql()

    @classmethod
    def preview(cls, limit: int = 12, width: int | None = None) -> str:
        """Return a table of the first rows as text; see `Relation.preview`."""
        return _relation(cls).preview(limit, width)

    # ------------------------------------------------------------ writing

    @classmethod
    def insert(
        cls,
        rows: Any,
        *,
        skip_duplicates: bool = False,
        replace: bool = False,
        ignore_extra_fields: bool = False,
        chunk_size: int | None = None,
        allow_direct_insert: bool = False,
    ) -> None:
        """Insert rows, all or nothing.

        Parameters
        ----------
        rows : iterable of dict, tuple or mapped object; dict; structured array; pandas, polars or Arrow table; Relation; CSV Path
            Rows may differ in the optional attributes that they give; tuples follow the heading.
        skip_duplicates : bool
            Pass over rows whose primary key is there already.
        replace : bool
            Update the row of that key in place; attributes not given become their default or NULL.
        ignore_extra_fields : bool
            Pass over attributes that the table lacks.
        chunk_size : int, optional
            Commit every so many rows; one chunk is atomic then.
        allow_direct_insert : bool
            Insert into an Imported or Computed table, or its part, from outside its make.

        Raises
        ------
        UnknownAttribute, MissingAttribute, InvalidValue, DuplicateKey, MissingParent, ConstraintError
            With the table, the attribute, the row and the key concerned.
        DirectInsertError
            If only make may insert here.
        """
        inserting.insert(
            _table(cls),
            rows,
            skip_duplicates=skip_duplicates,
            replace=replace,
            ignore_extra_fields=ignore_extra_fields,
            chunk_size=chunk_size,
            allow_direct_insert=allow_direct_insert,
        )

    @classmethod
    def insert1(
        cls,
        row: Any,
        *,
        skip_duplicates: bool = False,
        replace: bool = False,
        ignore_extra_fields: bool = False,
        allow_direct_insert: bool = False,
    ) -> None:
        """Insert one row: a dict, a tuple in heading order or a mapped object; options and errors as for `insert`."""
        inserting.insert(
            _table(cls),
            [row],
            skip_duplicates=skip_duplicates,
            replace=replace,
            ignore_extra_fields=ignore_extra_fields,
            allow_direct_insert=allow_direct_insert,
        )

    @classmethod
    def update1(cls, row: Mapping[str, Any]) -> None:
        """Change attributes of one existing row.

        Parameters
        ----------
        row : dict
            The full primary key and at least one attribute to change; None sets NULL.

        Raises
        ------
        UnknownAttribute, MissingAttribute, InvalidValue, NotOneRow, MissingParent
        """
        table = _table(cls)
        update.update1(database_of(table), table, row)

    @classmethod
    def delete(cls, prompt: bool | None = None, dry_run: bool = False, part_integrity: str = "enforce") -> Any:
        """Delete all rows and everything that depends on them; see `Relation.delete`."""
        return _relation(cls).delete(prompt=prompt, dry_run=dry_run, part_integrity=part_integrity)

    @classmethod
    def export(cls, path: str | Path) -> dict[str, int]:
        """Write all rows, what depends on them and what they depend on into a new SQLite file; see `Relation.export`."""
        return _relation(cls).export(path)

    @classmethod
    def drop(cls, prompt: bool | None = None) -> None:
        """Drop the table and all tables that depend on it from the database; their classes stay declared."""
        table = _table(cls)
        cascade.drop(database_of(table), [table], prompt=prompt)

    # ------------------------------------------------------------ the graph

    @classmethod
    def parents(cls) -> list[type[Any]]:
        """Return the tables that this one refers to."""
        return _classes(e.parent for e in dag.parents(_table(cls)))

    @classmethod
    def children(cls) -> list[type[Any]]:
        """Return the tables that refer to this one."""
        return _classes(e.child for e in dag.children(_table(cls)))

    @classmethod
    def ancestors(cls) -> list[type[Any]]:
        """Return all tables that this one depends on, the farthest first."""
        return _classes(dag.ancestors(_table(cls)))

    @classmethod
    def descendants(cls) -> list[type[Any]]:
        """Return all tables that depend on this one, the nearest first."""
        return _classes(dag.descendants(_table(cls)))

    @classmethod
    def parts(cls) -> list[type[Any]]:
        """Return the part tables."""
        return _classes(dag.parts(_table(cls)))

    @classmethod
    def describe(cls) -> str:
        """Return the declaration of this table and its parts as Python, as the pipeline knows it."""
        return describe(_table(cls))

    if not TYPE_CHECKING:

        @classmethod
        def fetch(cls, *attributes: Any, **options: Any) -> Any:
            """Say what stands for DataJoint's `fetch` here."""
            return _relation(cls).fetch(*attributes, **options)


def _classes(tables: Any) -> list[type[Any]]:
    found = dict.fromkeys(t for t in tables if dag.tier(t) != "jobs")
    return [t.info.get("class", t) for t in found]


def _table(cls: type[Any]) -> sa.Table:
    table = vars(cls).get("__table__")
    if table is None:
        raise DeclarationError(
            f"{cls.__name__} is not a table of a pipeline"
            + ("; a part is declared inside its master" if getattr(cls, "__tier__", None) == "part" else "")
        )
    return cast("sa.Table", table)


def _value(row: Table, column: str) -> Any:
    mapper = sa.inspect(type(row))
    return row.__dict__.get(mapper.get_property_by_column(row.__table__.c[column]).key)


def _brief(value: Any) -> str:
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if shape:
        return f"<{dtype} {shape}>"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def show_classes_in_notebooks(metaclass: type[Any], show: Callable[[Any], str | None]) -> None:
    """Let IPython show table classes as previews: it asks formatters for a class's type, not the class itself."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is not None:
        shell.display_formatter.formatters["text/html"].for_type(metaclass, show)
