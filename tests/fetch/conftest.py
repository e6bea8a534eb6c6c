"""A table with a column of every type, and rows at the edges of what they hold."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from compdb import types
from compdb.database import Database, connect
from compdb.types import portable


class Mood(enum.Enum):
    """Stored by name."""

    calm = "the value is not stored"
    alert = 2


class Level(enum.Enum):
    """Stored by name, though its values are ints."""

    low = 1
    high = 2


METADATA = sa.MetaData()
EVERYTHING = sa.Table(
    "everything",
    METADATA,
    sa.Column("id", portable(sa.BigInteger()), primary_key=True, autoincrement=False),
    sa.Column("count", portable(sa.BigInteger()), nullable=False),
    sa.Column("maybe", portable(sa.BigInteger())),
    sa.Column("flag", sa.Boolean(), nullable=False),
    sa.Column("perhaps", sa.Boolean()),
    sa.Column("rate", portable(sa.Double())),
    sa.Column("name", portable(sa.String(40))),
    sa.Column("notes", portable(sa.Text())),
    sa.Column("price", portable(sa.Numeric(12, 3))),
    sa.Column("day", sa.Date()),
    sa.Column("hour", portable(sa.Time())),
    sa.Column("clock", portable(sa.DateTime())),
    sa.Column("moment", types.UtcDateTime()),
    sa.Column("span", types.Duration()),
    sa.Column("uid", portable(sa.Uuid())),
    sa.Column("mood", types.Choice(Mood)),
    sa.Column("side", types.Choice(["left", "right"])),
    sa.Column("step", types.Choice([1, 2, 4])),
    sa.Column("params", portable(sa.JSON())),
    sa.Column("raw", portable(sa.LargeBinary())),
    sa.Column("trace", types.Blob()),
)
TYPES = {column.name: column.type for column in EVERYTHING.columns}
NULLS: dict[str, Any] = {
    **dict.fromkeys(TYPES),
    "id": 3,
    "count": 0,
    "flag": False,
}
ROWS: list[dict[str, Any]] = [
    {
        "id": 1,
        "count": 2**63 - 1,
        "maybe": 7,
        "flag": True,
        "perhaps": False,
        "rate": 2.5,
        "name": "plain",
        "notes": "two\nlines",
        "price": Decimal("1.200"),
        "day": dt.date(2020, 1, 2),
        "hour": dt.time(1, 2, 3, 4),
        "clock": dt.datetime(2020, 1, 1, 1, 2, 3, 4),
        "moment": dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        "span": dt.timedelta(seconds=1.5),
        "uid": uuid.UUID(int=2**128 - 1),
        "mood": Mood.alert,
        "side": "left",
        "step": 4,
        "params": {"k": [1, None, "é"], "a": 1e23},
        "raw": b"\0x",
        "trace": np.eye(2),
    },
    {
        "id": 2,
        "count": -(2**63),
        "maybe": -(2**63),
        "flag": False,
        "perhaps": True,
        "rate": -1.7976931348623157e308,
        "name": "é\u00a0日本 \U0001f600",
        "notes": "",
        "price": Decimal("-999999999.999"),
        "day": dt.date(9999, 12, 31),
        "hour": dt.time(23, 59, 59, 999999),
        "clock": dt.datetime(9999, 12, 31, 23, 59, 59, 999999),
        "moment": dt.datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=dt.UTC),
        "span": -dt.timedelta(days=40_000, microseconds=1),
        "uid": uuid.UUID(int=7),
        "mood": Mood.calm,
        "side": "right",
        "step": 1,
        "params": [1.5],
        "raw": b"",
        "trace": np.ones((2, 2)),
    },
    NULLS,
]
SELECT = sa.select(EVERYTHING).order_by(EVERYTHING.c.id)


def insert(database: Database, rows: list[dict[str, Any]], table: sa.Table = EVERYTHING) -> None:
    with database.transaction() as session:
        session.execute(table.delete())
        if rows:
            session.execute(table.insert(), rows)


def same(a: Any, b: Any) -> bool:
    """Whether two values are equal, of one type, and alike in dtype and shape if they are arrays."""
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b


def assert_same_rows(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    assert len(found) == len(wanted)
    for i, (row, right) in enumerate(zip(found, wanted)):
        assert list(row) == list(right)
        for name, value in row.items():
            assert same(value, right[name]), f"row {i}, {name}: {value!r} is not {right[name]!r}"


@pytest.fixture
def database(url: str) -> Database:
    """Return a database with the table, empty."""
    database = connect(url)
    METADATA.create_all(database.engine)
    return database


@pytest.fixture
def filled(database: Database) -> Database:
    """Return a database with three rows: ordinary values, extreme ones, and NULL wherever it may be."""
    insert(database, ROWS)
    return database


@pytest.fixture
def numbered(database: Database) -> Database:
    """Return a database with 3,500 small rows: more than three chunks."""
    insert(database, [{**NULLS, "id": i, "name": f"row {i}"} for i in range(3500)])
    return database
