"""Restriction: `A & c` keeps the rows for which `c` holds, `A - c` all the others.

>>> Session & {"subject_id": "M001"} & (Session.quality > 0.5) - (Session.Trial & "correct = 0")

`A & c` and `A - c` always divide A in two: a comparison with NULL is unknown, so the row is in `A - c`. A relation restricts by
EXISTS on the common attributes of one origin, or over the one path of foreign keys. A dict may carry the key of other tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from compdb import dag
from compdb.algebra import conditions as cond
from compdb.algebra.columns import has_select, has_text, refuse_words, rewrite, verbatim
from compdb.algebra.jsonpath import json_path, refuse_untyped
from compdb.algebra.match import common, compared, determines, route
from compdb.algebra.state import Lack, Match
from compdb.algebra.values import canonical, is_one, is_one_of, is_row_of, is_value
from compdb.errors import UnknownAttribute, shorten
from compdb.types import NOTHING

if TYPE_CHECKING:
    from compdb.algebra.relation import Relation

__all__ = ["narrow", "restrict"]


def restrict(relation: Relation[Any], node: cond.Node) -> Relation[Any]:
    """Return the rows of `relation` for which the condition holds."""
    if isinstance(node, cond.Constant) and node.value:
        return relation
    if isinstance(node, cond.Every):
        for part in node.nodes:
            relation = restrict(relation, part)
        return relation
    if isinstance(node, cond.Equal) and relation.equality is not None:
        values = dict(known_values(relation, node.values))
        if all(n in relation.heading and is_one(v) and n not in relation.equal for n, v in values.items()):
            bound = {name: _bound(relation, name, value) for name, value in values.items()}
            if any(value is NOTHING for value in bound.values()):
                return replace(relation, where=(sa.false(),))
            return replace(relation, equal={**relation.equal, **bound})
    few = relation.few
    relation, ready = _scope(relation, node)
    condition = _compile(relation, node, ready)
    if isinstance(node, cond.Inverse) and isinstance(node.node, cond.Matching):
        condition = replace(condition, clause=_lack(relation, node.node.relation) or condition.clause)
    if isinstance(node, cond.Matching):
        condition = replace(condition, clause=_match(relation, node.relation, condition.clause, few))
    others = (leaf.relation.tables for leaf in _leaves(node) if isinstance(leaf, cond.Matching))
    return replace(
        relation,
        where=(*relation.where, condition.clause),
        verbatim=relation.verbatim or condition.text,
        tables=relation.tables.union(*others),
    )


def narrow(relation: Relation[Any], values: dict[str, Any]) -> Relation[Any] | None:
    """Return the rows of a table in which attributes have certain values, as every make asks for them; None if that is not all they say."""
    if relation.equality is None:
        return None
    equal = dict(relation.equal)
    for name, value in values.items():
        attribute = relation.heading.get(name)
        if attribute is None:
            if not any(name in dag.key_names(table) for table in relation.tables):
                return None
        elif name in equal or not is_one(value):
            return None
        else:
            equal[name] = canonical(name, attribute.type, value, relation.label)
            if equal[name] is NOTHING:
                return None
    if len(equal) == len(relation.equal):
        return None
    return relation.narrowed(equal, ("{0} & {1}", relation, dict(values)))


def _leaves(node: cond.Node) -> Iterator[cond.Node]:
    """Yield the conditions that a condition is made of, but for dicts, of which there may be a hundred thousand."""
    if isinstance(node, (cond.Either, cond.Every)):
        for part in node.nodes:
            if not isinstance(part, cond.Equal):
                yield from _leaves(part)
    elif isinstance(node, cond.Inverse):
        yield from _leaves(node.node)
    elif not isinstance(node, cond.Equal):
        yield node


_Ready = dict[int, sa.ColumnElement[Any]]  # conditions that are columns already, by the id of their node


def _scope(relation: Relation[Any], node: cond.Node) -> tuple[Relation[Any], _Ready]:
    """Return the relation in a form to which the condition can be added."""
    relation = relation.settled()
    leaves = list(_leaves(node))
    texts = [leaf for leaf in leaves if _is_text(leaf)]
    if any(isinstance(leaf, cond.Expression) and has_select(leaf.clause) for leaf in leaves):
        relation = relation.renamed()
    if texts and not relation.literal:
        relation = relation.enclosed()
    if not any(isinstance(leaf, cond.Matching) and leaf.relation.verbatim for leaf in leaves):
        return relation, {}
    relation, columns = relation.veiled(*(_compile(relation, text, {}).clause for text in texts))
    return relation, {id(text): column for text, column in zip(texts, columns)}


def _is_text(node: cond.Node) -> bool:
    return isinstance(node, cond.Text) or (isinstance(node, cond.Expression) and has_text(node.clause))


@dataclass(frozen=True, slots=True)
class _Condition:
    """A compiled condition: its SQL, whether it is never unknown, and whether text of the author stands in it."""

    clause: Any  # a ColumnElement, or a Lack or Match where a relation restricts
    total: bool = False
    text: bool = False


def _compile(relation: Relation[Any], node: cond.Node, ready: _Ready) -> _Condition:
    if id(node) in ready:
        return _Condition(ready[id(node)], text=True)
    match node:
        case cond.Constant(value):
            return _Condition(sa.true() if value else sa.false(), total=True)
        case cond.Equal(values):
            return _equal(relation, values)
        case cond.Text(sql):
            refuse_words(relation, sql)
            return _Condition(verbatim(sql), text=True)
        case cond.Expression(clause):
            return _Condition(rewrite(relation, clause), text=has_text(clause))
        case cond.Matching(other):
            return _Condition(_exists(relation, other), total=True, text=other.verbatim)
        case cond.Inverse(inner):
            part = _compile(relation, inner, ready)
            # with CASE, SQLite need not tell false from unknown: NOT (a, b) IN (...) would search the list row by row
            clause = sa.not_(part.clause) if part.total else sa.case((part.clause, sa.false()), else_=sa.true())
            return _Condition(clause, total=True, text=part.text)
        case cond.Every(nodes):
            parts = [_compile(relation, n, ready) for n in nodes]
            return _Condition(sa.and_(sa.true(), *(p.clause for p in parts)), *_flags(parts))
        case cond.Either(nodes):
            parts = _either(relation, nodes, ready)
            return _Condition(sa.or_(sa.false(), *(p.clause for p in parts)), *_flags(parts))


def _flags(parts: list[_Condition]) -> tuple[bool, bool]:
    return all(p.total for p in parts), any(p.text for p in parts)


# --- dicts ------------------------------------------------------------------------------------------------------------


def known_values(relation: Relation[Any], values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield what a dict says about the relation, passing over the keys of other tables.

    Raises
    ------
    UnknownAttribute
        For any other name, and if nothing is left of a dict that was not empty.
    """
    used, passed = False, None
    for name, value in values.items():
        if name in relation.heading or json_path(relation.heading, name) is not None:
            used = True
            yield name, value
        elif any(name in dag.key_names(table) for table in relation.tables):
            passed = name
        else:
            raise UnknownAttribute(name, relation.label, relation.heading.names)
    if not used and passed is not None:
        hint = f"nothing is left of {shorten(dict(values))}: these are keys of other tables"
        raise UnknownAttribute(passed, relation.label, relation.heading.names, hint)


def _bound(relation: Relation[Any], name: str, value: Any) -> Any:
    return canonical(name, relation.heading[name].type, value, relation.label)


def _equal(relation: Relation[Any], values: Mapping[str, Any]) -> _Condition:
    clauses, total = [], True
    for name, value in known_values(relation, values):
        attribute = relation.heading.get(name)
        column = attribute.column if attribute is not None else json_path(relation.heading, name)
        assert column is not None
        type_ = attribute.type if attribute is not None else column.type
        one = is_one(value)
        given = [value] if one else list(value)
        if attribute is None:
            refuse_untyped(name, given)
        found = [canonical(name, type_, v, relation.label) for v in given]
        clauses.append(is_value(column, found[0]) if one else is_one_of(column, found))
        certain = attribute is not None and not attribute.nullable
        total = total and (certain or (one and found[0] is None))
    return _Condition(sa.and_(sa.true(), *clauses), total=total)


def _either(relation: Relation[Any], nodes: Iterable[cond.Node], ready: _Ready) -> list[_Condition]:
    """Compile alternatives; dicts over the same attributes become one IN."""
    parts: list[_Condition] = []
    alike: dict[tuple[str, ...], list[cond.Equal]] = {}
    for node in nodes:
        if isinstance(node, cond.Equal) and node.values:
            alike.setdefault(tuple(node.values), []).append(node)
        else:
            parts.append(_compile(relation, node, ready))
    groups: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for some in alike.values():
        given = dict(known_values(relation, some[0].values))
        names = tuple(name for name in relation.heading.names if name in given)
        columns = [[node.values[name] for node in some] for name in names]
        if len(names) == len(given) and all(is_one(v) for column in columns for v in column):
            label = relation.label
            bound = [[canonical(n, relation.heading[n].type, v, label) for v in c] for n, c in zip(names, columns)]
            groups.setdefault(names, []).extend(zip(*bound))
        else:
            parts += [_compile(relation, node, ready) for node in some]
    for names, rows in groups.items():
        parts += [_Condition(clause) for clause in is_row_of([relation.heading[name].column for name in names], rows)]
    return parts


# --- relations --------------------------------------------------------------------------------------------------------


def _exists(relation: Relation[Any], other: Relation[Any]) -> sa.ColumnElement[bool]:
    """Return EXISTS: some row of `other` matches the row of `relation`."""
    inner = other.apart(relation.tables)
    between, pairs = _pairs(relation, inner)
    if between is not None and inner.verbatim:  # its text must not see the tables between
        inner = inner.joinable()
        between, pairs = _pairs(relation, inner)
    query = sa.select(sa.literal(1)).select_from(inner.source)
    if between is not None:
        query = query.select_from(between)
    return query.where(*inner.conditions, *(a == b for a, b in pairs)).exists()


def _lack(relation: Relation[Any], other: Relation[Any]) -> Lack | None:
    """Return the condition that no row of `other` matches the row of `relation`, where it can be told as a left join."""
    inner = other.apart(relation.tables)
    between, pairs = _pairs(relation, inner)
    if between is not None or not pairs:
        return None
    on = sa.and_(*(theirs == mine for theirs, mine in pairs), *inner.conditions)
    names, _ = common(relation.heading, inner.heading)
    repeated = not set(relation.primary_key).issubset(names)
    return Lack(sa.not_(_exists(relation, other)), inner.source, on, pairs[0][0].is_(None), repeated)


def _match(relation: Relation[Any], other: Relation[Any], present: sa.ColumnElement[bool], few: bool) -> Any:
    """Return the condition that some row of `other` matches, in all its forms where it has others than EXISTS."""
    inner = other.apart(relation.tables)
    between, pairs = _pairs(relation, inner)
    if between is not None or not pairs:
        return present
    names, _ = common(relation.heading, inner.heading)
    return Match(present, inner, pairs, determines(relation.heading, inner.heading, names), few)


def _pairs(relation: Relation[Any], inner: Relation[Any]) -> tuple[sa.FromClause | None, list[tuple[Any, Any]]]:
    """Return which columns must be equal: pairs of (column of `inner`, column of `relation`), and what stands between the two."""
    names, _ = common(relation.heading, inner.heading)
    if not names:
        return route(relation, inner)
    found = compared(relation.heading, inner.heading, names)
    return None, [(inner.heading[n].column, relation.heading[n].column) for n in found]
