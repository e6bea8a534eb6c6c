"""SQLAlchemy expressions over table columns, told in the columns of a relation.

>>> (Session * Session.Trial).proj(day="session_date") & (Session.session_date > date(2026, 1, 1))

A column is found by what it is, not by its name: first the attribute whose values come from this very column, then the one that
shares its origin, wherever joins and renames have carried it. Of several the one of the same name is meant; otherwise it is an
error that lists them. Inside a nested SELECT only the columns of tables that it does not itself select from are ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.sql import operators, visitors

from compdb import dag
from compdb.algebra.compared import ARITHMETIC, compared, refuse_arithmetic
from compdb.algebra.values import python_value
from compdb.dialects.listed import MANY, listed
from compdb.errors import NotConnected, RestrictionError, UnknownAttribute

if TYPE_CHECKING:
    from compdb.algebra.heading import Attribute
    from compdb.algebra.relation import Relation

__all__ = ["attribute_of", "has_select", "has_text", "own_tables", "refuse_words", "rewrite", "verbatim"]

_BARE = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|(?<![\w."])([A-Za-z_]+)(?![\w"(.])""")
"""A word of SQL outside quotes that is neither a function nor qualified."""

E = TypeVar("E", bound=sa.ClauseElement)


def verbatim(sql: str, type_: sa.types.TypeEngine[Any] | None = None) -> sa.ColumnElement[Any]:
    """Return SQL by the author as an expression that passes unharmed: `:name`, `%` and `::int` mean what the database says."""
    end = "\n)" if "--" in sql else ")"  # a trailing comment must not swallow the parenthesis
    return sa.literal_column(f"({sql.strip()}{end}", type_)


def refuse_words(relation: Relation[Any], sql: str) -> None:
    """Refuse a text with a word that the database answers itself, where an attribute of that name was meant: `user` on PostgreSQL.

    Raises
    ------
    RestrictionError
    """
    found = [m for m in map(str.lower, filter(None, _BARE.findall(sql))) if m in relation.heading]
    if not found:
        return
    with suppress(NotConnected):  # the database is asked, where it is known already
        dialect = relation.database.dialect
        for word in found:
            if word in dialect.answering_words:
                raise RestrictionError(
                    f"{word} in {sql!r} is a word of {dialect.name}, which does not mean the attribute of {relation.label}:"
                    f" write it in double quotes, \"{word}\", or write a dict, {{'{word}': ...}}"
                )


def _outside_selects(clause: sa.ClauseElement) -> Iterator[visitors.ExternallyTraversible]:
    """Yield the elements of an expression, without looking into the SELECTs inside it."""
    todo: list[visitors.ExternallyTraversible] = [clause]
    while todo:
        element = todo.pop()
        yield element
        if not isinstance(element, sa.SelectBase):
            todo.extend(element.get_children())


def has_text(clause: sa.ClauseElement) -> bool:
    """Say whether SQL written as text stands in the expression."""
    return any(
        isinstance(e, sa.TextClause) or (isinstance(e, sa.ColumnClause) and e.is_literal) for e in _outside_selects(clause)
    )


def has_select(clause: sa.ClauseElement) -> bool:
    """Say whether a SELECT stands in the expression."""
    return any(isinstance(e, sa.SelectBase) for e in _outside_selects(clause))


def _same(column: sa.ClauseElement, other: sa.ClauseElement) -> bool:
    return hash(column) == hash(other)  # a class attribute is an annotated copy with the hash of the column


def attribute_of(relation: Relation[Any], column: sa.ColumnClause[Any]) -> Attribute | None:
    """Return the attribute that a column of some table is in `relation`, or None.

    Raises
    ------
    RestrictionError
        If it may be one of several; lists them.
    """
    if column.table is None:
        return relation.heading.get(column.name)
    attributes = relation.heading
    found = [a for a in attributes if any(_same(column, place.column) for place in a.places)]
    plain = column._deannotate()
    if not found and isinstance(plain, sa.Column):
        origin = dag.origin(plain)
        found = [a for a in attributes if a.origin is origin]
    if len(found) > 1:
        found = [a for a in found if a.name == column.name] or found
    if len(found) > 1:
        names = ", ".join(a.name for a in found)
        raise RestrictionError(
            f"{_told(column)} may be any of {names} in {relation.label}; write the condition as a string or dict over one of these"
        )
    return found[0] if found else None


def _told(column: sa.ColumnClause[Any]) -> str:
    return f"{dag.label(column.table)}.{column.name}" if column.table is not None else column.name


def _lacking(relation: Relation[Any], column: sa.ColumnClause[Any]) -> UnknownAttribute:
    hint = None if column.table is None else f"{_told(column)} does not stand in it under any name"
    return UnknownAttribute(column.name, relation.label, relation.heading.names, hint)


def rewrite(relation: Relation[Any], clause: E) -> E:
    """Return the expression with each column replaced by that of the relation's attribute.

    Raises
    ------
    UnknownAttribute
        If the relation lacks it.
    """

    def resolve(element: visitors.ExternallyTraversible, **_: Any) -> Any:
        if isinstance(element, sa.Select):
            return _rewrite_select(relation, element)
        if _is_source(element):
            return element
        if isinstance(element, sa.BindParameter):
            return _bound(element)
        if isinstance(element, sa.BinaryExpression) and (told := compared(element)) is not None:
            return rewrite(relation, told)
        if isinstance(element, sa.BinaryExpression) and element.operator in ARITHMETIC:
            with suppress(NotConnected):  # the database is asked, where it is known already
                refuse_arithmetic(relation.database, element)
        if isinstance(element, sa.BinaryExpression) and _is_long(element):
            return _listed(rewrite(relation, element.left), element)
        if not isinstance(element, sa.ColumnClause) or element.is_literal:
            return None
        attribute = attribute_of(relation, element)
        if attribute is None:
            raise _lacking(relation, element)
        return attribute.column

    return cast(E, visitors.replacement_traverse(clause, {}, resolve))


def _rewrite_select(
    relation: Relation[Any], select: sa.Select[Any], around: frozenset[int] = frozenset()
) -> sa.Select[Any]:
    """Rewrite, inside a nested SELECT, the columns that correlate with the relation and not with a SELECT between the two."""
    own = around.union(own_tables(select))
    ours = {hash(place.column.table) for a in relation.heading for place in a.places}

    def resolve(element: visitors.ExternallyTraversible, **_: Any) -> Any:
        if isinstance(element, sa.Select) and element is not select:
            return _rewrite_select(relation, element, own)
        if _is_source(element):
            return element
        if isinstance(element, sa.BindParameter):
            return _bound(element)
        if isinstance(element, sa.BinaryExpression) and (told := compared(element)) is not None:
            return visitors.replacement_traverse(told, {}, resolve)
        if not isinstance(element, sa.ColumnClause) or element.table is None:
            return None
        table = hash(element.table)
        if table in own or table not in ours:
            return element
        attribute = attribute_of(relation, element)
        if attribute is None:
            raise _lacking(relation, element)
        return attribute.column

    return cast("sa.Select[Any]", visitors.replacement_traverse(select, {}, resolve))


def _bound(parameter: sa.BindParameter[Any]) -> sa.BindParameter[Any] | None:
    """Return a parameter with values of Python in place of numpy's; None if it has such already."""
    given = parameter.value
    if not isinstance(given, list):
        found = python_value(given)
        return None if found is given else _with(parameter, found)
    values = [python_value(v) for v in given]
    if all(a is b for a, b in zip(values, given)):
        return None
    return _with(parameter, values)


def _with(parameter: sa.BindParameter[Any], value: Any) -> sa.BindParameter[Any]:
    return cast("sa.BindParameter[Any]", parameter._with_value(value, maintain_key=True))  # type: ignore[no-untyped-call]


def _is_long(comparison: sa.BinaryExpression[Any]) -> bool:
    """Say whether a comparison is `IN`, or `NOT IN`, of more values than a statement can bind one by one."""
    right = comparison.right
    if comparison.operator not in (operators.in_op, operators.not_in_op) or not isinstance(right, sa.BindParameter):
        return False
    values = right.value
    width = len(comparison.left.clauses) if isinstance(comparison.left, sa.Tuple) else 1
    return isinstance(values, list) and len(values) * width > MANY and None not in values


def _listed(left: sa.ColumnElement[Any], comparison: sa.BinaryExpression[Any]) -> sa.ColumnElement[Any]:
    columns = list(left.clauses) if isinstance(left, sa.Tuple) else [left]
    given = cast("sa.BindParameter[Any]", comparison.right).value
    rows = [tuple(map(python_value, v if isinstance(left, sa.Tuple) else (v,))) for v in given or ()]
    inside = listed(columns, rows)
    return inside if comparison.operator is operators.in_op else sa.not_(inside)


def _is_source(element: object) -> bool:
    """Say whether an element is something to select from, or text; a function counts as a value, though it can be both."""
    return isinstance(element, (sa.FromClause, sa.TextClause)) and not isinstance(element, sa.ColumnElement)


def _selected_from(select: sa.Select[Any]) -> list[sa.FromClause]:
    """Return what a SELECT selects from by its columns and its FROM, not by what its WHERE merely mentions."""
    whole = select.get_final_froms()
    bare = sa.select(*select.columns_clause_froms)
    named = {hash(part) for source in bare.get_final_froms() for part in _parts(source)} if select.columns_clause_froms else set()
    joined = [source for source in whole if isinstance(source, sa.Join) or {hash(p) for p in _parts(source)} & named]
    return [*joined, *(s for s in select._from_obj if isinstance(s, sa.FromClause))]


def own_tables(select: sa.Select[Any]) -> Iterator[int]:
    """Yield the hashes of what a SELECT selects from itself, so that its columns are none of the query around it."""
    return (hash(part) for source in _selected_from(select) for part in _parts(source))


def _parts(source: sa.FromClause) -> list[sa.FromClause]:
    if isinstance(source, sa.Join):
        return [*_parts(source.left), *_parts(source.right)]
    return [source]
