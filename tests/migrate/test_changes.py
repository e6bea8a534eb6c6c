"""Every change of a pipeline is found, made, and taken back, on every database; and then there is nothing more to find."""

import datetime
import enum
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped, foreign_key, mapped_column, migrate
from compdb.database import Database
from tests.migrate.conftest import picture, pipeline


@dataclass(frozen=True)
class Change:
    """A pipeline before and after, and what there is to be found.

    Attributes
    ----------
    name : str
    declare : callable
        Declares the tables in a pipeline: those of before, or with True those of after.
    found : str
        Kinds of the differences, in the order of the alphabet, each once.
    found_back : str
        The same on the way back.
    written : str
        What must stand in the revision.
    rename : bool
        What the user answers when asked for a rename.
    filled : mapping of str to str
        By column: what a user writes for rows that are there.
    """

    name: str
    declare: Callable[[Any, bool], None]
    found: str
    found_back: str
    written: str
    rename: bool
    filled: Mapping[str, str]


CHANGES: list[Change] = []


def change(
    name: str, found: str, written: str, /, *, back: str | None = None, rename: bool = False, **filled: str
) -> Callable[[Any], Any]:
    def register(declare: Callable[[Any, bool], None]) -> Callable[[Any, bool], None]:
        CHANGES.append(Change(name, declare, found, found if back is None else back, written, rename, filled))
        return declare

    return register


# ---------------------------------------------------------------- tables


@change("table added", "table", "op.create_table('rig'", back="")
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]

    if new:

        class Rig(cdb.Manual, lab):
            """Where mice run."""

            rig: Key[str]
            room: Mapped[str | None] = mapped_column(comment="in the cellar")
            subject: Mapped[Subject | None]


@change("part added", "table", "op.create_table('session__trial'")
def _(lab, new):
    class Session(cdb.Manual, lab):
        session_id: Key[int]
        if new:

            class Trial(cdb.Part):
                trial_id: Key[int]


@change("computed table and jobs table added", "table", "op.create_table('summary__jobs'", back="")
def _(lab, new):
    class Session(cdb.Manual, lab):
        session_id: Key[int]

    class Speed(cdb.Computed, lab):
        session: Key[Session]
        speed: Mapped[float]

    if new:

        class Summary(cdb.Computed, lab):
            session: Key[Session]
            n: Mapped[int]


# ---------------------------------------------------------------- columns


@change("column added", "column", "batch_op.add_column(sa.Column('weight'")
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]
        if new:
            weight: Mapped[float | None]
            name: Mapped[str] = mapped_column(server_default="nobody")


@change(
    "column added that must have a value", "check column", "op.fill('subject', 'weight'", weight="20.5", side="'left'"
)
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]
        if new:
            weight: Mapped[float]
            side: Mapped[Literal["left", "right"]]


@change("column nullable", "nullable", "nullable=True", name="'nobody'")
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]
        if new:
            name: Mapped[str | None] = mapped_column(comment="of the mouse")
        else:
            name: Mapped[str] = mapped_column(comment="of the mouse")


@change("type", "type", "type_=")
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]
        if new:
            cage: Mapped[str | None] = mapped_column(sa.String(30))
        else:
            cage: Mapped[int | None]


@change("types of another kind", "type", "postgresql_using=")
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]
        settings: Mapped[dict | None] if new else Mapped[str | None]
        tagged: Mapped[bool | None] if new else Mapped[int | None]
        tag: Mapped[uuid.UUID | None] if new else Mapped[str | None]
        born: Mapped[datetime.datetime | None] if new else Mapped[datetime.date | None]
        weight: Mapped[float | None] if new else Mapped[int | None]


@change("length made longer", "type", "type_=types.portable(sa.String(length=64))")
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[str] = mapped_column(sa.String(64 if new else 32))
        name: Mapped[str] = mapped_column(sa.String(64 if new else 32), server_default="nobody", comment="of the mouse")

    class Session(cdb.Manual, lab):
        subject: Key[Subject]
        session_id: Key[int]


@change("precision", "type", "sa.Numeric(precision=10, scale=3)")
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]
        weight: Mapped[Decimal] = mapped_column(sa.Numeric(10, 3) if new else sa.Numeric(8, 2))


class Mood(enum.Enum):
    happy = 1
    sad = 2


class MoreMoods(enum.Enum):
    happy = 1
    sad = 2
    indifferent = 3


@change("enum value added", "check type", "sa.column('mood').in_(['happy', 'sad', 'indifferent'])")
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]
        mood: Mapped[MoreMoods if new else Mood]


@change("choice added", "check", "sa.column('side').in_(['l', 'r', 'u'])")
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]
        side: Mapped[Literal["l", "r", "u"] if new else Literal["l", "r"]]


@change("server default added", "default", "server_default=")
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]
        age: Mapped[int | None] = mapped_column(server_default=sa.text("7") if new else None)


@change("server default", "default", "server_default=")
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]
        name: Mapped[str] = mapped_column(server_default="it's 50%" if new else "nobody")


# ---------------------------------------------------------------- keys and foreign keys


@change("key column added", "column key", "batch_op.create_primary_key(", day="1", recomputed="yes")
def _(lab, new):
    class Session(cdb.Manual, lab):
        session_id: Key[int]
        if new:
            day: Key[int]
        note: Mapped[str | None]


@change("key column of a parent added", "check column foreign key index key", "op.recompute(", day="1")
def _(lab, new):
    class Session(cdb.Manual, lab):
        session_id: Key[int]
        if new:
            day: Key[int]

        class Trial(cdb.Part):
            trial: Key[int]

    class Summary(cdb.Computed, lab):
        session: Key[Session]
        n: Mapped[int]

        class Piece(cdb.Part):
            piece: Key[int]

    class Choice(cdb.Manual, lab):
        choice_id: Key[int]
        best: Mapped[Session | None]


@change("foreign key added", "column foreign key index", "batch_op.create_foreign_key(", rig="'a'")
def _(lab, new):
    class Rig(cdb.Lookup, lab):
        rig: Key[str]
        contents = [("a",), ("b",)]

    class Session(cdb.Manual, lab):
        session_id: Key[int]
        if new:
            rig: Mapped[Rig]


@change("foreign key added to a computed table's key", "column foreign key index key", "op.recompute(")
def _(lab, new):
    class Session(cdb.Manual, lab):
        session_id: Key[int]

    class Method(cdb.Lookup, lab):
        method: Key[str] = mapped_column(sa.String(16))
        contents = [("fast",), ("slow",)]

    class Summary(cdb.Computed, lab):
        session: Key[Session]
        if new:
            method: Key[Method]
        n: Mapped[int]


@change("foreign key moved from secondary to key", "key", "create_primary_key")
def _(lab, new):
    class Rig(cdb.Manual, lab):
        rig_id: Key[int]

    class Session(cdb.Manual, lab):
        session_id: Key[int]
        if new:
            rig: Key[Rig]
        else:
            rig: Mapped[Rig]


@change("foreign key renamed", "column foreign key index", "new_column_name='mother_id'", rename=True)
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]

    class Litter(cdb.Manual, lab):
        litter_id: Key[int]
        mother: Mapped[Subject] = foreign_key(rename={"subject_id": "mother_id" if new else "dam_id"})


@change("column of a key renamed", "column foreign key index key", "new_column_name='mouse_id'", rename=True)
def _(lab, new):
    class Subject(cdb.Manual, lab):
        if new:
            mouse_id: Key[int] = mapped_column(comment="on the ear")
        else:
            subject_id: Key[int] = mapped_column(comment="on the ear")

    class Session(cdb.Manual, lab):
        subject: Key[Subject]
        session_id: Key[int]

    class Summary(cdb.Computed, lab):
        session: Key[Session]
        n: Mapped[int]


@change("column of a choice renamed", "check column index", "new_column_name='lick_side'", rename=True)
def _(lab, new):
    class Trial(cdb.Manual, lab):
        trial_id: Key[int]
        if new:
            lick_side: Mapped[Literal["l", "r"]] = mapped_column(index=True)
        else:
            side: Mapped[Literal["l", "r"]] = mapped_column(index=True)


# ---------------------------------------------------------------- uniques, indexes, checks


@change("unique added", "unique", "batch_op.create_unique_constraint(")
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]
        name: Mapped[str | None]
        cage: Mapped[int | None]
        __table_args__ = (sa.UniqueConstraint("name", "cage"),) if new else ()


@change("index added", "index", "create_index(")
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]
        name: Mapped[str | None]
        cage: Mapped[int | None] = mapped_column(index=new)
        __table_args__ = (sa.Index("by_name", "name", "cage", unique=True),) if new else ()


@change("check added", "check", "batch_op.create_check_constraint(")
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]
        weight: Mapped[float | None]
        __table_args__ = (sa.CheckConstraint("weight > 0 AND weight < 100", name="light"),) if new else ()


@change("check", "check", "batch_op.create_check_constraint(")
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]
        order: Mapped[int | None]
        __table_args__ = (sa.CheckConstraint(sa.column("order") > (7 if new else 8), name="late"),)


# ---------------------------------------------------------------- comments, tier


@change("table comment", "comment", "op.create_table_comment(")
def _(lab, new):
    class Subject(cdb.Manual, lab):
        __doc__ = "A mouse, or a rat's friend." if new else "A mouse."
        subject_id: Key[int]


@change("column comment", "comment", "comment='on the ear'")
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int] = mapped_column(comment="on the ear" if new else None)
        name: Mapped[str] = mapped_column(comment="given" if new else "as told")


@change("tier", "tier", "'lookup: A rig.'")
def _(lab, new):
    class Rig(cdb.Lookup if new else cdb.Manual, lab):
        """A rig."""

        rig_id: Key[int]


@change("tier made computed", "table tier", "op.create_table('session__jobs'")
def _(lab, new):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]

    class Session(cdb.Imported if new else cdb.Manual, lab):
        subject: Key[Subject]


# ---------------------------------------------------------------- lookups


@change("lookup row added", "lookup", "insert=[")
def _(lab, new):
    class Method(cdb.Lookup, lab):
        method: Key[str] = mapped_column(sa.String(16))
        threshold: Mapped[float]
        contents = [("fast", 0.5), ("slow", 0.9), ("exact", 1.0)] if new else [("fast", 0.5), ("slow", 0.9)]


@change("lookup row", "lookup", "update=[")
def _(lab, new):
    class Method(cdb.Lookup, lab):
        method: Key[str] = mapped_column(sa.String(16))
        weight: Mapped[Decimal] = mapped_column(sa.Numeric(5, 2))
        mood: Mapped[Mood]
        settings: Mapped[dict]
        contents = [
            {"method": "fast", "weight": "0.25", "mood": "sad", "settings": {"a": [1, None]}},
            {
                "method": "slow",
                "weight": "7.50" if new else "9.99",
                "mood": Mood.happy,
                "settings": {"a": 2 if new else 1},
            },
        ]


@change("column added to a lookup", "column", "op.change_rows(")
def _(lab, new):
    class Method(cdb.Lookup, lab):
        method: Key[str] = mapped_column(sa.String(16))
        if new:
            threshold: Mapped[float]
            contents = [("fast", 0.5), ("slow", 0.9)]
        else:
            contents = [("fast",), ("slow",)]


def fill_in(path: Path, filled: Mapping[str, str]) -> None:
    """Write what the user writes for rows that are there."""
    text = path.read_text()
    for column, value in filled.items():
        text = text.replace(f"'{column}', None)", f"'{column}', {value})")
    path.write_text(text)


def kinds(found: list[migrate.Difference]) -> str:
    return " ".join(sorted({d.kind for d in found}))


@pytest.mark.parametrize("change", CHANGES, ids=lambda c: c.name)
def test_a_change_is_found_made_and_taken_back(change: Change, database: Database, folder: Path) -> None:
    old, new = pipeline(change.declare, False), pipeline(change.declare, True)

    def write(lab: Any, message: str) -> Path | None:
        return migrate.new([lab], database, folder, message, confirm_rename=lambda rename: change.rename)

    assert write(old, "first") is not None
    (first,) = migrate.up([old], database, folder)
    assert write(old, "nothing") is None
    assert migrate.check([old], database) == []
    before = picture(database)

    assert kinds(migrate.check([new], database)) == change.found
    path = write(new, "there")
    assert path is not None
    assert change.written in path.read_text()
    fill_in(path, change.filled)
    (there,) = migrate.up([new], database, folder)
    assert write(new, "nothing") is None
    assert migrate.check([new], database) == []
    after = picture(database)

    assert kinds(migrate.check([old], database)) == change.found_back
    path = write(old, "back")
    assert path is not None
    fill_in(path, change.filled)
    assert len(migrate.up([old], database, folder)) == 1
    assert write(old, "nothing") is None
    assert picture(database) == before

    assert len(migrate.down([new], database, folder, there)) == 1
    assert picture(database) == after
    assert len(migrate.down([new], database, folder, first)) == 1
    assert picture(database) == before
