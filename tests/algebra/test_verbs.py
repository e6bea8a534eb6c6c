"""What sends a relation to its database, and what it says of itself without."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from compdb.algebra import Relation, Top, U, to_relation
from compdb.errors import NotConnected, NotOneRow, RestrictionError, UnknownAttribute, UnknownVerb

# --- rows


def test_to_dicts(lab):
    assert lab.Trial.to_dicts(order_by="KEY", limit=1) == [
        {"subject_id": "M1", "session_idx": 1, "trial_idx": 1, "correct": True, "rt": 0.3}
    ]
    assert (lab.Trial & False).to_dicts() == []


def test_to_arrays(lab):
    rt = lab.Trial.to_arrays("rt", order_by="KEY")
    assert rt.dtype == np.float64
    assert np.array_equal(rt, [0.3, 0.5, np.nan, 0.2, 0.4, 0.6], equal_nan=True)
    correct, trial = lab.Trial.to_arrays("correct", "trial_idx", order_by="KEY")
    assert correct.dtype == bool
    assert trial.tolist() == [1, 2, 1, 1, 2, 3]
    whole = lab.Trial.to_arrays(order_by="KEY")
    assert whole.dtype.names == lab.Trial.heading.names
    assert whole["trial_idx"].tolist() == [1, 2, 1, 1, 2, 3]


def test_to_arrays_with_the_key(lab):
    keys, rt = (lab.Trial & {"subject_id": "M3"}).to_arrays("rt", include_key=True, order_by="KEY")
    assert keys == [{"subject_id": "M3", "session_idx": 1, "trial_idx": i} for i in (1, 2, 3)]
    assert rt.tolist() == [0.2, 0.4, 0.6]


def test_to_arrays_of_what_is_not_there(lab):
    with pytest.raises(UnknownAttribute, match="'rt'"):
        lab.Trial.to_arrays("rtt")
    assert (lab.Trial & False).to_arrays("trial_idx").dtype == np.int64


def test_frames(lab):
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    arrow = pytest.importorskip("pyarrow")
    frame = lab.Trial.to_pandas(order_by="KEY")
    assert list(frame.index.names) == ["subject_id", "session_idx", "trial_idx"]
    assert frame.loc[("M3", 1, 3), "rt"] == 0.6
    assert list((lab.Trial & False).to_pandas().columns) == ["correct", "rt"]
    assert lab.Trial.to_polars(order_by="rt").schema["trial_idx"] == polars.Int64
    assert lab.Trial.to_arrow(limit=2).num_rows == 2
    assert polars.DataFrame(lab.Trial).height == arrow.table(lab.Trial).num_rows == 6
    assert isinstance(frame, pandas.DataFrame)


def test_nulls_of_an_outer_join_leave_whole_numbers_whole(lab):
    pytest.importorskip("pandas")
    found = lab.Session.proj().extend(lab.Session.proj(n="(session_idx)") & {"subject_id": "M1"})
    assert str(found.to_pandas()["n"].dtype) == "Int64"


def test_keys(lab):
    assert lab.Session.keys(order_by="quality DESC", limit=1) == [{"subject_id": "M1", "session_idx": 1}]


def test_a_frame_restricts_what_it_came_from(lab):
    pytest.importorskip("pandas")
    assert len(lab.Session & lab.Session.to_pandas()) == 4
    assert len(lab.Session & lab.Session.proj("rig").to_arrays()) == 4


# --- one row


def test_fetch1(lab):
    one = lab.Session & {"subject_id": "M3"}
    assert one.fetch1() == {
        "subject_id": "M3",
        "session_idx": 1,
        "session_date": dt.date(2026, 1, 8),
        "quality": 0.7,
        "rig": None,
        "note": "late",
    }
    assert one.fetch1("note") == "late"
    assert one.fetch1("note", "quality") == ("late", 0.7)
    assert one.fetch1("KEY") == {"subject_id": "M3", "session_idx": 1}
    assert one.fetch1("KEY", "note") == ({"subject_id": "M3", "session_idx": 1}, "late")
    assert (one & "note = 'late'").fetch1("quality") == 0.7
    assert (lab.Session & Top(1, order_by="quality DESC")).fetch1("quality") == 0.9
    assert (lab.Session & {"quality": None}).fetch1("subject_id") == "M2"


def test_fetch1_of_no_row_or_several_tells_relation_and_count(lab):
    with pytest.raises(NotOneRow) as caught:
        (lab.Session & {"subject_id": "M1"}).fetch1()
    assert caught.value.count == 2
    assert caught.value.relation == "Session & {'subject_id': 'M1'}"
    with pytest.raises(NotOneRow, match=r"found none in Session & \{'subject_id': 'M9'\}"):
        (lab.Session & {"subject_id": "M9"}).fetch1("note")
    with pytest.raises(NotOneRow) as caught:
        lab.Trial.fetch1("rt")
    assert caught.value.count == 6


def test_fetch1_of_what_is_not_there(lab):
    with pytest.raises(UnknownAttribute, match="'note'"):
        (lab.Session & {"subject_id": "M3"}).fetch1("nota")


# --- counting


def test_len_bool_in(lab):
    assert len(lab.Session) == 4
    assert len(lab.Session & "quality > 5") == 0
    assert bool(lab.Session)
    assert not bool(lab.Session & "quality > 5")
    assert {"subject_id": "M1"} in lab.Session
    assert {"subject_id": "M1", "session_idx": 3} not in lab.Session
    assert "quality > 0.8" in lab.Session
    with pytest.raises(UnknownAttribute):
        {"subjet_id": "M1"} in lab.Session


def test_iteration_gives_dicts(lab):
    rows = list(lab.Session)
    assert sorted(rows, key=lambda r: (r["subject_id"], r["session_idx"])) == lab.Session.to_dicts(order_by="KEY")
    first = next(iter(lab.Session & Top(2)))
    assert first["subject_id"] == "M1"


# --- mapped objects


@pytest.fixture
def mapped(sqlite_lab):
    registry = orm.registry(metadata=sqlite_lab.session.metadata)

    class Session:
        pass

    registry.map_imperatively(Session, sqlite_lab.session)
    yield Session
    registry.dispose()


def test_rows_are_mapped_objects(sqlite_lab, mapped):
    relation = Relation.of(mapped)
    row = (relation & {"subject_id": "M3"}).row1()
    assert isinstance(row, mapped)
    assert row.note == "late"
    assert [r.session_idx for r in relation.rows(order_by="KEY DESC", limit=2)] == [1, 1]
    assert [r.note for r in (relation & (mapped.quality > 0.5) & sqlite_lab.Trial).rows(order_by="KEY")] == [
        "first",
        "late",
    ]


def test_a_class_or_row_restricts(sqlite_lab, mapped):
    lab = sqlite_lab
    assert len(lab.Trial & mapped) == 6
    row = (Relation.of(mapped) & {"subject_id": "M3"}).row1()
    assert len(lab.Trial & row) == 3
    assert row in lab.Session
    assert len(lab.Session - row) == 3
    assert len(lab.Session & [row]) == 1


def test_row1_of_several_is_an_error(sqlite_lab, mapped):
    with pytest.raises(NotOneRow):
        Relation.of(mapped).row1()


def test_rows_of_a_projection_or_join_are_no_objects(sqlite_lab, mapped):
    relation = Relation.of(mapped)
    for found in (relation.proj("note"), relation * sqlite_lab.Trial, sqlite_lab.Trial):
        with pytest.raises(RestrictionError, match="mapped objects"):
            found.rows()


# --- text


def test_sql_is_the_text_of_the_select(lab):
    text = (lab.Session & {"subject_id": "it's 5%"} & "note LIKE '%x'").sql()
    assert "it''s 5%'" in text
    assert "LIKE '%x'" in text
    with lab.database.reading() as connection:
        plain = connection.dialect.paramstyle == "qmark"
        assert connection.exec_driver_sql(text if plain else text.replace("%", "%%")).all() == []


def test_select_is_a_plain_select(lab):
    good = (lab.Session & "quality > 0.5").select().subquery()
    query = sa.select(sa.func.count()).select_from(
        lab.trial.join(
            good, sa.and_(lab.trial.c.subject_id == good.c.subject_id, lab.trial.c.session_idx == good.c.session_idx)
        )
    )
    with lab.database.reading() as connection:
        assert connection.scalar(query) == 5


def test_repr_tells_how_it_was_written(sqlite_lab):
    lab = sqlite_lab
    cases = {
        "Session": lab.Session,
        "Session & {'subject_id': 'M1'} & 'quality > 0.5'": lab.Session & {"subject_id": "M1"} & "quality > 0.5",
        "Session & (Session.Trial & 'rt > 1')": lab.Session & (lab.Trial & "rt > 1"),
        "(Session & 'quality > 0') * Session.Trial": (lab.Session & "quality > 0") * lab.Trial,
        "Session - Session.Trial": lab.Session - lab.Trial,
        "Session.proj('quality', day='session_date')": lab.Session.proj("quality", day="session_date"),
        "Session.proj(...)": lab.Session.proj(...),
        "Subject.aggr(Session, n='count(*)')": lab.Subject.aggr(lab.Session, n="count(*)"),
        "U('rig') & Session": U("rig") & lab.Session,
        "U('rig').aggr(Session, n='count(*)')": U("rig").aggr(lab.Session, n="count(*)"),
        "Session.extend(Rig.proj())": lab.Session.extend(lab.Rig.proj()),
    }
    for text, relation in cases.items():
        assert relation.written == text


def test_equality_is_known_of_dicts_alone(sqlite_lab):
    lab = sqlite_lab
    assert lab.Session.equality == {}
    assert (lab.Session & {"subject_id": "M1"} & {"session_idx": np.int64(2)}).equality == {
        "subject_id": "M1",
        "session_idx": 2,
    }
    assert (lab.Session & {"subject_id": "M1", "trial_idx": 2}).equality == {"subject_id": "M1"}
    for other in (
        lab.Session & "quality > 0",
        lab.Session & {"session_idx": [1, 2]},
        lab.Session.proj(),
        lab.Session & Top(1),
        lab.Session & {"subject_id": "M1"} & lab.Trial,
        lab.Session - {"subject_id": "M1"},
    ):
        assert other.equality is None


def test_heading_is_ordered_and_found_by_name(sqlite_lab):
    heading = sqlite_lab.Trial.heading
    assert heading.names == ("subject_id", "session_idx", "trial_idx", "correct", "rt")
    assert heading.primary_key == ("subject_id", "session_idx", "trial_idx")
    assert heading.secondary_attributes == ("correct", "rt")
    assert [a.name for a in heading] == list(heading.names)
    assert "rt" in heading
    assert "rtt" not in heading
    assert heading["rt"].nullable
    assert str(heading).splitlines()[0] == "subject_id: String(length=16) [key]"


def test_relations_are_values(sqlite_lab):
    relation = sqlite_lab.Session & "quality > 0"
    with pytest.raises(AttributeError):
        relation.where = ()
    assert len({relation, relation}) == 1
    assert (relation == relation) is True


# --- what it refuses


@pytest.mark.parametrize("verb", ["fetch", "aggregate", "populate", "insert1", "make_sql", "progress"])
def test_old_verbs_say_what_is_ours(sqlite_lab, verb):
    with pytest.raises(UnknownVerb, match="write "):
        getattr(sqlite_lab.Session & {"subject_id": "M1"}, verb)
    assert not hasattr(sqlite_lab.Session, verb)


def test_old_fetch1_says_what_is_ours(sqlite_lab):
    with pytest.raises(UnknownVerb, match=r"fetch1\('note', 'rig'\)"):
        sqlite_lab.Session.fetch1["note", "rig"]


def test_two_databases_are_an_error(sqlite_lab, tmp_path):
    from .conftest import make_lab

    other = make_lab(f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(RestrictionError, match="several databases"):
        (sqlite_lab.Subject.proj() * other.Rig.proj()).to_dicts()
    with pytest.raises(RestrictionError, match="several databases"):
        len((sqlite_lab.Session * other.Rig.proj(rig2="rig")).proj() & "session_idx = 1")


def test_tables_of_no_database_are_not_connected():
    table = sa.Table("lonely", sa.MetaData(), sa.Column("a", sa.Integer, primary_key=True))
    relation = Relation.of(table) & {"a": 1}
    assert "lonely" in relation.sql()
    assert relation.written == "lonely & {'a': 1}"
    with pytest.raises(NotConnected):
        relation.to_dicts()


def test_what_is_no_relation(sqlite_lab):
    assert to_relation(sqlite_lab.session).written == "Session"
    for thing in (None, "session", {"a": 1}, int):
        with pytest.raises(RestrictionError):
            to_relation(thing)


# --- delete


def test_delete_takes_the_restricted_rows_and_what_depends_on_them(url):
    from .conftest import make_lab

    lab = make_lab(url)
    good = lab.Session & "quality > 0.5"
    assert good.delete(dry_run=True) == {"Session": 2, "Session.Trial": 5}
    assert (lab.Session & (lab.Trial & "rt > 0.55")).delete(prompt=False) == 1
    assert len(lab.Session) == 3
    assert (lab.Session & Top(1)).delete(prompt=False) == 1
    assert lab.Session.keys(order_by="KEY") == [
        {"subject_id": "M1", "session_idx": 2},
        {"subject_id": "M2", "session_idx": 1},
    ]
    with pytest.raises(RestrictionError, match="nothing to delete"):
        lab.Session.proj().delete(prompt=False)


def test_heading_has_the_key_first():
    columns = [sa.Column("b", sa.Integer), sa.Column("k", sa.Integer, primary_key=True), sa.Column("a", sa.Integer)]
    heading = Relation.of(sa.Table("mixed", sa.MetaData(), *columns)).heading
    assert heading.names == ("k", "b", "a")


def test_preview_shows_rows_and_never_raises(lab):
    text = (lab.Session & {"subject_id": "M3"}).preview()
    assert "Session & {'subject_id': 'M3'}" in text
    assert "*session_idx" in text
    assert "late" in text
    assert "1 row" in text
    assert str(lab.Session & "qualty > 1") == repr(lab.Session & "qualty > 1")
    assert "qualty" in repr(lab.Session & "qualty > 1")
    assert "<table" in (lab.Session & {"subject_id": "M3"})._repr_html_()


def test_a_relation_stands_in_a_statement_of_sqlalchemy(lab):
    good, c = lab.Session & "quality > 0.5", lab.subject.c

    def rows(query):
        with lab.database.reading() as connection:
            return sorted(map(tuple, connection.execute(query)))

    assert rows(sa.select(good.c.subject_id, good.c.quality)) == [("M1", 0.9), ("M3", 0.7)]
    assert len(rows(sa.select(good))[0]) == len(good.heading)
    assert rows(sa.select(sa.func.count()).select_from(good)) == [(2,)]
    by_species = sa.select(c.species, sa.func.max(good.c.quality)).join(good, good.c.subject_id == c.subject_id)
    assert rows(by_species.group_by(c.species)) == [("mouse", 0.9), ("rat", 0.7)]
    assert rows(sa.select(c.subject_id).where(c.subject_id.in_(sa.select(good.c.subject_id)))) == [("M1",), ("M3",)]
    there = lab.Subject & sa.exists().where(good.c.subject_id == c.subject_id)
    assert there.keys(order_by="KEY") == [{"subject_id": "M1"}, {"subject_id": "M3"}]
    best = (lab.Session & Top(1, order_by="quality DESC")) * lab.Trial
    assert rows(sa.select(best.c.trial_idx, best.c.rt)) == [(1, 0.3), (2, 0.5)]


def test_to_arrays_of_the_key_says_how(sqlite_lab):
    with pytest.raises(UnknownAttribute, match="include_key=True"):
        sqlite_lab.Session.to_arrays("KEY")
