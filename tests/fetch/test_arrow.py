"""Arrow: a table, and a stream of batches in constant memory."""

from __future__ import annotations

import gc
import json
import sys

import pytest
import sqlalchemy as sa

from compdb import codecs
from compdb.errors import MissingExtra
from compdb.fetch import to_arrow, to_reader

from .conftest import EVERYTHING, ROWS, SELECT, insert, same
from .test_dicts import checked_out

pa = pytest.importorskip("pyarrow")

LABELS = pa.dictionary(pa.int32(), pa.string())
SCHEMA = {
    "id": pa.int64(),
    "count": pa.int64(),
    "maybe": pa.int64(),
    "flag": pa.bool_(),
    "perhaps": pa.bool_(),
    "rate": pa.float64(),
    "name": pa.string(),
    "notes": pa.large_string(),
    "price": pa.decimal128(12, 3),
    "day": pa.date32(),
    "hour": pa.time64("us"),
    "clock": pa.timestamp("us"),
    "moment": pa.timestamp("us", "UTC"),
    "span": pa.duration("us"),
    "uid": pa.string(),
    "mood": LABELS,
    "side": LABELS,
    "step": pa.int64(),
    "params": pa.large_string(),
    "raw": pa.large_binary(),
    "trace": pa.large_binary(),
}


def read_all(database, query, **options):
    return to_reader(database, query, **options).read_all()


@pytest.mark.parametrize("fetch", [to_arrow, read_all])
@pytest.mark.parametrize("largest", [0, 1, 3])
def test_the_schema_does_not_depend_on_the_rows(filled, largest, fetch):
    table = fetch(filled, SELECT.where(EVERYTHING.c.id <= largest))
    assert table.num_rows == largest
    assert {field.name: field.type for field in table.schema} == SCHEMA
    table.validate(full=True)


@pytest.mark.parametrize("fetch", [to_arrow, read_all])
def test_values_are_those_of_dicts(filled, fetch):
    found = fetch(filled, SELECT).to_pylist()
    assert {name for name, value in found[2].items() if value is not None} == {"id", "count", "flag"}
    for values, row in zip(found[:2], ROWS):
        assert values.pop("uid") == str(row["uid"])
        assert values.pop("mood") == row["mood"].name
        assert json.loads(values.pop("params")) == row["params"]
        assert same(codecs.decode(values.pop("trace")), row["trace"])
        assert values == {name: row[name] for name in values}


def test_batches_come_one_by_one_and_make_the_whole(database):
    insert(database, [{**ROWS[i % 3], "id": i} for i in range(1000)])
    reader = to_reader(database, SELECT, size=250)
    batches = list(reader)
    sizes = [batch.num_rows for batch in batches]
    assert len(sizes) == 4
    assert all(250 <= size < 350 for size in sizes[:-1])
    whole = pa.Table.from_batches(batches)
    assert whole.combine_chunks().equals(to_arrow(database, SELECT).combine_chunks())


def test_a_reader_given_up_gives_its_connection_back(numbered):
    before = checked_out(numbered)
    reader = to_reader(numbered, SELECT, size=100)
    assert reader.read_next_batch().num_rows >= 100
    assert checked_out(numbered) == before + 1
    del reader
    gc.collect()
    assert checked_out(numbered) == before


def test_polars_reads_the_stream(filled):
    pl = pytest.importorskip("polars")
    reader = to_reader(
        filled, sa.select(EVERYTHING.c.id, EVERYTHING.c.name, EVERYTHING.c.moment).order_by(EVERYTHING.c.id)
    )
    assert pl.DataFrame(reader).rows() == [(row["id"], row["name"], row["moment"]) for row in ROWS]


def test_columns_without_a_type_have_that_of_their_values(filled):
    text = sa.literal_column
    query = sa.select(text("id + 1").label("i"), text("name").label("s"), sa.func.avg(EVERYTHING.c.id).label("a"))
    query = query.select_from(EVERYTHING).group_by(EVERYTHING.c.id, EVERYTHING.c.name).order_by(EVERYTHING.c.id)
    for table in (to_arrow(filled, query), read_all(filled, query)):
        assert table.schema.field("i").type == pa.int64()
        assert table.column("s").to_pylist() == [row["name"] for row in ROWS]
        assert [float(v) for v in table.column("a").to_pylist()] == [1.0, 2.0, 3.0]
    half = sa.select((sa.func.avg(EVERYTHING.c.id) + sa.literal_column("0.5")).label("a"))
    assert [float(v) for v in read_all(filled, half).column("a").to_pylist()] == [2.5]
    assert to_arrow(filled, query.where(EVERYTHING.c.id > 5)).schema.field("i").type == pa.null()


def test_without_pyarrow_the_error_names_the_extra(database, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for fetch in (to_arrow, to_reader):
        with pytest.raises(MissingExtra, match=r"pip install 'compdb\[arrow\]'"):
            fetch(database, SELECT)
