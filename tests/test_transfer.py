"""Export into a SQLite file and merge back: what is written stands by itself, and conflicts change nothing."""

from __future__ import annotations

import numpy as np
import pytest

import compdb as cdb
from compdb import Key, Mapped, foreign_key


class Lab(cdb.Pipeline):
    """Mice, sessions and what follows from them."""


class Species(cdb.Lookup, Lab):
    species: Key[str]
    contents = [("mouse",), ("rat",)]


class Subject(cdb.Manual, Lab):
    subject_id: Key[str]
    species: Mapped[Species]
    mother: Mapped[Subject | None] = foreign_key(rename={"subject_id": "mother_id"})


class Session(cdb.Manual, Lab):
    subject: Key[Subject]
    session: Key[int]
    trace: Mapped[np.ndarray]

    class Trial(cdb.Part):
        trial: Key[int]
        correct: Mapped[bool]


class Method(cdb.Lookup, Lab):
    method: Key[str]
    contents = [("plain",), ("robust",)]


class Summary(cdb.Computed, Lab):
    session: Key[Session]
    method: Key[Method]
    mean: Mapped[float]

    def make(self, key):
        self.insert1({**key, "mean": float((Session & key).fetch1("trace").mean())})


@pytest.fixture
def lab(url):
    Lab.activate(url)
    Subject.insert([{"subject_id": "A", "species": "mouse", "mother_id": None}])
    Subject.insert(
        [{"subject_id": s, "species": "mouse", "mother_id": m} for s, m in [("B", "A"), ("C", "B"), ("X", None)]]
    )
    Session.insert({"subject_id": s, "session": i, "trace": np.arange(5.0) + i} for s in "BX" for i in range(2))
    Session.Trial.insert(
        {"subject_id": s, "session": i, "trial": t, "correct": t == 1} for s in "BX" for i in range(2) for t in (1, 2)
    )
    Summary.populate()
    return Lab


def test_what_is_exported_stands_by_itself(lab, url, tmp_path):
    counts = (Session & {"subject_id": "B", "session": 0}).export(tmp_path / "part.db")
    assert counts == {"Species": 1, "Method": 2, "Subject": 2, "Session": 1, "Session.Trial": 2, "Summary": 2}
    Lab.activate(f"sqlite:///{tmp_path}/part.db")
    assert {row["subject_id"] for row in Subject} == {"A", "B"}  # the mother is there, the child is not
    assert np.array_equal(Session.fetch1("trace"), np.arange(5.0))
    assert Summary.progress(display=False) == (0, 2)
    Lab.activate(url)


def test_descendants_through_a_self_reference_come_along(lab, tmp_path):
    counts = (Subject & {"subject_id": "A"}).export(tmp_path / "a.db")
    assert counts["Subject"] == 3
    assert counts["Session"] == 2


def test_merge_inserts_what_is_missing_and_nothing_twice(lab, tmp_path):
    (Subject & {"subject_id": "A"}).export(tmp_path / "a.db")
    (Subject & {"subject_id": "A"}).delete(prompt=False)
    assert len(Subject) == 1
    assert Lab.merge(tmp_path / "a.db") == {"Subject": 3, "Session": 2, "Session.Trial": 4, "Summary": 4}
    assert Lab.merge(tmp_path / "a.db") == {}
    assert len(Summary) == 8
    assert np.array_equal((Session & {"subject_id": "B", "session": 1}).fetch1("trace"), np.arange(5.0) + 1)


def test_rows_that_differ_are_told_and_nothing_changes(lab, tmp_path):
    (Subject & {"subject_id": "A"}).export(tmp_path / "a.db")
    (Session & {"subject_id": "B", "session": 0}).delete(prompt=False)
    Subject.update1({"subject_id": "C", "species": "rat"})
    with pytest.raises(
        cdb.MergeConflict, match=r"Subject \{'subject_id': 'C'\}: species is 'rat' here and 'mouse' there"
    ):
        Lab.merge(tmp_path / "a.db")
    assert len(Session & {"subject_id": "B"}) == 1


def test_an_export_overwrites_no_file(lab, tmp_path):
    (tmp_path / "a.db").write_text("precious")
    with pytest.raises(cdb.CompdbError, match="already"):
        Subject.export(tmp_path / "a.db")
    assert (tmp_path / "a.db").read_text() == "precious"
    with pytest.raises(cdb.CompdbError, match="no file"):
        Lab.merge(tmp_path / "none.db")


def test_a_self_reference_over_many_rows_travels_both_ways(lab, tmp_path):
    Subject.insert(
        {"subject_id": f"n{i:04}", "species": "rat", "mother_id": f"n{i + 1:04}" if i < 499 else None}
        for i in range(500)
    )
    chain = Subject & "subject_id LIKE 'n%'"
    assert chain.export(tmp_path / "chain.db")["Subject"] == 500
    chain.delete(prompt=False)
    assert Lab.merge(tmp_path / "chain.db") == {"Subject": 500}
    assert (Subject & {"subject_id": "n0000"}).fetch1("mother_id") == "n0001"
