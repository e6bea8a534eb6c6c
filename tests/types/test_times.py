"""Moments and durations in expressions."""

from __future__ import annotations

import datetime as dt

import pytest
import sqlalchemy as sa

from compdb.errors import InvalidValue
from compdb.types import Duration, UtcDateTime

UTC = dt.UTC
TABLE = sa.Table(
    "run",
    sa.MetaData(),
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("at", UtcDateTime),
    sa.Column("took", Duration),
)
RUNS = [
    {"id": 0, "at": dt.datetime(2024, 1, 1, 12, tzinfo=UTC), "took": dt.timedelta(seconds=1)},
    {
        "id": 1,
        "at": dt.datetime(2024, 1, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        "took": dt.timedelta(seconds=2),
    },
    {"id": 2, "at": None, "took": None},
]


@pytest.fixture
def connection(engine: sa.Engine) -> sa.Connection:
    with engine.connect() as connection:
        TABLE.create(connection)
        connection.execute(TABLE.insert(), RUNS)
        yield connection


def test_moments_compare_across_zones(connection: sa.Connection) -> None:
    noon_in_paris = dt.datetime(2024, 1, 1, 12, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    ids = sa.select(TABLE.c.id).order_by(TABLE.c.at)
    assert connection.scalars(ids.where(TABLE.c.at < noon_in_paris)).all() == [1]
    assert connection.scalars(ids.where(TABLE.c.at > "2024-01-01T12:00:00+01:00")).all() == [0]
    assert connection.scalars(ids.where(TABLE.c.at.between(RUNS[1]["at"], noon_in_paris))).all() == [1]
    first = connection.scalar(sa.select(sa.func.min(TABLE.c.at)))
    assert first == dt.datetime(2024, 1, 1, 10, tzinfo=UTC)
    assert first.utcoffset() == dt.timedelta(0)


def test_a_clock_without_a_zone_is_no_moment_in_an_expression_either(connection: sa.Connection) -> None:
    with pytest.raises(sa.exc.StatementError) as caught:
        connection.execute(sa.select(TABLE.c.id).where(TABLE.c.at < dt.datetime(2024, 1, 1)))
    assert isinstance(caught.value.orig, InvalidValue)


def test_durations_add_up_and_average(connection: sa.Connection) -> None:
    total, mean, longest = connection.execute(
        sa.select(sa.func.sum(TABLE.c.took), sa.func.avg(TABLE.c.took, type_=Duration()), sa.func.max(TABLE.c.took))
    ).one()
    assert (total, mean, longest) == (dt.timedelta(seconds=3), dt.timedelta(seconds=1.5), dt.timedelta(seconds=2))
    assert connection.scalars(sa.select(TABLE.c.id).where(TABLE.c.took > dt.timedelta(seconds=1))).all() == [1]
    assert connection.scalars(sa.select(TABLE.c.id).where(TABLE.c.took * 3 > dt.timedelta(seconds=5))).all() == [1]
    second = dt.timedelta(seconds=1)
    for expression, expected in (
        (TABLE.c.took + second, 3 * second), (TABLE.c.took - second, second), (TABLE.c.took * 2, 4 * second), (TABLE.c.took / 4, second / 2),
        (TABLE.c.took / dt.timedelta(seconds=4), 0.5), (TABLE.c.took / TABLE.c.took, 1.0),
    ):  # fmt: skip
        assert connection.scalars(sa.select(expression).where(TABLE.c.id == 1)).all() == [expected]
