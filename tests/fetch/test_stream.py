"""How rows come: formats of the wire, kinds of columns, types that are not ours."""

from __future__ import annotations

import datetime as dt
import ipaddress
import uuid
from decimal import Decimal

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from compdb import types
from compdb.fetch import to_arrays, to_arrow, to_dicts, to_polars
from compdb.fetch.kinds import Field, Kind, fields, inferred, kind_of
from compdb.types import portable

from .conftest import EVERYTHING, SELECT, Mood


class Celsius(sa.types.TypeDecorator[float]):
    """A type of a user's own."""

    impl = sa.Integer
    cache_ok = True

    def process_bind_param(self, value, dialect):
        return None if value is None else round(value * 1000)

    def process_result_value(self, value, dialect):
        return None if value is None else value / 1000


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        (sa.SmallInteger(), Kind.INT),
        (sa.Numeric(5, 2), Kind.DECIMAL),
        (sa.Numeric(5, 2, asdecimal=False), Kind.FLOAT),
        (sa.Float(), Kind.FLOAT),
        (sa.Double(asdecimal=True), Kind.DECIMAL),
        (sa.Unicode(5), Kind.TEXT),
        (sa.Enum(Mood), Kind.CHOICE),
        (types.Choice([1, 2]), Kind.INT),
        (sa.DateTime(timezone=True), Kind.UTC),
        (sa.Interval(), Kind.DURATION),
        (postgresql.JSONB(), Kind.JSON),
        (sa.VARBINARY(3), Kind.BYTES),
        (types.Blob(), Kind.BLOB),
        (Celsius(), Kind.OTHER),
        (sa.types.NullType(), Kind.OTHER),
    ],
)
def test_the_kind_of_a_type(type_, kind):
    assert kind_of(type_) is kind


def test_every_portable_type_has_a_kind():
    for column in EVERYTHING.columns:
        assert kind_of(column.type) is not Kind.OTHER, column.name
        assert kind_of(portable(column.type)) is kind_of(column.type)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, None], Kind.INT),
        ([1, 2.5], Kind.FLOAT),
        ([True], Kind.BOOL),
        ([True, 1], Kind.OTHER),
        (["a", None], Kind.TEXT),
        ([2**63], Kind.OTHER),
        ([Decimal(1)], Kind.DECIMAL),
        ([dt.datetime(2020, 1, 1)], Kind.DATETIME),
        ([dt.datetime(2020, 1, 1, tzinfo=dt.UTC)], Kind.UTC),
        ([dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, tzinfo=dt.UTC)], Kind.OTHER),
        ([uuid.UUID(int=1)], Kind.UUID),
        ([{}], Kind.JSON),
        ([object()], Kind.OTHER),
        ([None], Kind.OTHER),
        ([], Kind.OTHER),
    ],
)
def test_a_column_without_a_type_has_the_kind_of_its_values(values, kind):
    field = Field("x", sa.types.NullType(), False, Kind.OTHER)
    assert inferred(field, values).kind is kind


def test_a_sum_of_decimals_may_be_longer_than_its_parts():
    total, price = fields(sa.select(sa.func.sum(EVERYTHING.c.price).label("total"), EVERYTHING.c.price))
    assert (total.digits, price.digits) == ((38, 3), (12, 3))


def test_a_type_of_the_users_own_gives_its_values(database):
    table = sa.Table("warm", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("t", Celsius))
    table.create(database.engine)
    with database.transaction() as session:
        session.execute(table.insert(), [{"id": 1, "t": 36.6}, {"id": 2, "t": None}])
    query = sa.select(table.c.t).order_by(table.c.id)
    assert to_dicts(database, query) == [{"t": 36.6}, {"t": None}]
    assert to_arrays(database, query, ["t"])[0] == 36.6
    assert to_polars(database, query)["t"].to_list() == [36.6, None]
    assert to_arrow(database, query)["t"].to_pylist() == [36.6, None]


def test_types_that_psycopg_reads_as_text_only(database):
    """Binary format would give bytes for an ENUM, and for others what no one asked for."""
    if database.dialect.name != "postgresql":
        pytest.skip("types of PostgreSQL")
    with database.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TYPE mood AS ENUM ('calm', 'alert')")
        connection.exec_driver_sql("CREATE TABLE native (id int, m mood, a inet, p point, d bytea, f mood)")
        connection.exec_driver_sql(r"INSERT INTO native VALUES (1, 'calm', '10.0.0.1', '(1,2)', '\x00ff', 'alert')")
    native = sa.table(
        "native",
        sa.column("id", sa.Integer),
        sa.column("m", sa.String),
        sa.column("a", postgresql.INET),
        sa.column("p", sa.String),
        sa.column("d", sa.LargeBinary),
        sa.column("f", sa.Enum(Mood, name="mood")),
    )
    for names in (["id", "m"], ["f"], ["p", "d"], ["id", "m", "a", "p", "d", "f"], ["d"]):
        (row,) = to_dicts(database, sa.select(*(native.c[name] for name in names)))
        wanted = {
            "id": 1,
            "m": "calm",
            "a": ipaddress.ip_address("10.0.0.1"),
            "p": "(1,2)",
            "d": b"\0\xff",
            "f": Mood.alert,
        }
        if type(row.get("a")) is str:
            wanted["a"] = "10.0.0.1"
        assert row == {name: wanted[name] for name in names}


def test_parameters_lists_and_cached_statements(filled):
    for wanted in ([1], [1, 2], [3], []):
        query = sa.select(EVERYTHING.c.id).where(EVERYTHING.c.id.in_(wanted)).order_by(EVERYTHING.c.id)
        assert [row["id"] for row in to_dicts(filled, query)] == wanted


def test_listeners_see_what_is_fetched(filled):
    seen = []

    def note(connection, cursor, statement, parameters, context, executemany):
        seen.append(statement)

    sa.event.listen(filled.reader, "before_cursor_execute", note)
    try:
        to_dicts(filled, SELECT)
    finally:
        sa.event.remove(filled.reader, "before_cursor_execute", note)
    assert any("FROM everything" in statement for statement in seen)


def test_a_small_fetch_is_one_statement(filled):
    """A server-side cursor would be four."""
    if filled.dialect.name != "postgresql":
        pytest.skip("PostgreSQL counts its statements")
    count = sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
    with filled.reader.connect() as connection:
        pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar()
    to_arrays(filled, SELECT)
    with filled.engine.connect() as other:
        last = other.execute(sa.text("SELECT query FROM pg_stat_activity WHERE pid = :pid"), {"pid": pid}).scalar()
        assert other.execute(count).scalar() >= 1
    assert "FROM everything" in last
    assert "DECLARE" not in last
