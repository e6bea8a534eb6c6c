"""The verbs of table classes and relations: delete, update1 and drop as a user writes them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped
from compdb.errors import CompdbWarning, DeleteError, MissingParent, UnknownAttribute

from .lab import fresh


@pytest.fixture
def lab(url: str) -> SimpleNamespace:
    class Lab(cdb.Pipeline):
        pass

    class Subject(cdb.Manual, Lab):
        subject_id: Key[int]
        sex: Mapped[str]

    class Session(cdb.Manual, Lab):
        subject: Key[Subject]
        session_idx: Key[int]
        previous: Mapped[Session | None] = cdb.foreign_key(rename={"session_idx": "previous_idx"})  # type: ignore

    class Trial(cdb.Manual, Lab):
        session: Key[Session]
        trial_idx: Key[int]

    class Summary(cdb.Computed, Lab):
        session: Key[Session]
        ntrials: Mapped[int]

        class Trial(cdb.Part):
            trial: Key[Trial]
            score: Mapped[float]

        def make(self, key: dict[str, Any]) -> None:
            found = (Trial & key).keys()
            self.insert1({**key, "ntrials": len(found)})
            self.Trial.insert({**k, "score": 0.5} for k in found)

    fresh(url)
    Lab.activate(url)
    Subject.insert([(1, "F"), (2, "M"), (3, "F")])
    Session.insert([(1, 1, None), (1, 2, 1), (2, 1, None), (3, 1, None)])
    Trial.insert([(1, 1, 1), (1, 1, 2), (1, 2, 1), (3, 1, 1)])
    Summary.populate()
    return SimpleNamespace(Lab=Lab, Subject=Subject, Session=Session, Trial=Trial, Summary=Summary)


def test_defect_1_top(lab: SimpleNamespace) -> None:
    assert (lab.Subject & cdb.Top(1, "subject_id DESC")).delete(prompt=False) == 1
    assert lab.Subject.keys() == [{"subject_id": 1}, {"subject_id": 2}]


def test_defect_2_restricted_by_a_restricted_parent(lab: SimpleNamespace) -> None:
    assert (lab.Session & (lab.Subject & {"sex": "F"})).delete(prompt=False) == 3
    assert lab.Session.keys() == [{"subject_id": 2, "session_idx": 1}]


def test_defect_3_restricted_by_a_child(lab: SimpleNamespace) -> None:
    assert (lab.Session & lab.Trial).delete(prompt=False) == 3
    assert len(lab.Trial) == len(lab.Summary.Trial) == 0
    assert len(lab.Summary) == 1


def test_restricted_by_an_aggregation(lab: SimpleNamespace) -> None:
    busy = lab.Session.aggr(lab.Trial, n="count(*)") & "n > 1"
    assert (lab.Session & busy).delete(dry_run=True)["Session"] == 2  # the one after it refers to it
    assert (lab.Session & busy).delete(prompt=False) == 2


def test_dry_run_tells_tables_by_their_names(lab: SimpleNamespace) -> None:
    counts = (lab.Subject & {"subject_id": 1}).delete(dry_run=True)
    assert counts == {"Subject": 1, "Session": 2, "Trial": 3, "Summary": 2, "Summary.Trial": 3}


def test_a_whole_table_from_its_class_and_from_a_row(lab: SimpleNamespace) -> None:
    assert lab.Trial.delete(dry_run=True, part_integrity="cascade")["Summary"] == 3
    assert lab.Subject().delete(prompt=False) == 3
    assert len(lab.Summary) == 0


def test_parts_of_a_trial_need_their_summary(lab: SimpleNamespace) -> None:
    with pytest.raises(DeleteError, match=r"Summary\.Trial would go without their master in Summary"):
        (lab.Trial & {"subject_id": 1, "trial_idx": 2}).delete(prompt=False)
    assert (lab.Trial & {"subject_id": 1, "trial_idx": 2}).delete(prompt=False, part_integrity="cascade") == 1
    assert len(lab.Summary) == 3
    assert len(lab.Summary & {"subject_id": 1, "session_idx": 1}) == 0
    lab.Summary.populate()
    assert (lab.Summary & {"subject_id": 1, "session_idx": 1}).fetch1("ntrials") == 1


def test_an_unknown_name_deletes_nothing(lab: SimpleNamespace) -> None:
    with pytest.raises(UnknownAttribute):
        (lab.Session & {"subject_idd": 1}).delete(prompt=False)
    assert len(lab.Session) == 4


def test_deleted_keys_are_pending_again(lab: SimpleNamespace) -> None:
    (lab.Summary & {"subject_id": 1}).delete(prompt=False)
    assert lab.Summary.progress(display=False)[0] == 2
    assert lab.Summary.populate()["success_count"] == 2


def test_update1_warns_of_what_was_computed_from_the_row(lab: SimpleNamespace) -> None:
    with pytest.warns(CompdbWarning, match="1 row of Summary") as caught:
        lab.Session.update1({"subject_id": 1, "session_idx": 2, "previous_idx": None})
    assert caught[0].filename == __file__
    with pytest.raises(MissingParent, match="Session needs a row of Session"):
        lab.Session.update1({"subject_id": 1, "session_idx": 2, "previous_idx": 9})


def test_drop_and_activate_again(lab: SimpleNamespace, url: str) -> None:
    lab.Session.drop(prompt=False)
    assert len(lab.Subject) == 3
    lab.Lab.drop(prompt=False)
    with fresh(url).reading() as connection:
        left = sa.inspect(connection).get_table_names()
    assert not {"subject", "session", "trial", "summary", "summary__trial"} & set(left)
    lab.Lab.activate(url)
    assert len(lab.Subject) == len(lab.Summary) == 0
