"""Declaring a class again replaces it; children follow by name; what cannot work is told (design 2)."""

import pytest

import compdb as cdb
from compdb import Key, Mapped


@pytest.fixture
def lab():
    class Lab(cdb.Pipeline):
        """A pipeline."""

    return Lab


def declare_image(lab, version=1):
    """Declare Image as a notebook cell does: the same place, each time it runs."""
    if version == "lost":

        class Image(cdb.Manual, lab):
            number: Key[int]
    elif version == "retyped":

        class Image(cdb.Manual, lab):
            image_id: Key[str]
            name: Mapped[str]
    elif version == "wider":

        class Image(cdb.Manual, lab):
            image_id: Key[int]
            name: Mapped[str]
            note: Mapped[str | None]
    else:

        class Image(cdb.Manual, lab):
            image_id: Key[int]
            name: Mapped[str]

    return Image


def declare_image_elsewhere(lab):
    class Image(cdb.Manual, lab):
        image_id: Key[int]

    return Image


def declare_size(lab, Image, factor=1):
    class Size(cdb.Computed, lab):
        image: Key[Image]
        size: Mapped[int]

        def make(self, key):
            self.insert1({**key, "size": factor * len((Image & key).fetch1("name"))})

    return Size


def columns(table):
    return [c.name for c in table.__table__.columns]


def test_a_class_declared_again_replaces_the_first(lab):
    first = declare_image(lab)
    second = declare_image(lab, "wider")
    assert first is not second
    assert lab.metadata.tables["image"] is second.__table__
    assert columns(second) == ["image_id", "name", "note"]


def test_children_follow_the_new_class(lab, sqlite_url):
    image = declare_image(lab)
    size = declare_size(lab, image)
    again = declare_image(lab, "wider")
    (constraint,) = size.__table__.foreign_key_constraints
    assert constraint.referred_table is again.__table__

    lab.activate(sqlite_url)
    again.insert1({"image_id": 1, "name": "moon"})
    assert size.populate()["success_count"] == 1
    assert (size & {"image_id": 1}).row1().image.name == "moon"


def test_an_edited_make_is_the_one_that_runs(lab, sqlite_url):
    image = declare_image(lab)
    lab_size = declare_size(lab, image)
    lab.activate(sqlite_url)
    image.insert([{"image_id": 1, "name": "moon"}, {"image_id": 2, "name": "star"}])
    lab_size.populate({"image_id": 1})
    edited = declare_size(lab, image, factor=10)
    edited.populate()
    assert edited.to_arrays("size", order_by="KEY").tolist() == [4, 40]


def test_a_part_declared_again_with_its_master(lab, sqlite_url):
    def declare():
        class Shot(cdb.Manual, lab):
            shot_id: Key[int]

            class Frame(cdb.Part):
                frame: Key[int]

        return Shot

    declare()
    shot = declare()
    lab.activate(sqlite_url)
    shot.insert1({"shot_id": 1})
    shot.Frame.insert1({"shot_id": 1, "frame": 1})
    assert len(shot.Frame) == 1
    assert set(lab.metadata.tables) >= {"shot", "shot__frame"}


@pytest.mark.parametrize("version", ["lost", "retyped"])
def test_a_column_that_a_child_refers_to_cannot_go(lab, version):
    image = declare_image(lab)
    declare_size(lab, image)
    with pytest.raises(cdb.DeclarationError, match=r"(?s)image_id.*Size"):
        declare_image(lab, version)
    again = declare_image(lab, version)  # as the error says: the cells of Image and Size, in this order
    assert lab.metadata.tables["image"] is again.__table__


def test_after_a_column_was_retyped_the_cells_named_run_again(lab):
    declare_size(lab, declare_image(lab))
    with pytest.raises(cdb.DeclarationError, match=r"Image, Size again, in this order"):
        declare_image(lab, "retyped")
    size = declare_size(lab, declare_image(lab, "retyped"))
    assert size.__table__.c.image_id.type.python_type is str


def test_the_same_name_from_another_place_is_an_error(lab):
    image = declare_image(lab)
    with pytest.raises(cdb.DeclarationError, match="Image"):
        declare_image_elsewhere(lab)
    assert lab.metadata.tables["image"] is image.__table__


def test_the_same_name_in_another_pipeline_is_another_table(lab):
    class Other(cdb.Pipeline):
        """Another."""

    assert declare_image(lab).__table__ is not declare_image_elsewhere(Other).__table__


def test_a_table_declared_after_activate_comes_into_being_at_the_next(lab, url):
    image = declare_image(lab)
    lab.activate(url)
    image.insert1({"image_id": 1, "name": "moon"})
    size = declare_size(lab, image)
    lab.activate()
    size.populate()
    assert size.to_dicts() == [{"image_id": 1, "size": 4}]


def test_a_column_added_after_activate_is_drift_that_names_the_column(lab, url):
    image = declare_image(lab)
    lab.activate(url)
    image.insert1({"image_id": 1, "name": "moon"})
    declare_image(lab, "wider")
    with pytest.raises(cdb.SchemaDrift, match=r"(?s)Image.*note|image.*note"):
        lab.activate()
