"""Adapters: one value and a column of values follow one rule; what is missing is NULL or an error; 100,000 values cost little."""

from __future__ import annotations

import datetime as dt
import random
import time
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings

from compdb.errors import InvalidValue
from compdb.testing.columns import same, values
from compdb.testing.hazards import HAZARDS, Hazard
from compdb.types import NOTHING, Blob, adapter, column_type, portable

each_hazard = pytest.mark.parametrize("hazard", HAZARDS, ids=repr)
MISSING = (
    None,
    float("nan"),
    np.float64("nan"),
    np.float32("nan"),
    Decimal("nan"),
    pd.NA,
    pd.NaT,
    np.datetime64("NaT"),
    np.ma.masked,
)


def of(type_: Any, nullable: bool = True, key: bool = False) -> Any:
    found = (
        column_type(type_)
        if isinstance(type_, type) and not issubclass(type_, sa.types.TypeEngine)
        else portable(type_)
    )
    assert found is not None
    return adapter(found, nullable, key)


@pytest.mark.parametrize("hazard", [h for h in HAZARDS if not isinstance(h.type, Blob)], ids=repr)
def test_what_stands_for_nothing_is_null_or_refused(hazard: Hazard) -> None:
    nullable, required = adapter(hazard.type, nullable=True), adapter(hazard.type, nullable=False)
    for missing in MISSING:
        assert nullable.one(missing) is None
        assert nullable.condition(missing) is None
        with pytest.raises(InvalidValue, match="NULL"):
            required.one(missing)


def test_only_none_is_null_in_a_blob() -> None:
    column = of(Blob())
    assert column.one(None) is None
    assert isinstance(column.one(float("nan")), bytes)
    with pytest.raises(InvalidValue, match="NULL"):
        of(Blob(), nullable=False).one(None)


@each_hazard
def test_a_column_of_values_follows_the_rule_of_one(hazard: Hazard) -> None:
    column = adapter(hazard.type)
    given = [*hazard.kept, None, *(g for g, _ in hazard.taken)]
    for some in (given, hazard.kept, [hazard.kept[0]] * 3, [None, None], [], tuple(hazard.kept)):
        found = column.many(some)
        assert isinstance(found, list)
        assert [type(v) for v in found] == [type(column.one(v)) for v in some]
        assert all(same(a, column.one(b)) for a, b in zip(found, some, strict=True))


@pytest.mark.parametrize("hazard", [h for h in HAZARDS if not isinstance(h.type, Blob)], ids=repr)
def test_a_good_value_is_not_changed(hazard: Hazard) -> None:
    column = adapter(hazard.type)

    @settings(max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(values(hazard.type))
    def unchanged(value: Any) -> None:
        assert column.one(value) == value
        assert column.many([value, value]) == [value, value]

    unchanged()


def test_the_bad_value_of_a_column_is_named_by_its_row() -> None:
    with pytest.raises(InvalidValue) as caught:
        of(int).many([*range(1000), "x", None])
    assert (caught.value.row, caught.value.value) == (1000, "x")
    with pytest.raises(InvalidValue) as caught:
        of(str, nullable=False).many(["a", None])
    assert caught.value.row == 1


def test_a_column_of_numpy_numbers_becomes_python_s() -> None:
    assert [type(v) for v in of(int).many(list(np.arange(3)))] == [int] * 3
    assert [type(v) for v in of(float).many([*np.linspace(0, 1, 3), None])] == [float] * 3 + [type(None)]
    assert of(float).many([np.float32(0.1)]) == [float(np.float32(0.1))]
    assert of(bool).many([np.bool_(True), np.bool_(False)]) == [True, False]
    assert of(float).many([np.float64("nan"), np.float64(1)]) == [None, 1.0]
    assert of(int).many([np.uint64(2**63 - 1), np.int8(1)]) == [2**63 - 1, 1]


def test_pandas_values_are_taken_where_nothing_is_lost() -> None:
    stamp = pd.Timestamp("2024-01-15 10:30:00.000001")
    assert of(dt.datetime).one(stamp) == dt.datetime(2024, 1, 15, 10, 30, 0, 1)
    assert type(of(dt.datetime).one(stamp)) is dt.datetime
    assert of(dt.date).one(pd.Timestamp("2024-01-15")) == dt.date(2024, 1, 15)
    assert of(dt.timedelta).one(pd.Timedelta("1s")) == dt.timedelta(seconds=1)
    assert type(of(dt.timedelta).one(pd.Timedelta("1s"))) is dt.timedelta
    with pytest.raises(InvalidValue, match="finer"):
        of(dt.datetime).one(pd.Timestamp("2024-01-15 10:30:00.000000001"))
    with pytest.raises(InvalidValue, match="finer"):
        of(dt.timedelta).one(pd.Timedelta(1, "ns"))


def test_a_key_is_never_rounded() -> None:
    column = of(sa.Numeric(5, 2), key=True)
    assert column.one(0.1) == Decimal("0.10")
    assert column.many([Decimal("1"), Decimal("1.250")]) == [Decimal("1.00"), Decimal("1.25")]
    for value in (0.125, Decimal("0.001"), "1.005"):
        with pytest.raises(InvalidValue, match="a key is not rounded"):
            column.one(value)
    with pytest.raises(InvalidValue) as caught:
        column.many([Decimal("1"), Decimal("0.001")])
    assert caught.value.row == 1


def test_a_condition_is_never_rounded() -> None:
    column = of(sa.Numeric(3, 2))
    assert column.condition(0.5) == Decimal("0.50")
    assert column.condition(0.123) is NOTHING
    assert column.condition(Decimal("100")) is NOTHING


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (int, 2**63), (int, -(2**70)), (sa.SmallInteger, 2**15), (float, float("inf")), (str, "a\0"), (str, "\ud800"),
        (dt.timedelta, dt.timedelta.max), (sa.Numeric(3, 2), 1e9),
    ],
)  # fmt: skip
def test_what_no_database_can_be_asked_for_is_nothing(type_: Any, value: Any) -> None:
    assert of(type_).condition(value) is NOTHING
    assert repr(NOTHING) == "NOTHING"


def test_too_long_a_text_may_be_asked_for() -> None:
    assert of(sa.String(3)).condition("abcd") == "abcd"
    assert of(sa.LargeBinary(3)).condition(b"abcd") == b"abcd"


def test_a_type_of_the_user_s_own_is_left_to_the_user() -> None:
    class Tag(sa.types.TypeDecorator[str]):
        impl = sa.String
        cache_ok = True

    marker = object()
    column = adapter(Tag(5), nullable=False)
    assert column.one(marker) is marker
    assert column.many([marker, 1]) == [marker, 1]
    assert column.condition(marker) is marker
    with pytest.raises(InvalidValue, match="NULL"):
        column.one(None)


def test_an_error_tells_what_why_and_the_fix() -> None:
    with pytest.raises(InvalidValue) as caught:
        of(str).one(b"abc")
    assert str(caught.value) == "b'abc' (bytes) is not text (str); write value.decode()"
    with pytest.raises(InvalidValue) as caught:
        of(int).one(3.0)
    assert str(caught.value).startswith("3.0 (float) is not a whole number (int); write int(value)")
    assert str(caught.value.at("Session", "session_id", 4)).startswith("Session.session_id, row 4: 3.0 (float)")


N = 100_000
COLUMNS: dict[str, tuple[Any, list[Any]]] = {
    "int": (int, [random.getrandbits(40) for _ in range(N)]),
    "float": (float, [i / 7 for i in range(N)]),
    "numpy": (float, [np.float64(i) for i in range(N)]),
    "text": (str, [f"subject {i}" for i in range(N)]),
    "text_or_none": (str, ["a", None] * (N // 2)),
    "bool": (bool, [True, False] * (N // 2)),
    "datetime": (dt.datetime, [dt.datetime(2024, 1, 1) + dt.timedelta(seconds=i) for i in range(N)]),
    "uuid": (uuid.UUID, [uuid.UUID(int=i) for i in range(N)]),
    "decimal": (sa.Numeric(9, 2), [Decimal(i) / 100 for i in range(N)]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_a_hundred_thousand_right_values_cost_little(name: str) -> None:
    type_, column = COLUMNS[name]
    checked, best, plain = of(type_), float("inf"), float("inf")
    for _ in range(5):
        start = time.perf_counter()
        checked.many(column)
        best = min(best, time.perf_counter() - start)
        start = time.perf_counter()
        [type(value) for value in column]
        plain = min(plain, time.perf_counter() - start)
    assert best < (60 if name == "decimal" else 30) * plain, (
        f"{best * 1e3:.1f} ms, {best / plain:.0f} times a bare loop"
    )
