"""Many keys in one condition: every type comes through, all values are bound, and an index is used."""

from __future__ import annotations

import datetime as dt
import enum
import itertools
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from compdb import types
from compdb.algebra import Relation, Top
from compdb.database import Database, bind, connect
from compdb.dialects import TABLE_OPTIONS
from compdb.types import portable


class Mood(enum.Enum):
    calm = "a value that is not stored"
    alert = 2


VALUES: dict[str, tuple[Any, list[Any]]] = {
    "small": (sa.SmallInteger(), [-(2**15), -1, 0, 2**15 - 1]),
    "whole": (sa.Integer(), [-(2**31), 0, 2**31 - 1]),
    "large": (sa.BigInteger(), [-(2**63), -1, 0, 2**53 + 1, 2**63 - 1]),
    "flag": (sa.Boolean(), [True, False]),
    "text": (sa.String(40), ["", " ", "a", "A", "a ", "á", "a\u0301", "'", '"', "\\", "%s", ":a", "[1,2]", "\U0001f600", "\n", "1"]),
    "notes": (sa.Text(), ["", "x" * 300, "x" * 300 + "y"]),
    "day": (sa.Date(), [dt.date(1, 1, 1), dt.date(2020, 2, 29), dt.date(9999, 12, 31)]),
    "hour": (sa.Time(), [dt.time(), dt.time(1, 2, 3, 4), dt.time(23, 59, 59, 999999)]),
    "clock": (sa.DateTime(), [dt.datetime(1000, 1, 1), dt.datetime(2020, 1, 1, 0, 0, 0, 7), dt.datetime(2020, 1, 1)]),
    "moment": (types.UtcDateTime(), [dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2020, 1, 1, 1, 2, 3, 4, dt.UTC)]),
    "span": (types.Duration(), [dt.timedelta(0), dt.timedelta(days=-3, microseconds=1)]),
    "uid": (sa.Uuid(), [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1)]),
    "mood": (types.Choice(Mood), list(Mood)),
    "step": (types.Choice([1, 2, 4]), [1, 2, 4]),
    "rate": (sa.Double(), [-1.5, 0.1, 1e300, 0.1 + 0.2, 5e-324]),
    "price": (sa.Numeric(8, 2), [Decimal("-1.50"), Decimal("0.10"), Decimal("999999.99")]),
    "raw": (sa.VARBINARY(20), [b"", b"\0", b"'\\"]),
}


@pytest.fixture
def kept(oracle_database: Database) -> Iterator[dict[str, Relation[Any]]]:
    """A table for each type, in which every value stands beside the numbers 0 and 1."""
    metadata = sa.MetaData()
    for name, (type_, _) in VALUES.items():
        number = sa.Column("number", sa.Integer, primary_key=True, autoincrement=False)
        place = sa.Column("place", sa.Integer, primary_key=True, autoincrement=False)
        sa.Table(f"kept_{name}", metadata, number, place, sa.Column("value", portable(type_), nullable=False), **TABLE_OPTIONS)
    metadata.create_all(oracle_database.engine)
    bind(metadata, oracle_database)
    with oracle_database.engine.begin() as connection:
        for name, (_, values) in VALUES.items():
            rows = [{"number": n, "place": i, "value": v} for n in (0, 1) for i, v in enumerate(values)]
            connection.execute(metadata.tables[f"kept_{name}"].insert(), rows)
    yield {name: Relation.of(metadata.tables[f"kept_{name}"]) for name in VALUES}
    metadata.drop_all(oracle_database.engine)


def found(relation: Relation[Any]) -> list[tuple[int, int]]:
    return sorted((k["number"], k["place"]) for k in relation.keys())


@pytest.mark.parametrize("name", VALUES)
def test_values_of_every_type_are_found_among_many(kept, name):
    values = VALUES[name][1]
    table = kept[name]
    padding = 101 // len(values) + 1
    for chosen in itertools.chain.from_iterable(itertools.combinations(range(len(values)), n) for n in (1, 2)):
        some = [values[i] for i in chosen]
        wanted = sorted((n, i) for n in (0, 1) for i in chosen)
        assert found(table & {"value": some}) == wanted
        assert found(table & {"value": some * padding * len(values)}) == wanted
        assert found(table & [{"value": v, "number": 1} for v in some]) == [w for w in wanted if w[0]]
        rest = sorted({(n, i) for n in (0, 1) for i in range(len(values))} - set(wanted))
        assert found(table - {"value": some * padding * len(values)}) == rest
        assert found(table - [{"value": v, "number": 1} for v in some]) == sorted({*rest, *(w for w in wanted if not w[0])})


def test_rows_whose_values_are_equal_come_first(kept):
    keys = [{"number": i, "place": i} for i in range(300)]
    assert found(kept["flag"] & keys) == [(0, 0), (1, 1)]


def statements(database: Database, act: Any) -> list[tuple[str, Any]]:
    seen: list[tuple[str, Any]] = []

    def note(connection, cursor, statement, parameters, context, executemany):
        seen.append((statement, parameters))

    sa.event.listen(database.reader, "before_cursor_execute", note)
    try:
        act()
    finally:
        sa.event.remove(database.reader, "before_cursor_execute", note)
    return seen


@pytest.mark.parametrize("size", [2, 3_000, 80_000])
def test_values_are_bound_however_many_there_are(lab, size):
    hostile = "x' OR 1=1 -- "
    keys = [{"subject_id": f"{hostile}{i}"[-16:], "session_idx": i} for i in range(size - 1)]
    keys.append({"subject_id": "M1", "session_idx": 2})
    for relation in (lab.Session & keys, lab.Session & {"subject_id": [k["subject_id"] for k in keys], "session_idx": 2}):
        ((statement, parameters),) = statements(lab.database, lambda relation=relation: relation.to_dicts())
        assert "OR 1=1" not in statement
        assert "M1" in str(parameters)
        assert [k["session_idx"] for k in relation.keys()] == [2]


@pytest.mark.parametrize("name", ["rate", "price"])
def test_many_numbers_with_a_point_are_found_too(kept, name):
    values = VALUES[name][1]
    many = [type(values[0])(i) for i in range(80_000)] + values[:1]
    assert found(kept[name] & {"value": many}) == [(0, 0), (1, 0)]
    assert found(kept[name] & [{"value": v, "number": 1} for v in many]) == [(1, 0)]


def test_a_few_rows_are_looked_up_in_the_index_of_sqlite(sqlite_lab):
    relation = sqlite_lab.Session & [{"subject_id": "M1", "session_idx": 1}, {"subject_id": "M3", "session_idx": 1}]
    with sqlite_lab.database.reading() as connection:
        plan = connection.exec_driver_sql("EXPLAIN QUERY PLAN " + relation.sql()).all()
    assert any(row[3].startswith("SEARCH session USING") for row in plan), plan


def test_the_text_of_such_a_relation_can_be_run(lab):
    for keys in ([("M1", 1), ("M2", 1)], [(f"it's {i}", i) for i in range(200)] + [("M1", 2)]):
        relation = lab.Session & [{"subject_id": s, "session_idx": i} for s, i in keys]
        with lab.database.reading() as connection:
            by_text = connection.exec_driver_sql(relation.sql().replace("%", "%%")).all()
        assert len(by_text) == len(relation) > 0


def test_many_values_inside_a_key_are_not_looked_up_for_each_beginning_of_it(sqlite_url):
    metadata = sa.MetaData()
    numbers = [sa.Column(name, sa.Integer, primary_key=True, autoincrement=False) for name in ("a", "b")]
    table = sa.Table("pair", metadata, *numbers, sa.Column("note", sa.Integer))
    database = connect(sqlite_url)
    metadata.create_all(database.engine)
    bind(metadata, database)
    with database.engine.begin() as connection:
        connection.execute(table.insert(), [{"a": i % 20, "b": i // 20, "note": 1} for i in range(20_000)])
        connection.exec_driver_sql("ANALYZE")
    for relation in (Relation.of(table), Relation.of(table) & sa.text("note = 1"), Relation.of(table) & Top(10**6)):
        with database.reading() as connection:
            text = (relation & {"b": range(500)}).sql()
            plan = " ".join(row[3] for row in connection.exec_driver_sql("EXPLAIN QUERY PLAN " + text))
        assert "ANY(" not in plan, plan
        assert len(relation & {"b": range(500)}) == 20 * 500
    assert "+pair.a" not in (Relation.of(table) & {"a": range(500)}).sql()  # where the index is of use
