"""Changing one row: what is refused before anything is sent, what the database refuses, and who is told."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from compdb import dag, types
from compdb.database import Database, bind, connect
from compdb.errors import (
    CompdbWarning,
    ConstraintError,
    InvalidValue,
    MissingAttribute,
    MissingParent,
    NotOneRow,
    UnknownAttribute,
)
from compdb.update import update1


def table(metadata: sa.MetaData, name: str, *items: Any, tier: str = "manual") -> sa.Table:
    return sa.Table(name, metadata, *items, info={"tier": tier, "label": name.title()})


class Lab:
    """rig <- session (secondary); session <- summary (computed) <- figure (computed); session <- note (manual)."""

    def __init__(self, database: Database) -> None:
        m = sa.MetaData()
        self.database = database
        self.rig = table(m, "rig", sa.Column("rig", sa.Integer, primary_key=True, autoincrement=False))
        self.session = table(
            m,
            "session",
            sa.Column("session", sa.Integer, primary_key=True, autoincrement=False),
            sa.Column("rig", sa.ForeignKey("rig.rig")),
            sa.Column("quality", types.portable(sa.Integer())),
            sa.Column("name", types.portable(sa.String(16)), nullable=False, unique=True),
            sa.Column("extra", types.portable(sa.JSON())),
            sa.Column("data", types.Blob()),
            sa.CheckConstraint("quality < 10", name="quality_is_small"),
        )
        link = {"type_": sa.Integer, "primary_key": True, "autoincrement": False}
        table(m, "summary", sa.Column("session", sa.ForeignKey("session.session"), **link), tier="computed")
        table(m, "figure", sa.Column("session", sa.ForeignKey("summary.session"), **link), tier="computed")
        table(m, "note", sa.Column("session", sa.ForeignKey("session.session"), **link))
        self.metadata = m
        dag.register(m)
        bind(m, database)
        for engine in (database.engine, database.reader):
            engine.dispose()
        with database.transaction() as session:
            m.create_all(session.connection())
            session.execute(self.rig.insert(), [{"rig": 1}, {"rig": 2}])
            session.execute(
                self.session.insert(), [{"session": i, "rig": 1, "quality": i, "name": f"s{i}"} for i in (1, 2)]
            )

    def update(self, **row: Any) -> None:
        update1(self.database, self.session, row)

    def row(self, number: int = 1) -> dict[str, Any]:
        with self.database.reading() as connection:
            return dict(
                connection.execute(sa.select(self.session).where(self.session.c.session == number)).one()._mapping
            )


@pytest.fixture
def lab(url: str) -> Lab:
    return Lab(connect(url))


def test_update1_changes_the_attributes_given_of_the_row_with_that_key(lab: Lab) -> None:
    other = lab.row(2)
    lab.update(session=1, quality=7, rig=2)
    assert lab.row() | {"quality": 7, "rig": 2} == lab.row()
    assert lab.row()["quality"] == 7
    assert lab.row()["name"] == "s1"
    assert lab.row(2) == other


def test_none_sets_null(lab: Lab) -> None:
    lab.update(session=1, extra={"a": [1]})
    assert lab.row()["extra"] == {"a": [1]}
    lab.update(session=1, quality=None, rig=None, extra=None)
    assert [lab.row()[n] for n in ("quality", "rig", "extra")] == [None] * 3
    with lab.database.reading() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM session WHERE extra IS NULL")) == 2


def test_values_are_converted_as_an_insert_does(lab: Lab) -> None:
    lab.update(session=np.int64(1), quality=np.int32(3), data={"trace": np.arange(4.0)})
    assert lab.row()["quality"] == 3
    assert lab.row()["data"]["trace"].tolist() == [0, 1, 2, 3]


def test_the_same_value_again_is_one_row_changed(lab: Lab) -> None:
    lab.update(session=1, quality=1)
    assert lab.row()["quality"] == 1


def test_a_name_that_is_no_attribute(lab: Lab) -> None:
    with pytest.raises(UnknownAttribute, match="no attribute 'qualty' in Session; did you mean 'quality'") as caught:
        lab.update(session=1, qualty=3)
    assert caught.value.known[0] == "session"
    assert lab.row()["quality"] == 1


@pytest.mark.parametrize("row", [{"quality": 3}, {"session": None, "quality": 3}])
def test_the_key_must_be_given(lab: Lab, row: dict[str, Any]) -> None:
    with pytest.raises(MissingAttribute, match="the row for Session has no value for 'session'"):
        lab.update(**row)


def test_something_must_change(lab: Lab) -> None:
    with pytest.raises(InvalidValue, match="at least one attribute beside the key"):
        lab.update(session=1)


def test_a_row_that_is_not_there(lab: Lab) -> None:
    with pytest.raises(NotOneRow, match=r"found none in Session & \{'session': 99\}") as caught:
        lab.update(session=99, quality=3)
    assert caught.value.count == 0


def test_a_value_that_the_attribute_cannot_take(lab: Lab) -> None:
    with pytest.raises(InvalidValue, match=r"Session\.quality") as caught:
        lab.update(session=1, quality="three")
    assert (caught.value.attribute, caught.value.key) == ("quality", {"session": 1})
    with pytest.raises(InvalidValue, match=r"Session\.name"):
        lab.update(session=1, name=None)


def test_a_parent_that_is_not_there(lab: Lab) -> None:
    with pytest.raises(MissingParent, match=r"Session needs a row of Rig that is not there: \{'rig': 77\}") as caught:
        lab.update(session=1, rig=77)
    assert isinstance(caught.value.__cause__, sa.exc.IntegrityError)
    assert lab.row()["rig"] == 1


def test_what_other_constraints_refuse(lab: Lab) -> None:
    with pytest.raises(ConstraintError, match=r"another row has these values already: {'name': 's2'}"):
        lab.update(session=1, name="s2")
    with pytest.raises(ConstraintError, match="quality_is_small"):
        lab.update(session=1, quality=12)
    assert lab.row()["name"] == "s1"


def test_a_failed_update_spares_the_transaction_around_it(lab: Lab) -> None:
    with lab.database.transaction():
        lab.update(session=1, quality=5)
        with pytest.raises(MissingParent):
            lab.update(session=1, rig=77)
        lab.update(session=2, quality=6)
    assert (lab.row(1)["quality"], lab.row(2)["quality"]) == (5, 6)


def test_mapped_objects_notice_the_change(lab: Lab) -> None:
    registry = sa.orm.registry()

    class Session:
        quality: int

    registry.map_imperatively(Session, lab.session)
    with lab.database.transaction() as session:
        mapped = session.get(Session, 1)
        assert mapped is not None
        assert mapped.quality == 1
        lab.update(session=1, quality=8)
        assert mapped.quality == 8
    registry.dispose()


def test_a_warning_names_the_computed_rows_that_rest_on_the_changed_one(lab: Lab) -> None:
    with lab.database.transaction() as session:
        for name in ("summary", "figure", "note"):
            session.execute(lab.metadata.tables[name].insert(), [{"session": 1}])
    with pytest.warns(CompdbWarning) as caught:
        lab.update(session=1, quality=4)
    said = str(caught[0].message)
    assert "Session {'session': 1}" in said
    assert "1 row of Summary, 1 row of Figure" in said
    assert "Note" not in said
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lab.update(session=2, quality=4)
