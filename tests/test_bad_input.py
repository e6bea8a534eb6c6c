"""Mistakes in the use of a pipeline: a clear error of our own that names what is wrong, and nothing half written."""

from decimal import Decimal

import numpy as np
import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped, mapped_column


def declare():
    class Lab(cdb.Pipeline):
        """Images and what is in them."""

    class Image(cdb.Manual, Lab):
        image_id: Key[int]
        image_name: Mapped[str] = mapped_column(sa.String(10))
        quality: Mapped[float | None]
        pixels: Mapped[np.ndarray | None]

    class Detection(cdb.Computed, Lab):
        image: Key[Image]
        nblobs: Mapped[int]

        class Blob(cdb.Part):
            blob_id: Key[int]
            x: Mapped[float]

        def make(self, key):
            self.insert1({**key, "nblobs": 2})
            self.Blob.insert({**key, "blob_id": i, "x": 0.5} for i in range(2))

    Lab.Image, Lab.Detection = Image, Detection
    return Lab


@pytest.fixture
def lab(url):
    lab = declare()
    lab.activate(url)
    lab.Image.insert([{"image_id": i, "image_name": f"image {i}"} for i in (1, 2)])
    return lab


# --- not connected, not reachable ---


@pytest.mark.parametrize(
    "use",
    [
        lambda lab: len(lab.Image),
        lambda lab: lab.Image.to_dicts(),
        lambda lab: lab.Image.insert1({"image_id": 1, "image_name": "a"}),
        lambda lab: (lab.Image & {"image_id": 1}).delete(prompt=False),
        lambda lab: lab.Detection.populate(),
        lambda lab: lab.transaction().__enter__(),
    ],
)
def test_an_unconnected_pipeline_says_how_to_connect(use, monkeypatch, tmp_path):
    monkeypatch.delenv("COMPDB_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(cdb.NotConnected, match=r"Lab\.activate\("):
        use(declare())


def test_activate_without_any_url_says_where_it_looked(monkeypatch, tmp_path):
    monkeypatch.delenv("COMPDB_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(cdb.NotConnected, match="COMPDB_URL"):
        declare().activate()


@pytest.mark.parametrize(
    "address",
    [
        "postgresql+psycopg://postgres@127.0.0.1:9/test",
        "mysql+pymysql://root@127.0.0.1:9/test",
        "sqlite:////nowhere/at/all/lab.db",
    ],
)
def test_an_unreachable_database_is_named_without_its_password(address):
    address, tried = address.replace("@", ":secret@"), []

    def note(*event):
        tried.append(event)

    sa.event.listen(sa.Engine, "do_connect", note)
    try:
        with pytest.raises(cdb.ConnectionFailed) as caught:
            declare().activate(address)
    finally:
        sa.event.remove(sa.Engine, "do_connect", note)
    assert len(tried) == 1  # it is not waited for
    assert "secret" not in str(caught.value)
    assert any(place in str(caught.value) for place in ("127.0.0.1", "/nowhere/at/all"))


@pytest.mark.parametrize("address", ["lab.db", "nosuchdb://localhost/x", "sqlite+nosuch:///lab.db", ""])
def test_something_that_is_no_url_is_told(address, monkeypatch, tmp_path):
    monkeypatch.delenv("COMPDB_URL", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(cdb.CompdbError):
        declare().activate(address)


# --- unknown names ---


@pytest.mark.parametrize(
    "ask",
    [
        lambda lab: len(lab.Image & {"image_di": 1}),
        lambda lab: len(lab.Image - {"image_di": 1}),
        lambda lab: len(lab.Image & [{"image_id": 1}, {"image_di": 2}]),
        lambda lab: (lab.Image & {"image_id": 1, "image_nam": "a"}).to_dicts(),
        lambda lab: lab.Image.proj("image_di").to_dicts(),
        lambda lab: lab.Image.proj(new="image_di").to_dicts(),
        lambda lab: lab.Image.to_arrays("image_di"),
        lambda lab: (lab.Image & {"image_id": 1}).fetch1("image_di"),
        lambda lab: lab.Image.to_dicts(order_by="image_di"),
        lambda lab: lab.Image.to_dicts(order_by="image_di DESC"),
        lambda lab: lab.Detection.populate({"image_di": 1}),
        lambda lab: {"image_di": 1} in lab.Image,
        lambda lab: len(lab.Detection.Blob & {"image_di": 1}),
    ],
)
def test_a_typo_in_a_name_is_an_unknown_attribute_with_the_nearest(lab, ask):
    with pytest.raises(cdb.UnknownAttribute, match=r"did you mean 'image_"):
        ask(lab)
    assert len(lab.Detection) == 0


def test_a_secondary_attribute_of_another_table_is_unknown_too(lab):
    with pytest.raises(cdb.UnknownAttribute, match="nblobs"):
        len(lab.Image & {"nblobs": 2})
    with pytest.raises(cdb.UnknownAttribute, match="quality"):
        len(lab.Detection & {"image_id": 1, "quality": 2.0})


def test_a_restriction_of_populate_on_a_secondary_attribute_shows_what_to_write(lab):
    with pytest.raises(cdb.UnknownAttribute, match=r"populate\(Image & "):
        lab.Detection.populate({"quality": 1.0})


def test_a_typo_on_a_class_or_row_is_told(lab):
    with pytest.raises(AttributeError):
        lab.Image.image_di
    with pytest.raises(AttributeError):
        lab.Image.insrt1({"image_id": 3})


@pytest.mark.parametrize("verb", ["populate", "progress", "jobs"])
def test_a_manual_table_says_why_it_cannot_be_populated(lab, verb):
    with pytest.raises((AttributeError, cdb.CompdbError), match="Computed"):
        getattr(lab.Image, verb)()


# --- insert ---


@pytest.mark.parametrize(
    ("row", "error", "words"),
    [
        ({"image_id": 3, "image_nmae": "c"}, cdb.UnknownAttribute, "image_name"),
        ({"image_id": 3}, cdb.MissingAttribute, "image_name"),
        ({"image_name": "c"}, cdb.MissingAttribute, "image_id"),
        ({"image_id": None, "image_name": "c"}, cdb.CompdbError, "image_id"),
        ({"image_id": 3, "image_name": None}, cdb.CompdbError, "image_name"),
        ({"image_id": 1, "image_name": "c"}, cdb.DuplicateKey, "image_id"),
        ({"image_id": "three", "image_name": "c"}, cdb.InvalidValue, "image_id"),
        ({"image_id": "3", "image_name": "c"}, cdb.InvalidValue, "image_id"),
        ({"image_id": 3.5, "image_name": "c"}, cdb.InvalidValue, "image_id"),
        ({"image_id": 2**63, "image_name": "c"}, cdb.InvalidValue, "image_id"),
        ({"image_id": 3, "image_name": "c" * 11}, cdb.InvalidValue, "image_name"),
        ({"image_id": 3, "image_name": 7}, cdb.InvalidValue, "image_name"),
        ({"image_id": 3, "image_name": "c", "quality": "good"}, cdb.InvalidValue, "quality"),
        ({"image_id": 3, "image_name": "c", "pixels": object()}, cdb.InvalidValue, "pixels"),
    ],
)
def test_a_bad_row_names_table_attribute_and_row_and_nothing_is_written(lab, row, error, words):
    good = {"image_id": 10, "image_name": "good"}
    with pytest.raises(error) as caught:
        lab.Image.insert([good, row])
    assert words in str(caught.value)
    assert "Image" in str(caught.value)
    assert lab.Image.to_arrays("image_id", order_by="KEY").tolist() == [1, 2]


@pytest.mark.parametrize("row", [None, 3, "image", object()])
def test_something_that_is_no_row_is_told(lab, row):
    with pytest.raises((cdb.CompdbError, TypeError)):
        lab.Image.insert1(row)
    assert len(lab.Image) == 2


def test_nan_in_a_required_float_is_an_error_and_null_where_allowed(lab):
    lab.Image.insert1({"image_id": 3, "image_name": "c", "quality": float("nan")})
    assert (lab.Image & {"image_id": 3}).fetch1("quality") is None
    with pytest.raises(cdb.InvalidValue, match="x"):
        lab.Detection.Blob.insert1({"image_id": 1, "blob_id": 1, "x": float("nan")}, allow_direct_insert=True)


def test_rows_doubled_within_one_insert_name_the_key(lab):
    with pytest.raises(cdb.DuplicateKey, match="7"):
        lab.Image.insert([{"image_id": 7, "image_name": "a"}, {"image_id": 7, "image_name": "b"}])
    assert len(lab.Image) == 2


def test_a_missing_parent_names_the_parent_and_the_key(lab):
    class Note(cdb.Manual, lab):
        image: Key[lab.Image]
        note_id: Key[int]

    lab.activate()
    with pytest.raises(cdb.MissingParent, match=r"(?s)Image.*'image_id': 99"):
        Note.insert([{"image_id": 1, "note_id": 1}, {"image_id": 99, "note_id": 1}])
    assert len(Note) == 0


def test_rows_for_a_computed_table_and_its_parts_are_refused_outside_make(lab):
    """DataJoint guards the master only."""
    row = {"image_id": 1, "nblobs": 3}
    part = {"image_id": 1, "blob_id": 0, "x": 0.0}
    with pytest.raises(cdb.DirectInsertError, match="allow_direct_insert=True"):
        lab.Detection.insert1(row)
    with pytest.raises(cdb.DirectInsertError, match=r"Detection\.Blob"):
        lab.Detection.Blob.insert1(part)
    with pytest.raises(cdb.DirectInsertError), lab.transaction() as session:
        session.add(lab.Detection(**row))
    assert len(lab.Detection) == 0
    lab.Detection.insert1(row, allow_direct_insert=True)
    lab.Detection.Blob.insert1(part, allow_direct_insert=True)
    assert len(lab.Detection.Blob) == 1


# --- update and delete ---


@pytest.mark.parametrize(
    "row",
    [
        {"image_id": 1},
        {"image_name": "b"},
        {"image_id": 9, "image_name": "b"},
        {"image_id": 1, "image_nmae": "b"},
        {"image_id": 1, "image_name": None},
    ],
)
def test_update1_needs_the_whole_key_of_a_row_and_something_to_change(lab, row):
    before = lab.Image.to_dicts(order_by="KEY")
    with pytest.raises(cdb.CompdbError):
        lab.Image.update1(row)
    assert lab.Image.to_dicts(order_by="KEY") == before


def test_delete_without_a_terminal_asks_for_prompt_false(lab):
    with pytest.raises(cdb.DeleteError, match="prompt=False"):
        lab.Image.delete()
    assert len(lab.Image) == 2


def test_fetch1_of_nothing_or_of_many_names_relation_and_count(lab):
    with pytest.raises(cdb.NotOneRow, match=r"(?s)2.*Image|Image.*2"):
        lab.Image.fetch1()
    with pytest.raises(cdb.NotOneRow, match="none"):
        (lab.Image & {"image_id": 99}).fetch1("image_name")


# --- DataJoint's old verbs ---


def test_datajoints_old_verbs_show_ours(lab):
    with pytest.raises((AttributeError, cdb.CompdbError), match="to_dicts"):
        lab.Image.fetch()
    with pytest.raises((TypeError, cdb.CompdbError), match=r"fetch1\("):
        (lab.Image & {"image_id": 1}).fetch1["image_name"]
    for table in (lab.Image, lab.Image()):
        with pytest.raises(cdb.CompdbError, match=r"write fetch1\('image_name'\)"):
            table.fetch1["image_name"]
    with pytest.raises((AttributeError, cdb.CompdbError), match=r"populate\("):
        (lab.Detection & {"image_id": 1}).populate()


# --- restrictions ---


@pytest.mark.parametrize("condition", [object(), 3.5, b"image_id = 1"])
def test_something_that_is_no_condition_is_told(lab, condition):
    with pytest.raises(cdb.CompdbError):
        len(lab.Image & condition)


def test_a_bare_column_or_a_compared_relation_asks_for_parentheses(lab):
    with pytest.raises(cdb.CompdbError, match="parenthes"):
        lab.Image & lab.Image.image_id > 1
    with pytest.raises(cdb.CompdbError, match="parenthes"):
        lab.Image & lab.Image.image_id


def test_broken_sql_in_a_string_names_the_relation(lab):
    with pytest.raises(cdb.CompdbError, match="Image"):
        len(lab.Image & "image_id >")
    with pytest.raises(cdb.CompdbError, match="image_di"):
        len(lab.Image & "image_di > 3")


def test_a_column_of_another_table_is_unknown_never_another_from(lab):
    with pytest.raises(cdb.UnknownAttribute, match="nblobs"):
        len(lab.Image & (lab.Detection.nblobs > 1))


def test_a_value_of_another_type_in_a_restriction_is_told(lab):
    with pytest.raises(cdb.CompdbError, match="image_id"):
        len(lab.Image & {"image_id": "one"})
    assert len(lab.Image & {"image_id": np.int64(1)}) == 1
    assert len(lab.Image & {"image_name": "c" * 500}) == 0
    with pytest.raises(cdb.CompdbError):
        len(lab.Image & {"image_id": Decimal("1.5")})


# --- lookups ---


def test_edited_lookup_contents_are_told_and_applied_on_request(url):
    """DataJoint keeps the old value without a word."""

    def declare_lookup(value):
        class Lab(cdb.Pipeline):
            """A pipeline."""

        class Param(cdb.Lookup, Lab):
            param_id: Key[int]
            threshold: Mapped[float]
            contents = [(1, value), (2, 0.5)]

        return Lab, Param

    lab, param = declare_lookup(0.1)
    lab.activate(url)
    lab, param = declare_lookup(0.2)
    with pytest.raises(cdb.LookupMismatch, match=r"(?s)Param.*0\.1.*0\.2|Param.*0\.2.*0\.1"):
        lab.activate(url)
    lab.activate(url, update_lookups=True)
    assert param.to_arrays("threshold", order_by="KEY").tolist() == [0.2, 0.5]


@pytest.mark.parametrize("contents", [[(1,)], [(1, 2, 3)], [{"param_id": 1, "treshold": 2}], [(1, "high")], 5])
def test_bad_lookup_contents_name_the_table_and_write_nothing(sqlite_url, contents):
    class Lab(cdb.Pipeline):
        """A pipeline."""

    class Param(cdb.Lookup, Lab):
        param_id: Key[int]
        threshold: Mapped[float]

    Param.contents = contents
    with pytest.raises(cdb.CompdbError, match="Param"):
        Lab.activate(sqlite_url)


def test_replace_updates_in_place_and_keeps_the_children(lab):
    """DataJoint deletes and inserts on MySQL, and sends broken SQL on PostgreSQL."""
    lab.Image.update1({"image_id": 1, "quality": 0.5})
    lab.Detection.populate()
    lab.Image.insert1({"image_id": 1, "image_name": "new"}, replace=True)
    assert (lab.Image & {"image_id": 1}).fetch1() == {
        "image_id": 1,
        "image_name": "new",
        "quality": None,
        "pixels": None,
    }
    assert len(lab.Detection & {"image_id": 1}) == 1


# --- values that may stand in one row only, and files ---


@pytest.fixture
def Cage(lab, url):
    class Cage(cdb.Manual, lab):
        cage: Key[int]
        place: Mapped[str | None]
        label: Mapped[int | None] = mapped_column(unique=True)
        __table_args__ = (sa.Index("ux_cage_place", "place", unique=True),)

    lab.activate()
    Cage.insert1((1, "left", 10))
    return Cage


@pytest.mark.parametrize("option", [{}, {"skip_duplicates": True}, {"replace": True}], ids=str)
@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(2, "left", 20)], r"Cage: another row has the same place, which is unique: {'place': 'left'} is in {'cage': 1}"),
        ([(3, None, 30), (2, None, 10)], r"Cage: another row has the same label.*{'label': 10} is in {'cage': 1}"),
        ([(2, "a", 20), (3, "b", 20)], r"Cage: two of these rows have the same label, which is unique: {'label': 20}"),
    ],
    ids=["index", "constraint", "within"],
)
def test_values_that_are_unique_name_the_other_row(Cage, rows, words, option):
    with pytest.raises(cdb.ConstraintError, match=words):
        Cage.insert(rows, **option)
    assert len(Cage) == 1


def test_replacing_a_row_by_its_own_unique_values_is_no_conflict(Cage):
    Cage.insert1((1, "left", 11), replace=True)
    with pytest.raises(cdb.DuplicateKey, match=r"Cage already has a row for {'cage': 1}"):
        Cage.insert1((1, "left", 11))
    assert Cage.fetch1("label") == 11


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"cage,label\n2,20\n3,30,4\n", r"Cage, row 1: line 3 of .*cages.csv has 3 values, .* names 2 attributes: cage, label"),
        (b"cage,label\n2,20\n3\n", r"Cage, row 1: line 3 of .*cages.csv has 1 values"),
        (b"cage,place\n2,\xff\n", r"Cage: .*cages.csv is no text in UTF-8"),
        (b"cage,label\n2,many\n", r"Cage.label, row 0: 'many' is no int"),
    ],
)
def test_a_broken_csv_file_names_the_file_and_the_line(Cage, tmp_path, text, words):
    path = tmp_path / "cages.csv"
    path.write_bytes(text)
    with pytest.raises(cdb.InvalidValue, match=words):
        Cage.insert(path)
    assert len(Cage) == 1


def test_a_csv_file_with_empty_lines_and_fields(Cage, tmp_path):
    (tmp_path / "cages.csv").write_text('\ufeffcage,place,label\n\n2,"a, b",\n\n3,,30\n', encoding="utf-8")
    Cage.insert(tmp_path / "cages.csv")
    assert (Cage - {"cage": 1}).to_dicts(order_by="KEY") == [
        {"cage": 2, "place": "a, b", "label": None},
        {"cage": 3, "place": None, "label": 30},
    ]


@pytest.mark.parametrize("size", [0, -1, "ten", 2.5])
def test_a_chunk_size_that_is_no_number_of_rows(Cage, size):
    with pytest.raises(cdb.CompdbError, match="chunk_size is a whole number of rows, at least 1"):
        Cage.insert([(2, "a", 20)], chunk_size=size)


@pytest.mark.parametrize("row", [None, 3, "cage", [1, 2], (1, "left", 3)])
def test_update1_of_what_is_no_dict(Cage, row):
    with pytest.raises(cdb.InvalidValue, match="Cage: update1 takes a dict"):
        Cage.update1(row)


# --- a name in a text that nobody has ---


@pytest.mark.parametrize(
    "use",
    [
        lambda lab, wrong, path: (lab.Image & wrong).delete(dry_run=True),
        lambda lab, wrong, path: (lab.Image & wrong).delete(prompt=False),
        lambda lab, wrong, path: (lab.Detection & (lab.Image & wrong)).delete(prompt=False),
        lambda lab, wrong, path: (lab.Detection.jobs & wrong).delete(),
        lambda lab, wrong, path: (lab.Image & wrong).export(path),
        lambda lab, wrong, path: lab.Detection.populate(lab.Image & wrong),
        lambda lab, wrong, path: lab.Detection.populate(lab.Image & wrong, reserve_jobs=True),
        lambda lab, wrong, path: lab.Detection.populate(lab.Image & wrong, reserve_jobs=True, refresh=False),
        lambda lab, wrong, path: lab.Detection.jobs.refresh(lab.Image & wrong),
        lambda lab, wrong, path: lab.Detection.progress(lab.Image & wrong),
    ],
)
def test_a_name_in_a_text_that_nobody_has_is_told_by_every_verb(lab, tmp_path, use):
    lab.Detection.populate()
    lab.Image.insert1({"image_id": 3, "image_name": "c"})
    lab.Detection.jobs.refresh()
    with pytest.raises(cdb.UnknownAttribute, match=r"no attribute 'image_idd' in .*; did you mean 'image_id'"):
        use(lab, "image_idd > 0", tmp_path / "wrong.db")
    assert (len(lab.Image), len(lab.Detection), len(lab.Detection.Blob), len(lab.Detection.jobs)) == (3, 2, 4, 1)
    assert not (tmp_path / "wrong.db").exists()


def test_a_frame_without_rows_has_its_columns_checked_all_the_same(Cage):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for wrong in (
        pandas.DataFrame({"cage": [], "plase": []}),
        polars.DataFrame({"cage": [], "plase": []}),
        np.empty(0, [("cage", int), ("plase", "U4")]),
    ):
        with pytest.raises(cdb.UnknownAttribute, match=r"no attribute 'plase' in Cage; did you mean 'place'"):
            Cage.insert(wrong)
        Cage.insert(wrong, ignore_extra_fields=True)
    before = len(Cage)
    for right in (pandas.DataFrame({"cage": [], "label": []}), polars.DataFrame(), pandas.DataFrame()):
        Cage.insert(right)
    assert len(Cage) == before
