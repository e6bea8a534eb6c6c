"""What the incumbent gets wrong (reference/datajoint.md, section 5B) and compdb must not: one test for each."""

from __future__ import annotations

import pytest

from compdb.algebra import U
from compdb.errors import CompdbError, UnknownAttribute


def keys(relation):
    return sorted(tuple(k.values()) for k in relation.keys())


def test_4_null_in_a_shared_foreign_key_does_not_empty_an_antirestriction(lab):
    assert keys(lab.Rig - lab.Session) == []
    assert keys(lab.Session - lab.Rig) == [("M3", 1)]
    assert keys(lab.Subject.proj() - lab.Subject.proj(child="subject_id", subject_id="mother_id")) == [
        ("M2",),
        ("M3",),
        ("M4",),
    ]
    assert keys(lab.Session - (lab.Session & "session_idx = 1")) == [("M1", 2)]


def test_5_aggregation_and_extension_keep_all_rows_when_the_other_side_is_restricted(lab):
    for good in (lab.Session & "quality > 0.8", lab.Session & {"subject_id": "M1", "session_idx": 1}):
        assert len(lab.Subject.aggr(good, n="count(*)")) == 4
        assert len(lab.Trial.extend(good.proj("quality"))) == 6


def test_8_membership(lab):
    assert {"subject_id": "M1"} in lab.Session
    assert {"subject_id": "M9"} not in lab.Session
    assert not bool(lab.Session & {"subject_id": "M9"})


def test_9_unknown_names_never_mean_all_rows(lab):
    for ask in (
        lambda: lab.Session & {"sujbect_id": "M1"},
        lambda: lab.Session & {"species": "mouse"},
        lambda: lab.Session & [{"sujbect_id": "M1"}],
        lambda: lab.Session - {"sujbect_id": "M1"},
        lambda: lab.Session.proj(z="nope"),
        lambda: lab.Session.proj("nope"),
        lambda: lab.Session.to_arrays("nope"),
        lambda: lab.Session.fetch1("nope"),
        lambda: lab.Session.to_dicts(order_by="nope"),
        lambda: {"sujbect_id": "M1"} in lab.Session,
        lambda: U("nope") & lab.Session,
    ):
        with pytest.raises(UnknownAttribute):
            ask()


def test_10_a_list_in_a_dict_means_one_of_them(lab):
    assert keys(lab.Session & {"session_idx": [1, 2]}) == keys(lab.Session)
    assert keys(lab.Session & {"session_idx": [0]}) == []


def test_15_backslashes_match(lab):
    marked = lab.Session.proj(mark=r"'a\b'" if lab.database.dialect.name not in ("mysql", "mariadb") else r"'a\\b'")
    assert len(marked & {"mark": "a\\b"}) == 4
    assert len(marked & [{"mark": "a\\b"}, {"mark": "x"}]) == 4
    assert len(marked & {"mark": ["a\\b"]}) == 4


def test_16_a_missing_value_in_a_frame_is_null(lab):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"rig": ["A", None], "session_idx": [1, 1]})
    assert keys(lab.Session & frame) == [("M1", 1), ("M2", 1), ("M3", 1)]
    assert keys(lab.Session & lab.Session.to_pandas()) == keys(lab.Session)


def test_21_union_takes_a_limit_and_the_empty_universe_a_relation(lab):
    both = (lab.Session & "session_idx = 1") + (lab.Session & "session_idx = 2")
    assert [tuple(k.values()) for k in both.keys(order_by="KEY DESC", limit=2)] == [("M3", 1), ("M2", 1)]
    assert both.to_dicts(limit=1, offset=1)[0]["session_idx"] == 2
    assert (U() & lab.Session).to_dicts() == [{}]


def test_hostile_values_stay_values(lab):
    class Sly:
        def __str__(self):
            return "'M1' OR 1=1"

    for value in ("' OR '1'='1", "M1' --", "M1\\' OR 1=1 -- ", 'M1" OR ""="'):
        assert keys(lab.Session & {"subject_id": value}) == []
        assert keys(lab.Session & {"subject_id": [value]}) == []
        assert keys(lab.Session & [{"subject_id": value, "session_idx": 1}]) == []
    for value in (Sly(), {"$gt": ""}, b"M1"):
        with pytest.raises(CompdbError):
            lab.Session & {"subject_id": value}
    for name in ("subject_id = 'x' OR 1=1 --", "subject_id`", 'subject_id"', "1=1"):
        with pytest.raises(UnknownAttribute):
            lab.Session & {name: "M1"}
        with pytest.raises(UnknownAttribute):
            lab.Session.to_dicts(order_by=name)
        with pytest.raises(UnknownAttribute):
            lab.Session.proj(name)
