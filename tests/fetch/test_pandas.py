"""pandas: the key as index, dtypes that NULL does not change."""

from __future__ import annotations

import sys

import pytest
import sqlalchemy as sa

from compdb.errors import InvalidValue, MissingExtra
from compdb.fetch import to_pandas
from compdb.types import Choice

from .conftest import EVERYTHING, ROWS, SELECT, insert, same

pd = pytest.importorskip("pandas")

TEXT = str(pd.Series([""]).dtype)  # "object" before pandas 3
DTYPES = {
    "count": "int64",
    "maybe": "Int64",
    "flag": "bool",
    "perhaps": "boolean",
    "rate": "float64",
    "name": TEXT,
    "notes": TEXT,
    "clock": "datetime64[us]",
    "moment": "datetime64[us, UTC]",
    "span": "timedelta64[us]",
    "mood": "category",
    "side": "category",
    "step": "Int64",
}


def dtypes(frame):
    return {name: str(dtype) for name, dtype in frame.dtypes.items()}


@pytest.mark.parametrize("largest", [0, 1, 3])
def test_dtypes_do_not_depend_on_the_rows(filled, largest):
    frame = to_pandas(filled, SELECT.where(EVERYTHING.c.id <= largest), ["id"])
    assert len(frame) == largest
    assert dtypes(frame) == {c.name: DTYPES.get(c.name, "object") for c in EVERYTHING.columns if c.name != "id"}
    assert (frame.index.name, str(frame.index.dtype)) == ("id", "int64")
    assert list(frame["mood"].cat.categories) == ["calm", "alert"]


def test_null_is_missing_in_every_column(filled):
    frame = to_pandas(filled, SELECT, ["id"])
    missing = frame.loc[3].isna()
    assert [name for name, gone in missing.items() if not gone] == ["count", "flag"]
    assert frame["maybe"].tolist()[:2] == [7, -(2**63)]


def test_values_are_those_of_dicts(filled):
    frame = to_pandas(filled, SELECT, ["id"])
    for name in ("price", "day", "hour", "uid", "params", "raw", "trace"):
        assert all(same(found, row[name]) for found, row in zip(frame[name].tolist()[:2], ROWS)), name
    for name in ("clock", "moment", "span", "rate", "flag", "count", "name", "notes"):
        assert frame[name].tolist()[:2] == [row[name] for row in ROWS[:2]], name
    assert frame["mood"].tolist()[:2] == ["alert", "calm"]


def test_several_key_attributes_are_levels_and_none_a_range(filled):
    query = sa.select(EVERYTHING.c.name, EVERYTHING.c.id, EVERYTHING.c.rate).order_by(EVERYTHING.c.id)
    frame = to_pandas(filled, query, ["id", "name"])
    assert list(frame.index.names) == ["id", "name"]
    assert list(frame.columns) == ["rate"]
    assert list(to_pandas(filled, query).index) == [0, 1, 2]


def test_the_caller_may_know_better_what_can_be_null(filled):
    query = sa.select(EVERYTHING.c.count, EVERYTHING.c.maybe).where(EVERYTHING.c.id < 3)
    assert dtypes(to_pandas(filled, query, nullable=["count"])) == {"count": "Int64", "maybe": "int64"}
    query = sa.select(EVERYTHING.c.count, EVERYTHING.c.maybe)
    assert dtypes(to_pandas(filled, query, nullable=[])) == {"count": "int64", "maybe": "Int64"}


def test_a_frame_of_many_parts_is_one_frame(database):
    insert(database, [{**ROWS[i % 3], "id": i} for i in range(300)])
    frame = to_pandas(database, SELECT)
    assert frame["id"].tolist() == list(range(300))
    assert frame["name"].tolist()[:2] == [ROWS[0]["name"], ROWS[1]["name"]]
    assert frame["mood"].isna().tolist() == [i % 3 == 2 for i in range(300)]


def test_a_label_that_is_no_choice_is_told(filled):
    older = sa.table("everything", sa.column("side", Choice(["left", "up"])))
    with pytest.raises(InvalidValue, match="'right', which is not one of 'left', 'up'"):
        to_pandas(filled, sa.select(older.c.side))


def test_without_pandas_the_error_names_the_extra(database, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtra, match=r"pip install 'compdb\[pandas\]'") as caught:
        to_pandas(database, SELECT)
    assert isinstance(caught.value, ImportError)
