"""Declaring (design 2): from classes to tables, before any database is asked."""

import datetime
import enum
import uuid
from decimal import Decimal
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

import compdb as cdb
from compdb import Key, Mapped, mapped_column


@pytest.fixture
def lab():
    class Lab(cdb.Pipeline):
        """A pipeline."""

    return Lab


@pytest.fixture
def Subject(lab):
    class Subject(cdb.Manual, lab):
        """A mouse."""

        subject_id: Key[str]
        species: Mapped[str]

    return Subject


@pytest.fixture
def Session(lab, Subject):
    class Session(cdb.Manual, lab):
        """One day of one mouse."""

        subject: Key[Subject]
        session_idx: Key[int]
        session_date: Mapped[datetime.date]

    return Session


def columns(table):
    return [c.name for c in table.__table__.columns]


def key(table):
    return [c.name for c in table.__table__.primary_key.columns]


def links(table):
    """Return {(column, ...): (parent table, (parent column, ...))}."""
    return {
        tuple(e.parent.name for e in c.elements): (c.referred_table.name, tuple(e.column.name for e in c.elements))
        for c in table.__table__.foreign_key_constraints
    }


# --- names and comments ---


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Image", "image"),
        ("BlobParamSet", "blob_param_set"),
        ("LFPBand", "lfp_band"),
        ("EEG", "eeg"),
        ("Roi2D", "roi2d"),
    ],
)
def test_a_class_name_becomes_a_snake_case_table_name(lab, name, expected):
    table = type(cdb.Manual)(
        name, (cdb.Manual, lab), {"__annotations__": {"image_id": Key[int]}, "__module__": __name__}
    )
    assert table.__table__.name == expected


def test_a_part_is_named_after_its_master_and_shares_its_key(lab, Session):
    class Recording(cdb.Manual, lab):
        session: Key[Session]

        class RawFile(cdb.Part):
            """One file."""

            file_id: Key[int]
            path: Mapped[str]

    assert Recording.RawFile.__table__.name == "recording__raw_file"
    assert key(Recording.RawFile) == ["subject_id", "session_idx", "file_id"]
    assert links(Recording.RawFile) == {("subject_id", "session_idx"): ("recording", ("subject_id", "session_idx"))}


def test_the_tier_is_in_info_and_at_the_head_of_the_comment(lab, Session):
    class Param(cdb.Lookup, lab):
        """A setting."""

        param_id: Key[int]

    class Trace(cdb.Imported, lab):
        """What the file held."""

        session: Key[Session]

    class Detection(cdb.Computed, lab):
        """Blobs found in one image.

        A second paragraph is for readers of the code.
        """

        session: Key[Session]

        class Blob(cdb.Part):
            """One blob."""

            blob_id: Key[int]

    tables = [Param, Session, Trace, Detection, Detection.Blob]
    assert [t.__table__.info["tier"] for t in tables] == ["lookup", "manual", "imported", "computed", "part"]
    assert [t.__table__.comment for t in tables] == [
        "lookup: A setting.",
        "manual: One day of one mouse.",
        "imported: What the file held.",
        "computed: Blobs found in one image.",
        "part: One blob.",
    ]


def test_a_column_keeps_its_comment(lab):
    class Image(cdb.Manual, lab):
        image_id: Key[int] = mapped_column(comment="counted from 1")
        depth: Mapped[float] = mapped_column(comment="in micrometres")

    assert Image.__table__.c.image_id.comment == "counted from 1"
    assert Image.__table__.c.depth.comment == "in micrometres"


# --- keys, attributes, order ---


def test_key_and_mapped_say_what_is_key_and_what_may_be_null(lab):
    class Image(cdb.Manual, lab):
        image_id: Key[int]
        name: Mapped[str]
        note: Mapped[str | None]

    table = Image.__table__
    assert key(Image) == ["image_id"]
    assert [c.nullable for c in table.columns] == [False, False, True]
    assert table.c.image_id.autoincrement is False


def test_the_heading_is_declaration_order_key_first_with_a_links_columns_at_its_place(lab, Session):
    class Video(cdb.Manual, lab):
        camera: Mapped[str]
        session: Key[Session]
        fps: Mapped[float]
        video_id: Key[int]

    assert columns(Video) == ["subject_id", "session_idx", "video_id", "camera", "fps"]
    assert list(Video.heading.names) == columns(Video)
    assert tuple(Video.primary_key) == ("subject_id", "session_idx", "video_id")


def test_every_python_type_of_the_design_becomes_a_column(lab):
    class Mood(enum.Enum):
        calm = "calm"
        wild = "wild"

    class Everything(cdb.Manual, lab):
        an_id: Key[int]
        a_str: Mapped[str]
        a_float: Mapped[float]
        a_bool: Mapped[bool]
        a_date: Mapped[datetime.date]
        a_datetime: Mapped[datetime.datetime]
        a_time: Mapped[datetime.time]
        a_delta: Mapped[datetime.timedelta]
        a_decimal: Mapped[Decimal] = mapped_column(sa.Numeric(6, 3))
        an_enum: Mapped[Mood]
        a_literal: Mapped[Literal["left", "right"]]
        a_uuid: Mapped[uuid.UUID]
        some_bytes: Mapped[bytes]
        a_dict: Mapped[dict]
        a_list: Mapped[list]
        an_array: Mapped[np.ndarray]
        a_typed_array: Mapped[npt.NDArray[np.float32]]
        maybe_array: Mapped[npt.NDArray[np.float64] | None]
        a_blob: Mapped[object] = mapped_column(cdb.Blob())
        an_aware: Mapped[datetime.datetime] = mapped_column(cdb.UtcDateTime())

    assert len(columns(Everything)) == 20
    assert Everything.__table__.c.maybe_array.nullable


def test_mixins_carry_keys_and_attributes(lab):
    class Stamped:
        made_by: Mapped[str]
        made_at: Mapped[datetime.datetime | None]

    class Numbered:
        number: Key[int]

    class Image(Numbered, Stamped, cdb.Manual, lab):
        name: Mapped[str]

    class Video(Numbered, cdb.Manual, lab):
        name: Mapped[str]

    assert key(Image) == key(Video) == ["number"]
    assert set(columns(Image)) == {"number", "made_by", "made_at", "name"}


def test_a_mixin_may_carry_a_link(lab, Session):
    class OfSession:
        session: Key[Session]

    class Video(OfSession, cdb.Manual, lab):
        fps: Mapped[float]

    class Audio(OfSession, cdb.Manual, lab):
        rate: Mapped[float]

    assert key(Video) == key(Audio) == ["subject_id", "session_idx"]
    assert links(Video) == links(Audio) == {("subject_id", "session_idx"): ("session", ("subject_id", "session_idx"))}


def test_table_args_hold_indexes_and_checks(lab):
    class Image(cdb.Manual, lab):
        __table_args__ = (sa.Index("by_name", "name"), sa.CheckConstraint("depth > 0", name="positive"))
        image_id: Key[int]
        name: Mapped[str]
        depth: Mapped[float]

    assert [i.name for i in Image.__table__.indexes] == ["by_name"]
    assert any("depth > 0" in str(c.sqltext) for c in Image.__table__.constraints if isinstance(c, sa.CheckConstraint))


# --- beside plain SQLAlchemy ---


def test_plain_sqlalchemy_models_with_a_tier_mixin_are_tables_of_the_pipeline(lab):
    class Subject(cdb.Manual, lab):
        __tablename__ = "subjects"
        subject_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)

    class Scan(cdb.Manual, lab):
        subject_id: Mapped[int] = mapped_column(sa.ForeignKey("subjects.subject_id"), primary_key=True)
        scan_id: Mapped[int] = mapped_column(primary_key=True)
        depth: Mapped[float]

    class Result(cdb.Computed, lab):
        __table_args__ = (sa.ForeignKeyConstraint(["subject_id", "scan_id"], ["scan.subject_id", "scan.scan_id"]),)
        subject_id: Mapped[int] = mapped_column(primary_key=True)
        scan_id: Mapped[int] = mapped_column(primary_key=True)
        score: Mapped[float]

    assert key(Result) == ["subject_id", "scan_id"]
    assert Subject.__table__.name == "subjects"
    assert tuple(Result.primary_key) == ("subject_id", "scan_id")


def test_a_link_may_refer_to_a_mapped_class_of_another_declarative_base():
    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        user_id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str]

    class Lab(cdb.Pipeline, metadata=Base.metadata):
        """Shares an application's MetaData."""

    class Order(cdb.Manual, Lab):
        order_id: Key[int]
        user: Mapped[User]

    assert Lab.metadata is Base.metadata
    assert links(Order) == {("user_id",): ("users", ("user_id",))}


def test_an_annotation_with_an_explicit_relationship_is_sqlalchemys_own(lab, Subject):
    class Session(cdb.Manual, lab):
        subject_id: Key[str] = mapped_column(sa.ForeignKey("subject.subject_id"))
        session_idx: Key[int]
        mouse: Mapped[Subject] = sa.orm.relationship()

    assert columns(Session) == ["subject_id", "session_idx"]
    assert len(Session.__table__.foreign_key_constraints) == 1


# --- settings and free names ---


def test_names_that_are_verbs_of_a_pipeline_are_free_for_tables(lab):
    class Session(cdb.Manual, lab):
        session_id: Key[int]
        transaction: Mapped[str]
        progress_note: Mapped[str]

    class Trial(cdb.Manual, lab):
        session: Key[Session]
        diagram: Mapped[str]
        check: Mapped[str]

    assert columns(Trial) == ["session_id", "diagram", "check"]


def test_schema_stands_on_the_tables_of_the_pipeline():
    class Lab(cdb.Pipeline, schema="lab"):
        """In a schema of its own."""

    class Image(cdb.Manual, Lab):
        image_id: Key[int]

    class Note(cdb.Manual, Lab):
        image: Key[Image]

    assert Image.__table__.schema == Note.__table__.schema == "lab"
    (constraint,) = Note.__table__.foreign_key_constraints
    assert constraint.referred_table is Image.__table__


def test_rows_per_key_many_may_add_a_native_key(lab, Session):
    class Neuron(cdb.Imported, lab, rows_per_key="many"):
        session: Key[Session]
        neuron: Key[int]

    assert key(Neuron) == ["subject_id", "session_idx", "neuron"]


def test_declaring_needs_no_database_and_repr_asks_none(Session):
    assert "session" in repr(Session).lower()
    assert "Session" in repr(Session & {"session_idx": 1})
    assert repr(Session(subject_id="M001", session_idx=1))


def test_a_pipelines_metadata_and_registry_are_its_own():
    class One(cdb.Pipeline):
        """One."""

    class Two(cdb.Pipeline):
        """Two."""

    class ImageOne(cdb.Manual, One):
        __tablename__ = "image"
        image_id: Key[int]

    class ImageTwo(cdb.Manual, Two):
        __tablename__ = "image"
        image_id: Key[int]

    assert One.metadata is not Two.metadata
    assert ImageOne.__table__ is One.metadata.tables["image"]
    assert ImageTwo.__table__ is Two.metadata.tables["image"]
