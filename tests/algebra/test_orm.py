"""Conditions of SQLAlchemy's ORM: `has()` over links, `any()` over collections, of_type, comparisons with objects."""

from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import aliased, relationship

import compdb as cdb
from compdb import Key, Mapped, Top, U, foreign_key


class Lab(cdb.Pipeline):
    """Sessions of subjects."""


class Subject(cdb.Manual, Lab):
    """A subject, which may have a mother."""

    subject: Key[str]
    species: Mapped[str]
    mother: Mapped[Subject | None] = foreign_key(rename={"subject": "mother_id"})
    sessions: Mapped[list[Session]] = relationship(viewonly=True)


class Rig(cdb.Lookup, Lab):
    """Where sessions take place."""

    rig: Key[str]
    floor: Mapped[int]
    contents = [("A", 1), ("B", 2)]


class Session(cdb.Manual, Lab):
    """A session."""

    subject: Key[Subject]
    number: Key[int]
    day: Mapped[dt.date]
    rig: Mapped[Rig | None]
    trials: Mapped[list[Trial]] = relationship(viewonly=True)


class Trial(cdb.Manual, Lab):
    """A trial."""

    session: Key[Session]
    trial: Key[int]
    correct: Mapped[bool]


SUBJECTS = [("M1", "mouse", None), ("M2", "mouse", "M1"), ("R1", "rat", None), ("R2", "rat", "R1")]
SESSIONS = [("M1", 1, "A"), ("M1", 2, "B"), ("M2", 1, None), ("R1", 1, "A")]
TRIALS = [("M1", 1, 1, True), ("M1", 1, 2, False), ("M1", 2, 1, False), ("R1", 1, 1, True)]


@pytest.fixture
def lab(url):
    Lab.activate(url)
    for name, species, mother in SUBJECTS:
        Subject.insert1({"subject": name, "species": species, "mother_id": mother})
    Session.insert(
        {"subject": s, "number": n, "day": dt.date(2026, 1, n), "rig": r} for s, n, r in SESSIONS
    )
    Trial.insert(TRIALS)
    return Lab


def keys(relation):
    return sorted((tuple(k.values()) for k in relation.keys()), key=str)


ALL = sorted((s, n) for s, n, _ in SESSIONS)
MICE = [("M1", 1), ("M1", 2), ("M2", 1)]


def test_has_over_a_link(lab):
    assert keys(Session & Session.subject.has(Subject.species == "mouse")) == MICE
    assert keys(Session & Session.subject.has(species="rat")) == [("R1", 1)]
    assert keys(Session & Session.rig.has()) == [("M1", 1), ("M1", 2), ("R1", 1)]
    assert keys(Session & Session.rig.has(Rig.floor > 1)) == [("M1", 2)]


def test_what_has_leaves_out_is_the_rest(lab):
    for condition in (Session.subject.has(species="mouse"), Session.rig.has(Rig.floor == 1)):
        kept = keys(Session & condition)
        assert keys(Session - condition) == sorted(set(ALL) - set(kept))
        assert keys(Session & ~condition) == sorted(set(ALL) - set(kept))


def test_has_in_has(lab):
    mouse = Trial.session.has(Session.subject.has(Subject.species == "mouse"))
    assert keys(Trial & mouse) == [("M1", 1, 1), ("M1", 1, 2), ("M1", 2, 1)]
    assert keys(Trial - mouse) == [("R1", 1, 1)]


def test_has_over_a_link_to_its_own_table(lab):
    assert keys(Subject & Subject.mother.has(species="mouse")) == [("M2",)]
    assert keys(Subject & Subject.mother.has()) == [("M2",), ("R2",)]
    mother = aliased(Subject)
    assert keys(Subject & Subject.mother.of_type(mother).has(mother.species == "rat")) == [("R2",)]


def test_any_over_a_collection(lab):
    assert keys(Session & Session.trials.any(Trial.correct)) == [("M1", 1), ("R1", 1)]
    assert keys(Session & Session.trials.any()) == [("M1", 1), ("M1", 2), ("R1", 1)]
    assert keys(Session - Session.trials.any(correct=True)) == [("M1", 2), ("M2", 1)]
    assert keys(Subject & Subject.sessions.any(Session.trials.any(Trial.correct == sa.false()))) == [("M1",)]


@pytest.mark.parametrize(
    ("relate", "wanted"),
    [
        (lambda: (Session * Trial) & Session.subject.has(species="rat"), [("R1", 1, 1)]),
        (lambda: (Session & Top(2, order_by="KEY")) & Session.rig.has(Rig.floor == 2), [("M1", 2)]),
        (lambda: Session.proj(n="number") & Session.subject.has(species="rat"), [("R1", 1)]),
        (lambda: Session.proj("rig", double="number * 2") & Session.rig.has(floor=2), [("M1", 2)]),
        (lambda: (Session & "number = 1") & Session.subject.has(species="mouse"), [("M1", 1), ("M2", 1)]),
        (lambda: Session & [Session.rig.has(floor=2), {"subject": "R1"}], [("M1", 2), ("R1", 1)]),
        (lambda: Session & cdb.Not(Session.rig.has()), [("M2", 1)]),
        (lambda: Trial & (Session & Session.rig.has(floor=2)), [("M1", 2, 1)]),
        (lambda: (Session & Session.rig.has()) & (Subject & Subject.sessions.any(Session.number > 1)), [("M1", 1), ("M1", 2)]),
        (lambda: (Session + Session) & Session.subject.has(species="rat"), [("R1", 1)]),
        (lambda: Subject.aggr(Session & Session.rig.has(floor=1), n="count(*)") & "n > 0", [("M1",), ("R1",)]),
        (lambda: U("rig") & (Session & Session.subject.has(species="mouse")), [("A",), ("B",), (None,)]),
        (
            lambda: (Session.proj() * Trial) & Trial.session.has(Session.rig.has(floor=1)),
            [("M1", 1, 1), ("M1", 1, 2), ("R1", 1, 1)],
        ),
        (
            lambda: (Session & "number > 1") * Subject & Subject.sessions.any(Session.rig.has(floor=1)),
            [("M1", 2)],
        ),
        (lambda: Session.extend(Rig) & Session.rig.has(floor=1), [("M1", 1), ("R1", 1)]),
    ],
)
def test_has_in_every_kind_of_relation(lab, relate, wanted):
    assert keys(relate()) == sorted(wanted, key=str)


def test_a_link_compared_with_a_row(lab):
    rat = (Subject & {"subject": "R1"}).row1()
    assert keys(Session & (Session.subject == rat)) == [("R1", 1)]
    assert keys(Session & (Session.rig == None)) == [("M2", 1)]  # noqa: E711


def test_has_of_a_column_that_the_relation_lacks_is_an_error(lab):
    with pytest.raises(cdb.UnknownAttribute, match="rig"):
        (Session.proj() & Session.rig.has(floor=1)).to_dicts()
