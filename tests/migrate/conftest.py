"""A folder of migrations, and pictures of a database that need nothing of compdb's comparing code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import migrate
from compdb.database import Database, connect

Picture = dict[str, dict[str, Any]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An initialised folder of migrations."""
    place = tmp_path / "migrations"
    migrate.init(place, [])
    return place


@pytest.fixture
def database(url: str) -> Database:
    """An empty database, on each of the three."""
    return connect(url)


def pipeline(declare: Callable[..., None], *moment: Any) -> type[cdb.Pipeline]:
    """Return a pipeline with the tables that `declare` declares in it at a moment of its life."""

    class Lab(cdb.Pipeline):
        """A pipeline at one moment of its life."""

    declare(Lab, *moment)
    return Lab


def picture(database: Database) -> Picture:
    """Return everything that SQLAlchemy's inspector tells of the tables, in an order of no meaning."""
    with database.engine.connect() as connection:
        inspector = sa.inspect(connection)
        dialect = connection.dialect
        found: Picture = {}
        for name in inspector.get_table_names():
            if name in ("alembic_version", "compdb_statements"):
                continue
            found[name] = {
                "columns": {
                    c["name"]: (c["type"].compile(dialect), c["nullable"], c["default"], c.get("comment"))
                    for c in inspector.get_columns(name)
                },
                "key": sorted(inspector.get_pk_constraint(name)["constrained_columns"]),
                "foreign keys": {
                    (
                        f["name"],
                        *f["constrained_columns"],
                        f["referred_table"],
                        *f["referred_columns"],
                        str(f["options"]),
                    )
                    for f in inspector.get_foreign_keys(name)
                },
                "uniques": {(u["name"], *u["column_names"]) for u in inspector.get_unique_constraints(name)},
                "indexes": {(i["name"], i["unique"], *i["column_names"]) for i in inspector.get_indexes(name)},
                "checks": {(c["name"], c["sqltext"]) for c in inspector.get_check_constraints(name)},
            }
            if dialect.supports_comments:
                found[name]["comment"] = inspector.get_table_comment(name)["text"]
        if "compdb_tables" in found:
            rows = connection.exec_driver_sql("SELECT table_name, tier, comment FROM compdb_tables").all()
            found["compdb_tables"]["rows"] = {tuple(row) for row in rows}
        return found
