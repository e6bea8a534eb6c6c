"""A migration that is killed at any statement leaves PostgreSQL and SQLite as they were; on MariaDB the next one finishes it."""

import os
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

import compdb as cdb
from compdb import Key, Mapped, dialects, mapped_column, migrate
from compdb.database import Database
from compdb.migrate.resuming import STATEMENTS
from tests.migrate.conftest import picture, pipeline


def declare(lab: Any, new: bool) -> None:
    class Method(cdb.Lookup, lab):
        method: Key[str] = mapped_column(sa.String(16))
        contents = [("fast",), ("slow",)] if new else [("fast",)]

    class Session(cdb.Manual, lab):
        session_id: Key[int]
        note: Mapped[str | None] = mapped_column(sa.String(64 if new else 32))
        if new:
            weight: Mapped[float]

    if new:

        class Rig(cdb.Manual, lab):
            rig: Key[str]


def up_and_die(database: Database, folder: Path, lab: Any, at: int, *, after: bool) -> bool:
    """Apply the revisions in a process of its own that dies at its statement `at` (before or after it); tell whether it died."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) in (0, 9), "the child failed in another way"
        return os.waitstatus_to_exitcode(status) == 9
    seen = 0

    @event.listens_for(database.engine.dialect, "do_execute")
    def die(cursor: Any, statement: str, parameters: Any, context: Any) -> None:
        nonlocal seen
        if dialects.reads_only(statement):
            return
        seen += 1
        if seen == at:
            if after:
                cursor.execute(statement, parameters)
            os._exit(9)

    try:
        migrate.up([lab], database, folder)
    except BaseException:
        os._exit(1)
    os._exit(0)


@pytest.fixture
def prepared(database: Database, folder: Path) -> Any:
    """A database with rows, at the first of two revisions, and the pipeline of the second."""
    old, new = pipeline(declare, False), pipeline(declare, True)
    migrate.new([old], database, folder, "first")
    migrate.up([old], database, folder)
    path = migrate.new([new], database, folder, "second", confirm_rename=lambda rename: False)
    path.write_text(path.read_text().replace("'weight', None)", "'weight', 20.5)"))
    old.connect(database.engine.url)
    old.metadata.tables["session"].info["class"].insert(
        [{"session_id": 1, "note": "a"}, {"session_id": 2, "note": None}]
    )
    database.dispose()
    return database, folder, new


def rows(database: Database) -> list[tuple[Any, ...]]:
    with database.engine.connect() as connection:
        found = [tuple(r) for r in connection.exec_driver_sql("SELECT * FROM session ORDER BY session_id")]
        found += [tuple(r) for r in connection.exec_driver_sql("SELECT * FROM method ORDER BY method")]
    database.dispose()
    return found


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_migration_killed_at_any_statement(prepared: Any, after: bool) -> None:
    database, folder, new = prepared
    before, was = picture(database), rows(database)
    first = migrate.history(folder)[0].id
    at = 0
    while up_and_die(database, folder, new, at := at + 1, after=after):
        if database.dialect.transactional_ddl:
            assert picture(database) == before
            assert rows(database) == was
            assert [r.applied for r in migrate.history(folder, database)] == [True, False]
            continue
        migrate.up([new], database, folder)
        assert migrate.check([new], database) == []
        assert [r[2] for r in rows(database) if len(r) == 3] == [20.5, 20.5]
        assert not sa.inspect(database.engine).has_table(STATEMENTS)
        migrate.down([new], database, folder, first)
        assert picture(database) == before
    assert at > 5, "nothing was killed"
    assert migrate.check([new], database) == []
