"""Projection: which attributes a relation has, under which names, and computed ones.

>>> Session.proj("quality", day="session_date", doubled="quality * 2", copy="(quality)", worst=sa.func.abs(Session.quality))

The primary key always stays, if under another name. `...` is all other attributes, `"-x"` leaves one of them out. A string that
is the name of an attribute renames it, in parentheses it duplicates it, `"params.gain:float"` reads inside JSON, and any other string
is SQL over the attributes.
"""

from __future__ import annotations

import re
from dataclasses import replace
from types import EllipsisType
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.sql import functions

from compdb.algebra.columns import attribute_of, has_select, has_text, refuse_words, rewrite, verbatim
from compdb.algebra.heading import Attribute, Heading, Place
from compdb.algebra.jsonpath import json_path
from compdb.algebra.written import told
from compdb.errors import RestrictionError, UnknownAttribute, shorten
from compdb.types import Duration, UtcDateTime

if TYPE_CHECKING:
    from compdb.algebra.relation import Relation

__all__ = ["computed_attributes", "moved_to", "project", "refuse_no_expression", "scope"]

_DUPLICATE = re.compile(r"\(\s*([A-Za-z_]\w*)\s*\)\Z")
_CONSTANTS = {"null", "true", "false", "default", "current_timestamp", "current_date", "current_time"}


def project(relation: Relation[Any], chosen: tuple[str | EllipsisType, ...], named: dict[str, Any]) -> Relation[Any]:
    """Return `relation` with these attributes and its primary key.

    Raises
    ------
    UnknownAttribute
        If one names no attribute.
    RestrictionError
        If it would lose its key, or have two attributes of one name.
    """
    renames, copies, computed = _sort(relation, named)
    keep = _kept(relation, chosen, set(renames.values()))
    _refuse_clashes(relation, keep, [*renames, *copies, *computed])
    if relation.window is not None and relation.window.cuts and computed:
        relation = relation.enclosed()
    if computed:
        relation = scope(relation, list(computed.values()))
    heading = relation.heading
    new_names = {old: new for new, old in renames.items()}
    moved: dict[str, str] = {**{name: name for name in keep}, **new_names}
    attributes = [_moved(heading[old], moved[old], heading[old].key, moved) for old in heading.names if old in moved]
    attributes += [_moved(heading[old], new, False, moved) for new, old in copies.items()]
    extra, text = computed_attributes(relation, computed)
    unchanged = not named and len(attributes) == len(heading)
    kept_equal = all(moved.get(name) == name for name in relation.equal)
    return replace(
        relation,
        where=relation.where if kept_equal else relation.restrictions,
        equal=relation.equal if kept_equal else {},
        heading=Heading([*attributes, *extra]),
        verbatim=relation.verbatim or text,
        entity=relation.entity if unchanged else None,
        table=relation.table if unchanged else None,
    )


def _sort(relation: Relation[Any], named: dict[str, Any]) -> tuple[dict[str, str], dict[str, str], dict[str, Any]]:
    """Tell renames, duplicates and computations apart."""
    renames: dict[str, str] = {}
    copies: dict[str, str] = {}
    computed: dict[str, Any] = {}
    for new, value in named.items():
        if isinstance(value, str):
            text = value.strip()
            copy = _DUPLICATE.match(text)
            if text.isidentifier() and text.lower() not in _CONSTANTS:
                renames[new] = _known(relation, text)
            elif copy and copy[1].lower() not in _CONSTANTS:
                copies[new] = _known(relation, copy[1])
            else:
                computed[new] = text
            continue
        clause = refuse_no_expression(new, value)
        if isinstance(clause, sa.ColumnClause) and not clause.is_literal:
            attribute = attribute_of(relation, clause)
            if attribute is None:
                raise UnknownAttribute(clause.name, relation.label, relation.heading.names)
            copies[new] = attribute.name
        else:
            computed[new] = clause
    doubled = [old for old in set(renames.values()) if list(renames.values()).count(old) > 1]
    if doubled:
        old = doubled[0]
        raise RestrictionError(f'{old!r} is renamed twice; a second copy is written new="({old})"')
    return renames, copies, computed


def refuse_no_expression(name: str, value: Any) -> Any:  # whatever the user wrote
    """Return what a named argument computes: text as it is, an SQLAlchemy expression as a clause.

    Raises
    ------
    RestrictionError
        If it is neither.
    """
    clause = value.__clause_element__() if hasattr(value, "__clause_element__") else value
    if not isinstance(clause, str | sa.ColumnElement):
        raise RestrictionError(f"{name}={told(value)} computes nothing; give a name, an SQL string or an SQLAlchemy expression")
    return clause


def _known(relation: Relation[Any], name: str) -> str:
    if name not in relation.heading:
        raise UnknownAttribute(name, relation.label, relation.heading.names)
    return name


def _kept(relation: Relation[Any], chosen: tuple[str | EllipsisType, ...], renamed: set[str]) -> list[str]:
    """Return the attributes that keep their names."""
    heading = relation.heading
    keep = [name for name in heading.primary_key if name not in renamed]
    dropped: set[str] = set()
    for item in chosen:
        if item is ...:
            keep += [n for n in heading.secondary_attributes if n not in renamed]
        elif not isinstance(item, str):
            raise RestrictionError(f"proj takes names of attributes, not {shorten(item)}")
        elif item.strip().startswith("-"):
            dropped.add(_known(relation, item.strip()[1:].strip()))
        else:
            keep.append(_known(relation, item.strip()))
    lost = [name for name in heading.primary_key if name in dropped]
    if lost:
        raise RestrictionError(f"{lost[0]!r} belongs to the primary key of {relation.label} and cannot be left out; rename it")
    return [name for name in dict.fromkeys(keep) if name not in dropped]


def _refuse_clashes(relation: Relation[Any], keep: list[str], new: list[str]) -> None:
    for name in new:
        if name in keep or new.count(name) > 1:
            raise RestrictionError(f"{relation.label}.proj would have two attributes {name!r}; give the new one another name")


def _moved(attribute: Attribute, name: str, key: bool, moved: dict[str, str]) -> Attribute:
    """Return an attribute under its new name; its places follow the keys beside it to their new names."""
    places = tuple(
        Place(p.column, tuple(moved[n] for n in p.row) if p.row is not None and all(n in moved for n in p.row) else None)
        for p in attribute.places
    )
    return replace(attribute, name=name, key=key, places=places)


def moved_to(heading: Heading, name: str, names: tuple[str, ...]) -> Attribute:
    """Return an attribute as part of the primary key `names`, when all other attributes are gone."""
    return _moved(heading[name], name, True, {n: n for n in names})


def scope(relation: Relation[Any], values: list[Any]) -> Relation[Any]:
    """Return the relation in a form in which these expressions can be computed."""
    if any(a.computed for a in relation.heading) or relation.distinct:
        relation = relation.enclosed()
    text = any(json_path(relation.heading, v) is None if isinstance(v, str) else has_text(v) for v in values)
    if any(not isinstance(v, str) and has_select(v) for v in values) and not relation.anonymous:
        relation = relation.renamed()
    if text and not relation.literal:
        relation = relation.enclosed()
    return relation


def computed_attributes(relation: Relation[Any], values: dict[str, Any]) -> tuple[list[Attribute], bool]:
    """Return the computed attributes, and whether text of the author stands in one of them."""
    found, any_text = [], False
    for name, value in values.items():
        path = json_path(relation.heading, value) if isinstance(value, str) else None
        if path is not None:
            column = path
        elif isinstance(value, str):
            refuse_words(relation, value)
            column, any_text = verbatim(value, _type_of_text(relation.heading, value)), True
        else:
            column, any_text = rewrite(relation, value), any_text or has_text(value)
        if isinstance(column.type, sa.Integer):  # a sum or a count outgrows what it counts
            column = sa.type_coerce(column, sa.BigInteger())
        counts = _COUNT.match(value) if isinstance(value, str) else isinstance(column, functions.count)
        found.append(Attribute(name, column, key=False, type=column.type, nullable=not counts, computed=True))
    return found, any_text


_COUNT = re.compile(r"\s*count\s*\([^()]*\)\s*\Z", re.IGNORECASE)
_OF_ATTRIBUTE = re.compile(r"\s*(?P<function>min|max|sum|avg)\s*\(\s*(?P<name>[A-Za-z_]\w*)\s*\)\s*\Z", re.IGNORECASE)


def _type_of_text(heading: Heading, sql: str) -> sa.types.TypeEngine[Any]:
    """Return the type of SQL text where it is plain: a count, or the least, greatest, sum or average of one attribute."""
    if _COUNT.match(sql):
        return sa.BigInteger()
    found = _OF_ATTRIBUTE.match(sql)
    attribute = heading.get(found["name"]) if found else None
    if found is None or attribute is None:
        return sa.types.NULLTYPE
    type_, function = attribute.type, found["function"].lower()
    whole, real = isinstance(type_, sa.Integer), isinstance(type_, sa.Float) and not type_.asdecimal
    if function == "avg":
        return sa.Double() if whole or real else sa.types.NULLTYPE
    if whole or real:
        return (sa.BigInteger() if whole else sa.Double()) if function == "sum" else type_
    return type_ if function != "sum" and isinstance(type_, _ORDERED) else sa.types.NULLTYPE


_ORDERED = (sa.String, sa.Numeric, sa.Date, sa.DateTime, sa.Time, UtcDateTime, Duration)
