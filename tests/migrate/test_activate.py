"""`Lab.activate(migrations=...)`, `Lab.check()`, and what does not go together."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped, mapped_column, migrate
from compdb.database import Database, connect
from tests.migrate.conftest import pipeline


def declare(lab: Any, new: bool = False) -> None:
    class Method(cdb.Lookup, lab):
        method: Key[str] = mapped_column(sa.String(16))
        threshold: Mapped[float]
        contents = [("fast", 0.5), ("slow", 0.9)]

    class Session(cdb.Manual, lab):
        session_id: Key[int]
        if new:
            weight: Mapped[float | None]

    class Score(cdb.Computed, lab):
        session: Key[Session]
        method: Key[Method]
        score: Mapped[float]

        def make(self, key: Any) -> None:
            self.score = 1.0


def written(folder: Path, database: Database, lab: Any, message: str = "a change") -> str:
    path = migrate.new([lab], database, folder, message, confirm_rename=lambda rename: False)
    assert path is not None
    return next(r.id for r in migrate.history(folder) if r.path == path)


def test_activate_applies_the_revisions_and_fills_the_lookups(url: str, database: Database, folder: Path) -> None:
    old, new = pipeline(declare), pipeline(declare, True)
    first = written(folder, database, old)
    for _ in range(2):
        old.activate(url, migrations=folder)
    tables = {c.__name__: c for c in old.__catalog__}
    assert tables["Method"].to_dicts(order_by="KEY") == [
        {"method": "fast", "threshold": 0.5},
        {"method": "slow", "threshold": 0.9},
    ]
    tables["Session"].insert1({"session_id": 1})
    assert tables["Score"].populate()["success_count"] == 2
    assert old.check() == []
    second = written(folder, database, new)
    assert [(r.id, r.parent, r.applied) for r in migrate.history(folder, database)] == [
        (first, None, True),
        (second, first, False),
    ]
    new.activate(url, migrations=str(folder))
    assert [r.applied for r in migrate.history(folder, database)] == [True, True]
    assert new.check() == []
    (session,) = (c for c in new.__catalog__ if c.__name__ == "Session")
    assert session.to_dicts() == [{"session_id": 1, "weight": None}]


def test_classes_that_changed_since_the_last_revision_are_told_before_anything_runs(
    url: str, database: Database, folder: Path
) -> None:
    old, new = pipeline(declare), pipeline(declare, True)
    written(folder, database, old)
    old.activate(url, migrations=folder)
    with pytest.raises(
        cdb.SchemaDrift, match=r"(?s)Session: column 'weight' is not in the database.*compdb migrate new"
    ):
        new.activate(url, migrations=folder)
    with pytest.raises(cdb.SchemaDrift, match=r"Session.*weight"):
        migrate.refuse_drift([new], database)
    migrate.refuse_drift([old], database)


def test_plain_activate_makes_no_tables_beside_the_revisions(url: str, database: Database, folder: Path) -> None:
    lab = pipeline(declare)
    written(folder, database, lab)
    lab.activate(url, migrations=folder)
    lab.activate(url)

    class Rig(cdb.Manual, lab):
        rig: Key[int]

    for arguments in ({}, {"migrations": folder}):
        with pytest.raises(cdb.SchemaDrift, match=r"(?s)Rig.*compdb migrate new"):
            lab.activate(url, **arguments)
    assert not sa.inspect(database.engine).has_table("rig")


def test_an_applications_own_revisions_do_not_keep_activate_from_making_tables(url: str, database: Database) -> None:
    with database.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
        connection.exec_driver_sql("INSERT INTO alembic_version VALUES ('app1')")
    lab = pipeline(declare)
    lab.activate(url)
    assert lab.check() == []


def test_an_empty_folder_says_how_to_make_the_first_revision(sqlite_url: str, folder: Path) -> None:
    lab = pipeline(declare)
    for verb in (
        lambda: lab.activate(sqlite_url, migrations=folder),
        lambda: migrate.up([lab], connect(sqlite_url), folder),
    ):
        with pytest.raises(cdb.MigrationError, match='compdb migrate new "the first tables"'):
            verb()
    assert migrate.history(folder, connect(sqlite_url)) == []
    with pytest.raises(cdb.MigrationError, match="compdb init"):
        lab.activate(sqlite_url, migrations=folder / "elsewhere")


def test_a_database_ahead_of_the_code_is_told(url: str, database: Database, folder: Path) -> None:
    lab = pipeline(declare)
    written(folder, database, lab)
    lab.activate(url, migrations=folder)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = 'later'")
    for verb in (
        lambda: lab.activate(url, migrations=folder),
        lambda: migrate.up([lab], database, folder),
        lambda: migrate.down([lab], database, folder, "base"),
        lambda: migrate.history(folder, database),
        lambda: migrate.new([lab], database, folder, "more"),
    ):
        with pytest.raises(cdb.MigrationError, match=r"at revision later, which .* does not have.*ahead"):
            verb()


def test_two_last_revisions_are_told(sqlite_url: str, folder: Path) -> None:
    database, old, new = connect(sqlite_url), pipeline(declare), pipeline(declare, True)
    first = written(folder, database, old)
    old.activate(sqlite_url, migrations=folder)
    second = written(folder, database, new)
    (path,) = (r.path for r in migrate.history(folder) if r.id == second)
    path.with_name("beside.py").write_text(path.read_text().replace(second, "beside"))
    with pytest.raises(cdb.MigrationError, match=r"several last revisions.*beside\.py") as caught:
        new.activate(sqlite_url, migrations=folder)
    assert "down_revision" in str(caught.value)
    assert [r.id for r in migrate.history(folder, database) if r.applied] == [first]


def test_a_database_that_plain_activate_made_is_taken_over(url: str, database: Database, folder: Path) -> None:
    old, new = pipeline(declare), pipeline(declare, True)
    old.activate(url)
    written(folder, database, old)  # the whole of it, though the tables are there
    with pytest.raises(cdb.MigrationError, match="compdb migrate stamp"):
        migrate.up([old], database, folder)
    with pytest.raises(cdb.MigrationError, match=r"(?s)does not match.*weight"):
        migrate.stamp([new], database, folder)
    assert migrate.stamp([old], database, folder) == migrate.history(folder)[0].id
    with pytest.raises(cdb.MigrationError, match="already"):
        migrate.stamp([old], database, folder)
    assert migrate.up([old], database, folder) == []
    old.activate(url, migrations=folder)
    written(folder, database, new)
    new.activate(url, migrations=folder)
    assert new.check() == []
    migrate.down([new], database, folder, "base")
    assert set(sa.inspect(database.engine).get_table_names()) <= {"alembic_version", "compdb_tables"}


def test_a_new_revision_wants_the_database_at_the_last_one(sqlite_url: str, folder: Path) -> None:
    database, old, new = connect(sqlite_url), pipeline(declare), pipeline(declare, True)
    written(folder, database, old)
    with pytest.raises(cdb.MigrationError, match="compdb migrate up"):
        migrate.new([new], database, folder, "more")


def test_check_tells_all_in_words(url: str) -> None:
    lab = pipeline(declare)
    lab.activate(url)
    assert lab.check() == []
    database = connect(url)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE method SET threshold = 0.25 WHERE method = 'slow'")
        connection.exec_driver_sql("INSERT INTO method (method, threshold) VALUES ('mine', 1)")
        connection.exec_driver_sql("ALTER TABLE session ADD COLUMN note VARCHAR(20)")
        connection.exec_driver_sql("CREATE INDEX by_note ON session (note)")
        connection.exec_driver_sql("CREATE TABLE session__trial (trial INT PRIMARY KEY)")
    told = [str(d) for d in lab.check()]
    assert told == [
        "Session: the class has no column 'note', which is in the database",
        "Session: the class has no index by_note, (note), which is in the database",
        "session__trial: is in the database, and no class declares it",
        "Method: row {'method': 'slow'}: threshold is 0.25 in the database, 0.9 in the class",
        "Method: row {'method': 'mine', 'threshold': 1.0} is in the database, and not among the contents",
    ]


def test_check_sees_fractional_seconds_and_collations(url: str) -> None:
    def dated(lab: Any) -> None:
        import datetime

        class Session(cdb.Manual, lab):
            name: Key[str]
            at: Mapped[datetime.datetime]

    lab = pipeline(dated)
    lab.activate(url)
    database = connect(url)
    statements = {
        "sqlite": [],
        "mariadb": [
            "ALTER TABLE session MODIFY at DATETIME NOT NULL",
            "ALTER TABLE session CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        ],
        "postgresql": ['ALTER TABLE session ALTER at TYPE TIMESTAMP(0), ALTER name TYPE VARCHAR(255) COLLATE "POSIX"'],
    }
    with database.engine.begin() as connection:
        for statement in statements[database.dialect.name]:
            connection.exec_driver_sql(statement)
    kinds = sorted({d.kind for d in lab.check()})
    assert kinds == ([] if database.dialect.name == "sqlite" else ["collation", "type"])


def test_nobody_changes_tables_in_an_open_transaction(sqlite_url: str, folder: Path) -> None:
    lab = pipeline(declare)
    lab.connect(sqlite_url)
    written(folder, connect(sqlite_url), lab)
    with lab.transaction(), pytest.raises(cdb.MigrationError, match="transaction"):
        migrate.up([lab], connect(sqlite_url), folder)


MODULE = """
import sys
import compdb as cdb
from compdb import Key, Mapped

class Lab(cdb.Pipeline): ...

class Session(cdb.Manual, Lab):
    session_id: Key[int]
    note: Mapped[str | None]

class Score(cdb.Computed, Lab):
    session: Key[Session]
    score: Mapped[float]

if __name__ == "__main__":
    Lab.activate(sys.argv[1], migrations=sys.argv[2])
    Session.insert1({"session_id": int(sys.argv[3])})
    print(len(Lab.check()))
"""


def test_of_two_processes_that_activate_one_upgrades_and_both_work(
    url: str, database: Database, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "the_lab.py").write_text(MODULE)
    sys.path.insert(0, str(tmp_path))
    try:
        import the_lab
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop("the_lab", None)
    assert migrate.new([the_lab.Lab], database, folder, "first") is not None
    database.dispose()
    command = [sys.executable, str(tmp_path / "the_lab.py"), url, str(folder)]
    running = [subprocess.Popen([*command, str(i)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for i in range(3)]
    for process in running:
        out, error = process.communicate(timeout=120)
        assert (process.returncode, out.strip()) == (0, b"0"), error.decode()
    with database.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM session").scalar() == 3
        assert connection.exec_driver_sql("SELECT count(*) FROM alembic_version").scalar() == 1
