"""Lookups: the rows that their classes declare, beside those in the database, and what leads there and back."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from compdb import codecs, types
from compdb import insert as inserting
from compdb.errors import shorten
from compdb.migrate.former import makeable
from compdb.schema import Difference, Place, Table, family

__all__ = ["RowChanges", "contents", "differences", "lost_rows", "row_changes"]

Row = dict[str, Any]
State = Mapping[Place, Table]
MOST = 10_000
"""Rows of a table that goes, which the way back would bring again."""


@dataclass(frozen=True)
class RowChanges:
    """What is to be done to the rows of a lookup; see `op.change_rows`.

    Attributes
    ----------
    anew : bool
        All rows go and all come: the key changes so that they cannot be told by it, or its values are of another kind.
    """

    table: Any
    key: Sequence[str]
    insert: Sequence[Row] = ()
    update: Sequence[tuple[Row, Row, Row]] = ()
    delete: Sequence[Row] = ()
    anew: bool = False


def contents(cls: type[Any], dialect: sa.Dialect) -> list[Row]:
    """Return the declared rows of a lookup as its columns keep them; empty where its rows are nobody's declaration."""
    given: Any = cls.contents() if callable(cls.contents) else cls.contents
    if given is None or (hasattr(given, "__len__") and len(given) == 0):
        return []
    table: sa.Table = cls.__table__
    rows = inserting.prepare(table, inserting.dicts(table, given))
    return [{n: _kept(table.c[n].type, v, dialect) for n, v in row.items()} for row in rows]


@dataclass(frozen=True)
class _Rows:
    """What differs between the rows there and the rows declared."""

    missing: list[Row]
    matched: list[tuple[Row, Row, Row]]  # key, there, declared
    extra: list[Row]
    anew: bool = False


def differences(
    lookups: Iterable[tuple[type[Any], Table]], there: State, connection: sa.Connection
) -> Iterator[Difference]:
    """Tell in words which rows of lookups differ."""
    for cls, ours in lookups:
        declared = contents(cls, connection.dialect)
        if not declared or ours.place not in there or set(ours.columns) - set(there[ours.place].columns):
            continue
        old = makeable(there[ours.place], ours, connection.dialect)
        found = _compared(_read(old, ours, {}, connection), declared, ours.key)
        for row in found.missing:
            yield Difference("lookup", ours.label, f"row {shorten(row)} is not in the database", fits=False)
        for key, former, new in found.matched:
            differing = _differing(former, new)
            if not differing:
                continue
            told = ", ".join(
                f"{n} is {shorten(former[n])} in the database, {shorten(new[n])} in the class" for n in differing
            )
            yield Difference("lookup", ours.label, f"row {key}: {told}", fits=False)
        for row in found.extra:
            yield Difference("lookup", ours.label, f"row {shorten(row)} is in the database, and not among the contents")


def row_changes(
    lookups: Iterable[tuple[type[Any], Table]],
    before: State,
    renames: Mapping[Place, Mapping[str, str]],
    connection: sa.Connection,
) -> tuple[dict[Place, RowChanges], dict[Place, RowChanges]]:
    """Return what is to be done to the rows of lookups, by place, and what takes it back.

    Parameters
    ----------
    lookups : iterable of (class, table as declared)
    before : mapping of place to Table
        What is there, by its names there.
    """
    up: dict[Place, RowChanges] = {}
    down: dict[Place, RowChanges] = {}
    for cls, ours in lookups:
        declared = contents(cls, connection.dialect)
        if not declared:
            continue
        old = before.get(ours.place)
        if old is None:
            declared = [_with_defaults(row, cls, connection.dialect) for row in declared]
            up[ours.place] = RowChanges(_clause(ours), ours.key, insert=_parents_first(declared, ours))
            continue
        names = renames.get(ours.place, {})
        rows = _read(old, ours, names, connection)
        former = {names.get(n, n): c for n, c in old.columns.items()}
        key = [n for n in ours.key if n in former]
        kinds = ([family(of[n].type, connection.dialect) for n in key] for of in (former, ours.columns))
        found = _compared(rows, declared, key, retyped=not operator.eq(*kinds))
        found = replace(
            found,
            missing=[_with_defaults(row, cls, connection.dialect) for row in found.missing],
            matched=[
                (which, there, _with_defaults(row, cls, connection.dialect, known=there))
                for which, there, row in found.matched
            ],
        )
        _put(up, down, found, key, ours, old, names)
    return up, down


def lost_rows(gone: Iterable[Table], connection: sa.Connection) -> dict[Place, RowChanges]:
    """Return what brings the rows of lookups again that are dropped."""
    found = {}
    for table in gone:
        if table.tier == "lookup":
            rows = _read(table, None, {}, connection)
            if 0 < len(rows) <= MOST:
                found[table.place] = RowChanges(_clause(table), table.key, insert=_parents_first(rows, table))
    return found


# ---------------------------------------------------------------- rows


def _kept(type_: sa.types.TypeEngine[Any], value: Any, dialect: sa.Dialect) -> Any:
    """Return a value as the plain type of its column holds it."""
    if isinstance(type_, types.Blob):
        return value if value is None or isinstance(value, codecs.Encoded) else codecs.Encoded(codecs.encode(value))
    return type_.process_bind_param(value, dialect) if isinstance(type_, sa.types.TypeDecorator) else value


def _with_defaults(row: Row, cls: type[Any], dialect: sa.Dialect, known: Iterable[str] = ()) -> Row:
    """Return a declared row with what Python gives to the columns that it leaves out, but for those that are `known`."""
    table: sa.Table = cls.__table__
    left = [c for c in table.columns if c.name not in row and c.name not in known]
    given = {
        c.name: _default(c) for c in left if isinstance(c.default, sa.ColumnDefault) and not c.default.is_clause_element
    }
    return {**row, **{n: _kept(table.c[n].type, value, dialect) for n, value in given.items()}}


def _default(column: sa.Column[Any]) -> Any:
    default: Any = column.default
    return default.arg(None) if default.is_callable else default.arg


def _plain(type_: sa.types.TypeEngine[Any]) -> sa.types.TypeEngine[Any]:
    return type_.impl_instance if isinstance(type_, sa.types.TypeDecorator) else type_


def _clause(table: Table) -> Any:
    columns = (sa.column(n, _plain(c.type)) for n, c in table.columns.items())
    return sa.table(table.name, *columns, schema=table.schema)


def _read(old: Table, ours: Table | None, names: Mapping[str, str], connection: sa.Connection) -> list[Row]:
    """Return the rows that are there, under the names that their columns will have."""
    clause = _clause(old)
    rows = connection.execute(sa.select(*clause.c)).mappings()
    return [{names.get(n, n): _blob(v, ours, names.get(n, n)) for n, v in row.items()} for row in rows]


def _blob(value: Any, ours: Table | None, name: str) -> Any:
    """Return stored bytes as a blob, where they are one: encoded as they would be today."""
    if isinstance(value, bytes) and value[: len(codecs.MARK)] == codecs.MARK:
        column = ours.columns.get(name) if ours is not None else None
        return codecs.Encoded(
            codecs.encode(codecs.decode(value)) if isinstance(getattr(column, "type", None), types.Blob) else value
        )
    return value


def _compared(there: Sequence[Row], declared: Sequence[Row], key: Sequence[str], *, retyped: bool = False) -> _Rows:
    known = {tuple(row[n] for n in key): row for row in there}
    wanted = {tuple(row[n] for n in key): row for row in declared}
    if retyped or len(known) < len(there) or len(wanted) < len(declared):
        return _Rows(list(declared), [], list(there), anew=True)
    return _Rows(
        [row for values, row in wanted.items() if values not in known],
        [(dict(zip(key, values)), known[values], row) for values, row in wanted.items() if values in known],
        [row for values, row in known.items() if values not in wanted],
    )


def _differing(former: Row, new: Row) -> list[str]:
    return [n for n, v in new.items() if n not in former or not _same(former[n], v)]


def _same(a: Any, b: Any) -> bool:
    return bool(bytes(a) == bytes(b)) if isinstance(a, codecs.Encoded) and isinstance(b, bytes) else bool(a == b)


def _put(
    up: dict[Place, RowChanges],
    down: dict[Place, RowChanges],
    found: _Rows,
    key: Sequence[str],
    ours: Table,
    old: Table,
    names: Mapping[str, str],
) -> None:
    former_columns = {names.get(n, n): c for n, c in old.columns.items()}
    back_names = {new: name for name, new in names.items()}
    gone = [n for n in former_columns if n not in ours.columns]

    def back(row: Row) -> Row:
        return {back_names.get(n, n): v for n, v in row.items() if n in former_columns}

    there: list[tuple[Row, Row, Row]] = []
    again: list[tuple[Row, Row, Row]] = []
    for which, former, new in found.matched:
        differing = _differing(former, new)
        known = [n for n in differing if n in former]
        if differing:
            there.append((which, {n: former[n] for n in known}, {n: new[n] for n in differing}))
        if known or gone:
            again.append((back(which), back({n: new[n] for n in known}), back({n: former[n] for n in [*known, *gone]})))
    missing, extra = _parents_first(found.missing, ours), _parents_first([back(row) for row in found.extra], old)
    former_key = [back_names.get(n, n) for n in key]
    if missing or there or extra:
        deleted = [{n: row[o] for n, o in zip(key, former_key)} for row in reversed(extra)]
        up[ours.place] = RowChanges(_clause(ours), key, missing, there, deleted, found.anew)
    if missing or again or extra:
        removed = [back({n: row[n] for n in key}) for row in reversed(missing)]
        down[ours.place] = RowChanges(_clause(old), former_key, extra, again, removed, found.anew)


def _parents_first(rows: Sequence[Row], table: Table) -> list[Row]:
    """Return rows so that one to which another of the same table refers stands before it."""
    links = [(k.columns, k.refers) for k in table.foreign_keys.values() if k.parent == table.place]
    done: dict[int, Row] = {}

    def visit(row: Row, above: tuple[int, ...] = ()) -> None:
        for columns, refers in links:
            wanted = tuple(row.get(n) for n in columns)
            for parent in rows if None not in wanted else ():
                if id(parent) not in (*done, *above, id(row)) and tuple(parent.get(n) for n in refers) == wanted:
                    visit(parent, (*above, id(row)))
        done.setdefault(id(row), row)

    for row in rows:
        visit(row)
    return list(done.values())
