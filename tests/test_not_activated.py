"""A table that was declared after `activate()`, or a pipeline that is only connected: every verb says what is missing."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped


@pytest.fixture
def lab(url):
    class Lab(cdb.Pipeline):
        """Nothing of it is in the database."""

    class Image(cdb.Manual, Lab):
        image_id: Key[int]
        name: Mapped[str | None]

    class Detection(cdb.Computed, Lab):
        image: Key[Image]
        n: Mapped[int]

        def make(self, key):
            self.n = 1

    Lab.Image, Lab.Detection = Image, Detection
    Lab.connect(url)
    return Lab


VERBS = {
    "count": lambda lab: len(lab.Image),
    "ask": lambda lab: bool(lab.Image & {"image_id": 1}),
    "dicts": lambda lab: (lab.Image & {"image_id": 1}).to_dicts(),
    "one": lambda lab: (lab.Image & {"image_id": 1}).fetch1(),
    "arrays": lambda lab: lab.Image.to_arrays("name"),
    "rows": lambda lab: lab.Image.rows(),
    "insert": lambda lab: lab.Image.insert1({"image_id": 1}),
    "insert many": lambda lab: lab.Image.insert({"image_id": i} for i in range(500)),
    "update": lambda lab: lab.Image.update1({"image_id": 1, "name": "x"}),
    "delete": lambda lab: lab.Image.delete(prompt=False),
    "preview of delete": lambda lab: lab.Image.delete(dry_run=True),
    "populate": lambda lab: lab.Detection.populate(),
    "progress": lambda lab: lab.Detection.progress(display=False),
}


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_table_that_is_not_there_is_told_with_what_makes_it(lab, verb):
    with pytest.raises(cdb.SchemaDrift, match=r"there is no table '\w+' in .*; .*Lab\.activate\(\)"):
        verb(lab)
    lab.activate()
    lab.Image.insert1({"image_id": 7})
    assert lab.Detection.populate()["success_count"] == 1


def test_a_make_that_reads_a_table_which_is_not_there(url):
    class Lab(cdb.Pipeline):
        """The settings were declared too late."""

    class Image(cdb.Manual, Lab):
        image_id: Key[int]

    class Detection(cdb.Computed, Lab):
        image: Key[Image]
        n: Mapped[int]

        def make(self, key):
            self.n = len(Setting())

    Lab.activate(url)

    class Setting(cdb.Manual, Lab):
        setting: Key[int]

    Image.insert1({"image_id": 1})
    found = Detection.populate(suppress_errors=True)
    assert found["error_list"][0][1].startswith("SchemaDrift: Setting: there is no table 'setting'")
    Lab.activate()
    assert Detection.populate()["success_count"] == 1


def test_a_table_of_nobody_is_told_by_the_database(lab):
    with lab.session() as session, pytest.raises(sa.exc.DBAPIError, match="nobodys_table"):
        session.execute(sa.text("SELECT * FROM nobodys_table"))
