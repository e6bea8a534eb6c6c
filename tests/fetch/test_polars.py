"""polars: typed columns, nothing lost."""

from __future__ import annotations

import json
import sys

import pytest
import sqlalchemy as sa

from compdb.errors import MissingExtra
from compdb.fetch import to_polars

from .conftest import EVERYTHING, ROWS, SELECT, insert, same

pl = pytest.importorskip("polars")

SCHEMA = {
    "id": pl.Int64,
    "count": pl.Int64,
    "maybe": pl.Int64,
    "flag": pl.Boolean,
    "perhaps": pl.Boolean,
    "rate": pl.Float64,
    "name": pl.String,
    "notes": pl.String,
    "price": pl.Decimal(12, 3),
    "day": pl.Date,
    "hour": pl.Time,
    "clock": pl.Datetime("us"),
    "moment": pl.Datetime("us", "UTC"),
    "span": pl.Duration("us"),
    "uid": pl.String,
    "mood": pl.Enum(["calm", "alert"]),
    "side": pl.Enum(["left", "right"]),
    "step": pl.Int64,
    "params": pl.String,
    "raw": pl.Binary,
    "trace": pl.Object,
}


@pytest.mark.parametrize("largest", [0, 1, 3])
def test_the_schema_does_not_depend_on_the_rows(filled, largest):
    frame = to_polars(filled, SELECT.where(EVERYTHING.c.id <= largest))
    assert frame.height == largest
    assert dict(frame.schema) == SCHEMA


def test_null_is_null_in_every_column(filled):
    frame = to_polars(filled, SELECT)
    assert [s.name for s in frame if s[2] is not None] == ["id", "count", "flag"]


def test_values_are_those_of_dicts(filled):
    for found, row in zip(to_polars(filled, SELECT).to_dicts()[:2], ROWS):
        assert found.pop("uid") == str(row["uid"])
        assert found.pop("mood") == row["mood"].name
        assert json.loads(found.pop("params")) == row["params"]
        assert same(found.pop("trace"), row["trace"])
        assert found == {name: row[name] for name in found}


def test_a_frame_of_many_parts_is_one_frame(database):
    insert(database, [{**ROWS[i % 3], "id": i} for i in range(300)])
    frame = to_polars(database, SELECT)
    assert frame["id"].to_list() == list(range(300))
    assert frame["trace"][299] is None
    assert same(frame["trace"][297], ROWS[0]["trace"])


def test_an_average_without_a_type_has_one_in_the_frame(filled):
    query = sa.select(sa.func.avg(EVERYTHING.c.rate).label("mean"), sa.func.sum(EVERYTHING.c.price).label("total"))
    frame = to_polars(filled, query.where(EVERYTHING.c.id == 1))
    assert frame["mean"].to_list() == [2.5]
    assert frame["total"].to_list() == [ROWS[0]["price"]]


def test_without_polars_the_error_names_the_extra(database, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(MissingExtra, match=r"pip install 'compdb\[polars\]'"):
        to_polars(database, SELECT)
