"""Union: the entities of both."""

from __future__ import annotations

import pytest

from compdb.algebra import Top, U
from compdb.errors import JoinError


def keys(relation):
    return sorted(tuple(k.values()) for k in relation.keys())


def test_union_of_restrictions_has_each_row_once(lab):
    found = (lab.Session & "quality > 0.5") + (lab.Session & {"subject_id": "M1"})
    assert keys(found) == [("M1", 1), ("M1", 2), ("M3", 1)]
    assert found.heading.names == lab.Session.heading.names
    assert found.to_dicts(order_by="KEY") == (lab.Session - {"subject_id": "M2"}).to_dicts(order_by="KEY")


def test_attributes_that_one_side_lacks_are_null(lab):
    found = (lab.Session.proj("quality") & "session_idx = 1") + lab.Session.proj("rig")
    assert found.primary_key == ("subject_id", "session_idx")
    assert [tuple(r.values()) for r in found.to_dicts(order_by="KEY")] == [
        ("M1", 1, 0.9, "A"),
        ("M1", 2, None, "B"),
        ("M2", 1, None, "A"),
        ("M3", 1, 0.7, None),
    ]


def test_of_one_entity_the_left_row_wins(lab):
    left = (lab.Session & {"subject_id": "M1"}).proj("quality").extend(lab.Session.proj("note") & "note = 'late'")
    found = left + lab.Session.proj("note")
    assert [tuple(r.values()) for r in found.to_dicts(order_by="KEY")] == [
        ("M1", 1, 0.9, None),
        ("M1", 2, 0.4, None),
        ("M2", 1, None, None),
        ("M3", 1, None, "late"),
    ]


def test_where_both_sides_speak_of_one_entity_the_left_one_is_believed(lab):
    mothers, fathers = lab.Litter.proj(parent="mother_id"), lab.Litter.proj(parent="father_id")
    assert (mothers + fathers).to_dicts(order_by="KEY") == mothers.to_dicts(order_by="KEY")
    assert (fathers + mothers).to_dicts(order_by="KEY") == [{"litter": 1, "parent": "M2"}, {"litter": 2, "parent": None}]


def test_an_entity_of_both_sides_has_the_attributes_of_both(lab):
    first, second = lab.Session.proj("quality", "rig"), lab.Session.proj("rig", "note")
    found = (first & {"subject_id": "M1"}) + (second & "session_idx = 1")
    assert found.to_dicts(order_by="KEY") == [
        {"subject_id": "M1", "session_idx": 1, "quality": 0.9, "rig": "A", "note": "first"},
        {"subject_id": "M1", "session_idx": 2, "quality": 0.4, "rig": "B", "note": None},
        {"subject_id": "M2", "session_idx": 1, "quality": None, "rig": "A", "note": None},
        {"subject_id": "M3", "session_idx": 1, "quality": None, "rig": None, "note": "late"},
    ]


def test_the_order_of_the_sides_does_not_change_the_entities(lab):
    a, b = lab.Session.proj("quality") & "quality > 0.5", lab.Session.proj("note") & {"subject_id": "M1"}
    assert keys(a + b) == keys(b + a) == [("M1", 1), ("M1", 2), ("M3", 1)]
    c = lab.Session.proj("rig")
    assert ((a + b) + c).to_dicts(order_by="KEY") == (a + (b + c)).to_dicts(order_by="KEY")


def test_union_is_ordered_and_limited(lab):
    found = lab.Subject.proj() + lab.Subject.proj()
    assert [r["subject_id"] for r in found.to_dicts(order_by="KEY DESC", limit=2, offset=1)] == ["M3", "M2"]
    assert [r["subject_id"] for r in (found & Top(1)).to_dicts()] == ["M1"]
    assert len(found) == 4


def test_union_of_entities_under_one_name(lab):
    mothers, fathers = lab.Litter.proj("mother_id"), lab.Litter.proj("father_id")
    assert keys(mothers + fathers) == [(1,), (2,)]


def test_union_is_a_relation(lab):
    found = (lab.Session & {"subject_id": "M1"}) + (lab.Session & "quality IS NULL")
    assert keys(found & "session_idx = 1") == [("M1", 1), ("M2", 1)]
    assert keys(lab.Trial & found) == [("M1", 1, 1), ("M1", 1, 2), ("M1", 2, 1)]
    assert keys(found * lab.Trial) == [("M1", 1, 1), ("M1", 1, 2), ("M1", 2, 1)]
    assert keys(found + found) == keys(found)


def test_other_keys_and_strange_namesakes_are_errors(sqlite_lab):
    lab = sqlite_lab
    with pytest.raises(JoinError, match="one primary key"):
        lab.Session + lab.Subject
    with pytest.raises(JoinError, match="rename"):
        lab.Subject.proj(note="species") + lab.Subject.proj(note="'x'")
    with pytest.raises(JoinError):
        lab.Subject + lab.Rig.proj(subject_id="rig")
    with pytest.raises(TypeError):
        lab.Subject + {"subject_id": "M1"}


def test_text_in_a_union_cannot_reach_the_other_side(lab):
    left = lab.Session.proj() & "session_idx = 1"
    assert keys(left + (lab.Session.proj() & "session_idx = 2")) == keys(lab.Session)


def test_null_in_a_key_is_one_value(lab):
    rigs = U("rig") & lab.Session
    assert [r["rig"] for r in (rigs + rigs).to_dicts(order_by="rig")] == [None, "A", "B"]


def test_null_of_a_side_is_not_the_value_in_the_table(lab):
    both = (lab.Session.proj("quality") & {"subject_id": "M1"}) + lab.Session.proj("rig")
    assert keys(both & lab.Session.proj("quality")) == [("M1", 1), ("M1", 2)]
