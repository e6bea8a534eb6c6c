"""Mapped objects: order, what loads when, and whose session they are in."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from compdb import types
from compdb.database import connect
from compdb.fetch import to_rows
from compdb.types import portable

from .test_dicts import checked_out


class Base(orm.DeclarativeBase):
    pass


class Subject(Base):
    __tablename__ = "subject"
    subject_id: orm.Mapped[int] = orm.mapped_column(portable(sa.BigInteger()), primary_key=True, autoincrement=False)
    species: orm.Mapped[str] = orm.mapped_column(portable(sa.String(20)))


class Session(Base):
    __tablename__ = "session"
    session_id: orm.Mapped[int] = orm.mapped_column(portable(sa.BigInteger()), primary_key=True, autoincrement=False)
    subject_: orm.Mapped[int] = orm.mapped_column("subject", sa.ForeignKey(Subject.subject_id))
    quality: orm.Mapped[float | None]
    trace: orm.Mapped[Any] = orm.mapped_column(types.Blob(), deferred=True)
    subject: orm.Mapped[Subject] = orm.relationship()


TABLE: Any = Session.__table__


@pytest.fixture
def lab(url):
    database = connect(url)
    Base.metadata.create_all(database.engine)
    with database.transaction() as session:
        session.add_all(Subject(subject_id=i, species=f"species {i}") for i in range(2))
        session.flush()
        session.add_all(Session(session_id=i, subject_=i % 2, quality=i / 2, trace=np.arange(i)) for i in range(6))
    return database


@pytest.fixture
def statements(lab):
    """Every statement that is sent, as text."""
    sent: list[str] = []

    def note(connection, cursor, statement, parameters, context, executemany):
        sent.append(statement)

    for engine in {lab.engine, lab.reader}:
        sa.event.listen(engine, "before_cursor_execute", note)
    yield sent
    for engine in {lab.engine, lab.reader}:
        sa.event.remove(engine, "before_cursor_execute", note)


NESTED = sa.select(TABLE).subquery()
SELECTS = {
    "of the table": sa.select(TABLE).where(TABLE.c.quality > 0.5).order_by(TABLE.c.session_id.desc()).limit(3),
    "nested": sa.select(NESTED).order_by(NESTED.c.session_id.desc()).limit(3),
    "distinct": sa.select(TABLE.c.session_id, TABLE.c.subject, TABLE.c.quality, TABLE.c.trace)
    .where(TABLE.c.session_id > 2)
    .order_by(TABLE.c.session_id.desc()),
    "joined": sa.select(TABLE).join(Subject.__table__).order_by(TABLE.c.session_id.desc()).limit(3),
}


@pytest.mark.parametrize("select", SELECTS.values(), ids=SELECTS.keys())
@pytest.mark.parametrize("inside", [False, True])
def test_rows_come_in_the_order_of_the_select(lab, select, inside):
    if inside:
        with lab.transaction():
            found = [(row.session_id, row.quality, row.subject.species) for row in to_rows(lab, select, Session)]
    else:
        found = [(row.session_id, row.quality, row.subject.species) for row in to_rows(lab, select, Session)]
    assert found == [(i, i / 2, f"species {i % 2}") for i in (5, 4, 3)]


def test_a_blob_stays_in_the_database_until_it_is_touched(lab, statements):
    (row,) = to_rows(lab, sa.select(TABLE).where(TABLE.c.session_id == 3), Session)
    assert not any("trace" in statement for statement in statements)
    assert row.trace.tolist() == [0, 1, 2]
    assert any("trace" in statement for statement in statements)


def test_a_blob_asked_for_is_loaded_at_once(lab, statements):
    rows = to_rows(lab, SELECTS["of the table"], Session, load=["trace"])
    count = len(statements)
    assert [len(row.trace) for row in rows] == [5, 4, 3]
    assert len(statements) == count


def test_rows_of_their_own_hold_no_connection(lab):
    before = checked_out(lab)
    rows = to_rows(lab, sa.select(TABLE).order_by(TABLE.c.session_id), Session)
    assert checked_out(lab) == before
    assert rows[5].subject.species == "species 1"
    assert len(rows[5].trace) == 5
    assert checked_out(lab) == before


def test_a_parent_reached_from_a_row_outlives_it(lab):
    def parent():
        return to_rows(lab, sa.select(TABLE).where(TABLE.c.session_id == 1), Session)[0].subject

    subject = parent()
    gc.collect()
    assert subject.species == "species 1"


def test_rows_of_a_transaction_are_written_when_changed(lab):
    query = sa.select(TABLE).where(TABLE.c.session_id == 2)
    with lab.transaction():
        to_rows(lab, query, Session)[0].quality = 99.0
        assert to_rows(lab, query, Session)[0].quality == 99.0
    assert to_rows(lab, query, Session)[0].quality == 99.0


def test_rows_of_their_own_can_be_parents_of_new_ones(lab):
    (subject,) = to_rows(lab, sa.select(Subject.__table__).where(Subject.subject_id == 1), Subject)
    with lab.transaction() as session:
        session.add(Session(session_id=70, subject=subject, trace=1))
    (row,) = to_rows(lab, sa.select(TABLE).where(TABLE.c.session_id == 70), Session)
    assert row.subject.subject_id == 1


def test_nothing_gives_an_empty_list(lab):
    assert to_rows(lab, sa.select(TABLE).where(TABLE.c.session_id > 99), Session) == []
