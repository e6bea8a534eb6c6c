"""Which tables, and which of their keys, as they are named on the command line.

`Detection` is a table. `--where "image_id < 10"` is a condition on the keys themselves, and `--where "Image: quality > 0"` one on
a table that they come from.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from compdb import dag
from compdb.algebra import Relation, to_relation
from compdb.errors import SettingsError, UnknownAttribute, nearest
from compdb.pipeline import Pipeline

__all__ = ["Conditions", "named", "populated", "tables"]

OF_A_TABLE = re.compile(r"\s*([A-Za-z_]\w*(?:\.\w+)*)\s*:(?![:=])\s*(.+)", re.DOTALL)


def tables(pipelines: Sequence[type[Pipeline]]) -> list[type[Any]]:
    """Return all table classes but parts, parents first."""
    found = [c.__table__ for pipeline in pipelines for c in pipeline.__catalog__]
    return [t.info["class"] for t in dag.topological(found)]


def populated(pipelines: Sequence[type[Pipeline]], names: Sequence[str] = ()) -> list[type[Any]]:
    """Return the Imported and Computed tables, or those of these names, parents first.

    Raises
    ------
    SettingsError
        If there is none of a name, or it is not populated.
    """
    chosen = [named(pipelines, name) for name in names] or tables(pipelines)
    for cls in chosen if names else ():
        if cls.__tier__ not in dag.AUTO_TIERS:
            raise SettingsError(
                f"{dag.label(cls.__table__)} is a {cls.__tier__} table: it has no make; these have one:"
                f" {', '.join(dag.label(c.__table__) for c in populated(pipelines))}"
            )
    found: list[sa.Table] = [c.__table__ for c in chosen if c.__tier__ in dag.AUTO_TIERS]
    return [t.info["class"] for t in dag.topological(found)]


def named(pipelines: Sequence[type[Pipeline]], name: str) -> type[Any]:
    """Return the table of that name: that of its class, or that in the database.

    Raises
    ------
    SettingsError
        If there is none, with the nearest name, or more than one.
    """
    every = [c for pipeline in pipelines for c in pipeline.__catalog__.classes.values()]
    found = [c for c in every if name in (dag.label(c.__table__), c.__table__.name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise SettingsError(f"more than one pipeline has a table {name!r}; choose one with --pipeline")
    labels = [dag.label(c.__table__) for c in every]
    guess = nearest(name, labels)
    raise SettingsError(
        f"there is no table {name!r}; "
        + (f"did you mean {guess!r}? " if guess else "")
        + f"there are: {', '.join(labels)}"
    )


class Conditions:
    """What `--where` says.

    Raises
    ------
    SettingsError
        If one names a table that is not there.
    """

    def __init__(self, pipelines: Sequence[type[Pipeline]], where: Sequence[str]) -> None:
        self.plain: list[str] = []
        self.upstream: list[tuple[sa.Table, Any, str]] = []
        for condition in where:
            of_a_table = OF_A_TABLE.fullmatch(condition)
            if of_a_table is None:
                self.plain.append(condition)
            else:
                cls = named(pipelines, of_a_table[1])
                self.upstream.append((cls.__table__, to_relation(cls) & of_a_table[2], condition))

    def check(self, classes: Sequence[type[Any]], what: str = "keys") -> None:
        """Refuse what would restrict nothing: an attribute that keys lack, a table from which none of `classes` follows.

        Parameters
        ----------
        what : {"keys", "jobs"}
            What is restricted.

        Raises
        ------
        SettingsError
            That names them, and what to write.
        """
        for cls in classes:
            for condition in self.plain:
                try:
                    relation: Relation[Any] = cls.jobs if what == "jobs" else cls.key_source.proj()
                    bool(relation & condition)
                except UnknownAttribute as error:
                    raise SettingsError(_unknown(cls, condition, error.attribute, what)) from error
        for table, _, condition in self.upstream:
            if not any(table in _above(cls) for cls in classes):
                told = ", ".join(dag.label(c.__table__) for c in classes)
                raise SettingsError(f"--where {condition!r}: {told} does not follow from {dag.label(table)}")

    def of(self, cls: type[Any]) -> list[Any]:
        """Return what restricts the keys of one table: all that is plain, and what is said of those it follows from."""
        above = _above(cls)
        return [*self.plain, *(relation for table, relation, _ in self.upstream if table in above)]


def _unknown(cls: type[Any], condition: str, attribute: str, what: str) -> str:
    label = dag.label(cls.__table__)
    names = cls.jobs.heading.names if what == "jobs" else cls.key_source.primary_key
    owners = [dag.label(t) for t in dag.ancestors(cls.__table__) if attribute in t.c and dag.tier(t) is not None]
    return f"--where {condition!r}: {label} has no {what} with {attribute!r}; they have {', '.join(names)}" + (
        f"; it is an attribute of {owners[0]}: write --where {f'{owners[0]}: {condition}'!r}" if owners else ""
    )


def _above(cls: type[Any]) -> set[sa.Table]:
    return {cls.__table__, *dag.ancestors(cls.__table__)}
