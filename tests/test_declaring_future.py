"""Declaring with `from __future__ import annotations`: strings resolved in the pipeline, the module, the enclosing tables."""

from __future__ import annotations

import datetime
from typing import Literal

import numpy as np
import pytest
import sqlalchemy as sa

import compdb
import compdb as cdb
from compdb import Key, Mapped, foreign_key, mapped_column


class Zoo(cdb.Pipeline):
    """Declared at module level."""


class Animal(cdb.Manual, Zoo):
    animal_id: Key[int]
    name: Mapped[str]
    mother: Mapped[Animal | None] = foreign_key(rename={"animal_id": "mother_id"})


class Visit(cdb.Manual, Zoo):
    animal: Key[Animal]
    day: Key[datetime.date]
    mood: Mapped[Literal["calm", "wild"]]
    picture: Mapped[np.ndarray | None]

    class Note(cdb.Part):
        note_id: Key[int]
        text: Mapped[str] = mapped_column(sa.Text)


class Echo(compdb.Computed, Zoo):
    """Refers to a part, and names the package in full."""

    note: compdb.Key[Visit.Note]
    length: compdb.Mapped[int]

    class Word(compdb.Part):
        word: compdb.Key[int]
        animal: compdb.Mapped[Animal]


def key(table):
    return [c.name for c in table.__table__.primary_key.columns]


def test_module_level_classes():
    assert key(Visit) == ["animal_id", "day"]
    assert key(Visit.Note) == ["animal_id", "day", "note_id"]
    assert key(Echo) == ["animal_id", "day", "note_id"]
    assert key(Echo.Word) == ["animal_id", "day", "note_id", "word"]
    assert Visit.__table__.c.picture.nullable
    assert Animal.__table__.c.mother_id.nullable


def test_classes_in_a_function_find_each_other_through_the_pipeline():
    class Lab(cdb.Pipeline):
        """Local."""

    class Image(cdb.Manual, Lab):
        image_id: Key[int]
        pixels: Mapped[np.ndarray]

    class Detection(cdb.Computed, Lab):
        image: Key[Image]
        n: Mapped[int]

        class Blob(cdb.Part):
            blob_id: Key[int]
            other: Mapped[Image | None] = foreign_key(rename={"image_id": "other_image"})

    class Pick(cdb.Manual, Lab):
        blob: Key[Detection.Blob]

    assert key(Detection) == ["image_id"]
    assert key(Pick) == ["image_id", "blob_id"]
    assert {c.referred_table.name for c in Detection.Blob.__table__.foreign_key_constraints} == {"detection", "image"}


def test_a_class_of_the_pipeline_comes_before_one_of_the_module():
    class Lab(cdb.Pipeline):
        """Has an Animal too."""

    class Animal(cdb.Manual, Lab):
        tag: Key[str]

    class Sighting(cdb.Manual, Lab):
        animal: Key[Animal]
        day: Key[datetime.date]

    assert key(Sighting) == ["tag", "day"]


def test_frames_are_not_searched():
    Local = int

    class Lab(cdb.Pipeline):
        """Local."""

    with pytest.raises(cdb.DeclarationError, match="Local"):

        class Image(cdb.Manual, Lab):
            image_id: Key[Local]

    assert Local is int


def test_an_unknown_name_in_an_annotation_is_a_declaration_error():
    class Lab(cdb.Pipeline):
        """Local."""

    class Subject(cdb.Manual, Lab):
        subject_id: Key[int]

    with pytest.raises(cdb.DeclarationError, match=r"(?s)Subjct.*Subject"):

        class Session(cdb.Manual, Lab):
            subject: Key[Subjct]  # noqa: F821
