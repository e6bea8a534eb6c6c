"""Fast readers give exactly what the plain path gives, and are used only where they can."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings

from compdb.database import connect
from compdb.fetch import fast, to_arrays, to_arrow, to_pandas, to_polars
from compdb.fetch.kinds import Kind, fields, kind_of

from .conftest import EVERYTHING, NULLS, ROWS, SELECT, insert
from .test_frames import some_rows

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

READ = [c for c in EVERYTHING.columns if kind_of(c.type) in fast.READ]
QUERY = sa.select(*READ).order_by(EVERYTHING.c.id)
C = EVERYTHING.c


@pytest.fixture
def server(database):
    """Return a database for which a fast reader is installed."""
    module = fast.READERS.get(database.engine.driver, ("",))[0]
    if not module:
        pytest.skip(f"{database.engine.driver} has no fast reader")
    pytest.importorskip(module)
    return database


@pytest.fixture
def used(monkeypatch):
    """Let readers come into use from the first row on; a list of whether each one served."""
    seen = []

    def gathered(*arguments, inner=fast._gathered):
        found = inner(*arguments)
        seen.append(found is not None)
        return found

    monkeypatch.setattr(fast, "_gathered", gathered)
    monkeypatch.setattr(fast, "WORTH", 1)
    monkeypatch.setattr(fast, "PATIENCE", 60.0)
    return seen


def plain(fetch, database, query, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(fast, "READERS", {})
        return fetch(database, query)


def assert_equal(a, b):
    if isinstance(a, pa.Table):
        assert a.schema.equals(b.schema, check_metadata=True)
        assert a.unify_dictionaries().combine_chunks().equals(b.unify_dictionaries().combine_chunks())
    elif isinstance(a, pl.DataFrame):
        assert a.schema == b.schema
        assert a.equals(b, null_equal=True)
    else:
        pd.testing.assert_frame_equal(a, b, check_exact=True)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=some_rows.filter(bool))
def test_the_result_is_that_of_the_plain_path(server, used, monkeypatch, rows):
    insert(server, [{"id": i, **row} for i, row in enumerate(rows)])
    used.clear()
    for fetch in (to_arrow, to_polars, to_pandas):
        assert_equal(fetch(server, QUERY), plain(fetch, server, QUERY, monkeypatch))
    assert used == [True] * 3


@pytest.mark.parametrize("fetch", [to_arrow, to_polars, to_pandas])
def test_columns_all_null_and_columns_without_null(server, used, monkeypatch, fetch):
    for rows in (
        [NULLS],
        [{**NULLS, "id": i} for i in range(40)],
        ROWS[:2],
        [{**ROWS[i % 3], "id": i} for i in range(90)],
    ):
        insert(server, rows)
        assert_equal(fetch(server, QUERY), plain(fetch, server, QUERY, monkeypatch))
    assert used == [True] * 4


NUMBERS_AND_TEXT = sa.select(*(c for c in READ if kind_of(c.type) is not Kind.CHOICE)).order_by(EVERYTHING.c.id)


def assert_same_arrays(a, b):
    assert a.dtype == b.dtype
    assert len(a) == len(b)
    for name in a.dtype.names or [None]:
        one, two = (a, b) if name is None else (a[name], b[name])
        if one.dtype == object:
            assert [(type(v), v) for v in one] == [(type(v), v) for v in two], name
        else:
            assert np.array_equal(one, two, equal_nan=one.dtype.kind in "fmM"), name


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=some_rows.filter(bool))
def test_arrays_are_those_of_the_plain_path(server, used, monkeypatch, rows):
    monkeypatch.setattr(fast, "lean", lambda *_: True)
    insert(server, [{"id": i, **row} for i, row in enumerate(rows)])
    used.clear()
    names = [column.name for column in NUMBERS_AND_TEXT.selected_columns]
    assert_same_arrays(
        to_arrays(server, NUMBERS_AND_TEXT), plain(to_arrays, server, NUMBERS_AND_TEXT, monkeypatch)
    )
    some = to_arrays(server, NUMBERS_AND_TEXT, names)
    others = plain(lambda *about: to_arrays(*about, names), server, NUMBERS_AND_TEXT, monkeypatch)
    for one, two in zip(some, others, strict=True):
        assert_same_arrays(one, two)
        one[:] = two  # they are the caller's to write to
    assert used == [True] * 2


def test_a_structured_array_with_text_is_not_read_by_connectorx(server, used):
    insert(server, [{**ROWS[0], "id": i} for i in range(60)])
    used.clear()
    assert len(to_arrays(server, sa.select(C.id, C.name))) == 60
    assert used == ([True] if server.dialect.name == "postgresql" else [])
    used.clear()
    assert len(to_arrays(server, sa.select(C.id, C.maybe))) == 60
    assert len(to_arrays(server, sa.select(C.id, C.name), ["name"])) == 60
    assert used == [True] * 2


def test_a_null_in_one_part_of_an_array_is_none_in_the_whole(server, used, monkeypatch):
    monkeypatch.setattr(fast, "BATCH", 10)
    monkeypatch.setattr(fast, "lean", lambda *_: True)
    insert(server, [{**ROWS[0], "id": i, "maybe": None if i == 37 else i, "name": None if i == 5 else "n"} for i in range(60)])
    query = sa.select(C.id, C.maybe, C.name, C.day).order_by(C.id)
    found = to_arrays(server, query)
    assert_same_arrays(found, plain(to_arrays, server, query, monkeypatch))
    assert found["maybe"].tolist() == [None if i == 37 else i for i in range(60)]
    assert used == [True]


@pytest.mark.parametrize(
    "query",
    [
        QUERY.where(C.id > 1),
        QUERY.where(C.name == "plain"),
        QUERY.where(C.name.in_(["plain", "row 7"]), C.flag),
        QUERY.where(C.clock > dt.datetime(1999, 1, 1, 12, 30, 0, 5)),
        QUERY.where(C.moment > dt.datetime(1999, 1, 1, tzinfo=dt.UTC)),
        QUERY.where(C.day >= dt.date(2020, 1, 2)),
        QUERY.where(C.rate > -1.5e300),
        QUERY.where(C.maybe.is_(None)),
        QUERY.limit(1).offset(1),
        sa.select(C.name, C.rate).distinct().order_by(C.name),
        sa.select(C.flag, sa.func.count().label("n")).group_by(C.flag).order_by(C.flag),
        sa.select(sa.union_all(sa.select(C.id), sa.select(C.count)).subquery().c.id.label("x")).order_by("x"),
        sa.select(QUERY.cte("q")).order_by("id"),
    ],
    ids=lambda q: str(q.whereclause if q.whereclause is not None else q)[:60].replace("\n", " "),
)
def test_statements_of_many_forms(server, used, monkeypatch, query):
    insert(server, ROWS)
    assert_equal(to_arrow(server, query), plain(to_arrow, server, query, monkeypatch))
    assert used == [True]


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(SELECT, id="a column of another kind"),
        pytest.param(QUERY.where(C.name != "it's"), id="a quote"),
        pytest.param(QUERY.where(C.name != "a\\b"), id="a backslash"),
        pytest.param(QUERY.where(C.name.like("p%")), id="a percent sign"),
        pytest.param(QUERY.where(C.name != "\x1b"), id="a control character"),
        pytest.param(QUERY.where(C.price > Decimal("1.1")), id="a decimal"),
        pytest.param(QUERY.where(sa.text("name NOT LIKE 'x%'")), id="a percent sign in text"),
        pytest.param(sa.select(sa.literal_column("id + 1").label("n")).select_from(EVERYTHING), id="no type"),
    ],
)
def test_what_is_not_beyond_doubt_takes_the_plain_path(server, used, query):
    insert(server, ROWS)
    assert to_arrow(server, query).num_rows > 0
    assert not used


def test_a_transaction_reads_what_it_wrote(server, used):
    with server.transaction() as session:
        session.execute(EVERYTHING.insert(), ROWS)
        assert to_polars(server, QUERY).height == 3
    assert not used


def test_an_engine_of_someone_else_is_left_alone(server, used):
    insert(server, ROWS)
    engine = sa.create_engine(server.engine.url)
    theirs = connect(engine)
    assert to_polars(theirs, QUERY).height == 3
    engine.dispose()
    assert not used


def test_a_url_with_options_is_left_alone(server, used):
    insert(server, ROWS)
    url = server.engine.url.update_query_dict(
        {"application_name" if server.engine.driver == "psycopg" else "autocommit": "1"}
    )
    assert to_polars(connect(url), QUERY).height == 3
    assert not used


def test_what_is_small_or_slow_takes_the_plain_path(server, used, monkeypatch):
    insert(server, ROWS)
    monkeypatch.setattr(fast, "WORTH", 4)
    assert to_polars(server, QUERY).height == 3
    monkeypatch.setattr(fast, "WORTH", 1)
    monkeypatch.setattr(fast, "PATIENCE", 0.0)
    assert to_polars(server, QUERY).height == 3
    assert not used


def _wrong_number(url, sql):
    yield pa.record_batch([pa.array([1])], names=["id"])


def _wrong_type(url, sql):
    for field in (pa.float32(), pa.string()):
        yield pa.record_batch([pa.array([None], field)] * len(READ), names=[c.name for c in READ])


def _raises(url, sql):
    raise RuntimeError("cannot")
    yield


class Panic(BaseException):
    """What pyo3 raises for a panic in Rust."""


def _panics(url, sql):
    raise Panic
    yield


@pytest.mark.parametrize("reader", [_wrong_number, _wrong_type, _raises, _panics])
def test_a_reader_that_gives_something_else_is_passed_over(server, used, monkeypatch, reader):
    insert(server, ROWS)
    wanted = plain(to_arrow, server, QUERY, monkeypatch)
    module = fast.READERS[server.engine.driver][0]
    monkeypatch.setattr(fast, "READERS", {server.engine.driver: (module, reader)})
    assert_equal(to_arrow(server, QUERY), wanted)
    assert used == [False]


def test_an_interrupt_goes_through(server, used, monkeypatch):
    insert(server, ROWS)

    def interrupted(url, sql):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(fast, "READERS", {server.engine.driver: ("pyarrow", interrupted)})
    with pytest.raises(KeyboardInterrupt):
        to_arrow(server, QUERY)


@pytest.mark.parametrize("moment", ["infinity", "-infinity", "20000-01-01", "0044-03-15 BC"])
@pytest.mark.parametrize("name", ["clock", "moment", "day"])
def test_times_that_python_does_not_know_are_refused_as_on_the_plain_path(server, moment, name):
    if server.dialect.name != "postgresql":
        pytest.skip("only PostgreSQL has such times")
    insert(server, ROWS)
    with server.transaction() as session:
        session.execute(sa.text(f"UPDATE everything SET {name} = '{moment}' WHERE id = 1"))
    with pytest.raises(sa.exc.DBAPIError, match=r"too (large|small)"):
        to_arrow(server, QUERY)
    read = fast._reader(server, QUERY, fields(QUERY), [Kind.CHOICE])
    assert read is not None
    assert fast._gathered(fields(QUERY), read, lambda field, column: column) is None


@pytest.mark.parametrize(
    ("name", "type_"),
    [
        ("count", pa.float64()),
        ("rate", pa.float32()),
        ("rate", pa.int64()),
        ("flag", pa.string()),
        ("name", pa.binary()),
        ("day", pa.timestamp("us")),
        ("clock", pa.timestamp("ns")),
        ("clock", pa.timestamp("us", "UTC")),
        ("moment", pa.timestamp("s")),
        ("span", pa.int32()),
        ("mood", pa.int64()),
    ],
)
def test_a_column_that_came_in_another_type_is_not_believed(name, type_):
    (field,) = fields(sa.select(EVERYTHING.c[name]))
    with pytest.raises(TypeError, match=f"{name} came as"):
        fast._exact(pa.array([None], type_), field)


def test_a_label_that_is_none_is_not_believed():
    (field,) = fields(sa.select(C.side))
    with pytest.raises(ValueError, match="none of its labels"):
        fast._exact(pa.array(["left", "up", None]), field)
    assert fast._exact(pa.array(["left", None]), field).to_pylist() == ["left", None]


def test_the_password_is_sent_and_never_shown():
    url = sa.make_url("postgresql+psycopg://user:p%40ss@host:5432/lab?charset=utf8mb4")
    assert fast._address(url, "postgresql") == "postgresql://user:p%40ss@host:5432/lab"


def test_sqlite_has_no_reader():
    """Two SQLite libraries in one process undo each other's locks: https://www.sqlite.org/howtocorrupt.html, 2.2.1."""
    assert "pysqlite" not in fast.READERS
