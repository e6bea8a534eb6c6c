"""Conditions: everything that may stand behind `&` and `-`, read into a small tree.

==============================================  =========================================================
dict, `np.void`, row of SQLAlchemy or pandas    all these attributes have these values (`Equal`)
`"quality > 0.5"`                               SQL by the author (`Text`)
`(Session.quality > 0.5)`                       an SQLAlchemy expression (`Expression`)
a table, a relation                             a row of it matches (`Matching`)
list, tuple, set, generator, frame, array       one of its elements holds (`Either`)
`AndList([...])`                                all of its elements hold (`Every`)
`Not(c)`                                        c does not hold: false *or unknown* (`Inverse`)
True, False                                     all rows, no rows (`Constant`)
==============================================  =========================================================

`parse` reads each generator once and knows nothing of the relation that is restricted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import sqlalchemy as sa
from sqlalchemy.orm import QueryableAttribute
from sqlalchemy.orm.state import InstanceState

from compdb.algebra.written import told
from compdb.errors import RestrictionError, shorten

if TYPE_CHECKING:
    from compdb.algebra.relation import Relation

__all__ = [
    "AndList",
    "Constant",
    "Either",
    "Equal",
    "Every",
    "Expression",
    "Inverse",
    "Matching",
    "Node",
    "Not",
    "Text",
    "Universal",
    "parse",
    "records",
    "row_key",
]


class AndList(list[Any]):
    """Conditions that must all hold; a plain list means that one of them must.

    >>> Session & AndList([{"subject_id": "M001"}, "quality > 0.5"])
    """


class Not:
    """The opposite of a condition: `A & Not(c)` is `A - c`, the rows that `A & c` leaves out."""

    __slots__ = ("condition",)

    def __init__(self, condition: object) -> None:
        self.condition = condition

    def __repr__(self) -> str:
        return f"Not({told(self.condition)})"


class Universal:
    """What restricts nothing: the universal set `U(...)`."""

    __slots__ = ()


@dataclass(frozen=True, eq=False)
class Constant:
    """All rows, or none."""

    value: bool


@dataclass(frozen=True, eq=False)
class Equal:
    """These attributes have these values."""

    values: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Text:
    """SQL by the author, over the names of attributes."""

    sql: str


@dataclass(frozen=True, eq=False)
class Expression:
    """An SQLAlchemy expression over columns of tables."""

    clause: sa.ColumnElement[Any] | sa.TextClause


@dataclass(frozen=True, eq=False)
class Matching:
    """Some row of another relation matches."""

    relation: Relation[Any]


@dataclass(frozen=True, eq=False)
class Either:
    """One of them holds."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Every:
    """All of them hold."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Inverse:
    """It does not hold."""

    node: Node


Node: TypeAlias = Constant | Equal | Text | Expression | Matching | Either | Every | Inverse

PARENTHESES = "put the comparison in parentheses: `Session & (Session.quality > 0.5)`, since & binds tighter than >"


def parse(condition: object, relate: Callable[[Any], Relation[Any] | None]) -> Node:
    """Read a condition.

    Parameters
    ----------
    condition : object
        Whatever the user wrote.
    relate : callable
        Gives the relation of a table, a class or a relation, and None for anything else.

    Raises
    ------
    RestrictionError
        If it is nothing that can restrict.
    """
    if isinstance(condition, Mapping):
        return Equal(condition)
    if isinstance(condition, sa.Row):
        return Equal(dict(condition._mapping))
    if isinstance(condition, str):
        return _text(condition)
    if isinstance(condition, (bool, np.bool_)):
        return Constant(bool(condition))
    if isinstance(condition, Not):
        return Inverse(parse(condition.condition, relate))
    if isinstance(condition, AndList):
        return Every(tuple(parse(c, relate) for c in condition))
    if isinstance(condition, Universal):
        return Constant(True)
    key = row_key(condition)
    if key is not None:
        return Equal(key)
    relation = relate(condition)
    if relation is not None:
        return Matching(relation)
    if isinstance(condition, (sa.ColumnElement, sa.TextClause, QueryableAttribute)) or hasattr(condition, "__clause_element__"):
        return _expression(condition)
    rows = records(condition)
    if rows is not None:
        return Either(tuple(parse(row, relate) for row in rows))
    raise RestrictionError(_refusal(condition))


def _text(sql: str) -> Text:
    if not sql.strip():
        raise RestrictionError("an empty string is no condition; write True for all rows")
    return Text(sql)


def _expression(condition: Any) -> Expression:
    clause = condition.__clause_element__() if hasattr(condition, "__clause_element__") else condition
    if isinstance(clause, sa.ColumnClause) and not clause.is_literal:
        raise RestrictionError(f"a bare column, {clause}, is no condition; {PARENTHESES}")
    return Expression(clause)


def _refusal(condition: object) -> str:
    if condition is None:
        return "None is no condition; write True for all rows, False for none, and {'attribute': None} for NULL"
    if hasattr(condition, "order_by"):  # a Top
        return f"{condition} stands alone behind &; inside other conditions write the rows that it takes: `A & [A & Top(...), ...]`"
    return (
        f"{shorten(condition)} of type {type(condition).__name__} is no condition; a dict, an SQL string, an SQLAlchemy "
        "expression, a table, a relation, or a list of these is"
    )


def row_key(row: object) -> dict[str, Any] | None:
    """Return the primary key of a mapped object that has one; None for anything else, also for a row with nothing set."""
    state = sa.inspect(row, raiseerr=False)
    if not isinstance(state, InstanceState):
        return None
    mapper = state.mapper
    key = {c.name: state.dict.get(mapper.get_property_by_column(c).key) for c in mapper.primary_key}
    if all(value is None for value in key.values()):
        return None
    return {name: value for name, value in key.items() if value is not None}


def records(rows: Any) -> Iterable[Any] | None:
    """Return the elements of a collection of conditions: rows of frames and arrays as dicts; None if it is no collection."""
    if isinstance(rows, np.void) and rows.dtype.names:
        return [_of_void(rows)]
    if isinstance(rows, np.ndarray):
        if rows.dtype.names:
            return [_of_void(row) for row in rows.ravel()]
        return list(rows) if rows.ndim else None
    if hasattr(rows, "collect") and hasattr(rows, "collect_schema"):  # a lazy frame of polars
        return records(cast("Any", rows).collect())
    for method in ("to_dicts", "to_pylist"):  # polars, Arrow
        if hasattr(rows, method) and hasattr(rows, "schema"):
            return list(getattr(rows, method)())
    if hasattr(rows, "to_dict") and hasattr(rows, "columns") and hasattr(rows, "index"):  # pandas
        return _of_frame(rows)
    if hasattr(rows, "to_frame") and hasattr(rows, "isna"):
        return _of_pandas(rows)
    if isinstance(rows, (list, tuple, set, frozenset, Iterator, type({}.values()), type({}.keys()))):
        return list(rows)
    return None


def _of_void(row: np.void) -> dict[str, Any]:
    assert row.dtype.names
    return {name: row[name] for name in row.dtype.names}


def _of_pandas(rows: Any) -> list[dict[str, Any]] | None:
    """Return the rows of an index whose levels have names, or a series that is a row of a frame; None for any other."""
    if hasattr(rows, "index"):
        labels = list(rows.index)
        return _of_frame(rows.to_frame().T) if labels and all(isinstance(n, str) for n in labels) else None
    return None if None in rows.names else _of_frame(rows.to_frame(index=False))


def _of_frame(frame: Any) -> list[dict[str, Any]]:
    """Return the rows of a pandas frame; a named index (the key, as `to_pandas` gives it) counts, a missing value is None."""
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    columns = [[None if missing else v for v, missing in zip(frame[c], frame[c].isna())] for c in frame.columns]
    names = [str(c) for c in frame.columns]
    return [dict(zip(names, row)) for row in zip(*columns)]
