"""Projection: which attributes stay, under which names, and what may be computed."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from compdb.algebra import Top
from compdb.errors import RestrictionError, UnknownAttribute


def test_without_arguments_only_the_key_stays(lab):
    found = lab.Session.proj()
    assert found.heading.names == ("subject_id", "session_idx")
    assert found.to_dicts(order_by="KEY", limit=1) == [{"subject_id": "M1", "session_idx": 1}]


def test_named_attributes_stay_in_the_order_of_the_heading(lab):
    assert lab.Session.proj("rig", "quality").heading.names == ("subject_id", "session_idx", "quality", "rig")


def test_ellipsis_is_all_attributes(lab):
    found = lab.Session.proj(...)
    assert found.heading.names == lab.Session.heading.names
    assert found.entity is lab.Session.entity
    assert found.table is lab.session


def test_minus_leaves_an_attribute_out(lab):
    assert lab.Session.proj(..., "-rig", "- note").heading.names == (
        "subject_id",
        "session_idx",
        "session_date",
        "quality",
    )


def test_the_key_cannot_be_left_out(lab):
    with pytest.raises(RestrictionError, match="primary key"):
        lab.Session.proj(..., "-session_idx")


@pytest.mark.parametrize("wrong", [{"z": "nope"}, {"z": "(nope)"}])
def test_renaming_what_is_not_there_is_an_error(sqlite_lab, wrong):
    with pytest.raises(UnknownAttribute, match="nope"):
        sqlite_lab.Session.proj(**wrong)


@pytest.mark.parametrize("wrong", ["nope", "-nope", "qualty"])
def test_keeping_or_leaving_out_what_is_not_there_is_an_error(sqlite_lab, wrong):
    with pytest.raises(UnknownAttribute):
        sqlite_lab.Session.proj(wrong)


def test_rename_of_a_secondary_attribute(lab):
    found = lab.Session.proj(day="session_date")
    assert found.heading.names == ("subject_id", "session_idx", "day")
    assert str((found & {"subject_id": "M3"}).fetch1("day")) == "2026-01-08"


def test_rename_of_a_key_attribute_stays_in_the_key(lab):
    found = lab.Session.proj(number="session_idx")
    assert found.primary_key == ("subject_id", "number")
    assert found.keys(order_by="KEY", limit=1) == [{"subject_id": "M1", "number": 1}]


def test_two_attributes_may_swap_names(lab):
    found = lab.Subject.proj(subject_id="mother_id", mother_id="subject_id")
    assert found.primary_key == ("mother_id",)
    assert (found & {"mother_id": "M2"}).fetch1() == {"mother_id": "M2", "subject_id": "M1"}


def test_parentheses_duplicate(lab):
    found = lab.Session.proj("quality", again="(quality)", number="(session_idx)")
    assert found.primary_key == ("subject_id", "session_idx")
    row = (found & {"subject_id": "M3"}).fetch1()
    assert row == {"subject_id": "M3", "session_idx": 1, "quality": 0.7, "again": 0.7, "number": 1}


def test_a_column_duplicates(lab):
    assert (lab.Session.proj(again=lab.session.c.quality) & {"subject_id": "M3"}).fetch1("again") == 0.7


def test_computed_by_text(lab):
    found = lab.Session.proj(twice="quality * 2", word="'12:30 100% :x'")
    assert (found & {"subject_id": "M3"}).fetch1("twice", "word") == (1.4, "12:30 100% :x")


def test_computed_by_an_expression(lab):
    c = lab.session.c
    found = lab.Session.proj(twice=c.quality * 2, loud=sa.func.upper(c.note), day=sa.extract("day", c.session_date))
    row = (found & {"subject_id": "M3"}).fetch1()
    assert (row["twice"], row["loud"], int(row["day"])) == (1.4, "LATE", 8)


def test_computed_by_a_select(lab):
    t, s = lab.trial, lab.session
    trials = sa.select(sa.func.count()).where(t.c.subject_id == s.c.subject_id, t.c.session_idx == s.c.session_idx)
    found = lab.Session.proj(n=trials.scalar_subquery())
    assert [row["n"] for row in found.to_dicts(order_by="KEY")] == [2, 1, 0, 3]


def test_constants_are_computed_not_renamed(lab):
    found = lab.Session.proj(none="NULL", text="'quality'", one="1")
    assert (found & {"subject_id": "M3"}).fetch1("none", "text", "one") == (None, "quality", 1)


def test_computed_from_computed(lab):
    found = lab.Session.proj(twice="quality * 2").proj(four="twice * 2").proj(..., eight="four * 2")
    assert (found & {"subject_id": "M3"}).fetch1("eight") == pytest.approx(5.6)


def test_computed_text_sees_only_the_attributes(lab):
    with pytest.raises(UnknownAttribute):
        lab.Session.proj("rig").proj(x="quality * 2").to_dicts()


def test_two_attributes_of_one_name_are_an_error(lab):
    for named in ({"quality": "rig"}, {"quality": "quality * 2"}, {"quality": "(rig)"}):
        with pytest.raises(RestrictionError, match="two attributes 'quality'"):
            lab.Session.proj("quality", **named)
    with pytest.raises(RestrictionError, match="renamed twice"):
        lab.Session.proj(a="quality", b="quality")
    with pytest.raises(RestrictionError, match="two attributes"):
        lab.Session.proj(session_idx="quality")


def test_a_name_may_be_taken_over(lab):
    assert (lab.Session.proj(quality="rig") & {"subject_id": "M2"}).fetch1("quality") == "A"
    assert (lab.Session.proj(quality="quality * 10") & {"subject_id": "M3"}).fetch1("quality") == 7


def test_what_computes_nothing_is_an_error(sqlite_lab):
    for value in (3, None, ["quality"], object()):
        with pytest.raises(RestrictionError, match="computes nothing"):
            sqlite_lab.Session.proj(z=value)
    with pytest.raises(RestrictionError, match="names of attributes"):
        sqlite_lab.Session.proj(3)


def test_projection_after_a_restriction_by_what_is_dropped(lab):
    assert len((lab.Session & "quality > 0.5").proj()) == 2
    assert len((lab.Session & {"quality": None}).proj()) == 1


def test_projection_after_top_keeps_its_rows_and_order(lab):
    best = (lab.Session & Top(2, order_by="quality DESC")).proj(q="quality")
    assert [row["q"] for row in best.to_dicts()] == [0.9, 0.7]
    best = (lab.Session & Top(2, order_by="quality DESC")).proj(q="quality + 1")
    assert sorted(row["q"] for row in best.to_dicts()) == [1.7, 1.9]


def test_whole_rows_are_lost_with_an_attribute_and_kept_without(lab):
    assert lab.Session.proj("quality").table is None
    assert (lab.Session & "quality > 0").table is lab.session


def test_heading_tells_type_null_and_origin(lab):
    heading = lab.Session.proj("quality", day="session_date", twice="quality * 2").heading
    assert isinstance(heading["day"].type, sa.Date)
    assert not heading["day"].nullable
    assert heading["quality"].nullable
    assert heading["subject_id"].origin is lab.subject.c.subject_id
    assert heading["day"].origin is lab.session.c.session_date
    assert heading["twice"].origin is None
