"""The environment: what `env.py` in a folder of migrations calls, whoever started it.

    from compdb import migrate

    migrate.run("my_lab.pipeline:Lab")

So alembic's own commands work as well as compdb's: `alembic upgrade head`, `alembic revision --autogenerate`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import context
from alembic.operations import Operations

from compdb import activation, schema
from compdb.database import Database, connect, database_of
from compdb.dialects.migrating import broken_foreign_keys, loosened
from compdb.errors import MigrationError, NotConnected
from compdb.migrate.adapting import adapt
from compdb.migrate.checking import tables_of
from compdb.migrate.comparing import PLUGIN, Wanted, as_planned
from compdb.migrate.rendering import render_item
from compdb.migrate.watching import run_watched
from compdb.settings import resolve_url

__all__ = ["Asked", "migrating", "run"]

WAIT = 600.0
"""How long to wait for another process that changes the tables, in seconds."""


@dataclass(frozen=True)
class Asked:
    """What a command of ours wants of the environment; alembic's own command line does not say.

    Attributes
    ----------
    confirm_rename : callable, optional
        Asked about renames.
    compares : bool
        All pipelines are to be known, since what they do not declare will go.
    heads : list of str, optional
        Only tell here which revisions the database is at.
    """

    pipelines: Sequence[type[Any]]
    database: Database
    confirm_rename: Callable[[Any], bool] | None = None
    compares: bool = False
    heads: list[str] | None = None


def run(*pipelines: type[Any] | str, **options: Any) -> None:
    """Run the migrations that were asked for; the whole of an `env.py`.

    Parameters
    ----------
    *pipelines : Pipeline, or str as in "my_lab.pipeline:Lab"
        All those whose tables are changed by these revisions.
    **options
        For alembic's `context.configure`, such as `version_table`.
    """
    asked: Asked | None = context.config.attributes.get("compdb")
    if context.is_offline_mode():
        raise MigrationError(
            "compdb's migrations look at the database while they run; they cannot be written down as SQL (--sql)"
        )
    if asked is not None and asked.heads is not None:
        with asked.database.reading() as connection:
            context.configure(connection=connection, **options)
            asked.heads.extend(context.get_context().get_current_heads())
        return
    given = list(asked.pipelines) if asked else []
    if asked is None or asked.compares:
        given += [_found(p) for p in pipelines if not any(_names(p, cls) for cls in given)]
    database = asked.database if asked else _database(given)
    with migrating(database) as connection:
        database.dialect.create_schemas(connection, {t.schema for t in tables_of(given) if t.schema})
        context.configure(
            **{
                "connection": connection,
                "target_metadata": [p.metadata for p in given],
                "transactional_ddl": database.dialect.transactional_ddl,
                "render_as_batch": True,
                "render_item": render_item,
                "autogenerate_plugins": [PLUGIN],
                "process_revision_directives": as_planned,
                "compdb": Wanted(given, database, asked.confirm_rename if asked else None, asked is not None),
                **options,
            }
        )
        with Operations.context(context.get_context()) as op:
            adapt(op)
            run_watched(context.get_context(), connection, database)
        schema.mark_migrated(connection)


@contextmanager
def migrating(database: Database) -> Iterator[sa.Connection]:
    """Give the one connection that may change the tables now; what it did is kept at the end, or nothing where that is possible."""
    if database.in_transaction():
        raise MigrationError("tables are not changed inside `with Lab.transaction():`, which may be undone")
    with (
        database.lock("activate", WAIT),
        database.connect(database.writer) as connection,
        loosened(connection),
        connection.begin(),
    ):
        yield connection
        broken = [
            f"{count} rows of {child} refer to no row of {parent}"
            for child, parent, count in broken_foreign_keys(connection)
        ]
        if broken:
            raise MigrationError(f"after these revisions {'; '.join(broken)}; nothing was changed")
    activation.forget(database)


def _names(pipeline: type[Any] | str, cls: type[Any]) -> bool:
    if not isinstance(pipeline, str):
        return pipeline is cls
    module, _, name = pipeline.partition(":")
    return name == cls.__qualname__ and cls.__module__ in (module, "__main__")


def _found(pipeline: type[Any] | str) -> type[Any]:
    if not isinstance(pipeline, str):
        return pipeline
    module, _, name = pipeline.partition(":")
    if not name:
        raise MigrationError(f"name the pipeline as in my_lab.pipeline:Lab, not {pipeline!r}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for step in name.split("."):
            found = getattr(found, step)
    except (ImportError, AttributeError) as error:
        raise MigrationError(f"env.py names the pipeline {pipeline!r}, which cannot be found: {error}") from error
    return found  # type: ignore[no-any-return]


def _database(classes: Sequence[type[Any]]) -> Database:
    for cls in classes:
        try:
            return database_of(cls.metadata)
        except NotConnected:
            continue
    return connect(resolve_url(None, classes[0].__name__ if classes else "Lab"))
