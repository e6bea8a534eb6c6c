"""What an editor knows of a pipeline: checked by mypy and pyright, not run. `# revealed:` is what both must say."""

from collections.abc import Iterator
from typing import Any, Literal, assert_type, reveal_type

import numpy as np
import numpy.typing as npt
from sqlalchemy.orm import InstrumentedAttribute

import compdb as cdb
from compdb import Key, Mapped, foreign_key, mapped_column


class Lab(cdb.Pipeline, commit_interval=0.5):
    """A pipeline."""


class Subject(cdb.Manual, Lab):
    """A mouse."""

    subject_id: Key[str]
    species: Mapped[str]
    sex: Mapped[Literal["F", "M"] | None]
    mother: Mapped["Subject | None"] = foreign_key(rename={"subject_id": "mother_id"})


class Session(cdb.Manual, Lab):
    """A day."""

    subject: Key[Subject]
    session_idx: Key[int]
    trace: Mapped[npt.NDArray[np.float64]] = mapped_column(cdb.Blob())


class Method(cdb.Lookup, Lab):
    """A way to compute."""

    method: Key[str]
    contents = [("mean",), ("median",)]


class Summary(cdb.Computed, Lab):
    """What follows."""

    session: Key[Session]
    used: Key[Method]
    mean: Mapped[float]

    class Detail(cdb.Part):
        """One of many."""

        detail: Key[int]
        note: Mapped[str | None]

    def make(self, key: dict[str, Any]) -> None:
        """Compute one."""
        reveal_type(self.session.subject.species)  # revealed: str
        self.mean = float(self.session.trace.mean())
        self.insert1({**key, "mean": 1.0})
        self.Detail.insert({**key, "detail": i} for i in range(3))


Lab.activate("sqlite:///lab.db")

# Rows: every link is its parent's row, every attribute its own type.
row = (Summary & {"session_idx": 1}).row1()
reveal_type(row)  # revealed: Summary
reveal_type(row.session)  # revealed: Session
reveal_type(row.session.subject)  # revealed: Subject
reveal_type(row.session.subject.species)  # revealed: str
reveal_type(row.session.subject.sex)  # revealed: Literal['F', 'M'] | None
reveal_type(row.session.subject.mother)  # revealed: Subject | None
reveal_type(row.session.session_idx)  # revealed: int
reveal_type(row.mean)  # revealed: float
assert_type(row.session.trace, npt.NDArray[np.float64])

# Classes: columns are expressions, tables are relations of their rows.
assert_type(Summary.mean, InstrumentedAttribute[float])
assert_type(Session.session_idx, InstrumentedAttribute[int])
reveal_type(Summary & {"session_idx": 1})  # revealed: Relation[Summary]
reveal_type(Summary - Session)  # revealed: Relation[Summary]
reveal_type(Summary & (Summary.mean > 0.5) & Session)  # revealed: Relation[Summary]
reveal_type((Summary.Detail & "detail > 1").row1())  # revealed: Detail
reveal_type((Summary & True).row1().session.subject.species)  # revealed: str
assert_type(len(Summary), int)
assert_type({"session_idx": 1} in Summary, bool)

# Fetching.
assert_type((Session & {"session_idx": 1}).to_dicts(order_by="KEY", limit=3), list[dict[str, Any]])
assert_type(Session.keys(), list[dict[str, Any]])
for each in Session:
    assert_type(each, dict[str, Any])
for summary in (Summary & True).rows():
    reveal_type(summary.session.subject)  # revealed: Subject

# New rows, sessions.
new = Subject(subject_id="M001", species="mouse")
reveal_type(new.species)  # revealed: str
with Lab.transaction() as session:
    session.add(new)

report = Summary.populate(Subject & {"subject_id": "M001"}, max_calls=3)
assert_type(report, dict[str, Any])
remaining, total = Summary.progress(display=False)
assert_type(remaining, int)
done: Iterator[dict[str, Any]] = iter(Summary)
