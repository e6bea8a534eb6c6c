"""Rows added to a session by their columns alone: each is written after the rows that it refers to, and deleted before them."""

import itertools

import pytest
import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.orm import unitofwork

import compdb as cdb
from compdb import Key, Mapped, foreign_key, mapped_column


class Lab(cdb.Pipeline):
    """Names that no alphabet brings into the right order."""


class Mouse(cdb.Manual, Lab):
    mouse: Key[int]


class Area(cdb.Manual, Lab):
    mouse: Key[Mouse]
    area: Key[int]

    class Zone(cdb.Part):
        zone: Key[int]


class Bout(cdb.Manual, Lab):
    bout: Key[int]
    area: Mapped[Area | None]
    other: Mapped[Mouse | None] = foreign_key(rename={"mouse": "other_mouse"})


class Adoption(cdb.Manual, Lab):
    """Refers by a foreign key of SQLAlchemy's own, which comes with no relationship."""

    adoption: Key[int]
    mouse_number: Mapped[int] = mapped_column(sa.ForeignKey(Mouse.__table__.c.mouse))


def rows():
    return [
        Mouse(mouse=1),
        Area(mouse_=1, area=1),
        Area.Zone(mouse=1, area=1, zone=1),
        Bout(bout=1, mouse=1, area_=1, other_mouse=1),
    ]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_rows_of_a_session_are_written_parents_first(sqlite_url, order):
    Lab.activate(sqlite_url)
    with Lab.transaction() as session:
        given = rows()
        session.add_all([given[i] for i in order])
    assert len(Area.Zone) == len(Bout) == 1
    with Lab.transaction() as session:
        found = [Mouse.row1(), Area.row1(), Area.Zone.row1(), Bout.row1()]
        for i in order:
            session.delete(found[i])
    assert len(Mouse) == len(Area) == len(Bout) == 0


def test_it_is_so_in_every_database(url):
    Lab.activate(url)
    with Lab.transaction() as session:
        session.add_all(rows()[::-1])
    assert len(Area.Zone) == len(Bout) == 1


def test_a_plain_foreign_key_orders_too(url):
    Lab.activate(url)
    with Lab.transaction() as session:
        session.add_all([Adoption(adoption=1, mouse_number=1), Mouse(mouse=1)])
    with Lab.transaction() as session:
        for row in (Mouse.row1(), Adoption.row1()):
            session.delete(row)
    assert len(Adoption) == len(Mouse) == 0


@pytest.mark.parametrize("name", ["_SaveUpdateAll", "_DeleteAll"])
def test_sqlalchemy_has_what_parents_first_takes_of_it(name):
    """Not public: one and the same step of a flush for each mapper, and the set of pairs (before, after) of such steps."""
    lost = f"SQLAlchemy {sa.__version__} has changed what `compdb.sessions.parents_first` uses of it, which is to be adapted"
    flush = orm.UOWTransaction(orm.Session())
    step = getattr(unitofwork, name, None)
    assert step is not None, lost
    assert step(flush, Mouse.__mapper__) is step(flush, Mouse.__mapper__), lost
    assert flush.dependencies == set(), lost
