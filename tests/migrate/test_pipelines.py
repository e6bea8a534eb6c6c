"""Several pipelines in one database, schemas, an application's MetaData; and one revision for every database."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

import compdb as cdb
from compdb import Key, Mapped, mapped_column, migrate
from compdb.database import Database, connect
from tests.conftest import fresh_url
from tests.migrate.conftest import Picture, picture, pipeline


def revise(pipelines: list[Any], database: Database, folder: Path, **answers: Any) -> str:
    path = migrate.new(pipelines, database, folder, "a change", **answers)
    assert path is not None
    (done,) = migrate.up(pipelines, database, folder)
    assert migrate.check(pipelines, database) == []
    assert migrate.new(pipelines, database, folder, "nothing") is None
    return done


def colony(lab: Any, new: bool) -> None:
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]
        if new:
            strain: Key[int]


def two_pipelines(new: bool) -> tuple[Any, Any]:
    """One whose tables refer to those of another."""
    theirs = pipeline(colony, new)
    (parent,) = theirs.__catalog__

    def physiology(lab: Any) -> None:
        class Recording(cdb.Manual, lab):
            subject: Key[parent]  # type: ignore[valid-type]
            recording: Key[int]

        class Rate(cdb.Computed, lab):
            recording: Key[Recording]
            rate: Mapped[float]

    return theirs, pipeline(physiology)


def test_a_pipeline_that_refers_to_anothers_tables_migrates(database: Database, folder: Path) -> None:
    (theirs, ours), (theirs_later, ours_later) = two_pipelines(False), two_pipelines(True)
    first = revise([theirs, ours], database, folder)
    before = picture(database)
    assert {"subject", "recording", "rate", "rate__jobs", "compdb_runs"} <= set(before)
    revise([theirs_later, ours_later], database, folder)
    assert "strain" in picture(database)["rate__jobs"]["columns"]
    migrate.down([theirs_later, ours_later], database, folder, first)
    assert picture(database) == before


def test_activating_the_one_makes_the_parents_in_the_other(url: str, database: Database, folder: Path) -> None:
    theirs, ours = two_pipelines(False)
    assert migrate.new([ours], database, folder, "first") is not None
    ours.activate(url, migrations=folder)
    theirs.activate(url, migrations=folder)
    assert ours.check() == theirs.check() == []


def test_tables_that_no_revision_has_made_are_somebody_elses(database: Database, folder: Path) -> None:
    lab = pipeline(colony, False)
    with database.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE users (id INT PRIMARY KEY)")
    other = pipeline(lambda lab: type(lab)("Cage", (cdb.Manual, lab), {"__annotations__": {"cage": Key[int]}}))
    other.activate(database.engine)
    revise([lab], database, folder)
    migrate.down([lab], database, folder, "base")
    assert {"users", "cage"} <= set(picture(database))


def test_a_schema_of_its_own_is_taken_out_where_there_are_none(database: Database, folder: Path) -> None:
    name = {"sqlite": "lab", "postgresql": "lab"}.get(database.dialect.name, f"{database.engine.url.database}_lab")

    def declared(new: bool) -> Any:
        class Lab(cdb.Pipeline, schema=name):
            """In a schema."""

        class Rig(cdb.Lookup, Lab):
            rig: Key[str] = mapped_column(sa.String(16))
            contents = [("a",), ("b",)] if new else [("a",)]

        class Session(cdb.Manual, Lab):
            session_id: Key[int]
            if new:
                day: Key[int]
                rig: Mapped[Rig]

        class Score(cdb.Computed, Lab):
            session: Key[Session]
            score: Mapped[float]

            def make(self, key: Any) -> None:
                self.score = 1.0

        return Lab, Session, Score

    def places() -> set[str]:
        with database.engine.connect() as connection:
            return set(sa.inspect(connection).get_table_names(schema=name if database.dialect.has_schemas else None))

    (old, session, _), (new, _, _) = declared(False), declared(True)
    first = revise([old], database, folder)
    old.activate(database.engine, migrations=folder)
    session.insert1({"session_id": 1})
    old.populate()
    assert places() >= {"rig", "session", "score", "score__jobs"}
    path = migrate.new([new], database, folder, "days")
    assert path is not None
    path.write_text(path.read_text().replace("'day', None", "'day', 1").replace("'rig', None", "'rig', 'b'"))
    migrate.up([new], database, folder)
    assert migrate.check([new], database) == []
    assert migrate.new([new], database, folder, "nothing") is None
    migrate.down([new], database, folder, first)
    assert session.to_dicts() == [{"session_id": 1}]
    migrate.down([new], database, folder, "base")
    assert not places() - {"alembic_version", "compdb_tables"}


def test_an_applications_metadata_without_names_for_constraints(database: Database, folder: Path) -> None:
    """Constraints that the class leaves unnamed are known by what they are."""

    def declared(new: bool) -> Any:
        class Base(DeclarativeBase):
            pass

        class User(Base):
            __tablename__ = "users"
            user_id: Mapped[int] = mapped_column(primary_key=True)
            name: Mapped[str] = mapped_column(sa.String(30), unique=True)
            boss: Mapped[int | None] = mapped_column(sa.ForeignKey("users.user_id"))
            if new:
                mail: Mapped[str | None] = mapped_column(sa.String(60), index=True)

        class Lab(cdb.Pipeline, metadata=Base.metadata):
            """Shares an application's MetaData."""

        class Order(cdb.Manual, Lab):
            order_id: Key[int]
            user: Mapped[User]
            paid: Mapped[bool]

        return Lab

    old, new = declared(False), declared(True)
    first = revise([old], database, folder)
    before = picture(database)
    revise([new], database, folder)
    migrate.down([new], database, folder, first)
    assert picture(database) == before


def everything(lab: Any, new: bool) -> None:
    import datetime
    import uuid
    from decimal import Decimal
    from typing import Literal

    import numpy as np

    class Rig(cdb.Lookup, lab):
        """Where mice run."""

        rig: Key[str] = mapped_column(sa.String(16))
        opened: Mapped[datetime.date]
        map: Mapped[np.ndarray]
        price: Mapped[Decimal] = mapped_column(sa.Numeric(8, 2))
        contents = [
            {"rig": "a'b", "opened": "2024-02-29", "map": np.arange(3), "price": "1.50"},
            {"rig": "50%: \\ x", "opened": "2024-01-01", "map": np.zeros((1, 2)) if new else np.ones(2), "price": 2},
        ]

    class Session(cdb.Manual, lab):
        session_id: Key[uuid.UUID]
        rig: Mapped[Rig | None]
        at: Mapped[cdb.UtcDateTime]
        took: Mapped[datetime.timedelta | None]
        start: Mapped[datetime.time]
        side: Mapped[Literal["l", "r", "it's"] if not new else str]  # type: ignore[valid-type]
        order: Mapped[Literal[1, 2]] = mapped_column(comment="a word of SQL")
        settings: Mapped[dict[str, Any]]
        note: Mapped[str] = mapped_column(sa.Text)
        raw: Mapped[bytes | None]
        done: Mapped[bool] = mapped_column(server_default=sa.false())
        __table_args__ = (
            sa.CheckConstraint("note <> '50%' AND note <> ':x'", name="no_percent"),
            sa.CheckConstraint(sa.or_(sa.column("order") > 1, sa.column("done").is_(None)), name="portable"),
        )

    class Score(cdb.Computed, lab):
        session: Key[Session]
        if new:
            rig: Key[Rig]
        score: Mapped[float] = mapped_column(server_default="0.5")


everything.__annotations__ = {}


@pytest.mark.parametrize("made_on", ["sqlite", "mysql", "postgresql"])
def test_a_revision_made_on_one_database_serves_the_others(made_on: str, tmp_path: Path, folder: Path) -> None:
    old, new = pipeline(everything, False), pipeline(everything, True)
    author = connect(fresh_url(made_on, tmp_path))
    first = revise([old], author, folder)
    revise([new], author, folder, confirm_rename=lambda r: False)
    for name in ("sqlite", "mysql", "postgresql"):
        if name == made_on:
            continue
        (tmp_path / name).mkdir()
        database = connect(fresh_url(name, tmp_path / name))
        migrate.up([old], database, folder, first)
        assert migrate.check([old], database) == []
        before: Picture = picture(database)
        migrate.up([new], database, folder)
        assert migrate.check([new], database) == []
        migrate.down([new], database, folder, first)
        assert migrate.check([old], database) == []
        assert picture(database) == before
        migrate.down([old], database, folder, "base")


ALEMBIC = """
[alembic]
script_location = %(here)s/migrations
sqlalchemy.url = unused
"""
MODULE = """
import compdb as cdb
from compdb import Key, Mapped

class Lab(cdb.Pipeline): ...

class Subject(cdb.Manual, Lab):
    subject_id: Key[int]
    {more}
"""


def test_alembics_own_commands_work(sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "alembic.ini").write_text(ALEMBIC)
    (tmp_path / "lab.py").write_text(MODULE.format(more=""))
    migrate.init(tmp_path / "migrations", ["lab:Lab"])
    database = connect(sqlite_url)

    def alembic(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "alembic", *arguments],
            cwd=tmp_path,
            env={"COMPDB_URL": sqlite_url, "PATH": "", "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    alembic("revision", "--autogenerate", "-m", "first")
    alembic("upgrade", "head")
    assert "No new upgrade operations detected" in alembic("check")
    (tmp_path / "lab.py").write_text(MODULE.format(more="name: Mapped[str | None]"))
    alembic("revision", "--autogenerate", "-m", "names")
    alembic("upgrade", "head")
    assert "name" in picture(database)["subject"]["columns"]
    alembic("downgrade", "-1")
    assert "name" not in picture(database)["subject"]["columns"]
    assert "(head)" not in alembic("current")
