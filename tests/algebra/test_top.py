"""Top and order_by: which rows come first, on every database alike."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from compdb.algebra import AndList, Not, Top
from compdb.errors import RestrictionError, UnknownAttribute


def listed(relation, **options):
    return [tuple(k.values()) for k in relation.keys(**options)]


def test_top_takes_the_first_rows_of_the_key(lab):
    assert listed(lab.Session & Top()) == [("M1", 1)]
    assert listed(lab.Session & Top(2)) == [("M1", 1), ("M1", 2)]
    assert listed(lab.Session & Top(2, offset=1)) == [("M1", 2), ("M2", 1)]
    assert listed(lab.Session & Top(9, offset=3)) == [("M3", 1)]
    assert listed(lab.Session & Top(0)) == []


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("quality", ["M2", "M1", "M3", "M1"]),
        ("quality DESC", ["M1", "M3", "M1", "M2"]),
        ("quality desc", ["M1", "M3", "M1", "M2"]),
        (" quality ASC ", ["M2", "M1", "M3", "M1"]),
        ("KEY", ["M1", "M1", "M2", "M3"]),
        ("KEY DESC", ["M3", "M2", "M1", "M1"]),
        (["session_idx", "quality DESC"], ["M1", "M3", "M2", "M1"]),
        (["session_date DESC", "KEY DESC"], ["M3", "M1", "M2", "M1"]),
    ],
)
def test_order_and_null_is_less_than_any_value(lab, order, expected):
    assert [r["subject_id"] for r in lab.Session.to_dicts(order_by=order)] == expected
    assert [r["subject_id"] for r in (lab.Session & Top(None, order_by=order)).to_dicts()] == expected
    assert [r["subject_id"] for r in lab.Session.to_dicts(order_by=order, limit=2)] == expected[:2]


def test_order_by_expressions(lab):
    c = lab.session.c
    assert listed(lab.Session, order_by=[c.session_date.desc(), c.subject_id]) == [
        ("M3", 1),
        ("M1", 2),
        ("M1", 1),
        ("M2", 1),
    ]
    assert listed(lab.Session.proj(q="quality") & "q IS NOT NULL", order_by=sa.func.abs(c.quality - 0.5)) == [
        ("M1", 2),
        ("M3", 1),
        ("M1", 1),
    ]


def test_order_by_what_is_not_there_is_an_error(lab):
    for order in ("qualty", "quality DESK", "quality * 2", "random()", ""):
        with pytest.raises(UnknownAttribute):
            lab.Session.to_dicts(order_by=order)
        with pytest.raises(UnknownAttribute):
            lab.Session & Top(1, order_by=order)
    with pytest.raises(UnknownAttribute):
        lab.Session.to_dicts(order_by=lab.trial.c.rt)
    with pytest.raises(RestrictionError):
        lab.Session.to_dicts(order_by=3)


def test_limit_without_order_is_in_key_order(lab):
    assert listed(lab.Session, limit=2) == [("M1", 1), ("M1", 2)]
    assert listed(lab.Session, offset=3) == [("M3", 1)]
    assert listed(lab.Session & Top(2, order_by=None)) == [("M1", 1), ("M1", 2)]


@pytest.mark.parametrize("limit", [-1, 1.5, "3", True])
def test_limit_is_a_number_of_rows(sqlite_lab, limit):
    with pytest.raises(RestrictionError, match="limit"):
        sqlite_lab.Session.to_dicts(limit=limit)
    with pytest.raises(RestrictionError, match="offset"):
        sqlite_lab.Session.to_dicts(offset=limit)


def test_chained_tops_without_order_take_from_each_other(lab):
    best = lab.Session & Top(3, order_by="quality DESC")
    assert listed(best & Top(1, order_by=None)) == [("M1", 1)]
    assert listed(best & Top(2, order_by=None, offset=1)) == [("M3", 1), ("M1", 2)]
    assert listed(best & Top(9, order_by=None, offset=2)) == [("M1", 2)]
    assert listed(best & Top(9, order_by=None, offset=5)) == []
    assert listed(best & Top(2, order_by="quality DESC", offset=1)) == [("M3", 1), ("M1", 2)]
    assert [r["subject_id"] for r in best.to_dicts(limit=2)] == ["M1", "M3"]


def test_chained_tops_with_another_order_take_from_the_rows_of_the_first(lab):
    best = lab.Session & Top(2, order_by="quality DESC")
    assert listed(best & Top(1, order_by="KEY DESC")) == [("M3", 1)]
    assert listed(best, order_by="quality") == [("M3", 1), ("M1", 1)]


def test_order_alone_survives_a_restriction(lab):
    by_quality = lab.Session & Top(None, order_by="quality DESC")
    assert listed(by_quality & "quality IS NOT NULL") == [("M1", 1), ("M3", 1), ("M1", 2)]
    assert listed(by_quality & "session_idx = 1" & Top(1, order_by=None)) == [("M1", 1)]


def test_top_counts(lab):
    assert len(lab.Session & Top(3)) == 3
    assert len(lab.Session & Top(3, offset=2)) == 2
    assert bool(lab.Session & Top(1))
    assert not bool(lab.Session & Top(1, offset=4))


def test_head_and_tail_are_in_key_order(lab):
    assert [r["subject_id"] for r in lab.Session.head(2)] == ["M1", "M1"]
    assert [(r["subject_id"], r["session_idx"]) for r in lab.Session.tail(2)] == [("M2", 1), ("M3", 1)]
    assert len(lab.Session.head()) == len(lab.Session.tail()) == 4


def test_top_is_no_condition_inside_others(sqlite_lab):
    for condition in ([Top(1)], AndList([Top(1)]), Not(Top(1))):
        with pytest.raises(RestrictionError, match=r"write the rows that it takes: `A & \[A & Top"):
            sqlite_lab.Session & condition
    best = sqlite_lab.Session & Top(1, order_by="quality DESC")
    assert listed(sqlite_lab.Session & [best, {"session_idx": 2}], order_by="KEY") == [("M1", 1), ("M1", 2)]
    with pytest.raises(RestrictionError, match=r"A - \(A & Top"):
        sqlite_lab.Session - Top(1)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (lambda q: q, [None, 0.4, 0.7, 0.9]),
        (lambda q: q.asc(), [None, 0.4, 0.7, 0.9]),
        (lambda q: q.desc(), [0.9, 0.7, 0.4, None]),
        (lambda q: sa.func.abs(q).desc(), [0.9, 0.7, 0.4, None]),
        (lambda q: q.nulls_last(), [0.4, 0.7, 0.9, None]),
        (lambda q: q.asc().nulls_last(), [0.4, 0.7, 0.9, None]),
        (lambda q: q.desc().nulls_first(), [None, 0.9, 0.7, 0.4]),
        (lambda q: sa.nulls_last(sa.desc(q)), [0.9, 0.7, 0.4, None]),
        (lambda q: sa.desc("quality"), [0.9, 0.7, 0.4, None]),
    ],
)
def test_null_stands_in_one_place_on_every_database_also_by_expression(lab, order, expected):
    by = order(lab.session.c.quality)
    assert [row["quality"] for row in lab.Session.to_dicts(order_by=by)] == expected
    assert [row["quality"] for row in (lab.Session & Top(2, order_by=[by, "KEY"])).to_dicts()] == expected[:2]


def test_an_expression_over_what_is_never_null_is_ordered_by_it_alone(sqlite_lab):
    assert "IS NULL" not in (sqlite_lab.Session & Top(1, order_by=sqlite_lab.session.c.session_idx.desc())).sql()
