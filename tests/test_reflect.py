"""Classes for a database without its source: tiers, parts, links and values."""

from __future__ import annotations

import datetime as dt
from typing import Literal

import numpy as np
import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped, foreign_key, mapped_column


class Lab(cdb.Pipeline):
    """The pipeline whose source gets lost."""


class Rig(cdb.Lookup, Lab):
    """A setup."""

    rig: Key[str]
    contents = [("left",), ("right",)]


class Subject(cdb.Manual, Lab):
    """A mouse."""

    subject_id: Key[int]
    name: Mapped[str]
    sex: Mapped[Literal["M", "F"]]
    weight: Mapped[float | None]
    remarks: Mapped[str | None] = mapped_column(sa.Text)
    mother: Mapped[Subject | None] = foreign_key(rename={"subject_id": "mother_id"})


class Recording(cdb.Imported, Lab):
    """What was recorded."""

    subject: Key[Subject]
    rig: Mapped[Rig]
    began: Mapped[dt.datetime]
    trace: Mapped[np.ndarray]

    class Channel(cdb.Part):
        """One channel."""

        channel: Key[int]
        ok: Mapped[bool]

    def make(self, key):
        self.insert1({**key, "rig": "left", "began": dt.datetime(2026, 1, 2, 3, 4, 5, 678), "trace": np.arange(3.0)})
        self.Channel.insert({**key, "channel": c, "ok": c > 0} for c in range(2))


class Unit(cdb.Computed, Lab, rows_per_key="many"):
    """Cells found."""

    recording: Key[Recording]
    unit: Key[int]

    def make(self, key):
        self.insert({**key, "unit": u} for u in range(3))


@pytest.fixture
def old(url):
    Lab.activate(url)
    Subject.insert(
        [{"subject_id": 1, "name": "Ann", "sex": "F"}, {"subject_id": 2, "name": "Bob", "sex": "M", "mother_id": 1}]
    )
    Lab.populate()
    return cdb.reflect(url)


def test_tiers_parts_and_headings_are_those_of_the_source(old):
    for cls in (Rig, Subject, Recording, Recording.Channel, Unit):
        found = old
        for step in cls.__table__.info["label"].split("."):
            found = getattr(found, step)
        assert found.__tier__ == cls.__tier__
        assert found.primary_key == cls.primary_key
        assert set(found.heading.names) == set(cls.heading.names)
    assert old.Subject.__table__.comment.endswith("A mouse.")


def test_links_work(old):
    bob = (old.Subject & {"subject_id": 2}).row1()
    assert bob.subject_mother_id.name == "Ann"
    assert (old.Unit & {"unit": 1}).to_dicts() == (Unit & {"unit": 1}).to_dicts()
    assert len(old.Recording.Channel & (old.Subject & {"name": "Bob"})) == 2
    assert {c.__name__ for c in old.Subject.children()} == {"Subject", "Recording"}


def test_values_come_back(old):
    row = (old.Recording & {"subject_id": 2}).fetch1()
    assert np.array_equal(row.pop("trace"), np.arange(3.0))
    assert row == {"subject_id": 2, "rig": "left", "began": dt.datetime(2026, 1, 2, 3, 4, 5, 678)}


def test_floats_truths_and_long_texts_are_read_as_such(old):
    Subject.insert1({"subject_id": 3, "name": "Cid", "sex": "M", "weight": 10 / 3, "remarks": "long " * 100})
    assert (old.Subject & {"subject_id": 3}).fetch1("weight", "remarks") == (10 / 3, "long " * 100)
    assert old.Recording.Channel.to_arrays("ok").dtype == bool
    assert all(difference.fits for difference in old.check())


def test_rows_go_in_and_out_by_the_same_rules(old):
    old.Subject.insert1({"subject_id": 3, "name": "Cid", "sex": "M", "mother_id": 1})
    with pytest.raises(cdb.DirectInsertError):
        old.Unit.insert1({"subject_id": 3, "unit": 1})
    with pytest.raises(cdb.MissingParent):
        old.Subject.insert1({"subject_id": 4, "name": "Dan", "sex": "M", "mother_id": 77})
    (old.Subject & {"subject_id": 2}).delete(prompt=False)
    assert len(Unit) == 3


def test_tables_of_others_are_manual(url):
    engine = sa.create_engine(url)
    metadata = sa.MetaData()
    sa.Table("users", metadata, sa.Column("user_id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20)))
    metadata.create_all(engine)
    engine.dispose()
    found = cdb.reflect(url)
    assert found.Users.__tier__ == "manual"
    found.Users.insert1({"user_id": 1, "name": "Ann"})
    assert found.Users.fetch1("name") == "Ann"


def test_an_empty_database_is_told(url):
    with pytest.raises(cdb.CompdbError, match="no tables"):
        cdb.reflect(url)
