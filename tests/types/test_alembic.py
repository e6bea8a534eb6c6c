"""Types in migrations: rendered by alembic as Python that makes the same column again."""

from __future__ import annotations

import enum
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import api, render
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.dialects import mysql, postgresql, sqlite

from compdb import types
from compdb.testing.hazards import HAZARDS, Hazard
from compdb.types import Blob, Choice, Duration, UtcDateTime

CONVENTION = {"ck": "ck_%(table_name)s_%(constraint_name)s"}


def rendered(type_: Any) -> str:
    """Return the type as alembic writes it, our own as `types.Blob()`."""

    def ours(kind: str, item: Any, context: Any) -> str | bool:
        return f"types.{item!r}" if kind == "type" and type(item).__module__.startswith("compdb.") else False

    with sa.create_engine("sqlite://").connect() as connection:
        migration = MigrationContext.configure(
            connection,
            opts={
                "render_item": ours,
                "sqlalchemy_module_prefix": "sa.",
                "alembic_module_prefix": "op.",
                "user_module_prefix": None,
            },
        )
        return render._repr_type(type_, api.AutogenContext(migration))


@pytest.mark.parametrize("hazard", HAZARDS, ids=repr)
def test_a_rendered_type_is_the_same_column(hazard: Hazard) -> None:
    text = rendered(hazard.type)
    again = eval(text, {"sa": sa, "types": types, "mysql": mysql, "postgresql": postgresql})
    mariadb = mysql.dialect(is_mariadb=True)
    mariadb.name = "mariadb"
    for dialect in (sqlite.dialect(), mysql.dialect(), mariadb, postgresql.dialect()):
        assert again.compile(dialect) == hazard.type.compile(dialect)
    assert rendered(again) == text


def test_our_types_say_how_they_are_made() -> None:
    mood = enum.Enum("Mood", ["happy", "sad"])
    assert repr(Blob()) == "Blob()"
    assert repr(Blob(compression="zstd")) == "Blob(compression='zstd')"
    assert repr(UtcDateTime()) == "UtcDateTime()"
    assert repr(Duration()) == "Duration()"
    assert repr(Choice(mood)) == "Choice(['happy', 'sad'])"
    assert repr(Choice([1, 2])) == "Choice([1, 2])"
    assert repr(Choice(["a"], length=9)) == "Choice(['a'], length=9)"


def test_a_migration_makes_and_changes_the_check(engine: sa.Engine) -> None:
    """The old CHECK is dropped by name: alembic's `existing_type=Choice(...)` would, but not on MySQL and MariaDB."""
    opts = {"target_metadata": sa.MetaData(naming_convention=CONVENTION)}
    options = {"mariadb_charset": "utf8mb4", "mysql_charset": "utf8mb4"}
    with engine.begin() as connection:
        op = Operations(MigrationContext.configure(connection, opts=opts))
        op.create_table(
            "trial",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("side", Choice(["l", "r"], length=4)),
            **options,
        )
    insert = sa.text("INSERT INTO trial (id, side) VALUES (1, 'up')")
    with engine.connect() as connection, pytest.raises((sa.exc.IntegrityError, sa.exc.OperationalError)):
        connection.execute(insert)
    with engine.begin() as connection:
        op = Operations(MigrationContext.configure(connection, opts=opts))
        with op.batch_alter_table("trial") as batch:
            batch.drop_constraint(op.f("ck_trial_side_choice"), type_="check")
            batch.alter_column("side", existing_type=sa.String(4), type_=Choice(["l", "r", "up"], length=4))
        with op.batch_alter_table("trial") as batch:
            batch.add_column(sa.Column("block", Choice([1, 2])))
    with engine.begin() as connection:
        connection.execute(insert)
    checks = {c["name"] for c in sa.inspect(engine).get_check_constraints("trial")}
    assert checks == {"ck_trial_side_choice", "ck_trial_block_choice"}
