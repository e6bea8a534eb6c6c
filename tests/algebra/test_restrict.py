"""Restriction: which rows a condition keeps, and which conditions are refused."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped
from compdb.algebra import AndList, Not, Relation, Top, U
from compdb.errors import InvalidValue, JoinError, RestrictionError, UnknownAttribute

ALL = [("M1", 1), ("M1", 2), ("M2", 1), ("M3", 1)]


def keys(relation: Relation[Any]) -> list[tuple[Any, ...]]:
    return sorted(tuple(k.values()) for k in relation.keys())


# --- dicts


def test_dict_keeps_the_rows_that_have_its_values(lab):
    assert keys(lab.Session & {"subject_id": "M1"}) == [("M1", 1), ("M1", 2)]
    assert keys(lab.Session & {"subject_id": "M1", "session_idx": 2}) == [("M1", 2)]


def test_dict_passes_over_the_keys_of_other_tables(lab):
    assert keys(lab.Session & {"subject_id": "M1", "trial_idx": 2, "litter": 7}) == [("M1", 1), ("M1", 2)]


def test_dict_with_nothing_left_is_an_error(lab):
    with pytest.raises(UnknownAttribute, match="nothing is left"):
        lab.Session & {"trial_idx": 2}


def test_unknown_name_in_a_dict_is_an_error_with_the_nearest_name(lab):
    with pytest.raises(UnknownAttribute) as caught:
        lab.Session & {"sesion_idx": 1}
    assert caught.value.suggestion == "session_idx"


def test_secondary_attribute_of_another_table_in_a_dict_is_an_error(lab):
    with pytest.raises(UnknownAttribute):
        lab.Session & {"subject_id": "M1", "species": "mouse"}


def test_empty_dict_restricts_nothing(lab):
    assert keys(lab.Session & {}) == ALL


def test_none_in_a_dict_is_null(lab):
    assert keys(lab.Session & {"quality": None}) == [("M2", 1)]
    assert keys(lab.Session - {"quality": None}) == [("M1", 1), ("M1", 2), ("M3", 1)]


@pytest.mark.parametrize("many", [list, tuple, set, frozenset, iter, np.array, lambda v: dict.fromkeys(v).keys()])
def test_several_values_in_a_dict_mean_one_of_them(lab, many):
    assert keys(lab.Session & {"session_idx": many([2, 7])}) == [("M1", 2)]


def test_no_values_in_a_dict_match_nothing(lab):
    assert keys(lab.Session & {"session_idx": []}) == []
    assert keys(lab.Session - {"session_idx": []}) == ALL


def test_none_among_several_values_is_null(lab):
    assert keys(lab.Session & {"quality": [0.9, None]}) == [("M1", 1), ("M2", 1)]
    assert keys(lab.Session - {"quality": [0.9, None]}) == [("M1", 2), ("M3", 1)]


def test_numpy_scalars_are_values(lab):
    assert keys(lab.Session & {"session_idx": np.int64(2)}) == [("M1", 2)]
    assert keys(lab.Session & {"session_idx": np.array(2)}) == [("M1", 2)]
    assert keys(lab.Session & {"subject_id": np.str_("M3")}) == [("M3", 1)]
    assert keys(lab.Trial & {"correct": np.bool_(False)}) == [("M1", 1, 2), ("M3", 1, 3)]


def test_dates_may_be_text(lab):
    assert keys(lab.Session & {"session_date": "2026-01-08"}) == [("M3", 1)]
    assert keys(lab.Session & {"session_date": date(2026, 1, 8)}) == [("M3", 1)]


def test_a_value_of_the_wrong_type_is_an_error_that_names_the_attribute(lab):
    with pytest.raises(InvalidValue, match="session_idx"):
        lab.Session & {"session_idx": "two"}


def test_a_value_the_column_cannot_hold_matches_nothing(lab):
    assert keys(lab.Session & {"subject_id": "M" * 500}) == []
    assert keys(lab.Session & {"session_idx": 2**70}) == []
    assert keys(lab.Session & {"session_idx": [2**70, 2]}) == [("M1", 2)]
    assert keys(lab.Session & [{"session_idx": 2**70}, {"session_idx": 2}]) == [("M1", 2)]
    assert keys(lab.Session - {"session_idx": 2**70}) == ALL


def test_backslashes_quotes_and_percent_signs_are_only_text(lab):
    for text in ("a\\b", "it's", 'say "x"', "100%", "%s", ":name", "a\\'; DROP TABLE session; --", "ä\N{SNOWMAN}"):
        assert keys(lab.Session & {"subject_id": text}) == []
        row = lab.Session.proj(copy=sa.literal(text)) & {"copy": text}
        assert keys(row) == ALL


def test_a_relation_or_expression_as_a_value_is_an_error(lab):
    for value in (lab.Session, lab.session.c.note, sa.func.now()):
        with pytest.raises(RestrictionError, match="not a value"):
            lab.Session & {"note": value}


def test_two_dicts_about_one_attribute_must_both_hold(lab):
    assert keys(lab.Session & {"session_idx": 1} & {"session_idx": 2}) == []
    assert keys(lab.Session & {"session_idx": 1} & {"session_idx": 1}) == [("M1", 1), ("M2", 1), ("M3", 1)]


# --- strings


def test_string_is_sql_over_the_attributes(lab):
    assert keys(lab.Session & "quality > 0.5") == [("M1", 1), ("M3", 1)]
    assert keys(lab.Session & "quality > 0.5 OR quality IS NULL" & "session_idx = 1") == [
        ("M1", 1),
        ("M2", 1),
        ("M3", 1),
    ]


def test_string_passes_unharmed(lab):
    assert keys(lab.Session & "note LIKE 'f%'") == [("M1", 1)]
    assert keys(lab.Session & "note <> '12:30 :name %s %(x)s'") == [("M1", 1), ("M3", 1)]
    assert keys(lab.Session & "quality > 0.5 -- a comment") == [("M1", 1), ("M3", 1)]


def test_string_speaks_of_renamed_and_computed_attributes(lab):
    doubled = lab.Session.proj(q="quality", twice="quality * 2")
    assert keys(doubled & "twice > 1" & "q < 0.8") == [("M3", 1)]


def test_string_that_names_no_attribute_is_unknown_attribute(lab):
    with pytest.raises(UnknownAttribute) as caught:
        len(lab.Session & "qualty > 1")
    assert caught.value.attribute == "qualty"
    assert caught.value.suggestion == "quality"


def test_string_cannot_name_what_was_projected_away(lab):
    with pytest.raises(UnknownAttribute):
        len(lab.Session.proj() & "quality > 0.5")


def test_string_inside_a_relation_cannot_reach_the_relation_outside(lab):
    with pytest.raises(UnknownAttribute):
        len(lab.Session & (lab.Trial & "quality > 0.5"))
    with pytest.raises(UnknownAttribute):
        len(lab.Session - (lab.Trial & "session_date > '2000-01-01'"))
    with pytest.raises(UnknownAttribute):
        len(lab.Session & (lab.Trial & (lab.Subject & "quality > 0.5")))
    with pytest.raises(UnknownAttribute):
        len(lab.Session & ["quality > 2", lab.Trial & "quality > 0.5"])


def test_string_beside_a_relation_with_a_string_of_its_own(lab):
    either = ["quality = 0.7", lab.Trial & "rt = 0.5", {"subject_id": "M2"}]
    assert keys(lab.Session & either) == [("M1", 1), ("M2", 1), ("M3", 1)]
    assert keys(lab.Session - either) == [("M1", 2)]
    assert keys(lab.Session & either & "session_idx = 1" & "quality < 0.8") == [("M3", 1)]


def test_empty_string_is_an_error(lab):
    with pytest.raises(RestrictionError):
        lab.Session & " "


# --- SQLAlchemy expressions


def test_expression_over_columns_of_the_table(lab):
    c = lab.session.c
    assert keys(lab.Session & (c.quality > 0.5)) == [("M1", 1), ("M3", 1)]
    assert keys(lab.Session & ((c.quality > 0.5) | c.quality.is_(None)) & (c.session_idx == 1)) == [
        ("M1", 1),
        ("M2", 1),
        ("M3", 1),
    ]


def test_expression_is_found_through_joins_and_renames(lab):
    q = lab.session.c.quality
    assert keys((lab.Subject * lab.Session).proj(x="quality") & (q > 0.8)) == [("M1", 1)]
    assert keys(lab.Session.proj(x="quality") & Top(4) & (q > 0.8)) == [("M1", 1)]


def test_expression_over_a_parents_key_is_found_by_origin(lab):
    assert keys(lab.Session & (lab.subject.c.subject_id == "M1")) == [("M1", 1), ("M1", 2)]
    assert keys(lab.Session & (lab.trial.c.subject_id == "M1")) == [("M1", 1), ("M1", 2)]
    assert keys(lab.Litter.proj(dam="mother_id") & (lab.litter.c.mother_id == "M3")) == [(2,)]


def test_expression_over_a_column_that_may_be_several_attributes_is_an_error(lab):
    with pytest.raises(RestrictionError, match="mother_id, father_id"):
        lab.Litter & (lab.subject.c.subject_id == "M1")


def test_expression_over_a_column_the_relation_lacks_is_unknown_attribute(lab):
    with pytest.raises(UnknownAttribute):
        lab.Session & (lab.subject.c.species == "mouse")
    with pytest.raises(UnknownAttribute):
        lab.Session.proj() & (lab.session.c.quality > 0.5)


def test_expression_over_a_name_without_table_is_the_attribute_of_that_name(lab):
    assert keys(lab.Session.proj(twice="quality * 2") & (sa.column("twice") > 1.5)) == [("M1", 1)]
    with pytest.raises(UnknownAttribute):
        lab.Session & (sa.column("twice") > 1.5)


def test_expression_with_an_uncorrelated_select(lab):
    best = sa.select(sa.func.max(lab.session.c.quality)).scalar_subquery()
    assert keys(lab.Session & (lab.session.c.quality == best)) == [("M1", 1)]


def test_expression_with_a_correlated_select(lab):
    t, s = lab.trial, lab.session
    slow = sa.exists().where(t.c.subject_id == s.c.subject_id, t.c.session_idx == s.c.session_idx, t.c.rt > 0.5)
    assert keys(lab.Session & slow) == [("M3", 1)]
    count = sa.select(sa.func.count()).select_from(t).where(t.c.subject_id == s.c.subject_id).scalar_subquery()
    assert keys(lab.Session & (count == 3)) == [("M1", 1), ("M1", 2), ("M3", 1)]
    assert keys(lab.Session.proj(k2="session_idx") & (count == 0)) == [("M2", 1)]


def test_expression_with_a_select_from_the_relations_own_table(lab):
    t, s = lab.trial, lab.session
    other = s.alias()
    later = sa.exists().where(other.c.subject_id == s.c.subject_id, other.c.session_idx > s.c.session_idx)
    assert keys(lab.Session & later) == [("M1", 1)]
    longest = sa.select(sa.func.max(t.c.rt)).where(t.c.subject_id == s.c.subject_id).scalar_subquery()
    assert keys((lab.Session * lab.Trial) & (t.c.rt == longest)) == [("M1", 1, 2), ("M3", 1, 3)]


def test_expression_in_a_select_of_another_table(lab):
    some = sa.select(lab.trial.c.subject_id).where(lab.trial.c.rt > 0.45)
    assert keys(lab.Subject & lab.subject.c.subject_id.in_(some)) == [("M1",), ("M3",)]


def test_text_clause_with_values_of_its_own(lab):
    assert keys(lab.Session & sa.text("quality > :least").bindparams(least=0.8)) == [("M1", 1)]


def test_bare_column_is_an_error_about_parentheses(lab):
    with pytest.raises(RestrictionError, match="parentheses"):
        lab.Session & lab.session.c.quality > 3
    with pytest.raises(RestrictionError, match="parentheses"):
        lab.Session & lab.session.c.quality


def test_comparing_a_relation_is_an_error_about_parentheses(lab):
    for compare in (
        lambda: lab.Session & "quality > 0" == 3,
        lambda: lab.Session < 3,
        lambda: lab.Session >= 3,
        lambda: lab.Session != 3,
    ):
        with pytest.raises(RestrictionError, match="parentheses"):
            compare()


# --- lists, frames, arrays


def test_list_means_one_of_them(lab):
    assert keys(lab.Session & [{"subject_id": "M2"}, "quality > 0.8"]) == [("M1", 1), ("M2", 1)]
    assert keys(lab.Session & (c for c in [{"subject_id": "M2"}, lab.session.c.quality > 0.8])) == [
        ("M1", 1),
        ("M2", 1),
    ]


def test_empty_list_matches_nothing(lab):
    assert keys(lab.Session & []) == []
    assert keys(lab.Session - []) == ALL


def test_and_list_means_all_of_them(lab):
    assert keys(lab.Session & AndList([{"session_idx": 1}, "quality > 0.8"])) == [("M1", 1)]
    assert keys(lab.Session & AndList()) == ALL
    assert keys(lab.Session - AndList()) == []
    assert keys(lab.Session & [AndList([{"session_idx": 1}, "quality > 0.8"]), {"subject_id": "M2"}]) == [
        ("M1", 1),
        ("M2", 1),
    ]


def test_keys_restrict_what_they_came_from(lab):
    good = lab.Session & "quality > 0.5"
    assert keys(lab.Session & good.keys()) == keys(good)
    assert keys(lab.Trial & good.keys()) == keys(lab.Trial & good)


def test_dicts_with_null_values_in_a_list(lab):
    some = [{"session_idx": 1, "quality": None}, {"session_idx": 1, "quality": 0.7}, {"session_idx": 2, "quality": 0.4}]
    assert keys(lab.Session & some) == [("M1", 2), ("M2", 1), ("M3", 1)]
    assert keys(lab.Session - some) == [("M1", 1)]


def test_each_dict_of_a_list_is_checked(lab):
    with pytest.raises(UnknownAttribute):
        lab.Session & [{"session_idx": 1}, {"sesion_idx": 1}]


def test_rows_as_a_structured_array_or_one_of_it(lab):
    rows = np.array([("M1", 2), ("M3", 1)], dtype=[("subject_id", "U8"), ("session_idx", "i8")])
    assert keys(lab.Session & rows) == [("M1", 2), ("M3", 1)]
    assert keys(lab.Session & rows[0]) == [("M1", 2)]
    assert keys(lab.Session & rows.view(np.recarray)) == [("M1", 2), ("M3", 1)]


def test_rows_as_a_frame(lab):
    pandas, polars, arrow = (pytest.importorskip(n) for n in ("pandas", "polars", "pyarrow"))
    rows = {"subject_id": ["M1", "M2"], "quality": [0.4, None]}
    assert keys(lab.Session & pandas.DataFrame(rows)) == [("M1", 2), ("M2", 1)]
    assert keys(lab.Session & pandas.DataFrame(rows).set_index("subject_id")) == [("M1", 2), ("M2", 1)]
    assert keys(lab.Session & polars.DataFrame(rows)) == [("M1", 2), ("M2", 1)]
    assert keys(lab.Session & arrow.table(rows)) == [("M1", 2), ("M2", 1)]


def test_thousands_of_dicts_are_one_condition(lab):
    many = [{"subject_id": f"X{i}", "session_idx": i} for i in range(5000)] + [{"subject_id": "M1", "session_idx": 2}]
    assert keys(lab.Session & many) == [("M1", 2)]
    assert keys(lab.Session - many) == [("M1", 1), ("M2", 1), ("M3", 1)]


# --- constants and nonsense


def test_true_and_false(lab):
    for true, false in ((True, False), (np.True_, np.False_)):
        assert keys(lab.Session & true) == ALL
        assert keys(lab.Session & false) == []
        assert keys(lab.Session - true) == []
        assert keys(lab.Session - false) == ALL


@pytest.mark.parametrize("nonsense", [None, 3, 3.5, b"x", object(), int, date(2026, 1, 1), Decimal(1), len])
def test_what_is_no_condition_is_an_error(sqlite_lab, nonsense):
    with pytest.raises(RestrictionError, match="no condition"):
        sqlite_lab.Session & nonsense


def test_universal_set_restricts_nothing(lab):
    assert keys(lab.Session & U("anything")) == ALL


# --- opposites


def test_restriction_and_its_opposite_divide_the_rows(lab):
    c = lab.session.c
    conditions = [
        {"quality": 0.9},
        "quality > 0.5",
        c.quality > 0.5,
        c.rig == "A",
        [{"quality": 0.9}, "rig = 'B'"],
        AndList([{"session_idx": 1}, c.quality > 0.5]),
        {"rig": ["A", None]},
        lab.Trial,
        lab.Trial & "rt > 0.3",
        Not(c.quality > 0.5),
        Not([lab.Trial, {"note": "late"}]),
    ]
    for condition in conditions:
        there, not_there = keys(lab.Session & condition), keys(lab.Session - condition)
        assert sorted(there + not_there) == ALL, condition
        assert keys(lab.Session & Not(condition)) == not_there
        assert keys(lab.Session - Not(condition)) == there


def test_minus_sign_before_a_relation_negates_it(lab):
    assert keys(lab.Session & -lab.Trial) == keys(lab.Session - lab.Trial) == [("M2", 1)]
    assert keys(lab.Session & [-lab.Trial, {"session_idx": 2}]) == [("M1", 2), ("M2", 1)]


# --- relations


def test_relation_keeps_the_rows_that_match(lab):
    assert keys(lab.Session & lab.Trial) == [("M1", 1), ("M1", 2), ("M3", 1)]
    assert keys(lab.Session & (lab.Trial & {"correct": False})) == [("M1", 1), ("M3", 1)]
    assert keys(lab.Trial & (lab.Session & {"quality": 0.4})) == [("M1", 2, 1)]


def test_table_restricts_as_its_relation_does(lab):
    assert keys(lab.Session & lab.trial) == keys(lab.Session & lab.Trial)


def test_relation_keeps_the_rows_of_its_own_table(lab):
    assert keys(lab.Session & (lab.Session & "quality > 0.5")) == [("M1", 1), ("M3", 1)]
    assert keys(lab.Session - (lab.Session & "quality > 0.5")) == [("M1", 2), ("M2", 1)]
    assert keys(lab.Session & lab.Session) == ALL
    assert keys(lab.Session - lab.Session) == []


def test_unrelated_namesakes_do_not_disturb(lab):
    assert keys(lab.Session & (lab.Rig & {"note": "upstairs"})) == [("M1", 1), ("M2", 1)]


def test_null_in_a_shared_foreign_key_matches_nothing(lab):
    assert keys(lab.Session - lab.Rig) == [("M3", 1)]
    assert keys(lab.Rig - lab.Session) == []
    assert keys(lab.Rig - (lab.Session & "session_idx = 1")) == [("B",)]


def test_renamed_attribute_matches_by_name_and_origin(lab):
    mothers = lab.Litter.proj(subject_id="mother_id")
    assert keys(lab.Subject & mothers) == [("M1",), ("M3",)]
    children = lab.Subject.proj(child="subject_id", subject_id="mother_id")
    assert keys(lab.Subject & children) == [("M1",)]


def test_foreign_keys_lead_where_no_attribute_is_common(lab):
    species = lab.Subject.proj("species")
    with pytest.raises(JoinError) as caught:
        species & lab.Litter
    assert "Litter(mother_id) -> Subject" in str(caught.value)
    assert "Litter(father_id) -> Subject" in str(caught.value)
    for role, found in (("mother_id", [("M1",), ("M3",)]), ("father_id", [("M2",)])):
        assert f'Litter({role}) -> Subject: Litter.proj(subject_id="{role}")' in str(caught.value)
        assert keys(species & lab.Litter.proj(subject_id=role)) == found
    assert keys(species & lab.Litter.proj("mother_id")) == [("M1",), ("M3",)]
    assert keys(lab.Litter.proj("father_id") & (species & {"species": "mouse"})) == [(1,)]
    assert keys(lab.Litter.proj("father_id") - species) == [(2,)]
    assert keys(lab.Litter.proj("father_id") - (species & {"species": "rat"})) == [(1,), (2,)]
    assert keys(species - lab.Litter.proj("mother_id")) == [("M2",), ("M4",)]


def test_text_does_not_see_the_tables_between(lab):
    rigs = lab.Rig.proj()
    assert keys(rigs & (lab.Trial & "session_idx = 1")) == [("A",)]
    assert keys(rigs - (lab.Trial & "session_idx = 1")) == [("B",)]
    assert keys(lab.Trial & (rigs & "rig = 'B'")) == [("M1", 2, 1)]


def test_relations_without_any_relation_are_an_error(lab):
    with pytest.raises(JoinError, match="no path"):
        lab.Rig & lab.Subject


def test_two_sides_of_a_join_restrict(lab):
    pairs = (lab.Session & "quality > 0.5") * (lab.Trial & "rt > 0.3")
    assert keys(lab.Subject & pairs) == [("M1",), ("M3",)]
    assert keys(pairs & (lab.Subject & {"species": "rat"})) == [("M3", 1, 2), ("M3", 1, 3)]


def test_restriction_after_top_is_of_the_top_rows(lab):
    best = lab.Session & Top(2, order_by="quality DESC")
    assert keys(best & {"subject_id": "M1"}) == [("M1", 1)]
    assert keys(lab.Session & best) == [("M1", 1), ("M3", 1)]
    assert keys(lab.Session - best) == [("M1", 2), ("M2", 1)]


def test_a_table_of_the_path_that_stands_in_the_relation_is_not_passed_by(lab):
    notes = lab.Note.proj(of="litter")
    mothers = lab.Litter.proj("mother_id", number="litter") * lab.Subject.proj(mother_id="subject_id", kind="species")
    assert keys(notes & mothers) == [(1, 1), (1, 2)]
    assert keys(mothers & notes) == [(1,)]


def test_more_values_than_a_statement_can_bind(lab):
    hostile = ["it's", "a\\", "' OR 1=1 --", "100%", "%s", ":x", '"', "M1"]
    many = [{"subject_id": s, "session_idx": i} for i in range(5000) for s in hostile]
    assert keys(lab.Session & many) == [("M1", 1), ("M1", 2)]
    assert keys(lab.Session & {"session_idx": range(40_000)}) == ALL
    assert keys(lab.Session & {"subject_id": [s * 2 for s in hostile] * 5000}) == []
    assert keys(lab.Session & {"note": ["late", *(str(i) for i in range(40_000))]}) == [("M3", 1)]


def test_large_numbers_of_computed_attributes(lab):
    large = lab.Session.proj(n="session_idx * 5000000000", m=lab.session.c.session_idx * 5_000_000_000)
    assert keys(large & {"n": 10_000_000_000}) == [("M1", 2)]
    assert keys(large & {"m": 10_000_000_000}) == [("M1", 2)]
    assert keys(large & {"n": [1, 10_000_000_000], "m": np.int64(10_000_000_000)}) == [("M1", 2)]
    assert keys(large & [{"n": 1, "m": 1}, {"n": 10_000_000_000, "m": 10_000_000_000}]) == [("M1", 2)]


def test_numpy_scalars_in_expressions_are_values(lab):
    c, t = lab.session.c, lab.trial.c
    assert keys(lab.Session & (c.session_idx == np.int64(2))) == [("M1", 2)]
    assert keys(lab.Session & c.session_idx.in_(np.array([2, 3]))) == [("M1", 2)]
    assert keys(lab.Session & (c.session_date > np.datetime64("2026-01-07"))) == [("M3", 1)]
    assert keys(lab.Session & (c.session_date > np.datetime64("2026-01-07T00:00:00", "ns"))) == [("M3", 1)]
    second = sa.select(t.subject_id).where(t.trial_idx == np.int64(3))
    assert keys(lab.Session & c.subject_id.in_(second)) == [("M3", 1)]
    assert lab.Session.proj(twice=c.session_idx * np.int64(2)).to_arrays("twice", order_by="KEY").tolist() == [2, 4, 2, 2]


@pytest.mark.parametrize("size", [30_001, 70_000])
def test_an_expression_over_more_values_than_a_statement_can_bind(lab, size):
    c = lab.session.c
    many = list(range(2, size + 2))
    assert keys(lab.Session & c.session_idx.in_(many)) == [("M1", 2)]
    assert keys(lab.Session & c.session_idx.not_in(many)) == keys(lab.Session - c.session_idx.in_(many))
    assert keys(lab.Session & ~c.session_idx.in_(np.array(many))) == [("M1", 1), ("M2", 1), ("M3", 1)]
    assert keys(lab.Session & (c.session_idx.in_(many) | (c.note == "late"))) == [("M1", 2), ("M3", 1)]
    pairs = sa.tuple_(c.subject_id, c.session_idx).in_([("M1", n) for n in many])
    assert keys(lab.Session.proj(...) & pairs) == [("M1", 2)]


def test_rows_of_frames_and_of_sqlalchemy(lab):
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    frame = lab.Session.proj("rig", "quality").to_pandas(order_by="KEY")
    for place, key in enumerate([("M1", 1), ("M1", 2), ("M2", 1), ("M3", 1)]):
        assert keys(lab.Session & frame.reset_index().iloc[place]) == [key]
    assert [keys(lab.Session & row) for _, row in frame[["rig"]].iterrows()][-1] == [("M3", 1)]
    assert keys(lab.Session & frame.index[:2]) == [("M1", 1), ("M1", 2)]
    assert keys(lab.Session & pd.Index(["M3"], name="subject_id")) == [("M3", 1)]
    assert keys(lab.Session & lab.Session.proj().to_polars().lazy().filter(pl.col("session_idx") == 2)) == [("M1", 2)]
    with lab.database.reading() as connection:
        row = connection.execute(sa.select(lab.session.c.subject_id, lab.session.c.session_idx).limit(1)).one()
    assert keys(lab.Session & row) == [tuple(row)]
    for wrong in (frame["quality"].reset_index(drop=True), pd.Index(["M1"])):
        with pytest.raises(RestrictionError, match="is no condition"):
            lab.Session & wrong


@pytest.mark.parametrize(
    "question",
    [
        lambda lab: lab.Session & "no_such_function(session_idx) > 1",
        lambda lab: lab.Session & "sum(session_idx) > 1",
        lambda lab: lab.Session.proj(x="no_such_function(session_idx)"),
        lambda lab: lab.Session & "coalesce() = 1",
    ],
)
def test_a_text_that_the_database_cannot_read_is_told_as_what_was_written(lab, question):
    asked = question(lab)
    for verb in (lambda r: r.to_dicts(), lambda r: r.to_pandas(), lambda r: r.to_arrays()):
        with pytest.raises(RestrictionError, match=r"the database cannot read a text in it") as caught:
            verb(asked)
        assert "Session" in str(caught.value)
        assert isinstance(caught.value.__cause__, sa.exc.DBAPIError)


def test_a_word_that_the_database_answers_itself_is_not_taken_for_an_attribute(url):
    class Lab(cdb.Pipeline):
        """People, and what they did."""

    class User(cdb.Manual, Lab):
        user: Key[str]
        age: Mapped[int]

    Lab.activate(url)
    User.insert([("ann", 3), ("bob", 4)])
    assert (User & {"user": "bob"}).fetch1("age") == 4
    assert (User & "age > 3 and 'user' = 'user'").fetch1("user") == "bob"
    if not str(url).startswith("postgresql"):
        assert (User & "user = 'bob'").fetch1("age") == 4
        return
    for wrong in (lambda: User & "user = 'bob'", lambda: User & "age = 4 AND User='bob'", lambda: User.proj(x="upper(user)")):
        with pytest.raises(RestrictionError, match=r"user in .* is a word of postgresql.*double quotes"):
            wrong()
    assert (User & "\"user\" = 'bob'").fetch1("age") == 4
    assert (User & '"user".age = 4').fetch1("user") == "bob"
    assert (User.proj(x='upper("user")') & {"user": "bob"}).fetch1("x") == "BOB"
