"""numpy scalars in SQLAlchemy expressions mean what the Python scalar means, in every database."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped


class Lab(cdb.Pipeline):
    """Six rows."""


class Row(cdb.Manual, Lab):
    number: Key[int]
    half: Mapped[float]
    at: Mapped[dt.datetime]
    name: Mapped[str]
    even: Mapped[bool]


@pytest.fixture
def rows(url):
    Lab.activate(url)
    Row.insert((i, i / 2, dt.datetime(2024, 1, 1 + i), str(i), i % 2 == 0) for i in range(6))
    return Row


CONDITIONS = {
    "equal": (Row.number == np.int64(3), 1),
    "unequal": (Row.number != np.int64(3), 5),
    "float": (Row.number > np.float64(2.5), 3),
    "in": (Row.number.in_([np.int64(1), 2, np.int8(3)]), 3),
    "in an array": (Row.number.in_(np.array([1, 2])), 2),
    "not in": (Row.number.not_in([np.int64(1)]), 5),
    "between": (Row.number.between(np.int64(1), np.uint8(3)), 3),
    "computed": (Row.number + np.int64(1) == np.int64(4), 1),
    "literal": (sa.literal(np.int64(3)) == Row.number, 1),
    "array of no dimension": (Row.number == np.array(3), 1),
    "single precision": (Row.half == np.float32(0.5), 1),
    "time": (Row.at >= np.datetime64("2024-01-03T00:00:00", "ns"), 4),
    "text": (Row.name == np.str_("3"), 1),
    "truth": (Row.even == np.bool_(True), 3),
    "in a select": (Row.number.in_(sa.select(Row.number).where(Row.number == np.int64(3))), 1),
}


@pytest.mark.parametrize(("condition", "count"), CONDITIONS.values(), ids=CONDITIONS)
def test_a_condition_with_numpy_scalars(rows, condition, count):
    assert len(rows & condition) == count
    assert len(rows - condition) == 6 - count


def test_a_computed_attribute_with_numpy_scalars(rows):
    twice = rows.proj(twice=Row.number * np.int64(2))
    assert twice.to_arrays("twice", order_by="KEY").tolist() == [0, 2, 4, 6, 8, 10]
    assert len(twice.to_dicts(limit=np.int64(2), offset=np.int64(1))) == 2
