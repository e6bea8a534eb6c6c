"""A small laboratory as plain SQLAlchemy tables, with rows, on every database."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa

from compdb import dag
from compdb.algebra import Relation
from compdb.database import Database, bind, connect


def table(metadata: sa.MetaData, label: str, tier: str, *items: Any) -> sa.Table:
    name = label.lower().replace(".", "__")
    return sa.Table(name, metadata, *items, info={"label": label, "tier": tier})


@dataclass
class Lab:
    """Subjects have sessions, sessions trials; subjects may have a mother; litters have two parents."""

    database: Database
    subject: sa.Table
    session: sa.Table
    trial: sa.Table
    rig: sa.Table
    litter: sa.Table
    note: sa.Table

    @property
    def Subject(self) -> Relation[Any]:
        return Relation.of(self.subject)

    @property
    def Session(self) -> Relation[Any]:
        return Relation.of(self.session)

    @property
    def Trial(self) -> Relation[Any]:
        return Relation.of(self.trial)

    @property
    def Rig(self) -> Relation[Any]:
        return Relation.of(self.rig)

    @property
    def Litter(self) -> Relation[Any]:
        return Relation.of(self.litter)

    @property
    def Note(self) -> Relation[Any]:
        return Relation.of(self.note)

    def insert(self, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        with self.database.engine.begin() as connection:
            connection.execute(sa.insert(table), rows)


def make_lab(url: str) -> Lab:
    metadata = sa.MetaData()
    text = sa.String(40)
    subject = table(
        metadata,
        "Subject",
        "manual",
        sa.Column("subject_id", sa.String(16), primary_key=True),
        sa.Column("species", text, nullable=False),
        sa.Column("mother_id", sa.String(16), sa.ForeignKey("subject.subject_id")),
    )
    rig = table(
        metadata,
        "Rig",
        "lookup",
        sa.Column("rig", sa.String(16), primary_key=True),
        sa.Column("note", text),
    )
    session = table(
        metadata,
        "Session",
        "manual",
        sa.Column("subject_id", sa.ForeignKey("subject.subject_id"), primary_key=True),
        sa.Column("session_idx", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("session_date", sa.Date, nullable=False),
        sa.Column("quality", sa.Double),
        sa.Column("rig", sa.ForeignKey("rig.rig")),
        sa.Column("note", text),
    )
    trial = table(
        metadata,
        "Session.Trial",
        "part",
        sa.Column("subject_id", sa.String(16), primary_key=True),
        sa.Column("session_idx", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("trial_idx", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("correct", sa.Boolean, nullable=False),
        sa.Column("rt", sa.Double),
        sa.ForeignKeyConstraint(["subject_id", "session_idx"], ["session.subject_id", "session.session_idx"]),
    )
    litter = table(
        metadata,
        "Litter",
        "manual",
        sa.Column("litter", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("mother_id", sa.ForeignKey("subject.subject_id"), nullable=False),
        sa.Column("father_id", sa.ForeignKey("subject.subject_id")),
    )
    note = table(
        metadata,
        "Note",
        "manual",
        sa.Column("litter", sa.ForeignKey("litter.litter"), primary_key=True, autoincrement=False),
        sa.Column("line", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("note", text),
    )
    dag.register(metadata)
    database = connect(url)
    metadata.create_all(database.engine)
    bind(metadata, database)
    lab = Lab(database, subject, session, trial, rig, litter, note)
    lab.insert(rig, [{"rig": "A", "note": "upstairs"}, {"rig": "B", "note": None}])
    subjects = [("M1", "mouse", None), ("M2", "mouse", "M1"), ("M3", "rat", None), ("M4", "mouse", "M1")]
    lab.insert(subject, [{"subject_id": s, "species": sp, "mother_id": None} for s, sp, _ in subjects])
    with database.engine.begin() as connection:
        for s, _, mother in subjects:
            connection.execute(subject.update().where(subject.c.subject_id == s).values(mother_id=mother))
    rows = [
        ("M1", 1, date(2026, 1, 6), 0.9, "A", "first"),
        ("M1", 2, date(2026, 1, 7), 0.4, "B", None),
        ("M2", 1, date(2026, 1, 6), None, "A", None),
        ("M3", 1, date(2026, 1, 8), 0.7, None, "late"),
    ]
    lab.insert(session, [dict(zip([c.name for c in session.columns], row)) for row in rows])
    trials = [
        ("M1", 1, 1, True, 0.3),
        ("M1", 1, 2, False, 0.5),
        ("M1", 2, 1, True, None),
        ("M3", 1, 1, True, 0.2),
        ("M3", 1, 2, True, 0.4),
        ("M3", 1, 3, False, 0.6),
    ]
    lab.insert(trial, [dict(zip([c.name for c in trial.columns], row)) for row in trials])
    lab.insert(
        litter,
        [{"litter": 1, "mother_id": "M1", "father_id": "M2"}, {"litter": 2, "mother_id": "M3", "father_id": None}],
    )
    lab.insert(note, [{"litter": 1, "line": 1, "note": "six pups"}, {"litter": 1, "line": 2, "note": None}])
    return lab


@pytest.fixture(scope="session")
def laboratories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Lab]]:
    """Make the laboratory once on each database that a test asks for: tests here only read."""
    shared = sys.modules[
        next(name for name in ("tests.conftest", "conftest") if hasattr(sys.modules.get(name), "SERVERS"))
    ]
    made: dict[str, Lab] = {}
    owned: list[tuple[str, str]] = []

    def ask(name: str) -> Lab:
        if name not in made:
            made[name] = make_lab(_address(shared, name, tmp_path_factory, owned))
        return made[name]

    yield ask
    for lab in made.values():
        lab.database.engine.dispose()
        lab.database.reader.dispose()
    for server, database in owned:
        admin = shared._admin(server)
        with admin.connect() as connection:
            force = " WITH (FORCE)" if server == "postgresql" else ""
            connection.exec_driver_sql(f"DROP DATABASE IF EXISTS {database}{force}")


def _address(shared: Any, name: str, folders: pytest.TempPathFactory, owned: list[tuple[str, str]]) -> str:
    """Return the URL of a database that only these tests use."""
    if name not in shared.CHOSEN:
        pytest.skip(f"{name} is not among COMPDB_TEST_DATABASES")
    if name == "sqlite":
        return f"sqlite:///{folders.mktemp('algebra')}/test.db"
    admin = shared._admin(name)
    if isinstance(admin, str):
        (pytest.fail if shared.REQUIRED else pytest.skip)(admin)
    database = f"compdb_algebra_{os.getpid()}"
    with admin.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {database}")
    owned.append((name, database))
    return str(sa.make_url(shared.SERVERS[name]).set(database=database).render_as_string(hide_password=False))


@pytest.fixture(params=["sqlite", "mysql", "postgresql"])
def lab(request: pytest.FixtureRequest, laboratories: Callable[[str], Lab]) -> Lab:
    """The laboratory, on each database in turn; not to be written to."""
    return laboratories(request.param)


@pytest.fixture
def sqlite_lab(laboratories: Callable[[str], Lab]) -> Lab:
    """The laboratory on SQLite, for what does not depend on the database; not to be written to."""
    return laboratories("sqlite")


def keys(relation: Relation[Any]) -> list[tuple[Any, ...]]:
    """Return the primary keys of a relation, sorted."""
    return sorted(tuple(k.values()) for k in relation.keys())


@pytest.fixture(params=["sqlite", "mysql", "postgresql"])
def oracle_database(request: pytest.FixtureRequest, laboratories: Callable[[str], Lab]) -> Database:
    """A database for tables of the test's own, which it drops."""
    return laboratories(request.param).database
