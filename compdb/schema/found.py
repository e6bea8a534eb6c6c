"""What a database tells of its tables."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from compdb import dialects, notes
from compdb.schema.declared import deletion
from compdb.schema.literals import only_text
from compdb.schema.state import Check, Column, ForeignKey, Index, Place, Table, Unique

__all__ = ["names", "read"]

CONSTANT = re.compile(r"[-+]?[\d.]+|null|true|false|current_\w+(\(\d*\))?|\(.*\)", re.IGNORECASE | re.DOTALL)
PARAMETER = re.compile(r"(?<![:\w\\]):(?=\w+(?!:))")


def names(connection: sa.Connection, schemas: Iterable[str | None]) -> set[Place]:
    """Return the places of all tables in `schemas`."""
    inspector = sa.inspect(connection)
    wanted = set(schemas)
    if wanted - {None}:
        wanted &= {None, *inspector.get_schema_names()}
    return {(schema, name) for schema in wanted for name in inspector.get_table_names(schema=schema)}


def read(connection: sa.Connection, places: Iterable[Place], *, whole: bool = True) -> dict[Place, Table]:
    """Return what the database tells of the tables at `places`, of those that are there.

    Parameters
    ----------
    whole : bool
        Everything; otherwise columns and key only, which is quicker.
    """
    wanted = set(places)
    there = names(connection, {schema for schema, _ in wanted}) & wanted
    comments = notes.read(connection) if whole and there and not dialects.of(connection).has_comments else {}
    found: dict[Place, Table] = {}
    for schema in {schema for schema, _ in there}:
        found.update(_Reading(connection, schema, sorted(n for s, n in there if s == schema), whole).tables(comments))
    return found


def _in_ddl(default: str, dialect: sa.Dialect) -> str | sa.TextClause:
    """Return a default by which it can be made again, its text on any database; of an expression no word is a parameter."""
    text = only_text(default, dialect)
    if text is not None:
        return text
    default = default if CONSTANT.fullmatch(default) else f"({default})"
    return sa.text(PARAMETER.sub(r"\:", default))


class _Reading:
    """One look at the tables of one schema."""

    def __init__(self, connection: sa.Connection, schema: str | None, tables: list[str], whole: bool) -> None:
        self.inspector, self.dialect = sa.inspect(connection), connection.dialect
        self.schema, self.names, self.whole = schema, tables, whole

    def tables(self, notes: dict[str, str]) -> dict[Place, Table]:
        """Return each table by its place; `notes` has the comments where the database keeps none."""
        columns, keys = self._all("columns"), self._all("pk_constraint")
        rest: dict[str, Any] = {}
        if self.whole:
            kinds = ["foreign_keys", "unique_constraints", "indexes", "check_constraints"]
            ours = dialects.of(self.dialect)
            kinds += ["table_comment", "table_options"] if ours.has_comments else []
            rest = {kind: self._all(kind) for kind in kinds}
        return {
            (self.schema, name): self._table(name, columns[name], keys.get(name) or {}, rest, notes)
            for name in self.names
        }

    def _all(self, kind: str) -> dict[str, Any]:
        found = getattr(self.inspector, f"get_multi_{kind}")(schema=self.schema, filter_names=self.names)
        return {name: told for (_, name), told in found.items()}

    def _table(
        self, name: str, columns: list[Any], key: dict[str, Any], rest: dict[str, Any], notes: dict[str, str]
    ) -> Table:
        comment = (rest.get("table_comment", {}).get(name) or {}).get("text") or notes.get(name)
        foreign_keys = [self._foreign_key(f) for f in rest.get("foreign_keys", {}).get(name) or []]
        uniques = [
            Unique(u["name"] or f"uq_{'_'.join(u['column_names'])}", tuple(u["column_names"]))
            for u in rest.get("unique_constraints", {}).get(name) or []
        ]
        if dialects.of(self.dialect).unique_is_index:  # go by the name
            uniques = [u for u in uniques if u.name.startswith("uq_")]
        checks = [
            Check(c["name"] or f"ck_{c['sqltext']}", str(c["sqltext"]), str(c["sqltext"]))
            for c in rest.get("check_constraints", {}).get(name) or []
        ]
        options = rest.get("table_options", {}).get(name) or {}
        return Table(
            place=(self.schema, name),
            label=name,
            tier=(comment or "").partition(":")[0] or None,
            comment=comment,
            columns={c["name"]: self._column(c, notes.get(f"{name}.{c['name']}")) for c in columns},
            key=tuple(key.get("constrained_columns") or ()),
            key_name=key.get("name"),
            foreign_keys={f.name: f for f in foreign_keys},
            uniques={u.name: u for u in uniques},
            indexes={
                i.name: i for i in self._indexes(name, rest.get("indexes", {}).get(name) or [], uniques, foreign_keys)
            },
            checks={c.name: c for c in checks},
            collation=dialects.of(self.dialect).collation(options),
        )

    def _column(self, told: Any, note: str | None) -> Column:
        default = told.get("default")
        autoincrement = (
            bool(told.get("identity")) or str(default).startswith("nextval(") or told.get("autoincrement") is True
        )
        return Column(
            name=told["name"],
            type=told["type"],
            spelled=told["type"].compile(self.dialect),
            nullable=bool(told["nullable"]),
            default=None if autoincrement else default,
            made_default=None if autoincrement or default is None else sa.DefaultClause(_in_ddl(default, self.dialect)),
            comment=told.get("comment") or note,
            autoincrement=autoincrement,
            computed=sa.Computed(**told["computed"]) if told.get("computed") else None,
        )

    def _foreign_key(self, told: Any) -> ForeignKey:
        schema = told["referred_schema"]
        parent = (None if schema == self.dialect.default_schema_name else schema, told["referred_table"])
        columns = tuple(told["constrained_columns"])
        ondelete = (told.get("options") or {}).get("ondelete")
        return ForeignKey(
            told["name"] or f"fk_{'_'.join(columns)}_{parent[1]}",
            columns,
            parent,
            tuple(told["referred_columns"]),
            deletion(ondelete, self.dialect),
            ondelete or "RESTRICT",  # which MySQL and MariaDB do not tell
        )

    def _indexes(
        self, name: str, told: list[Any], uniques: list[Unique], foreign_keys: list[ForeignKey]
    ) -> Iterable[Index]:
        """Return the indexes that are there for their own sake: not those by which constraints are kept."""
        constraints = {u.name for u in uniques}
        for index in told:
            columns = None if "expressions" in index or None in index["column_names"] else tuple(index["column_names"])
            if index.get("duplicates_constraint") or index["name"] in constraints:
                continue
            if self._serves(index["name"], columns, foreign_keys):
                continue
            yield Index(index["name"], columns, bool(index["unique"]))

    def _serves(self, name: str, columns: tuple[str, ...] | None, foreign_keys: list[ForeignKey]) -> bool:
        """Tell whether an index was made by the server for a foreign key, after which it is named."""
        if columns is None or not dialects.of(self.dialect).makes_indexes_for_foreign_keys:
            return False
        named = name.startswith("fk_") or any(f.name == name for f in foreign_keys)
        return named and any(columns[: len(f.columns)] == f.columns for f in foreign_keys)
