"""What is declared comes into being on every database: links, tiers, schemas, comments (design 2 and 3)."""

import datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase

import compdb as cdb
from compdb import Key, Mapped, foreign_key, mapped_column


@pytest.fixture
def lab():
    class Lab(cdb.Pipeline):
        """A pipeline."""

    return Lab


@pytest.fixture
def mouse(lab):
    class Mouse(cdb.Manual, lab):
        """A mouse and its parents."""

        mouse_id: Key[int]
        mother: Mapped["Mouse | None"] = foreign_key(rename={"mouse_id": "mother_id"})
        father: Mapped["Mouse | None"] = foreign_key(rename={"mouse_id": "father_id"})

    return Mouse


def test_self_references_hold_rows_in_the_database(lab, mouse, url):
    lab.activate(url)
    mouse.insert1({"mouse_id": 1})
    mouse.insert([{"mouse_id": 2}, {"mouse_id": 3, "mother_id": 1, "father_id": 2}])
    row = (mouse & {"mouse_id": 3}).row1()
    assert (row.mother.mouse_id, row.father.mouse_id, row.mother.mother) == (1, 2, None)
    with pytest.raises(cdb.MissingParent, match="99"):
        mouse.insert1({"mouse_id": 4, "mother_id": 99})
    assert len(mouse) == 3


def test_self_references_may_come_in_one_insert(lab, mouse, url):
    lab.activate(url)
    mouse.insert([{"mouse_id": 1}, {"mouse_id": 2, "mother_id": 1}, {"mouse_id": 3, "mother_id": 2}])
    assert mouse.to_arrays("mouse_id", order_by="KEY").tolist() == [1, 2, 3]


def test_a_unique_link_refuses_a_second_child(lab, url):
    class Session(cdb.Manual, lab):
        session_id: Key[int]

    class Report(cdb.Manual, lab):
        report_id: Key[int]
        session: Mapped[Session] = foreign_key(unique=True)

    lab.activate(url)
    Session.insert1({"session_id": 1})
    Report.insert1({"report_id": 1, "session_id": 1})
    with pytest.raises((cdb.ConstraintError, cdb.DuplicateKey), match="session_id"):
        Report.insert1({"report_id": 2, "session_id": 1})
    assert len(Report) == 1


def test_a_nullable_link_is_all_null_or_all_set(lab, url):
    class Session(cdb.Manual, lab):
        subject_id: Key[str]
        session_idx: Key[int]

    class Choice(cdb.Manual, lab):
        choice_id: Key[int]
        best: Mapped[Session | None]

    lab.activate(url)
    Session.insert1({"subject_id": "a", "session_idx": 1})
    Choice.insert([{"choice_id": 1}, {"choice_id": 2, "subject_id": "a", "session_idx": 1}])
    with pytest.raises(cdb.CompdbError):
        Choice.insert1({"choice_id": 3, "subject_id": "a"})
    assert len(Choice) == 2


def test_a_nullable_link_is_judged_by_the_columns_of_its_own(lab, url):
    class Subject(cdb.Manual, lab):
        subject_id: Key[str]

    class Session(cdb.Manual, lab):
        subject: Key[Subject]
        session_idx: Key[int]

    class Choice(cdb.Manual, lab):
        subject: Key[Subject]
        best: Mapped[Session | None]

    lab.activate(url)
    Subject.insert([{"subject_id": "a"}, {"subject_id": "b"}])
    Session.insert1({"subject_id": "a", "session_idx": 1})
    Choice.insert([{"subject_id": "a", "session_idx": 1}, {"subject_id": "b"}])
    assert Choice.to_dicts(order_by="KEY") == [
        {"subject_id": "a", "session_idx": 1},
        {"subject_id": "b", "session_idx": None},
    ]
    assert (Choice & {"subject_id": "b"}).row1().best is None


def test_a_column_named_like_its_link_is_written_read_and_restricted_by_that_name(lab, url):
    class Rig(cdb.Lookup, lab):
        rig: Key[int]
        room: Mapped[str]
        contents = [(3, "cellar"), (4, "attic")]

    class Session(cdb.Manual, lab):
        session: Key[int]
        rig: Mapped[Rig]

    lab.activate(url)
    Session.insert([{"session": 1, "rig": 3}, {"session": 2, "rig": 4}])
    assert (Session & {"rig": 4}).to_dicts() == [{"session": 2, "rig": 4}]
    assert len(Session & (Session.rig_ > 3)) == len(Session & "rig > 3") == 1
    assert (Session & {"session": 1}).row1().rig.room == "cellar"
    assert set((Session * Rig).to_arrays("room")) == {"cellar", "attic"}


def test_diamonds_join_and_refuse_a_mixed_parentage(lab, url):
    class Session(cdb.Manual, lab):
        session_id: Key[int]

    class Traces(cdb.Manual, lab):
        session: Key[Session]
        trace_id: Key[int]

    class Mask(cdb.Manual, lab):
        session: Key[Session]
        mask_id: Key[int]

    class Overlay(cdb.Manual, lab):
        traces: Key[Traces]
        mask: Key[Mask]

    lab.activate(url)
    Session.insert([{"session_id": 1}, {"session_id": 2}])
    Traces.insert([{"session_id": 1, "trace_id": 1}, {"session_id": 2, "trace_id": 1}])
    Mask.insert1({"session_id": 1, "mask_id": 7})
    Overlay.insert1({"session_id": 1, "trace_id": 1, "mask_id": 7})
    with pytest.raises(cdb.MissingParent, match="Mask"):
        Overlay.insert1({"session_id": 2, "trace_id": 1, "mask_id": 7})
    assert len(Traces * Mask) == 1


def test_strings_that_differ_in_python_are_different_keys(lab, url):
    class Word(cdb.Manual, lab):
        word: Key[str]

    words = ["a", "A", "á", "a ", "ß", "ss", "", "日本"]
    lab.activate(url)
    Word.insert({"word": w} for w in words)
    assert sorted(Word.to_arrays("word")) == sorted(words)
    assert all(len(Word & {"word": w}) == 1 for w in words)


def test_tier_and_comments_are_in_the_database(lab, url):
    class Image(cdb.Manual, lab):
        """An image to search."""

        image_id: Key[int] = mapped_column(comment="counted from 1")

    lab.activate(url)
    engine = sa.create_engine(url)
    inspector = sa.inspect(engine)
    if engine.dialect.supports_comments:
        assert inspector.get_table_comment("image")["text"] == "manual: An image to search."
        assert inspector.get_columns("image")[0]["comment"] == "counted from 1"
    else:
        with engine.connect() as connection:
            rows = connection.exec_driver_sql("SELECT * FROM compdb_tables").fetchall()
        assert any("image" in row and any("manual" in str(value) for value in row) for row in rows)
    engine.dispose()


def test_schema_is_a_schema_on_servers_and_translated_away_on_sqlite(url):
    name = "lab" if url.startswith("postgresql") else sa.make_url(url).database + "_lab"
    if url.startswith("sqlite"):
        name = "lab"

    class Lab(cdb.Pipeline, schema=name):
        """In a schema of its own."""

    class Image(cdb.Manual, Lab):
        image_id: Key[int]

    class Size(cdb.Computed, Lab):
        image: Key[Image]
        size: Mapped[int]

        def make(self, key):
            self.insert1({**key, "size": 1})

    Lab.activate(url)
    Image.insert1({"image_id": 1})
    assert Size.populate()["success_count"] == 1
    assert (Image * Size).to_dicts() == [{"image_id": 1, "size": 1}]
    engine = sa.create_engine(url)
    schema = None if url.startswith("sqlite") else name
    assert "image" in sa.inspect(engine).get_table_names(schema=schema)
    engine.dispose()
    Lab.drop(prompt=False)


def test_foreign_keys_between_schemas_hold_on_every_database(url):
    base = "" if url.startswith("sqlite") else sa.make_url(url).database + "_"

    class Raw(cdb.Pipeline, schema=base + "raw"):
        """Recordings."""

    class Results(cdb.Pipeline, schema=base + "results"):
        """What follows from them."""

    class Image(cdb.Manual, Raw):
        image_id: Key[int]

    class Size(cdb.Manual, Results):
        image: Key[Image]

    Raw.activate(url)
    Results.activate(url)
    Image.insert1({"image_id": 1})
    Size.insert1({"image_id": 1})
    engine = sa.create_engine(url)
    schema = None if url.startswith("sqlite") else base + "results"
    assert [k["referred_table"] for k in sa.inspect(engine).get_foreign_keys("size", schema=schema)] == ["image"]
    engine.dispose()
    with pytest.raises(cdb.CompdbError, match="Image"):
        Size.insert1({"image_id": 2})
    with pytest.raises((cdb.CompdbError, sa.exc.IntegrityError)), Raw.transaction() as session:
        session.execute(sa.delete(Image.__table__))
    Image.delete(prompt=False)
    assert len(Size) == 0
    Results.drop(prompt=False)
    Raw.drop(prompt=False)


def test_words_of_sql_are_names_like_any_other(lab, url):
    class Nothing(cdb.Manual, lab):
        returning: Key[int]
        order: Mapped[int]
        window: Mapped[str | None]

    lab.activate(url)
    Nothing.insert([{"returning": 1, "order": 2}, {"returning": 2, "order": 3, "window": "w"}])
    Nothing.insert1({"returning": 1, "order": 5}, replace=True)
    assert (Nothing & {"returning": [1], "order": 5}).to_dicts() == [{"returning": 1, "order": 5, "window": None}]
    assert Nothing.delete(prompt=False) == 2


def test_two_schemas_that_would_share_a_name_on_sqlite_are_an_error_before_any_ddl(sqlite_url):
    metadata = sa.MetaData()

    class One(cdb.Pipeline, schema="one", metadata=metadata):
        """One."""

    class Two(cdb.Pipeline, schema="two", metadata=metadata):
        """Two."""

    class ImageOne(cdb.Manual, One):
        __tablename__ = "image"
        image_id: Key[int]

    class ImageTwo(cdb.Manual, Two):
        __tablename__ = "image"
        image_id: Key[int]

    with pytest.raises(cdb.CompdbError, match="image"):
        One.activate(sqlite_url)
    engine = sa.create_engine(sqlite_url)
    assert sa.inspect(engine).get_table_names() == []
    engine.dispose()


def test_an_applications_own_models_are_parents_like_any_other(url):
    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        user_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        name: Mapped[str] = mapped_column(sa.String(30))

    class Lab(cdb.Pipeline, metadata=Base.metadata):
        """Shares an application's MetaData."""

    class Order(cdb.Manual, Lab):
        order_id: Key[int]
        user: Mapped[User]

    class Greeting(cdb.Computed, Lab):
        user: Key[User]
        text: Mapped[str]

        def make(self, key):
            self.text = f"Hello {self.user.name}"

    Lab.activate(url)
    with Lab.transaction() as session:
        session.add(User(user_id=1, name="Ada"))
        session.add(Order(order_id=7, user_id=1))
    assert Greeting.populate()["success_count"] == 1
    assert Greeting.fetch1("text") == "Hello Ada"
    assert (Order & {"user_id": 1}).row1().user.name == "Ada"
    with pytest.raises(cdb.MissingParent):
        Order.insert1({"order_id": 8, "user_id": 2})


def test_plain_sqlalchemy_foreign_keys_make_the_same_pipeline(lab, url):
    class Scan(cdb.Manual, lab):
        __tablename__ = "scans"
        scan_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
        day: Mapped[datetime.date]

    class Depth(cdb.Computed, lab):
        scan: Mapped[int] = mapped_column(sa.ForeignKey("scans.scan_id"), primary_key=True, autoincrement=False)
        depth: Mapped[float]

        def make(self, key):
            day = (Scan & {"scan_id": key["scan"]}).fetch1("day")
            self.insert1({**key, "depth": day.day / 10})

    lab.activate(url)
    Scan.insert([{"scan_id": 1, "day": "2026-01-02"}, {"scan_id": 2, "day": datetime.date(2026, 1, 3)}])
    assert Depth.populate()["success_count"] == 2
    assert Depth.to_arrays("depth", order_by="KEY").tolist() == [0.2, 0.3]
    (Scan & {"scan_id": 1}).delete(prompt=False)
    assert Depth.to_dicts() == [{"scan": 2, "depth": 0.3}]


def test_pipelines_on_one_database_refer_to_each_other_and_share_a_transaction(lab, url):
    class Session(cdb.Manual, lab):
        session_id: Key[int]

    class Analysis(cdb.Pipeline):
        """Another pipeline."""

    class Rate(cdb.Computed, Analysis):
        session: Key[Session]
        rate: Mapped[float]

        def make(self, key):
            self.rate = 2.0 * self.session.session_id

    lab.activate(url)
    Analysis.activate(url)
    Session.insert1({"session_id": 4})
    Rate.populate()
    assert (Session * Rate).to_dicts() == [{"session_id": 4, "rate": 8.0}]
    with pytest.raises(KeyError), lab.transaction():
        Session.insert1({"session_id": 5})
        with Analysis.transaction():
            Rate.insert1({"session_id": 5, "rate": 0.0}, allow_direct_insert=True)
        raise KeyError
    assert len(Session) == len(Rate) == 1
