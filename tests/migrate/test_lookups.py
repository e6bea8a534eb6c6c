"""Rows of lookups that refer to each other, or whose key changes, follow their contents there and back on every database."""

import datetime
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped, foreign_key, mapped_column, migrate
from compdb.database import Database
from tests.migrate.conftest import picture, pipeline

Declare = Callable[[Any, bool], None]


def rows_that_go_with_those_that_refer_to_them(lab: Any, new: bool) -> None:
    class Rig(cdb.Lookup, lab):
        rig: Key[int]
        contents = [(1,), (3,)] if new else [(1,), (2,)]

    class Camera(cdb.Lookup, lab):
        camera: Key[int]
        rig: Mapped[Rig]
        contents = [(1, 1), (3, 3)] if new else [(1, 1), (2, 2)]


def rows_that_go_when_nobody_refers_to_them_any_more(lab: Any, new: bool) -> None:
    class Rig(cdb.Lookup, lab):
        rig: Key[int]
        contents = [(1,), (3,)] if new else [(1,), (2,)]

    class Camera(cdb.Lookup, lab):
        camera: Key[int]
        rig: Mapped[Rig]
        contents = [(1, 1), (2, 3)] if new else [(1, 1), (2, 2)]


def rows_that_go_with_a_table(lab: Any, new: bool) -> None:
    class Rig(cdb.Lookup, lab):
        rig: Key[int]
        contents = [(1,)] if new else [(1,), (2,)]

    if not new:

        class Camera(cdb.Lookup, lab):
            camera: Key[int]
            rig: Mapped[Rig]
            contents = [(1, 1), (2, 2)]


def rows_of_a_tree(lab: Any, new: bool) -> None:
    class Area(cdb.Lookup, lab):
        area: Key[int]
        within: Mapped["Area | None"] = foreign_key(rename={"area": "within"})
        contents = [(1, None), (8, None), (7, 8), (6, 7)] if new else [(1, None), (5, 1), (4, 5)]


def a_unique_value_that_is_given_to_another_row(lab: Any, new: bool) -> None:
    class Rig(cdb.Lookup, lab):
        rig: Key[int]
        name: Mapped[str] = mapped_column(unique=True)
        contents = [(3, "a"), (2, "b")] if new else [(1, "a"), (2, "b")]


def a_choice_that_is_added_and_taken(lab: Any, new: bool) -> None:
    class Rig(cdb.Lookup, lab):
        rig: Key[int]
        side: Mapped[Literal["l", "r", "u"] if new else Literal["l", "r"]]
        contents = [(1, "u"), (2, "r")] if new else [(1, "l"), (2, "r")]


def a_link_that_is_added(lab: Any, new: bool) -> None:
    class Rig(cdb.Lookup, lab):
        rig: Key[int]
        contents = [(1,), (2,)]

    class Camera(cdb.Lookup, lab):
        camera: Key[int]
        if new:
            rig: Mapped[Rig]
        contents = [(1, 1), (2, 2)] if new else [(1,), (2,)]


def a_key_that_grows_row_by_row(lab: Any, new: bool) -> None:
    class Rig(cdb.Lookup, lab):
        rig: Key[int]
        if new:
            version: Key[int]
        contents = [(1, 1), (2, 1), (3, 1)] if new else [(1,), (2,)]

    class Score(cdb.Computed, lab):
        rig: Key[Rig]
        score: Mapped[float]


def a_key_that_grows_so_that_one_row_becomes_two(lab: Any, new: bool) -> None:
    class Rig(cdb.Lookup, lab):
        rig: Key[int]
        if new:
            version: Key[int]
        contents = [(1, 1), (1, 2), (2, 1)] if new else [(1,), (2,)]

    class Score(cdb.Computed, lab):
        rig: Key[Rig]
        score: Mapped[float]


def a_key_of_another_type(lab: Any, new: bool) -> None:
    class Rig(cdb.Lookup, lab):
        rig: Key[str if new else int]
        contents = [("1",), ("2",)] if new else [(1,), (2,)]

    class Session(cdb.Manual, lab):
        session: Key[int]
        rig: Mapped[Rig]


def rows_of(lab: Any) -> dict[str, Any]:
    return {c.__name__: c.to_dicts(order_by="KEY") for c in lab.__catalog__ if c.__tier__ == "lookup"}


DECLARED: list[Declare] = [
    rows_that_go_with_those_that_refer_to_them,
    rows_that_go_when_nobody_refers_to_them_any_more,
    rows_that_go_with_a_table,
    rows_of_a_tree,
    a_unique_value_that_is_given_to_another_row,
    a_choice_that_is_added_and_taken,
    a_link_that_is_added,
    a_key_that_grows_row_by_row,
    a_key_that_grows_so_that_one_row_becomes_two,
    a_key_of_another_type,
]


@pytest.mark.parametrize("declare", DECLARED, ids=lambda f: f.__name__)
def test_rows_follow_their_contents_there_and_back(declare: Declare, database: Database, folder: Path) -> None:
    old, new = pipeline(declare, False), pipeline(declare, True)
    for lab in (old, new):
        lab.connect(database.engine)

    def write(lab: Any) -> bool:
        return migrate.new([lab], database, folder, "a change", confirm_rename=lambda rename: False) is not None

    assert write(old)
    (first,) = migrate.up([old], database, folder)
    before, former = picture(database), rows_of(old)
    assert write(new)
    (there,) = migrate.up([new], database, folder)
    assert not write(new)
    assert migrate.check([new], database) == []
    after, changed = picture(database), rows_of(new)
    assert changed != former

    assert write(old)
    migrate.up([old], database, folder)
    assert not write(old)
    assert (picture(database), rows_of(old)) == (before, former)
    migrate.down([new], database, folder, there)
    assert (picture(database), rows_of(new)) == (after, changed)
    migrate.down([new], database, folder, first)
    assert (picture(database), rows_of(old)) == (before, former)


def test_attributes_that_contents_leave_out_get_their_defaults(database: Database, folder: Path) -> None:
    def declare(lab: Any, new: bool) -> None:
        class Rig(cdb.Lookup, lab):
            rig: Key[int]
            token: Mapped[uuid.UUID] = mapped_column(default=uuid.uuid4)
            room: Mapped[str | None]
            opened: Mapped[datetime.datetime] = mapped_column(server_default=sa.func.now())
            if new:
                floor: Mapped[int] = mapped_column(default=2)
            contents = [{"rig": 1}, {"rig": 2, "room": "cellar"}, {"rig": 3}][: 3 if new else 2]

    old, new = pipeline(declare, False), pipeline(declare, True)
    migrate.new([old], database, folder, "first")
    old.activate(database.engine, migrations=folder)
    (rig,) = old.__catalog__
    (one, two) = rig.to_dicts(order_by="KEY")
    assert (one["room"], two["room"]) == (None, "cellar")
    assert one["token"] != two["token"]
    assert old.check() == []
    assert migrate.new([old], database, folder, "nothing") is None
    path = migrate.new([new], database, folder, "a third")
    assert path is not None
    path.write_text(path.read_text().replace("'floor', None)", "'floor', 2)"))
    new.activate(database.engine, migrations=folder)
    (rig,) = new.__catalog__
    rows = rig.to_dicts(order_by="KEY")
    assert [row["token"] for row in rows[:2]] == [one["token"], two["token"]]
    assert [row["floor"] for row in rows] == [2, 2, 2]
    assert new.check() == []
    migrate.down([new], database, folder, migrate.history(folder)[0].id)
    (rig,) = old.__catalog__
    assert rig.to_dicts(order_by="KEY") == [one, two]


def test_rows_that_refer_to_a_row_of_another_type_keep_it(database: Database, folder: Path) -> None:
    old, new = pipeline(a_key_of_another_type, False), pipeline(a_key_of_another_type, True)
    migrate.new([old], database, folder, "first")
    old.activate(database.engine, migrations=folder)
    session = next(c for c in old.__catalog__ if c.__name__ == "Session")
    session.insert1({"session": 7, "rig": 2})
    migrate.new([new], database, folder, "text")
    new.activate(database.engine, migrations=folder)
    assert next(c for c in new.__catalog__ if c.__name__ == "Session").to_dicts() == [{"session": 7, "rig": "2"}]
    migrate.down([new], database, folder, migrate.history(folder)[0].id)
    assert session.to_dicts() == [{"session": 7, "rig": 2}]
