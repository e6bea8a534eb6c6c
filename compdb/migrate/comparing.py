"""Comparing: a plugin of alembic's autogenerate that finds what changed by `compdb.schema`, and plans both ways.

It takes the place of alembic's own comparators, which know neither keys, checks and collations nor the rows of lookups.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic.autogenerate.api import AutogenContext
from alembic.operations import ops
from alembic.runtime.plugins import Plugin
from alembic.util import PriorityDispatchResult

from compdb import dialects, schema
from compdb.database import Database
from compdb.migrate.checking import lookups_of, tables_of
from compdb.migrate.former import makeable
from compdb.migrate.lookups import lost_rows, row_changes
from compdb.migrate.planning import plan
from compdb.migrate.renames import Rename, find_renames
from compdb.schema import Place

__all__ = ["PLUGIN", "Wanted", "as_planned"]

PLUGIN = "compdb.migrate"


@dataclass(frozen=True)
class Wanted:
    """What autogenerate compares the database with; alembic carries it in its options, as `compdb`.

    Attributes
    ----------
    pipelines : sequence of Pipeline
    database : Database
    confirm_rename : callable, optional
        Asked whether a column that goes is the one that comes.
    skips_empty : bool
        Write nothing where nothing has changed.
    """

    pipelines: Sequence[type[Any]]
    database: Database
    confirm_rename: Callable[[Rename], bool] | None = None
    skips_empty: bool = False


def _compare(context: AutogenContext, upgrade: ops.UpgradeOps) -> PriorityDispatchResult:
    wanted: Wanted = context.opts["compdb"]
    connection, dialect = context.connection, context.dialect
    assert connection is not None
    assert dialect is not None
    tables = tables_of(wanted.pipelines)
    after = schema.declared(tables, wanted.database)
    folder = context.migration_context.script
    revisions = [] if folder is None else [Path(s.path) for s in folder.walk_revisions()]
    known = set(_made_by(revisions, dialect))
    there = schema.read(connection, {*after, *known}) if revisions else {}
    there = {place: schema.align(t, after[place], dialect) if place in after else t for place, t in there.items()}
    before = {place: makeable(t, after.get(place), dialect) for place, t in there.items()}
    before = {place: before[place] for place in [*after, *before] if place in before}
    renames = find_renames(before, after, dialect, wanted.confirm_rename)
    rows, back = row_changes(lookups_of(tables, dialect, after), before, renames, connection)
    back |= lost_rows([t for place, t in before.items() if place not in after], connection)
    returning = {place: {new: old for old, new in names.items()} for place, names in renames.items()}
    context.opts["compdb_plans"] = (
        plan(before, after, dialect, renames, rows),
        plan(after, before, dialect, returning, back),
    )
    return PriorityDispatchResult.STOP


def as_planned(context: Any, revision: Any, directives: list[Any]) -> None:
    """Put what was planned into the revision, both ways: alembic would reverse the first, operation by operation.

    Of a command of ours that finds nothing, no revision comes.
    """
    plans = context.opts.get("compdb_plans")
    if not directives or plans is None:
        return
    directives[0].upgrade_ops.ops[:], directives[0].downgrade_ops.ops[:] = plans
    if context.opts["compdb"].skips_empty and not plans[0]:
        directives.clear()


def _made_by(revisions: Iterable[Path], dialect: sa.Dialect) -> Iterator[Place]:
    """Return the places of all tables that revisions have made: what of these no class declares any more, is to go.

    Other tables in the database are somebody else's.
    """
    for path in revisions:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            place = {"create_table": 0, "rename_table": 1}.get(node.func.attr)
            if place is None or len(node.args) <= place:
                continue
            name = node.args[place]
            of = next((k.value for k in node.keywords if k.arg == "schema"), None)
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                home = of.value if isinstance(of, ast.Constant) and dialects.of(dialect).has_schemas else None
                yield (None if home == dialect.default_schema_name else str(home) if home else None), name.value


_plugin = Plugin(PLUGIN)
_plugin.add_autogenerate_comparator(_compare, "autogenerate")
