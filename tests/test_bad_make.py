"""Mistakes in a make and in populate: told with table and key, and nothing of that key is kept (design 6)."""

import contextlib
import re

import numpy as np
import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped


@pytest.fixture
def lab(url):
    class Lab(cdb.Pipeline):
        """Images and what is in them."""

    class Image(cdb.Manual, Lab):
        image_id: Key[int]

    class Detection(cdb.Computed, Lab):
        image: Key[Image]
        nblobs: Mapped[int]

        def make(self, key):
            self.insert1({**key, "nblobs": 2})

    Lab.Image, Lab.Detection = Image, Detection
    Lab.activate(url)
    Image.insert([{"image_id": 1}, {"image_id": 2}])
    return Lab


def computed(lab, make):
    """Declare one more computed table, whose make is `make`, and bring it into being."""

    class Result(cdb.Computed, lab):
        image: Key[lab.Image]
        n: Mapped[int]

        class Detail(cdb.Part):
            detail_id: Key[int]

    Result.make = make
    lab.activate()
    return Result


def test_an_empty_make_is_an_error_and_is_not_done(lab):
    """DataJoint counts it as a success and makes it again at every populate."""
    result = computed(lab, lambda self, key: None)
    with pytest.raises(cdb.EmptyMake, match=r"(?s)Result.*image_id"):
        result.populate()
    report = result.populate(suppress_errors=True)
    assert report["success_count"] == 0
    assert [key for key, _ in report["error_list"]] == [{"image_id": 1}, {"image_id": 2}]
    assert result.progress(display=False) == (2, 2)


def test_a_make_that_inserts_only_parts_has_its_row_inserted_if_it_can(lab):
    result = computed(lab, lambda self, key: self.Detail.insert1({**key, "detail_id": 1}))
    with pytest.raises(cdb.CompdbError, match="n"):
        result.populate()
    assert len(result) == len(result.Detail) == 0


def test_a_make_of_another_key_is_an_error_and_rolled_back(lab):
    def make(self, key):
        self.insert1({"image_id": 3 - key["image_id"], "n": 1})

    result = computed(lab, make)
    with pytest.raises(cdb.WrongKey) as caught:
        result.populate()
    assert "'image_id': 1" in str(caught.value)
    assert "'image_id': 2" in str(caught.value)
    assert len(result) == 0


def test_a_part_of_another_key_is_an_error_and_rolled_back(lab):
    def make(self, key):
        self.insert1({**key, "n": 1})
        self.Detail.insert1({"image_id": 3 - key["image_id"], "detail_id": 1})

    result = computed(lab, make)
    with pytest.raises(cdb.CompdbError):
        result.populate({"image_id": 1})
    assert len(result) == len(result.Detail) == 0


def test_a_bad_row_in_make_leaves_nothing_of_its_key_and_all_of_the_others(lab):
    def make(self, key):
        self.insert1({**key, "n": 1})
        self.Detail.insert({**key, "detail_id": i} for i in (1, 2, 2 if key["image_id"] == 1 else 3))

    result = computed(lab, make)
    report = result.populate(suppress_errors=True)
    assert report["success_count"] == 1
    ((key, message),) = report["error_list"]
    assert key == {"image_id": 1}
    assert message.startswith("DuplicateKey: ")
    assert result.keys() == [{"image_id": 2}]
    assert len(result.Detail) == 3


def test_an_error_in_make_keeps_finished_keys_and_is_raised_as_it_is(lab):
    def make(self, key):
        self.insert1({**key, "n": 1})
        if key["image_id"] == 2:
            raise ZeroDivisionError("mine")

    result = computed(lab, make)
    with pytest.raises(ZeroDivisionError, match="mine"):
        result.populate()
    assert result.keys() == [{"image_id": 1}]


def test_filling_self_and_insert1_in_one_make_is_an_error(lab):
    def make(self, key):
        self.n = 1
        self.insert1({**key, "n": 2})

    result = computed(lab, make)
    with pytest.raises(cdb.MakeError):
        result.populate()
    assert len(result) == 0


def test_make_cannot_change_the_key_that_populate_holds(lab):
    def make(self, key):
        row = {**key, "n": 1}
        key.clear()
        self.insert1(row)

    result = computed(lab, make)
    assert result.populate()["success_count"] == 2


def test_populate_inside_a_transaction_or_a_make_is_an_error(lab):
    with pytest.raises(cdb.PopulateError, match="transaction"), lab.transaction():
        lab.Detection.populate()

    def make(self, key):
        lab.Detection.populate()
        self.insert1({**key, "n": 1})

    result = computed(lab, make)
    with pytest.raises(cdb.PopulateError):
        result.populate()
    assert len(result) == len(lab.Detection) == 0


def test_a_computed_table_without_make_says_what_to_write(lab):
    class Silent(cdb.Computed, lab):
        image: Key[lab.Image]
        n: Mapped[int]

    lab.activate()
    with pytest.raises(cdb.CompdbError, match=r"def make\(self, key\)"):
        Silent.populate()


@pytest.mark.parametrize(
    "settings",
    [
        {"order": "backwards"},
        {"limit": "three"},
        {"limit": -1},
        {"max_calls": 1.5},
        {"processes": 0},
        {"processes": "many"},
        {"make_kwargs": 5},
        {"priority": "x", "reserve_jobs": True},
    ],
    ids=str,
)
def test_bad_settings_of_populate_are_told_before_anything_runs(lab, settings):
    with pytest.raises((cdb.CompdbError, ValueError, TypeError)):
        lab.Detection.populate(**settings)
    assert len(lab.Detection) == 0


def test_the_guard_is_not_open_for_another_table_within_make(lab):
    def make(self, key):
        self.insert1({**key, "n": 1})
        lab.Detection.insert1({**key, "nblobs": 1})

    result = computed(lab, make)
    with pytest.raises(cdb.CompdbError, match="Detection"):
        result.populate()
    assert len(result) == len(lab.Detection) == 0


def test_a_misspelt_attribute_of_self_is_told(lab):
    def make(self, key):
        self.nblob = 3

    lab.Detection.make = make
    with pytest.raises(cdb.UnknownAttribute, match=r"(?s)no attribute 'nblob' in Detection; did you mean 'nblobs'.*image_id"):
        lab.Detection.populate()
    assert len(lab.Detection) == 0

    def make_with_a_note(self, key):
        self.model, self.nblob_model = object(), object()  # what make keeps for itself
        self.nblobs = 4

    lab.Detection.make = make_with_a_note
    assert lab.Detection.populate()["success_count"] == 2


def test_settings_may_be_numbers_of_numpy(lab):
    assert lab.Detection.populate(limit=np.int64(2), max_calls=np.int8(1))["success_count"] == 1
    assert lab.Detection.populate(priority=np.int64(9), reserve_jobs=True)["success_count"] == 1


@pytest.mark.parametrize("restriction", [{"image_di": 1}, [{"image_id": 1}, {"image_di": 2}]], ids=str)
def test_a_typo_in_a_restriction_of_populate_names_the_table(lab, restriction):
    with pytest.raises(cdb.UnknownAttribute, match=r"'image_di' in the key source of Detection; did you mean 'image_id'"):
        lab.Detection.populate(restriction)


@pytest.mark.parametrize("tables", [["Detection"], "Detection", [5]], ids=str)
def test_tables_to_populate_that_are_no_tables(lab, tables):
    with pytest.raises(cdb.PopulateError, match="tables is a list of table classes"):
        lab.populate(tables=tables)


def test_one_table_to_populate_needs_no_list(lab):
    assert lab.populate(tables=lab.Detection)["success_count"] == 2


def test_a_make_that_would_have_to_be_driven_is_told_and_nothing_is_kept(lab):
    class Yields(cdb.Computed, lab):
        image: Key[lab.Image]
        n: Mapped[int]

        def make(self, key):
            found = yield ((lab.Image & key).fetch1(),)
            self.insert1({**key, "n": len(found)})

    class Awaits(cdb.Computed, lab):
        image: Key[lab.Image]
        n: Mapped[int]

        async def make(self, key):
            self.insert1({**key, "n": 1})

    lab.activate()
    with pytest.raises(cdb.MakeError, match=r"make of Yields has a `yield`, .* make_fetch, make_compute and make_insert"):
        Yields.populate()
    with pytest.raises(cdb.MakeError, match=r"make of Awaits is declared with `async def`, so nothing of it ran"):
        Awaits.populate()
    assert len(Yields) == len(Awaits) == 0


def test_a_make_that_swallows_a_failed_read_of_its_transaction_is_told_what_to_do(lab, url):
    """On PostgreSQL the read has broken the transaction; elsewhere it breaks nothing, and the make goes on."""

    class Log(cdb.Manual, lab):
        image_id: Key[int]

    def make(self, key):
        Log.insert1(key)
        if key["image_id"] == 1:
            with contextlib.suppress(sa.exc.DBAPIError):
                lab.session().execute(sa.text("SELECT nothing FROM image"))
        self.insert1({**key, "n": len(lab.Image & key)})

    Result = computed(lab, make)
    Result.allow_writes_to = (Log,)
    told = Result.populate(suppress_errors=True, return_exception_objects=True)
    if not url.startswith("postgresql"):
        assert told == {"success_count": 2, "error_list": []}
        return
    assert told["success_count"] == 1
    ((key, error),) = told["error_list"]
    assert key == {"image_id": 1}
    assert isinstance(error, cdb.MakeError)
    assert re.search(r"make of Result goes on for \{'image_id': 1\} after a statement that failed.*with Lab.transaction\(\):", str(error))
    assert isinstance(error.__cause__, sa.exc.DBAPIError)
    assert Log.keys() == Result.keys() == [{"image_id": 2}]


def test_a_read_that_fails_in_a_block_of_its_own_breaks_nothing_else(lab):
    class Log(cdb.Manual, lab):
        image_id: Key[int]

    def make(self, key):
        Log.insert1(key)
        with contextlib.suppress(sa.exc.DBAPIError), lab.transaction() as session:
            session.execute(sa.text("SELECT nothing FROM image"))
        self.insert1({**key, "n": len(lab.Image & key)})

    Result = computed(lab, make)
    Result.allow_writes_to = (Log,)
    assert Result.populate() == {"success_count": 2, "error_list": []}
    assert Log.keys() == Result.keys() == [{"image_id": 1}, {"image_id": 2}]
