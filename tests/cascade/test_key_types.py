"""Keys of every type are fetched and found again."""

from __future__ import annotations

import datetime
import enum
import uuid
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa

from compdb import cascade, types

from .lab import Lab, fresh, key, table, to


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


BERLIN = datetime.timezone(datetime.timedelta(hours=1))
KEYS: dict[str, tuple[sa.types.TypeEngine[Any], list[Any]]] = {
    "small and large int": (sa.BigInteger(), [1, 2**40, -(2**62)]),
    "str": (sa.String(20), ["a", "it's", "100%", "ä\\"]),
    "float": (sa.Double(), [0.1, 1e300, 1 / 3]),
    "bool": (sa.Boolean(), [True, False]),
    "bytes": (sa.LargeBinary(8), [b"\x00\xff", b"%s", b"'"]),
    "Decimal": (types.portable(sa.Numeric(12, 3)), [Decimal("0.100"), Decimal("123456789.125")]),
    "date": (sa.Date(), [datetime.date(2020, 2, 29), datetime.date(1, 1, 1)]),
    "time": (types.portable(sa.Time()), [datetime.time(1, 2, 3, 4), datetime.time(23, 59, 59)]),
    "datetime": (
        types.portable(sa.DateTime()),
        [datetime.datetime(2020, 1, 1, 1, 2, 3, 4), datetime.datetime(2020, 1, 1)],
    ),
    "aware datetime": (
        types.UtcDateTime(),
        [datetime.datetime(2020, 1, 1, 1, 2, 3, 4, BERLIN), datetime.datetime(2020, 6, 1, tzinfo=datetime.UTC)],
    ),
    "timedelta": (types.Duration(), [datetime.timedelta(microseconds=1), datetime.timedelta(days=9)]),
    "UUID": (sa.Uuid(), [uuid.UUID(int=1), uuid.UUID(int=2**127 + 5)]),
    "native enum": (sa.Enum(Color, name="color"), [Color.RED, Color.BLUE]),
    "choice": (types.column_type(Color) or sa.Integer(), [Color.RED, Color.BLUE]),
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_of_every_type_are_found_again(url: str, kind: str) -> None:
    type_, values = KEYS[kind]
    if kind == "bytes" and url.startswith("mysql"):
        type_ = sa.VARBINARY(8)
    m = sa.MetaData()
    table(m, "parent", sa.Column("a", type_, primary_key=True), key("b"))
    table(m, "other", key("c"), sa.Column("a", type_), sa.Column("b", sa.Integer), to("parent", "a", "b"))
    table(m, "leaf", key("c"), to("other", "c"))
    lab = Lab(fresh(url), m)
    lab.add("parent", *((value, b) for value in values for b in (1, 2)))
    lab.add("other", *((10 * i + b, value, b) for i, value in enumerate(values) for b in (1, 2)))
    lab.add("leaf", *((10 * i + b,) for i in range(len(values)) for b in (1, 2)))
    for left in range(len(values), 0, -1):
        one = sa.select(m.tables["parent"]).where(m.tables["parent"].c.b == 1).limit(1)
        assert cascade.delete(lab.database, m.tables["parent"], one, dry_run=True) == {
            "Parent": 1,
            "Other": 1,
            "Leaf": 1,
        }
        assert cascade.delete(lab.database, m.tables["parent"], one, prompt=False) == 1
        assert len(lab.rows("leaf")) == len(values) + left - 1
    both = [row[:2] for row in lab.rows("parent")]
    assert {(row[1], row[2]) for row in lab.rows("other")} == set(both)
    assert lab.delete("parent") == len(values)
    assert lab.rows("leaf") == []
