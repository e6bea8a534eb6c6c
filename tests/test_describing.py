"""`describe()` tells a table as the class statement that declares it: run again, it declares the same table."""

from __future__ import annotations

import datetime as dt
import enum
import sys
import types
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import mapped_column

import compdb as cdb
from compdb import Key, Mapped, UtcDateTime, dag, foreign_key


class Mood(enum.Enum):
    """How an animal feels."""

    calm = 1
    alert = 2


class Lab(cdb.Pipeline):
    """A pipeline for these tests."""


class Rig(cdb.Lookup, Lab):
    """A "place" to record, upstairs or down."""

    rig: Key[str] = mapped_column(sa.String(8))
    floor: Mapped[int] = mapped_column(default=1)


class Subject(cdb.Manual, Lab):
    """An animal."""

    subject_id: Key[str] = mapped_column(sa.String(16), comment="as on the 'cage'")
    mother: Mapped[Subject | None] = foreign_key(rename={"subject_id": "mother_id"})


class Session(cdb.Imported, Lab):
    """One session."""

    subject: Key[Subject]
    rig: Key[Rig]
    partner: Mapped[Subject | None] = foreign_key(rename={"subject_id": "partner_id"}, unique=True)
    count: Mapped[int]
    weight: Mapped[float | None]
    good: Mapped[bool]
    day: Mapped[dt.date]
    start: Mapped[dt.datetime | None]
    moment: Mapped[UtcDateTime | None]
    clock: Mapped[dt.time]
    length: Mapped[dt.timedelta]
    code: Mapped[UUID]
    price: Mapped[Decimal] = mapped_column(sa.Numeric(10, 2))
    mood: Mapped[Mood]
    side: Mapped[Literal["left", "right"]]
    step: Mapped[Literal[1, 2]]
    params: Mapped[dict]
    raw: Mapped[bytes]
    text: Mapped[str] = mapped_column(sa.Text())
    trace: Mapped[np.ndarray | None]

    class Trial(cdb.Part):
        """One trial."""

        trial: Key[int]
        rig_used: Mapped[Rig | None] = foreign_key(rename={"rig": "used"})

    def make(self, key):
        self.insert1(key)


class Summary(cdb.Computed, Lab):
    """A diamond: both links bring the subject."""

    session: Key[Session]
    trial: Mapped[Session.Trial]

    def make(self, key):
        self.insert1(key)


def shape(table: sa.Table) -> Any:
    """Return what a table is, apart from its class."""
    columns = [
        (c.name, repr(c.type), c.nullable, c.primary_key, c.comment, c.default and c.default.arg) for c in table.columns
    ]
    links = sorted((e.parent.name, e.pairs, e.primary, e.nullable, e.unique) for e in dag.parents(table))
    return table.name, table.comment, columns, links


def test_what_is_told_declares_the_same_tables_again(monkeypatch):
    module = types.ModuleType("again")
    monkeypatch.setitem(sys.modules, "again", module)
    known = module.__dict__
    known.update(cdb=cdb, sa=sa, np=np, Key=Key, Mapped=Mapped, Literal=Literal, Decimal=Decimal, UUID=UUID, Mood=Mood)
    known.update(UtcDateTime=UtcDateTime, mapped_column=mapped_column, foreign_key=foreign_key)
    known.update({name: getattr(dt, name) for name in ("date", "datetime", "time", "timedelta")})
    again = known["Lab"] = type("Lab", (cdb.Pipeline,), {"__module__": "again"})
    for table in (Rig, Subject, Session, Summary):
        text = table.describe()
        exec(f"from __future__ import annotations\n{text}\n", known)  # what a user would paste
        assert known[table.__name__].describe() == text
    assert again.metadata.tables.keys() == Lab.metadata.tables.keys()
    for name, table in Lab.metadata.tables.items():
        assert shape(again.metadata.tables[name]) == shape(table)


@pytest.mark.parametrize(
    "line",
    [
        "class Session(cdb.Imported, Lab):",
        "    '''One session.'''".replace("'''", '"""'),
        "    subject: Key[Subject]",
        "    rig: Key[Rig]",
        "    partner: Mapped[Subject | None] = foreign_key(rename={'subject_id': 'partner_id'}, unique=True)",
        "    weight: Mapped[float | None]",
        "    side: Mapped[Literal['left', 'right']]",
        "    price: Mapped[Decimal] = mapped_column(sa.Numeric(precision=10, scale=2))",
        "    class Trial(cdb.Part):",
        "        trial: Key[int]",
    ],
)
def test_a_declaration_reads_as_it_was_written(line):
    assert line in Session.describe().splitlines()


def test_a_part_is_told_alone():
    assert Session.Trial.describe().splitlines()[0] == "class Trial(cdb.Part):"
    assert "session" not in Session.Trial.describe()
