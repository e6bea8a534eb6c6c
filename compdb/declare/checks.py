"""What may be wrong with a declaration that SQLAlchemy or a database would find late, or never."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from compdb import dag, types
from compdb.declare.plan import Plan
from compdb.errors import DeclarationError
from compdb.names import identifier_problem, reserved_problem

__all__ = ["check_key", "check_names", "check_table"]

KEY_COLUMNS = 16
KEY_BYTES = 3072
"""What an index of MySQL and MariaDB (InnoDB) holds at most."""

SETTINGS_OF_AUTO = frozenset(
    {"max_attempts", "timeout", "max_memory", "allow_writes_to", "prefetch", "rows_per_key", "key_source"}
)


def check_names(plan: Plan, table_name: str, tier: str) -> None:
    """Refuse names that a database would cut or that hide a verb of the table."""
    problems = [identifier_problem(table_name, f"the table name of {plan.label}")]
    if tier in dag.AUTO_TIERS:
        problems.append(identifier_problem(table_name + "__jobs", f"the jobs table of {plan.label}"))
    attributes = [c.attribute for c in plan.columns.values()] + [x.attribute for x in plan.links if x.attribute]
    for column in plan.columns.values():
        problems.append(identifier_problem(column.name, f"{plan.label}: the column name"))
    for name in attributes:
        problems.append(reserved_problem(name))
        if tier in dag.AUTO_TIERS and name in SETTINGS_OF_AUTO:
            problems.append(f"attribute name {name!r} is a setting of {tier} tables; choose another")
    found = next((p for p in problems if p), None)
    if found:
        raise DeclarationError(found if plan.label in found else f"{plan.label}: {found}")


def check_key(plan: Plan, tier: str, rows_per_key: Any) -> None:
    """Refuse keys that cannot be keys: none, too long, of a type that does not compare, new dimensions of computed tables."""
    key = plan.key()
    if not key:
        raise DeclarationError(
            f"{plan.label} has no primary key; mark at least one attribute with Key, as in {plan.label.lower()}_id: Key[int]"
        )
    for column in key:
        problem = types.check_key_type(column.type) if column.type is not None else None
        if problem:
            raise DeclarationError(f"{plan.label}.{column.attribute}: {problem}")
    size = sum(types.key_bytes(c.type) for c in key if c.type is not None)
    if len(key) > KEY_COLUMNS or size > KEY_BYTES:
        raise DeclarationError(
            f"{plan.label}: its key has {len(key)} columns of {size:,} bytes; an index holds {KEY_COLUMNS} columns and"
            f" {KEY_BYTES:,} bytes. Give text attributes a shorter type, as in Key[str] = mapped_column(String(32))"
        )
    if tier in dag.AUTO_TIERS and rows_per_key not in (None, "one", "many"):
        raise DeclarationError(f'{plan.label}: rows_per_key is "one" or "many", not {rows_per_key!r}')


def check_table(table: sa.Table, tier: str, rows_per_key: Any) -> None:
    """Check what only the finished table tells: plain foreign keys, circles."""
    for foreign_key in table.foreign_keys:
        try:
            _ = foreign_key.column
        except exc.NoReferenceError:
            return  # a plain ForeignKey to a table that is declared later; activate() checks it
    dag.topological([table, *dag.ancestors(table)])
    if tier in dag.AUTO_TIERS and rows_per_key != "many":
        keys = {c.name for c in table.primary_key}
        covered = {name for edge in dag.parents(table) if edge.primary for name, _ in edge.pairs}
        if keys - covered:
            _refuse_new_dimension(dag.label(table), tier, sorted(keys - covered))


def _refuse_new_dimension(label: str, tier: str, native: list[str]) -> None:
    raise DeclarationError(
        f"{label} is {tier}: its key must come from foreign keys alone, and {', '.join(native)} does not. Either put"
        f" {native[0]} into a part table (class Item(cdb.Part): {native[0]}: Key[...] inside {label}), or declare"
        f' class {label}(cdb.{tier.capitalize()}, ..., rows_per_key="many"), whose make inserts one or more rows for one'
        " key of its key source"
    )
