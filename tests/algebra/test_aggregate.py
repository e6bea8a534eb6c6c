"""Aggregation: the rows that belong to each row, and to each value."""

from __future__ import annotations

from datetime import date

import pytest
import sqlalchemy as sa

from compdb.algebra import Top, U
from compdb.errors import JoinError, RestrictionError, UnknownAttribute


def test_all_rows_are_kept_and_count_is_zero_for_those_without(lab):
    found = lab.Subject.aggr(lab.Session, n="count(*)", best="max(quality)")
    assert found.primary_key == ("subject_id",)
    assert [tuple(r.values()) for r in found.to_dicts(order_by="KEY")] == [
        ("M1", 2, 0.9),
        ("M2", 1, None),
        ("M3", 1, 0.7),
        ("M4", 0, None),
    ]


def test_all_rows_are_kept_when_the_group_is_restricted(lab):
    for group in (lab.Session & "quality > 0.8", lab.Session & (lab.session.c.quality > 0.8), lab.Session & Top(1)):
        found = lab.Subject.aggr(group, n="count(*)")
        assert [r["n"] for r in found.to_dicts(order_by="KEY")] == [1, 0, 0, 0]


def test_rows_without_any_may_be_left_out(lab):
    found = lab.Subject.aggr(lab.Session & "quality > 0.5", exclude_nonmatching=True, n="count(*)")
    assert found.keys(order_by="KEY") == [{"subject_id": "M1"}, {"subject_id": "M3"}]


def test_expressions_by_sqlalchemy(lab):
    c = lab.session.c
    found = lab.Subject.aggr(lab.Session, n=sa.func.count(), best=sa.func.max(c.quality), s=sa.func.sum(c.session_idx))
    assert [(r["n"], r["best"], r["s"]) for r in found.to_dicts(order_by="KEY")] == [
        (2, 0.9, 3),
        (1, None, 1),
        (1, 0.7, 1),
        (0, None, None),
    ]


def test_expression_over_no_rows_is_what_the_database_says_it_is(lab):
    found = lab.Subject.aggr(
        lab.Session, a="count(*) + 1", b="coalesce(max(quality), -1)", c="count(quality)", d="count(DISTINCT rig) * 2"
    )
    assert [tuple(r.values())[1:] for r in found.to_dicts(order_by="KEY")] == [
        (3, 0.9, 2, 4),
        (2, -1, 0, 2),
        (2, 0.7, 1, 0),
        (1, -1, 0, 0),
    ]


def test_expression_may_name_attributes_of_both_sides(lab):
    found = lab.Session.aggr(lab.Trial & "rt < 0.55", slack="quality - max(rt)", n="count(*)")
    rows = found.to_dicts(order_by="KEY")
    assert [r["n"] for r in rows] == [2, 0, 0, 2]
    assert [r["slack"] and round(r["slack"], 6) for r in rows] == [0.4, None, None, 0.3]
    found = lab.Session.aggr(lab.Trial, slack=sa.func.max(lab.trial.c.rt) - lab.session.c.quality)
    assert [r["slack"] and round(r["slack"], 6) for r in found.to_dicts(order_by="KEY")] == [-0.4, None, None, -0.1]


def test_attributes_of_the_left_side_are_kept_on_request(lab):
    found = lab.Subject.aggr(lab.Session, "species", n="count(*)")
    assert found.heading.names == ("subject_id", "species", "n")
    found = lab.Subject.aggr(lab.Session, ..., n="count(*)")
    assert found.heading.names == ("subject_id", "species", "mother_id", "n")
    found = lab.Subject.aggr(lab.Session, ..., "-species", m="mother_id", n="count(*)")
    assert found.heading.names == ("subject_id", "m", "n")
    assert [r["m"] for r in found.to_dicts(order_by="KEY")] == [None, "M1", None, "M1"]


def test_group_must_have_the_whole_key(lab):
    with pytest.raises(JoinError, match="trial_idx"):
        lab.Trial.aggr(lab.Session, n="count(*)")
    with pytest.raises(JoinError, match="another 'subject_id'"):
        lab.Subject.aggr(lab.Rig.proj(subject_id="note"), n="count(*)")


def test_unrelated_namesakes_do_not_disturb(lab):
    found = lab.Rig.aggr(lab.Session, n="count(*)", last="max(note)")
    assert [tuple(r.values()) for r in found.to_dicts(order_by="KEY")] == [("A", 2, "first"), ("B", 1, None)]


def test_unknown_names_and_clashes_are_errors(lab):
    with pytest.raises(UnknownAttribute):
        lab.Subject.aggr(lab.Session, "nope", n="count(*)")
    with pytest.raises(UnknownAttribute, match="qualty"):
        lab.Subject.aggr(lab.Session, n="max(qualty)").to_dicts()
    with pytest.raises(RestrictionError, match="two attributes 'species'"):
        lab.Subject.aggr(lab.Session, "species", species="count(*)")
    with pytest.raises(UnknownAttribute):
        lab.Subject.aggr(lab.Session, n=sa.func.max(lab.trial.c.rt))


def test_result_is_restricted_joined_and_aggregated(lab):
    counts = lab.Subject.aggr(lab.Session, n="count(*)")
    assert (counts & "n > 1").keys() == [{"subject_id": "M1"}]
    assert (counts & {"n": 0}).keys() == [{"subject_id": "M4"}]
    assert (lab.Session & (counts & "n > 1")).keys(order_by="KEY", limit=1) == [{"subject_id": "M1", "session_idx": 1}]
    assert (counts * lab.Subject & {"subject_id": "M4"}).fetch1() == {
        "subject_id": "M4",
        "n": 0,
        "species": "mouse",
        "mother_id": "M1",
    }
    assert U("n").aggr(counts, m="count(*)").to_dicts(order_by="n") == [
        {"n": 0, "m": 1},
        {"n": 1, "m": 2},
        {"n": 2, "m": 1},
    ]


def test_aggregation_over_itself_and_over_a_join(lab):
    assert [r["n"] for r in lab.Session.aggr(lab.Session, n="count(*)").to_dicts()] == [1] * 4
    found = lab.Subject.aggr(lab.Session * lab.Trial, n="count(*)", q="max(quality)")
    assert [tuple(r.values()) for r in found.to_dicts(order_by="KEY")] == [
        ("M1", 3, 0.9),
        ("M2", 0, None),
        ("M3", 3, 0.7),
        ("M4", 0, None),
    ]


def test_restricted_left_side_stays_restricted(lab):
    found = (lab.Subject & "species = 'mouse'" & (lab.subject.c.mother_id.is_(None))).aggr(lab.Session, n="count(*)")
    assert found.to_dicts() == [{"subject_id": "M1", "n": 2}]
    found = (lab.Subject & Top(1, order_by="KEY DESC")).aggr(lab.Session, "species", n="count(*)")
    assert found.to_dicts() == [{"subject_id": "M4", "species": "mouse", "n": 0}]


# --- U


def test_universal_set_groups_by_any_attribute(lab):
    found = U("species").aggr(lab.Subject, n="count(*)")
    assert found.primary_key == ("species",)
    assert found.to_dicts(order_by="KEY") == [{"species": "mouse", "n": 3}, {"species": "rat", "n": 1}]


def test_universal_set_groups_null_too(lab):
    found = U("rig").aggr(lab.Session, n="count(*)")
    assert found.to_dicts(order_by="rig") == [{"rig": None, "n": 1}, {"rig": "A", "n": 2}, {"rig": "B", "n": 1}]


def test_empty_universal_set_is_one_row(lab):
    assert U().aggr(lab.Session, n="count(*)").fetch1() == {"n": 4}
    assert U().aggr(lab.Session & False, n="count(*)", m="max(quality)").to_dicts() == [{"n": 0, "m": None}]
    assert U().aggr(lab.Session, n="count(*)").primary_key == ()


def test_values_that_occur(lab):
    assert (U("species") & lab.Subject).to_dicts(order_by="KEY") == [{"species": "mouse"}, {"species": "rat"}]
    both = U("rig", "session_idx") & lab.Session
    assert both.primary_key == ("rig", "session_idx")
    assert len(both) == 3
    assert both.heading["rig"].origin is lab.rig.c.rig


def test_no_attributes_occur_once_or_not_at_all(lab):
    assert (U() & lab.Session).to_dicts() == [{}]
    assert (U() & (lab.Session & False)).to_dicts() == []
    assert len(U() & lab.Session) == 1
    assert bool(U() & lab.Session)
    assert list(U() & lab.Session) == [{}]
    assert (U() & lab.Session).keys() == [{}]


def test_values_that_occur_are_a_relation(lab):
    rigs = U("rig") & lab.Session
    assert len(lab.Rig & rigs) == 2
    assert len(rigs & "rig = 'A'") == 1
    assert len(rigs * lab.Rig) == 2
    assert (rigs & Top(1, order_by="rig DESC")).to_dicts() == [{"rig": "B"}]


def test_no_attributes_are_no_columns_of_a_frame(lab):
    for rows, n in ((U() & lab.Session, 1), (U() & (lab.Session & False), 0)):
        assert rows.to_pandas().shape == (n, 0)
        assert rows.to_arrow().column_names == rows.to_polars().columns == []
        assert rows.to_arrow().num_rows == n
        assert rows.to_dicts() == [{}] * n


def test_universal_set_refuses_what_has_no_end(sqlite_lab):
    lab = sqlite_lab
    with pytest.raises(RestrictionError):
        U("rig") - lab.Session
    with pytest.raises(JoinError):
        U("rig") * lab.Session
    with pytest.raises(JoinError):
        lab.Session * U("rig")
    with pytest.raises(RestrictionError):
        U("rig").aggr(lab.Session, n="count(*)", exclude_nonmatching=False)
    with pytest.raises(UnknownAttribute):
        U("rigg") & lab.Session
    with pytest.raises(UnknownAttribute):
        U("rigg").aggr(lab.Session, n="count(*)")


def test_a_name_of_the_left_side_may_be_taken_over(lab):
    counts = lab.Subject.aggr(lab.Session, n="count(*)")
    found = counts.aggr(lab.Trial, n="count(*)")
    assert [tuple(r.values()) for r in found.to_dicts(order_by="KEY")] == [("M1", 3), ("M2", 0), ("M3", 3), ("M4", 0)]
    found = counts.aggr(lab.Trial, n="count(*)", sessions="n")
    assert found.to_dicts(order_by="KEY", limit=1) == [{"subject_id": "M1", "sessions": 2, "n": 3}]


def test_nothing_computed_keeps_the_rows_or_those_that_match(lab):
    assert len(lab.Subject.aggr(lab.Session)) == 4
    assert len(lab.Subject.aggr(lab.Session, exclude_nonmatching=True)) == 3


def test_relation_without_a_key_is_aggregated_over_everything(lab):
    whole = U().aggr(lab.Subject, n="count(*)")
    assert whole.aggr(lab.Session, m="count(*)").to_dicts() == [{"m": 4}]
    assert whole.aggr(lab.Session & False, m="count(*)").to_dicts() == [{"m": 0}]
    assert whole.aggr(lab.Session & False, exclude_nonmatching=True, m="count(*)").to_dicts() == []


def test_values_that_occur_count_once(lab):
    found = U("rig").aggr(U("rig") & lab.Session, n="count(*)")
    assert [r["n"] for r in found.to_dicts()] == [1, 1, 1]


def test_values_that_occur_in_restricted_rows(lab):
    assert (U("rig") & (lab.Session & {"subject_id": "M2"})).to_dicts() == [{"rig": "A"}]
    assert (U("rig") & (lab.Session & "session_idx = 2")).to_dicts() == [{"rig": "B"}]


def test_plain_aggregates_in_text_have_the_types_of_what_they_aggregate(lab):
    named = {
        "n": "count(*)",
        "rigs": "COUNT(DISTINCT rig)",
        "last": "max(session_date)",
        "worst": "min( quality )",
        "total": "sum(session_idx)",
        "mean": "avg(session_idx)",
        "note": "max(note)",
    }
    found = lab.Subject.aggr(lab.Session, **named)
    assert found.to_dicts(order_by="KEY")[0] == {
        "subject_id": "M1",
        "n": 2,
        "rigs": 2,
        "last": date(2026, 1, 7),
        "worst": 0.4,
        "total": 3,
        "mean": 1.5,
        "note": "first",
    }
    assert [type(v) for v in found.to_dicts(order_by="KEY")[0].values()] == [str, int, int, date, float, int, float, str]
    assert [found.heading[name].nullable for name in named] == [False, False, True, True, True, True, True]
    nothing = lab.Subject.aggr(lab.Session & False, exclude_nonmatching=True, **named)
    assert nothing.to_arrow().schema == found.to_arrow().schema
    assert [str(t) for t in found.to_arrow().schema.types[1:]] == [
        "int64",
        "int64",
        "date32[day]",
        "double",
        "int64",
        "double",
        "string",
    ]
    assert dict(nothing.to_pandas().dtypes) == dict(found.to_pandas().dtypes)
    assert nothing.to_polars().schema == found.to_polars().schema
    assert dict(found.to_pandas().dtypes.astype(str).items())["total"] == "Int64"


def test_expression_may_name_attributes_of_the_left_side_alone(lab):
    for left in (lab.Subject, lab.Subject & "species <> 'dog'", lab.Subject.proj(..., x="1")):
        for n in ("count(species)", sa.func.count(lab.subject.c.species)):
            found = left.aggr(lab.Session & "quality > 0.5", n=n)
            assert found.to_dicts(order_by="KEY") == [
                {"subject_id": "M1", "n": 1},
                {"subject_id": "M2", "n": 0},
                {"subject_id": "M3", "n": 1},
                {"subject_id": "M4", "n": 0},
            ]


def test_expression_over_no_rows_keeps_what_it_says_of_the_left_side(lab):
    c, t = lab.session.c, lab.trial.c
    for value in ("coalesce(max(rt), quality)", sa.func.coalesce(sa.func.max(t.rt), c.quality)):
        for left in (lab.Session, lab.Session & Top(9)):
            found = left.aggr(lab.Trial & "rt > 0.45", slowest=value)
            assert [r["slowest"] for r in found.to_dicts(order_by="KEY")] == [0.5, 0.4, None, 0.6]


def test_row_without_any_gets_its_own_values(lab):
    """MariaDB repeats, in a subquery, what it found for the row before."""
    c, t = lab.session.c, lab.trial.c
    nobody = lab.Trial & "rt > 99"
    lefts = (
        lab.Session,
        lab.Session & "quality > 0",
        lab.Session.proj(..., more="quality * 2"),
        lab.Session & Top(9, "KEY"),
        lab.Session.proj(..., score="quality"),
    )
    for left in lefts:
        own = left.to_dicts(order_by="KEY")
        name = "score" if "score" in left.heading else "quality"
        values = [f"coalesce(max(rt), {name})", f"count(*) + {name}"]
        values += [sa.func.coalesce(sa.func.max(t.rt), c.quality), sa.func.count() + c.quality] if name == "quality" else []
        for value in values:
            found = left.aggr(nobody, v=value).to_dicts(order_by="KEY")
            assert [r["v"] for r in found] == pytest.approx([r[name] for r in own], nan_ok=True), (str(left), value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("count(nullif(abs(quality), 2))", [2, 1, 0, 3]),
        ("count(coalesce(nullif(abs(round(quality * (1 + (1)))), 99), 2)) + coalesce(quality, 0)", [2.9, 1.4, 0, 3.7]),
        ("coalesce(max(coalesce(nullif(rt, 0), 1)), quality)", [0.5, 1, None, 0.6]),
        ("count(case when note = 'a)b' or quality > 0 then 1 end) + length(coalesce(note, '%:x'))", [7, 4, 3, 7]),
        ("length(coalesce(note, 'max(rt) is ''0''')) * count(rt)", [10, 0, 0, 12]),
        ("COUNT( DISTINCT trial_idx ) + Coalesce(quality, 0)", [2.9, 1.4, 0, 3.7]),
    ],
)
def test_every_row_is_kept_whatever_stands_in_an_aggregate(lab, value, expected):
    for more in ({}, {"m": "max(rt) - quality", "k": "count(nullif(abs(session_idx), 99))"}):
        found = lab.Session.aggr(lab.Trial, v=value, **more).to_dicts(order_by="KEY")
        assert [r["v"] and float(r["v"]) for r in found] == pytest.approx(expected)
        assert not more or [r["k"] for r in found] == [2, 1, 0, 3]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("coalesce(max(rt), (select quality))", [0.5, 0.4, None, 0.6]),
        ("coalesce(max(rt), (select quality + (select count(*) from (select 1 as k) t)))", [0.5, 1.4, None, 0.6]),
        ("max(rt) + (select count(*) from (select 1 as k) t) + quality * 0", [1.5, None, None, 1.6]),
        ("max((select rt + quality))", [1.4, None, None, 1.3]),
        ("( select quality )", [0.9, 0.4, None, 0.7]),
    ],
)
def test_a_select_inside_text_may_name_the_left_side(lab, value, expected):
    """MariaDB gave NULL for every row."""
    found = lab.Session.aggr(lab.Trial & "rt > 0.45", v=value, n="count(*)").to_dicts(order_by="KEY")
    assert [r["v"] and float(r["v"]) for r in found] == pytest.approx(expected)
    assert [r["n"] for r in found] == [1, 0, 0, 1]


def test_a_select_by_sqlalchemy_beside_an_aggregate_may_ask_for_the_left_side(lab):
    t, s = lab.trial, lab.session.alias()
    better = sa.select(sa.func.count()).select_from(s).where(s.c.quality > lab.session.c.quality).scalar_subquery()
    for left in (lab.Session, lab.Session & "quality > 0", lab.Session.proj(..., x="1")):
        found = left.aggr(lab.Trial & "rt > 0.45", n=sa.func.count(), v=sa.func.count(t.c.rt) * 10 + better)
        rows = {(r["subject_id"], r["session_idx"]): (r["n"], r["v"]) for r in found}
        want = {("M1", 1): (1, 10), ("M1", 2): (0, 2), ("M2", 1): (0, 0), ("M3", 1): (1, 11)}
        assert rows == {key: want[key] for key in rows}
        assert len(rows) == len(left)


def test_what_stands_beside_an_aggregate_and_cannot_be_told_from_it_is_refused(lab):
    """An aggregate of outer columns alone belongs to the query around its SELECT, whose rows it would make one."""
    q, t, n = lab.session.c.quality, lab.trial.c.rt, lab.note
    for value in (
        "coalesce(max(rt), (select max(quality) from (select 1 as k) t))",
        "count(*) + quality /* the best */",
        sa.func.count() + sa.select(sa.func.count()).select_from(n).where(n.c.line > sa.func.abs(t - q)).scalar_subquery(),
    ):
        with pytest.raises(RestrictionError, match=r"v= names 'quality' of Session beside .*Session.Trial, 'quality', a="):
            lab.Session.aggr(lab.Trial, v=value)
    fixed = lab.Session.aggr(lab.Trial, "quality", a="max(rt)").proj(v="coalesce(a, quality)")
    assert [r["v"] for r in fixed.to_dicts(order_by="KEY")] == [0.5, 0.4, None, 0.6]
    grouped = lab.Session.aggr(lab.Trial, v="count(*) + quality /* the best */", exclude_nonmatching=True)
    assert [float(r["v"]) for r in grouped.to_dicts(order_by="KEY")] == pytest.approx([2.9, 1.4, 3.7])


def test_a_filter_belongs_to_its_aggregate(lab):
    if lab.database.dialect.name in ("mysql", "mariadb"):
        pytest.skip("MySQL and MariaDB have no FILTER")
    found = lab.Session.aggr(lab.Trial, v="count(*) filter (where rt > quality - 0.2) + coalesce(quality, 0)")
    assert [float(r["v"]) for r in found.to_dicts(order_by="KEY")] == pytest.approx([0.9, 0.4, 0, 1.7])


def test_aggregates_that_not_every_database_has(lab):
    """What is not known as an aggregate would aggregate the left side: of its rows, one was left."""
    f, c = sa.func, lab.session.c
    if lab.database.dialect.name == "sqlite":
        values = {"total(quality)": [1.8, 0.4, 0, 2.1], f.total(c.quality): [1.8, 0.4, 0, 2.1]}
        values["max(count(*), coalesce(quality, 0))"] = values[f.max(f.count(), f.coalesce(c.quality, 0))] = [2, 1, 0, 3]
        values["max(quality, 0.5)"] = values[f.max(c.quality, 0.5)] = [0.9, 0.5, None, 0.7]
    else:
        values = {"stddev_pop(quality)": [0, 0, None, 0], f.stddev_pop(c.quality): [0, 0, None, 0]}
        values["var_pop(trial_idx) - var_pop(trial_idx) + quality"] = [0.9, 0.4, None, 0.7]
    for value, expected in values.items():
        found = lab.Session.aggr(lab.Trial, v=value).to_dicts(order_by="KEY")
        assert [r["v"] and float(r["v"]) for r in found] == pytest.approx(expected), str(value)


def test_attributes_may_have_any_name_beside_aggregates(lab):
    for name in ("g0", "v0", "nothing_0", "count", "total"):
        found = lab.Session.proj(**{name: "quality"}).aggr(lab.Trial, n=f"count(*) + coalesce({name}, 0)")
        assert [r["n"] for r in found.to_dicts(order_by="KEY")] == pytest.approx([2.9, 1.4, 0, 3.7])


def test_attribute_of_the_left_side_inside_and_beside_an_aggregate(lab):
    for left in (lab.Subject, lab.Subject & "species <> 'cow'", lab.Subject.proj(..., x="1")):
        for value in (
            "count(species) + length(species)",
            sa.func.count(lab.subject.c.species) + sa.func.length(lab.subject.c.species),
        ):
            found = left.aggr(lab.Session & "quality > 0.5", n=value, m="count(*)").to_dicts(order_by="KEY")
            counted = {r["subject_id"]: r["n"] for r in left.aggr(lab.Session & "quality > 0.5", n="count(*)")}
            lengths = {r["subject_id"]: len(r["species"]) for r in left}
            assert [r["n"] for r in found] == [counted[r["subject_id"]] + lengths[r["subject_id"]] for r in found]
            assert len(found) == len(left) == 4
            assert {r["subject_id"]: r["m"] for r in found} == counted


@pytest.mark.parametrize("nonsense", [5, None, 2.5, ["count(*)"]])
def test_what_computes_nothing_is_an_error(sqlite_lab, nonsense):
    lab = sqlite_lab
    with pytest.raises(RestrictionError, match=r"n=.* computes nothing"):
        lab.Subject.aggr(lab.Session, n=nonsense)
    with pytest.raises(RestrictionError, match=r"n=.* computes nothing"):
        U("rig").aggr(lab.Session, n=nonsense)


def test_a_relation_is_no_expression(sqlite_lab):
    with pytest.raises(RestrictionError, match="n=Session computes nothing"):
        sqlite_lab.Subject.aggr(sqlite_lab.Session, n=sqlite_lab.Session)
