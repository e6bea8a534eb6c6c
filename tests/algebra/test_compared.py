"""Values beside columns in SQLAlchemy expressions: the same on every database, as in a dict."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped
from compdb.errors import InvalidValue, RestrictionError

NOON = dt.datetime(2026, 1, 1, 12)
ONE = uuid.UUID(int=1)


@pytest.fixture
def session(url):
    """Return a table of three sessions: at midnight, at noon, and one of which nothing is known."""

    class Lab(cdb.Pipeline):
        """Values of every type that is written in several ways."""

    class Session(cdb.Manual, Lab):
        n: Key[int]
        begun: Mapped[dt.datetime | None]
        day: Mapped[dt.date | None]
        clock: Mapped[dt.time | None]
        moment: Mapped[cdb.UtcDateTime | None]
        uid: Mapped[uuid.UUID | None]
        weight: Mapped[Decimal | None] = sa.orm.mapped_column(sa.Numeric(6, 2))
        rate: Mapped[float | None]
        ok: Mapped[bool | None]

    Lab.activate(url)
    known = {"clock": "10:30:00.5", "uid": ONE, "weight": "21.5", "rate": 1.5, "ok": True}
    Session.insert(
        [
            {"n": 1, "begun": "2026-01-01", "day": "2026-01-01", "moment": "2026-01-01T00:00Z", **known},
            {"n": 2, "begun": NOON, "day": "2026-01-02", "moment": "2026-01-01T12:00Z", **known, "ok": False},
            {"n": 3},
        ]
    )
    return Session


@pytest.mark.parametrize(
    ("condition", "found"),
    [
        (lambda s: s.begun == "2026-01-01T12:00:00", {2}),
        (lambda s: s.begun == "2026-01-01 12:00", {2}),
        (lambda s: s.begun == dt.date(2026, 1, 1), {1}),
        (lambda s: s.begun <= dt.date(2026, 1, 1), {1}),
        (lambda s: sa.literal("2026-01-01T06:00") < s.begun, {2}),
        (lambda s: s.begun.in_(["2026-01-01T12:00", None]), {2}),
        (lambda s: s.begun.not_in(["2026-01-01T12:00"]), {1}),
        (lambda s: s.begun.between("2026-01-01", "2026-01-01T06:00"), {1}),
        (lambda s: ~s.begun.between("2026-01-01", "2026-01-01T06:00"), {2}),
        (lambda s: s.begun.is_distinct_from("2026-01-01T12:00"), {1, 3}),
        (lambda s: sa.or_(s.begun == "2026-01-01T12:00", s.n == 3), {2, 3}),
        (lambda s: s.begun.in_([f"2026-01-01T12:00:00.{i:06}" for i in range(3000)]), {2}),
        (lambda s: s.day == "2026-01-02", {2}),
        (lambda s: s.day == dt.datetime(2026, 1, 2), {2}),
        (lambda s: s.day < dt.datetime(2026, 1, 1, 1), {1}),
        (lambda s: s.clock == "10:30:00.5", {1, 2}),
        (lambda s: s.moment == "2026-01-01T14:00:00+02:00", {2}),
        (lambda s: s.uid == str(ONE), {1, 2}),
        (lambda s: s.weight == "21.50", {1, 2}),
        (lambda s: s.weight > 21.25, {1, 2}),
        (lambda s: s.n > 1.5, {2, 3}),
        (lambda s: s.ok == 1, {1}),
        (lambda s: s.ok.in_([0]), {2}),
    ],
)
def test_a_value_is_taken_as_the_column_takes_it(session, condition, found):
    assert set((session & condition(session)).to_arrays("n")) == found
    assert set((session - condition(session)).to_arrays("n")) == {1, 2, 3} - found


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        (lambda s: s.begun > "yesterday", "Session.begun: 'yesterday' is no datetime"),
        (lambda s: s.begun > NOON.astimezone(dt.UTC), "Session.begun: .* has a time zone"),
        (lambda s: s.moment > NOON, "Session.moment: .* is not a datetime with a time zone"),
        (lambda s: s.uid == "one", "Session.uid"),
        (lambda s: s.n == "1", "Session.n: '1' .str. is not a whole number"),
        (lambda s: s.n.in_([1, 2**70]), "Session.n: .* does not fit the 64 bits"),
        (lambda s: s.rate == "1.5", "Session.rate: '1.5' .str. is not a number"),
        (lambda s: s.rate < float("inf"), "Session.rate: an infinity cannot be stored"),
        (lambda s: s.rate == float("nan"), "Session.rate: nan is stored as NULL; ask for it by .is_.None."),
        (lambda s: s.ok == "yes", "Session.ok: 'yes' .str. is not True or False"),
    ],
)
def test_a_value_that_the_column_cannot_have_is_refused_by_name(session, condition, words):
    with pytest.raises(InvalidValue, match=words):
        len(session & condition(session))


def test_values_in_a_projection_and_in_a_nested_select_are_taken_too(session):
    late = sa.case((session.begun > "2026-01-01T06:00", "late"), else_="early")
    assert session.proj(when=late).to_dicts(order_by="n")[1] == {"n": 2, "when": "late"}
    other = sa.orm.aliased(session)
    same = sa.exists(sa.select(1).where(other.n == session.n, session.begun == "2026-01-01T12:00"))
    assert set((session & same).to_arrays("n")) == {2}


@pytest.mark.parametrize(
    "use",
    [
        lambda s: s & (s.begun + dt.timedelta(days=1) > NOON),
        lambda s: s & (NOON - s.begun < dt.timedelta(days=1)),
        lambda s: s.proj(later=s.begun + dt.timedelta(days=1)),
        lambda s: s.proj(age=s.begun - s.day),
    ],
)
def test_dates_are_not_added_where_the_database_would_add_their_digits(session, url, use):
    if not str(url).startswith("postgresql"):
        with pytest.raises(RestrictionError, match="does not add and subtract dates and times; compare with what Python"):
            use(session)
        return
    assert len(use(session).to_dicts()) in (1, 2, 3)


def test_an_interval_in_the_words_of_the_database_is_let_through(session, url):
    if str(url).startswith("sqlite"):
        return  # it has none
    day = sa.text("INTERVAL 1 DAY" if str(url).startswith("m") else "INTERVAL '1 day'")
    assert set((session & (session.begun + day > NOON + dt.timedelta(hours=13))).to_arrays("n")) == {2}
