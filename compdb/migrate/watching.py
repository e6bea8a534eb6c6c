"""Watching: each revision as it runs, so that a failure is told with its file, and what became of the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from sqlalchemy import exc

from compdb.database import Database
from compdb.dialects import original
from compdb.errors import MigrationError
from compdb.migrate.resuming import Record

__all__ = ["run_watched"]


def run_watched(context: MigrationContext, connection: sa.Connection, database: Database) -> None:
    """Run what was asked of alembic, and watch each revision."""
    if database.dialect.transactional_ddl:
        _watch(context, None)
        context.run_migrations()
        return
    record = Record(connection, context.version_table)
    _watch(context, record)
    with record.kept():
        context.run_migrations()


def _watch(context: MigrationContext, record: Record | None) -> None:
    plain: Any = context._migrations_fn  # alembic has no other way to see one revision begin

    def steps(heads: Any, its: Any) -> Iterator[Any]:
        for step in plain(heads, its):
            if hasattr(step, "revision"):
                step.migration_fn = _watched(step, step.migration_fn, record)
            yield step

    context._migrations_fn = steps


def _watched(step: Any, function: Callable[..., None], record: Record | None) -> Callable[..., None]:
    def migrate(**keywords: Any) -> None:
        if record is not None:
            record.begin(step.revision.revision, "up" if step.is_upgrade else "down")
        try:
            function(**keywords)
        except Exception as error:
            raise MigrationError(_told(step, error, record)) from error

    return migrate


def _told(step: Any, error: Exception, record: Record | None) -> str:
    way = "upgrade" if step.is_upgrade else "downgrade"
    said = str(original(error)).strip() if isinstance(error, exc.DBAPIError) else f"{error}"
    kind = "" if isinstance(error, MigrationError) else f"{type(original(error)).__name__}: "
    told = f"revision {step.revision.revision} ({step.revision.path}), {way}: {kind}{said}"
    if record is None:
        return f"{told}\nThe database is as it was"
    done = record.done()
    if not done:
        return f"{told}\nNothing of this revision is done; those before it are"
    command = "up" if step.is_upgrade else "down"
    return (
        f"{told}\nThe first {done} statements of this revision are done and stay, since this database cannot take back a change of tables."
        f" Correct {way}() after them and run compdb migrate {command} again: it goes on from there"
    )
