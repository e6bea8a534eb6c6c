"""Every mistake in a declaration is a DeclarationError at class creation, and says the line to write (design 2)."""

import contextlib

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped, foreign_key, mapped_column


@pytest.fixture
def lab():
    class Lab(cdb.Pipeline):
        """A pipeline."""

    return Lab


@pytest.fixture
def Subject(lab):
    class Subject(cdb.Manual, lab):
        subject_id: Key[int]
        name: Mapped[str]

    return Subject


@contextlib.contextmanager
def declaration_error(lab, rule, *words):
    """Expect a DeclarationError that tells the `rule` and says all `words`, and no table left behind in the pipeline."""
    before = set(lab.metadata.tables) if lab is not None else None
    with pytest.raises(cdb.DeclarationError) as caught:
        yield caught
    missing = [word for word in (rule, *words) if word not in str(caught.value)]
    assert not missing, f"{missing} not in: {caught.value}"
    if lab is not None:
        assert set(lab.metadata.tables) == before


# --- tier and pipeline ---


def test_a_class_without_a_pipeline():
    with declaration_error(None, "no pipeline", "class Image(cdb.Manual, "):

        class Image(cdb.Manual):
            image_id: Key[int]


def test_a_class_without_a_tier(lab):
    with declaration_error(lab, "has no tier", "class Image(cdb.", ", Lab)", "Manual", "Computed"):

        class Image(lab):
            image_id: Key[int]


def test_a_part_outside_its_master(lab):
    with declaration_error(lab, "declare it inside its master", "class Blob(cdb.Part):"):

        class Blob(cdb.Part, lab):
            blob_id: Key[int]


def test_a_part_within_a_part(lab):
    with declaration_error(lab, "a part has no parts", "declare Pixel inside Image", "Key[Blob]"):

        class Image(cdb.Manual, lab):
            image_id: Key[int]

            class Blob(cdb.Part):
                blob_id: Key[int]

                class Pixel(cdb.Part):
                    pixel_id: Key[int]


def test_a_table_of_two_tiers(lab):
    with declaration_error(lab, "has the tiers Manual and Lookup"):

        class Image(cdb.Manual, cdb.Lookup, lab):
            image_id: Key[int]


def test_a_mapped_table_cannot_be_subclassed(Subject):
    with declaration_error(Subject, "Subject cannot be subclassed", "mixin", "Key[Subject]"):

        class Mouse(Subject):
            weight: Mapped[float]


def test_an_unknown_class_keyword(lab):
    with declaration_error(lab, "no class keyword rows_per_ky", "there are: rows_per_key"):

        class Image(cdb.Manual, lab, rows_per_ky="many"):
            image_id: Key[int]


def test_an_unknown_setting_of_a_pipeline():
    with pytest.raises(cdb.DeclarationError, match="comit_interval"):

        class Lab(cdb.Pipeline, comit_interval=1):
            """A typo in a setting."""


# --- names ---


@pytest.mark.parametrize("name", ["insert", "populate", "proj", "heading", "to_dicts", "delete"])
def test_an_attribute_named_like_a_verb(lab, name):
    with declaration_error(lab, f"{name!r} is a verb of every table", "update1", "restrict"):
        type(cdb.Manual)(
            "Image",
            (cdb.Manual, lab),
            {"__module__": __name__, "__annotations__": {"image_id": Key[int], name: Mapped[int]}},
        )


def test_a_link_named_like_a_verb(lab, Subject):
    with declaration_error(lab, "'parents' is a verb of every table"):

        class Session(cdb.Manual, lab):
            parents: Key[Subject]


def test_a_class_name_that_no_database_keeps(lab):
    with declaration_error(lab, "the table name of", "has 71 bytes", "keep 63"):
        type(cdb.Manual)(
            "A" + "b" * 70, (cdb.Manual, lab), {"__module__": __name__, "__annotations__": {"image_id": Key[int]}}
        )


def test_a_part_name_too_long_together_with_its_master(lab):
    with declaration_error(lab, "indeed__a_part", "has 91 bytes", "keep 63"):

        class AMasterWithAQuiteLongNameIndeed(cdb.Manual, lab):
            image_id: Key[int]

            class APartWithAnEvenLongerNameThanItsMasterHas(cdb.Part):
                part_id: Key[int]


def test_a_computed_name_too_long_for_its_jobs_table(lab, Subject):
    name = "A" + "b" * 59  # 60 letters: a table name that is fine, were it not for __jobs
    with declaration_error(lab, "the jobs table of", "__jobs", "has 66 bytes"):
        type(cdb.Computed)(
            name, (cdb.Computed, lab), {"__module__": __name__, "__annotations__": {"subject": Key[Subject]}}
        )


def test_a_column_name_that_no_database_keeps(lab):
    with declaration_error(lab, "the column name", "has 64 bytes", "keep 63"):
        type(cdb.Manual)("Image", (cdb.Manual, lab), {"__module__": __name__, "__annotations__": {"i" * 64: Key[int]}})


@pytest.mark.parametrize("name", ["größe", "trial-1", "1st"])
def test_a_column_name_that_is_no_plain_word(lab, name):
    with declaration_error(lab, f"the column name {name!r} is not a plain name", "letters, digits and _ only"):
        type(cdb.Manual)(
            "Image",
            (cdb.Manual, lab),
            {"__module__": __name__, "__annotations__": {"image_id": Key[int], name: Mapped[int]}},
        )


def test_two_classes_of_one_table_name(lab):
    class LFPBand(cdb.Manual, lab):
        band: Key[int]

    with declaration_error(lab, "would both be table 'lfp_band'", "LfpBand and LFPBand"):

        class LfpBand(cdb.Manual, lab):
            band: Key[int]


# --- types ---


def test_a_type_that_is_no_column(lab):
    with declaration_error(lab, "no column type for set", "friends: Mapped[set] = mapped_column("):

        class Image(cdb.Manual, lab):
            image_id: Key[int]
            friends: Mapped[set]


def test_a_key_that_may_be_null(lab):
    with declaration_error(lab, "Image.image_id: a key attribute cannot be NULL"):

        class Image(cdb.Manual, lab):
            image_id: Key[int | None]


def test_a_key_link_that_may_be_null(lab, Subject):
    with declaration_error(lab, "Session.subject: a key attribute cannot be NULL"):

        class Session(cdb.Manual, lab):
            subject: Key[Subject | None]
            session_idx: Key[int]


def test_a_blob_in_the_key(lab):
    with declaration_error(lab, "Image.pixels: a Blob cannot be part of a primary key"):

        class Image(cdb.Manual, lab):
            pixels: Key[bytes] = mapped_column(cdb.Blob())


def test_a_plain_annotation_is_told_how_to_be_a_column(lab):
    with declaration_error(lab, "Image.name: str makes no attribute", "name: Mapped[str]"):

        class Image(cdb.Manual, lab):
            image_id: Key[int]
            name: str


def test_a_table_without_a_key(lab):
    with declaration_error(lab, "Image has no primary key", "image_id: Key[int]"):

        class Image(cdb.Manual, lab):
            name: Mapped[str]


def test_a_key_of_more_than_16_columns(lab):
    with declaration_error(lab, "17 columns", "an index holds 16 columns"):
        annotations = {f"k{i}": Key[int] for i in range(17)}
        type(cdb.Manual)("Image", (cdb.Manual, lab), {"__module__": __name__, "__annotations__": annotations})


def test_a_key_of_more_than_3072_bytes(lab):
    with declaration_error(lab, "4,080 bytes", "an index holds 16 columns and 3,072 bytes"):

        class Image(cdb.Manual, lab):
            a: Key[str]
            b: Key[str]
            c: Key[str]
            d: Key[str]


def test_three_long_strings_fit_into_a_key(lab):
    class Image(cdb.Manual, lab):
        a: Key[str]
        b: Key[str]
        c: Key[str]

    assert len(Image.__table__.primary_key.columns) == 3


# --- links ---


def test_an_unknown_parent(lab, Subject):
    with declaration_error(lab, "'Subjct', which is no table of this pipeline", "did you mean 'Subject'?"):

        class Session(cdb.Manual, lab):
            subject: Key["Subjct"]  # noqa: F821


def test_a_table_of_its_own_key(lab):
    with declaration_error(lab, "Node.parent refers to its own table"):

        class Node(cdb.Manual, lab):
            node_id: Key[int]
            parent: Key["Node"]


def test_a_self_reference_without_rename_shows_the_rename(lab):
    with declaration_error(lab, "foreign_key(rename={'node_id': 'parent_node_id'})"):

        class Node(cdb.Manual, lab):
            node_id: Key[int]
            parent: Mapped["Node | None"]


def test_a_cycle_of_tables(lab):
    class Egg(cdb.Manual, lab):
        egg_id: Key[int]
        hen_id: Mapped[int] = mapped_column(sa.ForeignKey("hen.hen_id", use_alter=True))

    with declaration_error(lab, "in a circle", "Hen -> Egg -> Hen"):

        class Hen(cdb.Manual, lab):
            hen_id: Key[int]
            egg: Mapped[Egg]


def test_namesakes_of_different_origin_show_the_rename(lab, Subject):
    class Camera(cdb.Lookup, lab):
        subject_id: Key[int]

    with declaration_error(
        lab,
        "already has 'subject_id' of Subject",
        "camera: ... = foreign_key(rename={'subject_id': 'camera_subject_id'})",
    ):

        class Video(cdb.Manual, lab):
            subject: Key[Subject]
            camera: Key[Camera]


def test_a_rename_of_what_the_parent_lacks(lab, Subject):
    with declaration_error(
        lab, "rename of 'subjct_id', which is no key attribute of Subject", "did you mean 'subject_id'?"
    ):

        class Session(cdb.Manual, lab):
            subject: Key[Subject] = foreign_key(rename={"subjct_id": "mouse_id"})


def test_a_foreign_key_on_something_that_is_no_table(lab):
    with declaration_error(lab, "int is no table of a pipeline", "Session.session_idx"):

        class Session(cdb.Manual, lab):
            session_idx: Key[int] = foreign_key(rename={"a": "b"})


def test_a_link_to_the_pipeline_itself(lab):
    with declaration_error(lab, "Session.lab: no column type for lab"):

        class Session(cdb.Manual, lab):
            session_idx: Key[int]
            lab: Mapped[lab]


def test_a_native_attribute_of_another_type_than_the_link_brings(lab, Subject):
    with declaration_error(lab, "brings 'subject_id' as BigInteger()", "declares it as String(length=255)"):

        class Session(cdb.Manual, lab):
            subject_id: Key[str]
            subject: Key[Subject]


# --- what is computed ---


@pytest.mark.parametrize("tier", ["Imported", "Computed"])
def test_a_native_key_in_an_auto_populated_table_names_the_two_ways_out(lab, Subject, tier):
    """DataJoint documents the rule and does not enforce it."""
    with declaration_error(
        lab, "must come from foreign keys alone, and neuron does not", "(cdb.Part)", 'rows_per_key="many"'
    ):

        class Neuron(getattr(cdb, tier), lab):
            subject: Key[Subject]
            neuron: Key[int]


def test_a_computed_table_without_any_parent(lab):
    with declaration_error(lab, "Orphan has no primary key"):

        class Orphan(cdb.Computed, lab):
            n: Mapped[int]


def test_rows_per_key_is_one_or_many(lab, Subject):
    with declaration_error(lab, 'rows_per_key is "one" or "many", not', "'lots'"):

        class Neuron(cdb.Imported, lab, rows_per_key="lots"):
            subject: Key[Subject]
            neuron: Key[int]


def test_rows_per_key_on_a_table_that_is_not_populated(lab):
    with declaration_error(lab, "no class keyword rows_per_key", "Imported and Computed only"):

        class Image(cdb.Manual, lab, rows_per_key="many"):
            image_id: Key[int]


# --- the pipeline stays usable ---


def test_after_a_mistake_the_corrected_class_is_declared(lab, Subject):
    for _ in range(2):
        with pytest.raises(cdb.DeclarationError):

            class Session(cdb.Manual, lab):
                subject: Key["Subjct"]  # noqa: F821

    class Session(cdb.Manual, lab):
        subject: Key[Subject]
        session_idx: Key[int]

    assert [c.name for c in Session.__table__.columns] == ["subject_id", "session_idx"]


@pytest.mark.parametrize(
    "setting",
    [
        {"commit_interval": "fast"},
        {"commit_interval": -0.1},
        {"lease": 0},
        {"lease": float("inf")},
        {"keep_completed": "yes"},
        {"schema": 3},
        {"schema": ""},
        {"metadata": "Base"},
    ],
    ids=str,
)
def test_a_setting_of_a_pipeline_that_makes_no_sense(setting):
    (name, value) = next(iter(setting.items()))
    with pytest.raises(cdb.DeclarationError, match=rf"Odd: {name} is .*, not {value!r}"):

        class Odd(cdb.Pipeline, **setting): ...
