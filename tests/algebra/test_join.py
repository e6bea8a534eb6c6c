"""Join and extend: what is matched, what the key of the result is, and what is refused."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from compdb.algebra import Top
from compdb.errors import JoinError


def keys(relation):
    return sorted(tuple(k.values()) for k in relation.keys())


def test_child_joins_its_parent(lab):
    found = lab.Trial * lab.Session
    assert found.primary_key == ("subject_id", "session_idx", "trial_idx")
    assert found.heading.names == (
        *("subject_id", "session_idx", "trial_idx", "correct", "rt"),
        *("session_date", "quality", "rig", "note"),
    )
    assert len(found) == 6
    assert (found & {"subject_id": "M1", "session_idx": 2}).fetch1("note", "rt", "quality") == (None, None, 0.4)


def test_key_of_a_join_is_that_of_the_side_that_determines_the_other(lab):
    assert (lab.Session * lab.Trial).primary_key == ("subject_id", "session_idx", "trial_idx")
    assert (lab.Subject * lab.Session).primary_key == ("subject_id", "session_idx")
    assert (lab.Session * lab.Session.proj("quality")).primary_key == ("subject_id", "session_idx")


def test_key_of_a_join_of_unrelated_relations_is_both_keys(lab):
    found = lab.Rig.proj() * lab.Subject
    assert found.primary_key == ("rig", "subject_id")
    assert len(found) == 8


def test_secondary_foreign_key_joins(lab):
    found = lab.Session.proj("rig") * lab.Rig
    assert found.primary_key == ("subject_id", "session_idx")
    assert keys(found) == [("M1", 1), ("M1", 2), ("M2", 1)]
    assert (found & {"subject_id": "M2"}).fetch1("note") == "upstairs"


def test_unrelated_namesakes_are_an_error_that_shows_the_proj(lab):
    with pytest.raises(JoinError) as caught:
        lab.Session * lab.Rig
    assert 'Session * Rig.proj(..., rig_note="note")' in str(caught.value)
    fixed = lab.Session * lab.Rig.proj(..., rig_note="note")
    assert len(fixed) == 3


def test_a_computed_namesake_is_an_error(lab):
    with pytest.raises(JoinError, match="computed"):
        lab.Session.proj(rt="1") * lab.Trial


def test_a_relation_joins_itself_under_other_names(lab):
    mothers = lab.Subject.proj(mother_id="subject_id", mother_species="species")
    found = lab.Subject * mothers
    assert found.primary_key == ("subject_id",)
    assert found.to_dicts(order_by="KEY") == [
        {"subject_id": "M2", "species": "mouse", "mother_id": "M1", "mother_species": "mouse"},
        {"subject_id": "M4", "species": "mouse", "mother_id": "M1", "mother_species": "mouse"},
    ]


def test_a_relation_joins_itself(lab):
    found = lab.Session * lab.Session
    assert found.heading.names == lab.Session.heading.names
    assert found.to_dicts(order_by="KEY") == lab.Session.to_dicts(order_by="KEY")


def test_null_in_an_attribute_that_follows_from_the_key_loses_no_row(lab):
    good = lab.Session & "session_idx = 1"
    assert keys(lab.Session * good) == [("M1", 1), ("M2", 1), ("M3", 1)]
    assert keys(lab.Session & (lab.Session * lab.Trial)) == [("M1", 1), ("M1", 2), ("M3", 1)]


def test_pairs_of_sessions_of_one_subject(lab):
    other = lab.Session.proj(other_idx="session_idx", other_quality="quality")
    found = lab.Session.proj() * other
    assert found.primary_key == ("subject_id", "session_idx", "other_idx")
    assert keys(found & "session_idx < other_idx") == [("M1", 1, 2)]


def test_an_attribute_that_follows_from_another_key_is_compared(lab):
    other = lab.Session.proj("quality", other_idx="session_idx")
    found = lab.Session.proj("quality") * other
    assert keys(found) == [("M1", 1, 1), ("M1", 2, 2), ("M3", 1, 1)]


def test_join_of_restricted_sides(lab):
    found = (lab.Session & "quality > 0.5") * (lab.Trial & {"correct": True})
    assert keys(found) == [("M1", 1, 1), ("M3", 1, 1), ("M3", 1, 2)]
    found = (lab.Trial & "rt > 0.3") * (lab.Session & (lab.session.c.quality > 0.8))
    assert keys(found) == [("M1", 1, 2)]


def test_join_with_the_top_rows(lab):
    best = lab.Session & Top(1, order_by="quality DESC")
    assert keys(best * lab.Trial) == keys(lab.Trial * best) == [("M1", 1, 1), ("M1", 1, 2)]


def test_join_with_computed_attributes(lab):
    found = lab.Session.proj(twice="quality * 2") * lab.Trial.proj(fast="rt < 0.35")
    row = (found & {"subject_id": "M3", "trial_idx": 1}).fetch1()
    assert (row["twice"], bool(row["fast"])) == (1.4, True)


def test_join_of_three(lab):
    one = lab.Subject * lab.Session * lab.Trial
    two = lab.Subject * (lab.Session * lab.Trial)
    assert one.primary_key == two.primary_key == ("subject_id", "session_idx", "trial_idx")
    assert one.to_dicts(order_by="KEY") == two.to_dicts(order_by="KEY")
    assert len(one) == 6


def test_join_with_a_table_and_not_with_anything_else(lab):
    assert keys(lab.Session * lab.trial) == keys(lab.Session * lab.Trial)
    for other in ({"a": 1}, "a = 1", None, 3):
        with pytest.raises(TypeError, match="no table and no relation"):
            lab.Session * other


# --- extend


def test_extend_keeps_rows_without_a_match(lab):
    found = lab.Session.proj("rig").extend(lab.Rig)
    assert found.primary_key == ("subject_id", "session_idx")
    assert [r["note"] for r in found.to_dicts(order_by="KEY")] == ["upstairs", None, "upstairs", None]
    assert found.heading["note"].nullable


def test_extend_by_a_restricted_relation_keeps_all_rows(lab):
    found = lab.Session.proj("rig").extend(lab.Rig & {"rig": "B"})
    assert [r["note"] for r in found.to_dicts(order_by="KEY")] == [None] * 4
    found = lab.Trial.extend(lab.Session.proj("quality") & "quality > 0.8")
    assert [r["quality"] for r in found.to_dicts(order_by="KEY")] == [0.9, 0.9, None, None, None, None]


def test_extend_by_computed_attributes_leaves_them_null_where_nothing_matches(lab):
    found = lab.Trial.extend(lab.Session.proj(one="1") & {"subject_id": "M1"})
    assert [r["one"] for r in found.to_dicts(order_by="KEY")] == [1, 1, 1, None, None, None]


def test_extend_by_what_has_several_matches_is_an_error(lab):
    with pytest.raises(JoinError, match="trial_idx"):
        lab.Session.extend(lab.Trial)
    with pytest.raises(JoinError, match="trial_idx"):
        lab.Session.join(lab.Trial, left=True)


def test_left_join_is_extend(lab):
    left = lab.Session.proj("rig").join(lab.Rig, left=True)
    assert left.to_dicts(order_by="KEY") == lab.Session.proj("rig").extend(lab.Rig).to_dicts(order_by="KEY")


def test_extended_relation_restricts_and_is_restricted(lab):
    found = lab.Session.proj("rig").extend(lab.Rig & {"rig": "A"})
    assert keys(found & "note = 'upstairs'") == [("M1", 1), ("M2", 1)]
    assert keys(found & (lab.session.c.session_idx == 2)) == [("M1", 2)]
    assert keys(lab.Trial & (found & {"note": None})) == [("M1", 2, 1), ("M3", 1, 1), ("M3", 1, 2), ("M3", 1, 3)]


def test_null_of_an_extension_is_not_the_value_in_the_table(lab):
    extended = lab.Trial.extend(lab.Session.proj("quality") & {"subject_id": "M1"})
    assert keys(extended & lab.Session.proj("quality")) == [("M1", 1, 1), ("M1", 1, 2), ("M1", 2, 1)]


def test_heading_of_a_join_keeps_types_and_origins(lab):
    heading = (lab.Session.proj("rig", "quality") * lab.Rig.proj()).heading
    assert not heading["rig"].nullable
    assert heading["quality"].nullable
    assert heading["rig"].origin is lab.rig.c.rig
    assert isinstance(heading["session_idx"].type, sa.BigInteger)


def test_join_of_three_without_anything_in_common(lab):
    found = lab.Rig.proj() * lab.Subject.proj() * lab.Litter.proj()
    assert found.primary_key == ("rig", "subject_id", "litter")
    assert len(found) == 16
    assert len((lab.Rig.proj() * lab.Subject.proj()) * (lab.Litter.proj() * lab.Session.proj(x="subject_id"))) == 64
