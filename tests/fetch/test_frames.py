"""Frames into rows: what fetch gave comes back, and what other people's frames hold arrives as it was meant."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compdb import codecs, fetch, types
from compdb.errors import InvalidValue
from compdb.frames import records
from compdb.types import adapter

from .conftest import ROWS, SELECT, TYPES, Level, Mood, assert_same_rows, insert

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

INT = sa.BigInteger()

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
numbers = st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-(2**63), 2**63 - 1)
json = st.recursive(
    st.none() | st.booleans() | integers | numbers | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
)
arrays = st.builds(
    lambda shape, dtype: np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype),
    st.sampled_from([(0,), (2,), (2, 3), ()]),
    st.sampled_from(["f8", "u2", "M8[us]", "c16"]),
)
VALUES = {
    "count": integers,
    "maybe": st.none() | integers,
    "flag": st.booleans(),
    "perhaps": st.none() | st.booleans(),
    "rate": st.none() | numbers,
    "name": st.none() | text,
    "notes": st.none() | text,
    "price": st.none() | st.decimals(-999_999_999, 999_999_999, places=3),
    "day": st.none() | st.dates(),
    "hour": st.none() | st.times(),
    "clock": st.none() | st.datetimes(),
    "moment": st.none()
    | st.datetimes(min_value=dt.datetime(1, 1, 2), max_value=dt.datetime(9999, 12, 30), timezones=st.just(dt.UTC)),
    "span": st.none() | st.timedeltas(dt.timedelta(days=-100_000_000), dt.timedelta(days=100_000_000)),
    "uid": st.none() | st.uuids(),
    "mood": st.none() | st.sampled_from(Mood),
    "side": st.none() | st.sampled_from(["left", "right"]),
    "step": st.none() | st.sampled_from([1, 2, 4]),
    "params": st.none() | st.lists(json, max_size=3) | st.dictionaries(text, json, max_size=3),
    "raw": st.none() | st.binary(max_size=40),
    "trace": st.none() | arrays | text | st.dictionaries(text, arrays, max_size=2),
}
some_rows = st.lists(st.fixed_dictionaries(VALUES), max_size=6)
FORMATS = {
    "arrays": fetch.to_arrays,
    "pandas": fetch.to_pandas,
    "pandas with its key": lambda database, select: fetch.to_pandas(database, select, ["id"]),
    "polars": fetch.to_polars,
    "arrow": fetch.to_arrow,
    "reader": fetch.to_reader,
}


def adapted(rows):
    """What insert makes of rows, blobs decoded again."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    for name, values in columns.items():
        made = adapter(TYPES[name], nullable=True).many(values)
        columns[name] = [codecs.decode(v) if isinstance(v, codecs.Encoded) else v for v in made]
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=some_rows)
def test_every_format_comes_back_as_the_rows_that_were_fetched(database, rows):
    rows = [{"id": i, **row} for i, row in enumerate(rows)]
    insert(database, rows)
    wanted = fetch.to_dicts(database, SELECT)
    for name, to_format in FORMATS.items():
        found = list(records(to_format(database, SELECT), TYPES))
        assert bool(found) == bool(wanted), name
        if found:
            assert_same_rows(adapted(found), wanted)


def test_the_rows_at_the_edges_come_back_too(filled):
    for to_format in FORMATS.values():
        assert_same_rows(adapted(list(records(to_format(filled, SELECT), TYPES))), ROWS)


@pytest.mark.parametrize(
    "other", [[], [{"a": 1}], {"a": 1}, "text", 3, None, np.zeros(3), np.zeros((2, 2)), iter([]), Level, pd.DataFrame]
)
def test_what_is_no_frame_is_none(other):
    assert records(other) is None


# ---------------------------------------------------------------- numpy


def test_a_structured_array_its_row_and_a_recarray():
    rows = np.array([(1, "a"), (2, "b")], [("n", "i2"), ("s", "U3")])
    wanted = [{"n": 1, "s": "a"}, {"n": 2, "s": "b"}]
    assert list(records(rows)) == wanted
    assert list(records(rows.view(np.recarray))) == wanted
    assert list(records(rows[1])) == wanted[1:]
    assert list(records(np.array((1, "a"), rows.dtype))) == wanted[:1]
    assert type(next(records(rows))["n"]) is int


def test_a_field_of_arrays_gives_arrays():
    rows = np.zeros(2, [("n", "i8"), ("trace", "f4", (3,))])
    found = list(records(rows))
    assert found[0]["trace"].dtype == "f4"
    assert found[0]["trace"].shape == (3,)


def test_masked_and_not_a_time_are_none():
    rows = np.ma.array([(1, 2.0), (2, 3.0)], dtype=[("n", "i8"), ("x", "f8")], mask=[(False, True), (True, False)])
    assert list(records(rows)) == [{"n": 1, "x": None}, {"n": None, "x": 3.0}]
    times = np.array([("NaT", "NaT")], [("t", "M8[us]"), ("d", "m8[s]")])
    assert list(records(times)) == [{"t": None, "d": None}]


def test_nanoseconds_pass_where_nothing_is_lost():
    fine = np.array([("2020-01-01T00:00:00.000001000",), ("NaT",)], [("t", "M8[ns]")])
    assert list(records(fine)) == [{"t": dt.datetime(2020, 1, 1, 0, 0, 0, 1)}, {"t": None}]
    with pytest.raises(InvalidValue, match=r"t, row 1: 2020-01-01T00:00:00.000000001 is finer than a microsecond"):
        records(np.array([("NaT",), ("2020-01-01T00:00:00.000000001",)], [("t", "M8[ns]")]))


def test_datetimes_of_numpy_are_utc_where_the_column_is():
    rows = np.array([("2020-01-01",)], [("t", "M8[us]")])
    assert next(records(rows)) == {"t": dt.datetime(2020, 1, 1)}
    assert next(records(rows, {"t": types.UtcDateTime()})) == {"t": dt.datetime(2020, 1, 1, tzinfo=dt.UTC)}


# ---------------------------------------------------------------- pandas


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
@pytest.mark.parametrize("dtype", [object, "str", "string"])
def test_a_missing_text_is_none_and_never_the_text_nan(missing, dtype):
    if missing is pd.NaT and dtype is not object:
        missing = None
    frame = pd.DataFrame({"s": pd.Series(["nan", missing, "", "None"], dtype=dtype)})
    assert [row["s"] for row in records(frame)] == ["nan", None, "", "None"]


@pytest.mark.parametrize(
    ("values", "dtype", "found"),
    [
        ([1, None], "Int64", [1, None]),
        ([True, None], "boolean", [True, None]),
        ([1.5, None], "Float64", [1.5, None]),
        ([1.5, np.nan], "float64", [1.5, None]),
        (["b", None], "category", ["b", None]),
        ([1, 2], "uint8", [1, 2]),
        ([Decimal("1.5"), None], object, [Decimal("1.5"), None]),
        ([uuid.UUID(int=1), np.nan], object, [uuid.UUID(int=1), None]),
        ([dt.date(2020, 1, 1), None], object, [dt.date(2020, 1, 1), None]),
        (["2020-01-01", None], "datetime64[ns]", [dt.datetime(2020, 1, 1), None]),
        (["2020-01-01", None], "datetime64[s]", [dt.datetime(2020, 1, 1), None]),
        (["2020-01-01", None], "datetime64[us, UTC]", [dt.datetime(2020, 1, 1, tzinfo=dt.UTC), None]),
        (["2020-01-01", None], "datetime64[us, Europe/Berlin]", [dt.datetime(2019, 12, 31, 23, tzinfo=dt.UTC), None]),
        ([1_000, None], "timedelta64[ns]", [dt.timedelta(microseconds=1), None]),
    ],
)
def test_a_pandas_column_gives_python_values(values, dtype, found):
    got = [row["x"] for row in records(pd.DataFrame({"x": pd.Series(values, dtype=dtype)}))]
    assert got == found
    assert list(map(type, got)) == list(map(type, found))


def test_named_levels_of_the_index_are_columns_and_unnamed_ones_are_not():
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": [0.5, 1.5]})
    wanted = [{"a": 1, "b": "x", "c": 0.5}, {"a": 2, "b": "y", "c": 1.5}]
    for key in ([], ["a"], ["a", "b"]):
        assert list(records(frame.set_index(key) if key else frame)) == wanted
    assert list(records(frame[frame["a"] > 1])) == wanted[1:]


def test_a_level_named_like_a_column_is_an_error():
    frame = pd.DataFrame({"a": [1]}, index=pd.Index([2], name="a"))
    with pytest.raises(InvalidValue, match=r"two columns of the frame .* are named 'a'"):
        records(frame)
    with pytest.raises(InvalidValue, match=r"two columns of the frame .* are named 'a'"):
        records(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_floats_that_pandas_made_of_ints_with_gaps_are_ints_again():
    frame = pd.DataFrame({"n": [1, None, 3]})
    assert [row["n"] for row in records(frame, {"n": INT})] == [1, None, 3]
    assert all(type(row["n"]) is int for row in records(frame.dropna().astype(int), {"n": INT}))


@pytest.mark.parametrize("values", [[1.0, 2.0], [1.0, 2.5, None], [1e30, None]])
def test_floats_in_their_own_right_stay_floats_for_insert_to_refuse(values):
    found = [row["n"] for row in records(pd.DataFrame({"n": values}), {"n": INT})]
    assert type(found[0]) is float
    with pytest.raises(InvalidValue):
        adapter(INT).many(found)


def test_a_nan_stays_a_value_in_a_blob():
    frame = pd.DataFrame({"b": pd.Series([np.nan, None, np.arange(3)], dtype=object)})
    found = [row["b"] for row in records(frame, {"b": types.Blob()})]
    assert np.isnan(found[0])
    assert found[1] is None


def test_nanoseconds_of_pandas_are_refused():
    with pytest.raises(InvalidValue, match="finer than a microsecond"):
        records(pd.DataFrame({"t": [pd.Timestamp("2020-01-01 00:00:00.000000001")]}))


# ---------------------------------------------------------------- polars and Arrow


def test_polars_frames_lazy_frames_and_nanoseconds():
    frame = pl.DataFrame(
        {"a": [1, None], "t": [dt.datetime(2020, 1, 1), None]}, schema={"a": pl.Int8, "t": pl.Datetime("ns")}
    )
    wanted = [{"a": 1, "t": dt.datetime(2020, 1, 1)}, {"a": None, "t": None}]
    assert list(records(frame)) == wanted
    assert list(records(frame.lazy())) == wanted
    for zone in (None, "Europe/Berlin"):
        fine = pl.Series("t", [1], pl.Datetime("ns", zone)).to_frame()
        with pytest.raises(InvalidValue, match="finer than a microsecond"):
            list(records(fine))
    with pytest.raises(InvalidValue, match="finer than a microsecond"):
        list(records(pl.Series("t", [1], pl.Duration("ns")).to_frame()))


def test_polars_arrays_are_arrays_and_its_lists_lists():
    frame = pl.DataFrame(
        {"a": [[1.0, 2.0]], "b": [[1.0, 2.0]]}, schema={"a": pl.Array(pl.Float64, 2), "b": pl.List(pl.Float64)}
    )
    (row,) = records(frame)
    assert isinstance(row["a"], np.ndarray)
    assert row["b"] == [1.0, 2.0]


def test_arrow_tables_batches_readers_and_whatever_streams():
    table = pa.table({"a": [1, None], "s": ["x", None]})
    wanted = [{"a": 1, "s": "x"}, {"a": None, "s": None}]
    assert list(records(table)) == wanted
    assert list(records(table.to_batches()[0])) == wanted
    assert list(records(table.to_reader())) == wanted

    class Streams:
        def __arrow_c_stream__(self, requested_schema=None):
            return table.__arrow_c_stream__(requested_schema)

    assert list(records(Streams())) == wanted


def test_nanoseconds_of_arrow_pass_where_nothing_is_lost():
    table = pa.table({"t": pa.array([1_000, None], pa.timestamp("ns"))})
    assert list(records(table)) == [{"t": dt.datetime(1970, 1, 1, 0, 0, 0, 1)}, {"t": None}]
    with pytest.raises(InvalidValue, match="finer than a microsecond"):
        list(records(pa.table({"t": pa.array([1], pa.timestamp("ns"))})))
    with pytest.raises(InvalidValue, match="finer than a microsecond"):
        list(records(pa.table({"t": pa.array([1], pa.duration("ns"))})))


def test_text_for_a_json_column_is_json():
    known = {"j": sa.JSON()}
    for frame in (
        pl.DataFrame({"j": ['{"a": [1]}', None]}),
        pa.table({"j": ['{"a": [1]}', None]}),
        pd.DataFrame({"j": ['{"a": [1]}', None]}),
    ):
        assert [row["j"] for row in records(frame, known)] == [{"a": [1]}, None]
        assert next(records(frame))["j"] == '{"a": [1]}'
    with pytest.raises(InvalidValue, match=r"j, row 1: '\{' is no JSON text"):
        list(records(pl.DataFrame({"j": ["1", "{"]}), known))
    assert next(records(pl.DataFrame({"j": [{"a": 1}]}), known)) == {"j": {"a": 1}}


def test_binary_for_a_blob_is_a_blob_if_it_begins_like_one():
    blob = codecs.encode([1, 2])
    for frame in (pl.DataFrame({"b": [blob, b"bytes"]}), pa.table({"b": [blob, b"bytes"]})):
        first, second = (row["b"] for row in records(frame, {"b": types.Blob()}))
        assert codecs.decode(adapter(types.Blob()).one(first)) == [1, 2]
        assert codecs.decode(adapter(types.Blob()).one(second)) == b"bytes"
        assert type(next(records(frame))["b"]) is bytes
