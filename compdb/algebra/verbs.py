"""Verbs: what sends a relation to its database and brings rows, counts or a preview back."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy import exc

from compdb import cascade, fetch, preview, transfer
from compdb.algebra.heading import heading_of
from compdb.algebra.state import State
from compdb.algebra.top import Top, take
from compdb.database import Database
from compdb.dialects import Fault
from compdb.errors import CompdbError, NotOneRow, RestrictionError, UnknownAttribute, UnknownVerb

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

__all__ = ["Verbs"]

T = TypeVar("T")
Row = dict[str, Any]


class FetchOne:
    """The verb `fetch1`, which DataJoint also wrote with brackets."""

    __slots__ = ("_relation",)

    def __init__(self, relation: Verbs[Any]) -> None:
        self._relation = relation

    def __call__(self, *attributes: str) -> Any:
        """Return the one row: a dict, or the value of one attribute, or a tuple of several.

        Parameters
        ----------
        *attributes : str
            Names of attributes; `"KEY"` is a dict of the primary key.

        Raises
        ------
        NotOneRow
            If there is none, or more than one; says how many.
        UnknownAttribute
        """
        return _fetch1(self._relation, attributes)

    def __getitem__(self, name: object) -> NoReturn:
        told = ", ".join(map(repr, name)) if isinstance(name, tuple) else repr(name)
        raise UnknownVerb(f"fetch1[{told}] is DataJoint's old form; write fetch1({told})")


_OURS = {
    "fetch": "to_dicts(), to_arrays('a', 'b'), to_pandas(), to_polars(), keys() or fetch1()",
    "aggregate": "aggr(B, n='count(*)')",
    "populate": "Table.populate(restriction): the restriction is its argument",
    "progress": "Table.progress(restriction): the restriction is its argument",
    "insert": "Table.insert(rows): rows go into a table",
    "insert1": "Table.insert1(row): a row goes into a table",
    "update1": "Table.update1({**key, 'attribute': value}): the key says which row",
    "delete_quick": "delete(prompt=False)",
    "drop": "Table.drop(), or delete() for its rows",
    "make_sql": "sql()",
    "cursor": "select(), or iteration: `for row in relation`",
    "save_fetch": "to_dicts()",
}


class Verbs(State, Generic[T]):
    """The verbs of a relation."""

    __slots__ = ()

    # --- rows

    def to_dicts(self, *, order_by: Any = None, limit: int | None = None, offset: int | None = None) -> list[Row]:
        """Return all rows as dicts.

        Parameters
        ----------
        order_by : str, expression, or list of these
            Attributes (`"a"`, `"a DESC"`), `"KEY"`, or SQLAlchemy expressions. Without it the order is the database's affair.
        limit, offset : int
            How many rows, after passing over so many; in the order of the primary key if none is given.
        """
        found = self._taken(order_by, limit, offset)
        known = found._known_already(found.heading.names)
        if known is not None:
            return [dict(zip(found.heading.names, row)) for row in known]
        with found.telling() as database:
            return found._blank(fetch.to_dicts(database, found.select()))

    def to_arrays(
        self,
        *attributes: str,
        include_key: bool = False,
        order_by: Any = None,
        limit: int | None = None,
        offset: int | None = None,
    ) -> Any:  # an array, a tuple of arrays, or a structured array
        """Return columns as numpy arrays.

        One attribute gives an array, several a tuple of arrays, none a structured array of all. `include_key` puts a list of key dicts
        first. NULL is NaN in floats, NaT in times, and None in object arrays. Order and limit are as for `to_dicts`.
        """
        found = self._taken(order_by, limit, offset)
        for name in attributes:
            found._known(name)
        key = list(found.primary_key) if include_key else None
        wanted: list[str] = [*(key or []), *attributes]
        names: Sequence[str] = list(dict.fromkeys(wanted)) if attributes else found.heading.names
        with found.telling() as database:
            known = found._known_already(tuple(names))
            return fetch.to_arrays(database, found._select_names(names), attributes, key, known)

    def to_pandas(self, *, order_by: Any = None, limit: int | None = None, offset: int | None = None) -> pd.DataFrame:
        """Return a pandas DataFrame with the primary key as its index; order and limit are as for `to_dicts`."""
        found = self._taken(order_by, limit, offset)
        nullable = [a.name for a in found.heading if a.nullable]
        with found.telling() as database:
            whole = fetch.to_pandas(database, found.select(), found.primary_key, nullable)
        return whole if found.heading.names else whole.drop(columns=whole.columns)

    def to_polars(self, *, order_by: Any = None, limit: int | None = None, offset: int | None = None) -> pl.DataFrame:
        """Return a polars DataFrame; order and limit are as for `to_dicts`."""
        found = self._taken(order_by, limit, offset)
        with found.telling() as database:
            whole = fetch.to_polars(database, found.select())
        return whole if found.heading.names else whole.select([])

    def to_arrow(self, *, order_by: Any = None, limit: int | None = None, offset: int | None = None) -> pa.Table:
        """Return an Arrow table; order and limit are as for `to_dicts`."""
        found = self._taken(order_by, limit, offset)
        with found.telling() as database:
            whole = fetch.to_arrow(database, found.select())
        return whole if found.heading.names else whole.select([])

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Stream the rows to whatever speaks Arrow: `polars.DataFrame(relation)`, `pyarrow.table(relation)`, DuckDB."""
        with self.telling() as database:
            return fetch.to_reader(database, self.select()).__arrow_c_stream__(requested_schema)

    def keys(self, *, order_by: Any = None, limit: int | None = None, offset: int | None = None) -> list[Row]:
        """Return the primary keys as dicts; order and limit are as for `to_dicts`."""
        found = self._taken(order_by, limit, offset)
        if not found.primary_key:
            return [{} for _ in range(len(found))]
        with found.telling() as database:
            return fetch.to_dicts(database, found.keys_select())

    @property
    def fetch1(self) -> FetchOne:
        """Return the one row: `fetch1()` a dict, `fetch1("a")` a value, `fetch1("a", "b")` a tuple."""
        return FetchOne(self)

    def head(self, limit: int = 25) -> list[Row]:
        """Return the first rows in the order of the primary key."""
        return self.to_dicts(order_by="KEY", limit=limit)

    def tail(self, limit: int = 25) -> list[Row]:
        """Return the last rows in the order of the primary key."""
        return self.to_dicts(order_by="KEY DESC", limit=limit)[::-1]

    def row1(self) -> T:
        """Return the one row as a mapped object.

        Raises
        ------
        NotOneRow
        RestrictionError
            If the rows are not whole rows of one table.
        """
        found = self._rows(self.select().limit(2) if self.window is None else self.select(), ())
        if len(found) != 1:
            raise NotOneRow(self.written, len(self))
        return found[0]

    def rows(
        self, *, load: Sequence[str] = (), order_by: Any = None, limit: int | None = None, offset: int | None = None
    ) -> list[T]:
        """Return rows as mapped objects, in the session in force or detached.

        Parameters
        ----------
        load : sequence of str
            Blobs to load at once; others stay in the database until touched.
        """
        for name in [load] if isinstance(load, str) else load:
            self._known(name)
        found = self._taken(order_by, limit, offset)
        return found._rows(found.select(), [load] if isinstance(load, str) else load)

    def _rows(self, select: sa.Select[Any], load: Sequence[str]) -> list[T]:
        if self.entity is None:
            raise RestrictionError(
                f"{self.label} has no whole rows of one table, so they are no mapped objects; to_dicts() gives them as dicts"
            )
        with self.telling() as database:
            return fetch.to_rows(database, select, self.entity, load)

    # --- counting and iterating

    def __len__(self) -> int:
        """Count the rows."""
        inner = self if not self.distinct and self.window is None else None
        if inner is None:
            whole = self.select().subquery()
            query = sa.select(sa.func.count()).select_from(whole)
        else:
            query = self.select_rows(sa.func.count())
        return int(self._scalar(query))

    def __bool__(self) -> bool:
        """Say whether there is a row."""
        return bool(self._scalar(sa.select(self.select().exists())))

    def __contains__(self, key: object) -> bool:
        """Say whether there is a row that the condition `key` keeps."""
        return bool(self & key)  # type: ignore[operator]

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows as dicts, with few of them in memory at a time."""
        with self.telling() as database:
            for row in fetch.iterate(database, self.select()):
                yield row if self.heading.names else {}

    def _scalar(self, query: sa.Select[Any]) -> Any:
        with self.telling() as database, database.reading(query) as connection:
            return connection.execute(query).scalar_one()

    # --- text

    def preview(self, limit: int = 12, width: int | None = None) -> str:
        """Return a table of some rows as text, with blobs as their dtype and shape; never raises.

        Parameters
        ----------
        limit : int
            How many rows.
        width : int, optional
            How many characters wide at most; by default as wide as the terminal.
        """
        return preview.text(self._shown, width=width, limit=limit, **self._about())

    def _repr_html_(self) -> str:
        return preview.html(self._shown, **self._about())

    def __repr__(self) -> str:
        return self.preview()

    def _shown(self) -> tuple[Database, sa.Select[Any]]:
        return self.database, self.select()

    def _about(self) -> dict[str, Any]:
        whole = self.table is not None and self.equality == {}
        return {
            "title": self.written,
            "comment": (self.table.comment or "") if self.table is not None and whole else "",
            "key": self.primary_key,
            "comments": {a.name: a.comment for a in self.heading},
            "told": self.telling,
        }

    def sql(self) -> str:
        """Return the text of `select()` in the database's dialect, values in place."""
        try:
            dialect = self.database.engine.dialect
        except CompdbError:
            dialect = None
        query = self.select()
        try:
            compiled = query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
        except (exc.CompileError, NotImplementedError):
            compiled = query.compile(dialect=dialect)
        text = str(compiled)
        doubled = dialect is not None and dialect.paramstyle in ("format", "pyformat")
        return text.replace("%%", "%") if doubled else text

    # --- changing

    def delete(self, prompt: bool | None = None, dry_run: bool = False, part_integrity: str = "enforce") -> int | dict[str, int]:
        """Delete these rows of their table, and everything that depends on them; see `compdb.cascade`.

        Parameters
        ----------
        prompt : bool, optional
            Ask first, with the counts per table; by default at a terminal or in a notebook. Elsewhere `prompt=False` is needed.
        dry_run : bool
            Only count.
        part_integrity : {"enforce", "cascade", "ignore"}
            A part row whose master row stays is an error, takes its master with it, or goes alone.

        Returns
        -------
        int or dict
            How many rows of the table itself were deleted; with `dry_run` how many of each table would be.

        Raises
        ------
        RestrictionError
            If the rows are not whole rows of one table.
        DeleteError
        """
        if self.table is None:
            raise RestrictionError(
                f"{self.label} has no whole rows of one table, so there is nothing to delete; "
                "restrict the table by it: (Table & relation).delete()"
            )
        keys = None if self.equality is not None and not self.equality else self.keys_select()
        with self.telling() as database:
            return cascade.delete(
                database, self.table, keys, prompt=prompt, dry_run=dry_run, part_integrity=part_integrity
            )

    def export(self, path: str | Path) -> dict[str, int]:
        """Write these rows of a table, all that depends on them and all that they depend on, into a new SQLite file.

        Returns
        -------
        dict
            How many rows of each table were written.
        """
        if self.table is None:
            raise RestrictionError(
                f"{self.label} has no whole rows of one table to export; restrict the table by it: (Table & relation).export(...)"
            )
        keys = None if self.equality is not None and not self.equality else self.keys_select()
        with self.telling() as database:
            return transfer.export(database, self.table, keys, path)

    # --- how

    def __getattr__(self, name: str) -> NoReturn:
        if name in _OURS:
            raise UnknownVerb(f"{self.label} has no {name!r}; write {_OURS[name]}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    def _known(self, name: str) -> str:
        if name not in self.heading:
            hint = "for the key there are keys() and to_arrays(..., include_key=True)" if name == "KEY" else None
            raise UnknownAttribute(name, self.label, self.heading.names, hint)
        return name

    def _taken(self, order_by: Any, limit: int | None, offset: int | None) -> Self:
        if order_by is None and limit is None and not offset:
            return self
        return take(self, Top(limit, order_by, offset or 0))  # type: ignore[arg-type, return-value]

    def _select_names(self, names: Sequence[str]) -> sa.Select[Any]:
        whole = self.enclosed() if self.distinct and len(names) < len(self.heading) else self
        return whole.select_attributes(whole.heading[name] for name in names)

    def _known_already(self, names: tuple[str, ...]) -> list[tuple[Any, ...]] | None:
        """Return the rows if the make that asks has them already (populate reads for many makes at once), else None."""
        equality = self.equality
        return self.database.answer(self.table, names, equality) if equality and self.table is not None else None

    def _blank(self, rows: list[Row]) -> list[Row]:
        return rows if self.heading.names else [{} for _ in rows]

    @contextmanager
    def telling(self) -> Iterator[Database]:
        """Give the database; a column that text names and nobody has is told as the attribute it was meant to be."""
        database = self.database
        try:
            yield database
        except exc.DBAPIError as error:
            diagnosis = database.dialect.classify(error)
            if diagnosis.fault in (Fault.SYNTAX, Fault.BAD_VALUE) and self.verbatim:
                said = str(error.orig).strip().splitlines()[0]
                cannot = "read" if diagnosis.fault is Fault.SYNTAX else "answer"
                raise RestrictionError(f"{self.written}: the database cannot {cannot} a text in it: {said}") from error
            if diagnosis.fault is not Fault.MISSING_COLUMN or not self.verbatim:
                raise
            name = diagnosis.columns[0] if diagnosis.columns else "?"
            known = dict.fromkeys([*self.heading.names, *(c.name for t in self.tables for c in t.columns)])
            raise UnknownAttribute(name, self.written, known, "a text over attributes names it") from error


def _fetch1(relation: Verbs[Any], attributes: tuple[str, ...]) -> Any:
    names: list[str] = []
    for name in attributes:
        names += relation.primary_key if name == "KEY" else [relation._known(name)]
    wanted = tuple(dict.fromkeys(names)) if attributes else relation.heading.names
    row = _one(relation, wanted)
    if not attributes:
        return row
    found = [{n: row[n] for n in relation.primary_key} if name == "KEY" else row[name] for name in attributes]
    return found[0] if len(found) == 1 else tuple(found)


def _one(relation: Verbs[Any], wanted: tuple[str, ...]) -> Row:
    """Return these attributes of the one row."""
    equality = relation.equality
    if equality is None or relation.table is None:
        query = relation._select_names(wanted)
        query = query.limit(2) if relation.window is None or relation.window.limit is None else query
        with relation.telling() as database:
            found = relation._blank(fetch.to_dicts(database, query))
    else:
        found = [dict(zip(wanted, row)) for row in _prepared_rows(relation, relation.table, equality, wanted)]
    if len(found) != 1:
        raise NotOneRow(relation.written, len(relation) if found else 0)
    return found[0]


def _prepared_rows(
    relation: Verbs[Any], table: sa.Table, equality: Mapping[str, Any], wanted: tuple[str, ...]
) -> Sequence[Sequence[Any]]:
    """Return at most two rows of a table in which attributes have certain values, by a statement that is made once."""
    known = relation._known_already(wanted)
    if known is not None:
        return known
    nulls = tuple(value is None for value in equality.values())
    query = _prepared(table, tuple(equality), nulls, wanted)
    parameters = {f"is_{name}": value for name, value in equality.items() if value is not None}
    with relation.telling() as database, database.reading(query) as connection:
        result = connection.execute(query, parameters)
        rows = result.fetchmany(2)
        result.close()
    return rows


@functools.lru_cache(maxsize=2048)
def _prepared(
    table: sa.Table, given: tuple[str, ...], nulls: tuple[bool, ...], wanted: tuple[str, ...]
) -> sa.Select[Any]:
    """Return the statement that asks for attributes of the rows in which others have certain values."""
    heading = heading_of(table)
    query = sa.select(*(heading[name].selected for name in wanted)).select_from(table)
    for name, null in zip(given, nulls):
        column = heading[name].column
        query = query.where(column.is_(None) if null else column == sa.bindparam(f"is_{name}", type_=column.type))
    if not {n for n, null in zip(given, nulls) if not null}.issuperset(heading.primary_key):
        query = query.limit(2)
    return query


