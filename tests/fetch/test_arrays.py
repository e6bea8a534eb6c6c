"""numpy arrays: dtypes by column, NULL, arrays in arrays."""

from __future__ import annotations

import numpy as np
import pytest
import sqlalchemy as sa

from compdb.errors import InvalidValue
from compdb.fetch import to_arrays

from .conftest import EVERYTHING, NULLS, ROWS, SELECT, insert, same

DTYPES = {
    "id": "int64",
    "count": "int64",
    "maybe": "int64",
    "flag": "bool",
    "perhaps": "bool",
    "rate": "float64",
    "day": "datetime64[D]",
    "clock": "datetime64[us]",
    "moment": "datetime64[us]",
    "span": "timedelta64[us]",
    "step": "int64",
}


def test_an_empty_result_has_all_names_and_dtypes(database):
    table = to_arrays(database, SELECT)
    assert table.shape == (0,)
    assert {n: str(table.dtype[n]) for n in table.dtype.names} == {
        c.name: DTYPES.get(c.name, "object") for c in EVERYTHING.columns
    }


def test_complete_columns_have_the_dtypes_of_an_empty_result(filled):
    table = to_arrays(filled, SELECT.where(EVERYTHING.c.id < 3))
    assert table.dtype == to_arrays(filled, SELECT.where(EVERYTHING.c.id > 3)).dtype


def test_one_name_gives_an_array_and_several_a_tuple(filled):
    ids = to_arrays(filled, SELECT, ["id"])
    assert ids.tolist() == [1, 2, 3]
    names, rates = to_arrays(filled, SELECT, ["name", "rate"])
    assert names.tolist() == [row["name"] for row in ROWS]
    assert rates.tolist()[:2] == [2.5, -1.7976931348623157e308]


def test_null_is_nan_in_floats_nat_in_times_and_none_in_objects(filled):
    table = to_arrays(filled, SELECT)
    for name, value in zip(table.dtype.names, table[2].tolist()):
        kind = table.dtype[name].kind
        assert kind == "f" or value == NULLS[name]
    assert np.isnan(table["rate"][2])
    for name in ("day", "clock", "moment", "span"):
        assert np.isnat(table[name][2])


@pytest.mark.parametrize("name", ["maybe", "perhaps", "step"])
def test_null_makes_ints_and_bools_an_object_array_of_python_values(filled, name):
    found = to_arrays(filled, SELECT, [name])
    assert found.dtype == object
    assert all(same(a, row[name]) for a, row in zip(found, ROWS))


def test_a_null_far_from_the_start_is_none_and_not_zero(database):
    insert(database, [{**NULLS, "id": i, "maybe": i if i != 17_500 else None} for i in range(18_000)])
    found = to_arrays(database, sa.select(EVERYTHING.c.maybe).order_by(EVERYTHING.c.id), ["maybe"])
    table = to_arrays(database, sa.select(EVERYTHING.c.maybe, EVERYTHING.c.id).order_by(EVERYTHING.c.id))
    for column in (found, table["maybe"]):
        assert len(column) == 18_000
        assert column[17_500] is None
        assert [column[i] for i in (0, 17_499, 17_501)] == [0, 17_499, 17_501]
    assert table["id"].tolist() == list(range(18_000))


def test_text_is_an_object_array_of_str(filled):
    found = to_arrays(filled, SELECT, ["name"])
    assert found.dtype == object
    assert type(found[1]) is str


def test_times_are_exact_to_the_microsecond(filled):
    table = to_arrays(filled, SELECT.where(EVERYTHING.c.id < 3))
    for row, right in zip(table, ROWS):
        assert row["clock"].item() == right["clock"]
        assert row["moment"].item() == right["moment"].replace(tzinfo=None)
        assert row["day"].item() == right["day"]
        assert row["span"].item() == right["span"]


def test_arrays_of_one_shape_stay_apart(filled):
    found = to_arrays(filled, SELECT.where(EVERYTHING.c.id < 3), ["trace"])
    assert found.shape == (2,)
    assert all(same(a, row["trace"]) for a, row in zip(found, ROWS))
    structured = to_arrays(filled, SELECT.where(EVERYTHING.c.id < 3))["trace"]
    assert all(same(a, row["trace"]) for a, row in zip(structured, ROWS))


@pytest.mark.parametrize("value", [[], [1, 2], (1, 2), {"a": 1}, np.zeros(0), np.zeros((2, 3)), np.float64(3), "text"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_column_of_blobs_has_one_element_for_each(database, value, count):
    insert(database, [{**NULLS, "id": i, "trace": value} for i in range(count)])
    for found in (to_arrays(database, SELECT, ["trace"]), to_arrays(database, SELECT)["trace"]):
        assert found.shape == (count,)
        assert all(same(each, value) for each in found)


def test_keys_come_as_dicts_of_python_values(filled):
    query = sa.select(EVERYTHING.c.day, EVERYTHING.c.id, EVERYTHING.c.rate).order_by(EVERYTHING.c.id).limit(2)
    keys, rates = to_arrays(filled, query, ["rate"], key=["id", "day"])
    assert keys == [{"id": row["id"], "day": row["day"]} for row in ROWS[:2]]
    assert all(type(k["id"]) is int for k in keys)
    assert len(rates) == 2
    keys, table = to_arrays(filled, query, key=["id"])
    assert keys == [{"id": 1}, {"id": 2}]
    assert table.dtype.names == ("day", "id", "rate")


def test_an_expression_without_a_type_has_that_of_its_values(filled):
    text = sa.literal_column
    query = sa.select(
        text("id + 1").label("i"), text("rate / 2").label("f"), text("name").label("s"), text("NULL").label("z")
    ).select_from(EVERYTHING)
    table = to_arrays(filled, query.order_by(EVERYTHING.c.id))
    assert [str(table.dtype[n]) for n in "ifsz"] == ["int64", "float64", "object", "object"]
    assert table["i"].tolist() == [2, 3, 4]
    assert np.isnan(table["f"][2])
    assert table["z"].tolist() == [None] * 3
    assert to_arrays(filled, query.order_by(EVERYTHING.c.id), ["i"]).tolist() == [2, 3, 4]


def test_a_sum_beyond_64_bits_is_exact(filled):
    if filled.dialect.name == "sqlite":
        pytest.skip("SQLite refuses it")
    query = sa.select(sa.func.sum(EVERYTHING.c.count).label("total")).select_from(
        EVERYTHING.join(EVERYTHING.alias("other"), EVERYTHING.c.id == 1)
    )
    assert to_arrays(filled, query, ["total"]).tolist() == [3 * (2**63 - 1)]


def test_a_type_that_its_expression_does_not_keep_is_told(filled):
    query = sa.select(sa.literal_column("2.5", sa.Integer()).label("half"))
    with pytest.raises(InvalidValue, match=r"'half' holds .*2\.5.* its type is Integer"):
        to_arrays(filled, query)


def test_arrays_belong_to_the_caller(filled):
    ids = to_arrays(filled, SELECT, ["id"])
    ids[0] = 99
    trace = to_arrays(filled, SELECT, ["trace"])
    trace[0][0, 0] = 9.0
    assert ids[0] == 99
