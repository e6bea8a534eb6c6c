"""From trials to a quality check: a pipeline whose results follow from behaviour.

What you will learn: computed tables and their keys, several parents at once, parts, tables computed from computed tables,
computing again after a change, working through a part of the keys, progress, and a key source of your own.

    python examples/sessions.py

The tables live in a fresh SQLite file, or where `COMPDB_URL` points, and are dropped at the end.
"""

import os
import random
import tempfile
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped, mapped_column


class Lab(cdb.Pipeline):
    """Mice choose left or right: sessions, trials, and what follows from them."""


# --- What people enter ------------------------------------------------------------------------------------------------


class Subject(cdb.Manual, Lab):
    """A mouse."""

    subject_id: Key[str] = mapped_column(sa.String(16))
    species: Mapped[str] = mapped_column(sa.String(50))


class Session(cdb.Manual, Lab):
    """One recording day of one mouse."""

    subject: Key[Subject]
    session_idx: Key[int]
    session_date: Mapped[date]

    class Trial(cdb.Part):
        """One choice."""

        trial_idx: Key[int]
        stimulus: Mapped[str] = mapped_column(sa.String(50))
        response: Mapped[str] = mapped_column(sa.String(50))
        correct: Mapped[bool]
        reaction_time: Mapped[Decimal] = mapped_column(sa.Numeric(3, 2), comment="seconds")


class AnalysisMethod(cdb.Lookup, Lab):
    """How to score a session."""

    method_name: Key[str] = mapped_column(sa.String(32))
    description: Mapped[str]
    contents = [
        {"method_name": "basic", "description": "Simple accuracy calculation"},
        {"method_name": "weighted", "description": "Reaction-time weighted accuracy"},
    ]


# --- What is computed -------------------------------------------------------------------------------------------------


class SessionSummary(cdb.Computed, Lab):
    """Summary statistics for each session."""

    session: Key[Session]
    n_trials: Mapped[int]
    n_correct: Mapped[int]
    accuracy: Mapped[float]
    mean_rt: Mapped[float] = mapped_column(comment="mean reaction time (seconds)")

    def make(self, key):
        correct, rt = (Session.Trial & key).to_arrays("correct", "reaction_time")
        rt = rt.astype(float)  # decimals to floats
        n_trials = len(correct)
        n_correct = sum(correct) if n_trials else 0
        self.insert1(
            {
                **key,
                "n_trials": n_trials,
                "n_correct": n_correct,
                "accuracy": n_correct / n_trials if n_trials else 0.0,
                "mean_rt": np.mean(rt) if n_trials else 0.0,
            }
        )


class SessionAnalysis(cdb.Computed, Lab):
    """One score for each session and method."""

    session: Key[Session]
    method: Key[AnalysisMethod]
    score: Mapped[float]

    def make(self, key):
        correct, rt = (Session.Trial & key).to_arrays("correct", "reaction_time")
        rt = rt.astype(float)
        if not len(correct):
            score = 0.0
        elif key["method_name"] == "weighted":
            weights = 1.0 / rt
            score = sum(correct * weights) / sum(weights)
        else:
            score = sum(correct) / len(correct)
        self.insert1({**key, "score": score})


class TrialAnalysis(cdb.Computed, Lab):
    """Per-trial analysis results."""

    session: Key[Session]
    n_analyzed: Mapped[int]

    class TrialResult(cdb.Part):
        """Where one trial stands among those of its session."""

        trial_idx: Key[int]
        rt_percentile: Mapped[float] = mapped_column(comment="reaction time percentile within session")
        is_fast: Mapped[bool] = mapped_column(comment="below median reaction time")

    def make(self, key):
        trials = (Session.Trial & key).to_dicts()
        rts = [float(t["reaction_time"]) for t in trials]
        median_rt = np.median(rts) if rts else 0.0
        self.insert1({**key, "n_analyzed": len(trials)})
        self.TrialResult.insert(
            {
                **key,
                "trial_idx": t["trial_idx"],
                "rt_percentile": sum(r <= rt for r in rts) / len(rts) * 100,
                "is_fast": rt < median_rt,
            }
            for t, rt in zip(trials, rts, strict=True)
        )


class SubjectSummary(cdb.Computed, Lab):
    """Summary across all sessions of a subject: computed from a computed table."""

    subject: Key[Subject]
    n_sessions: Mapped[int]
    total_trials: Mapped[int]
    overall_accuracy: Mapped[float]

    def make(self, key):
        summaries = (SessionSummary & key).to_dicts()
        total_trials = sum(s["n_trials"] for s in summaries)
        total_correct = sum(s["n_correct"] for s in summaries)
        self.insert1(
            {
                **key,
                "n_sessions": len(summaries),
                "total_trials": total_trials,
                "overall_accuracy": total_correct / total_trials if total_trials else 0.0,
            }
        )


class QualityCheck(cdb.Computed, Lab):
    """Whether a session with enough trials is good: a table with a key source of its own."""

    session: Key[Session]
    passes_qc: Mapped[bool]

    @property
    def key_source(self):
        # Only sessions with at least 10 trials.
        good_sessions = cdb.U("subject_id", "session_idx").aggr(Session.Trial, n="count(*)") & "n >= 10"
        return Session & good_sessions

    def make(self, key):
        summary = (SessionSummary & key).fetch1()
        passes = summary["accuracy"] > 0.5 and summary["mean_rt"] < 1.0
        self.insert1({**key, "passes_qc": passes})


def main() -> None:
    """Enter data, populate, and ask."""
    # --- Data ---------------------------------------------------------------------------------------------------------

    folder = Path(tempfile.mkdtemp(prefix="sessions_"))
    Lab.activate(os.environ.get("COMPDB_URL") or f"sqlite:///{folder / 'sessions.db'}")

    random.seed(42)

    Subject.insert(
        [
            {"subject_id": "M001", "species": "Mus musculus"},
            {"subject_id": "M002", "species": "Mus musculus"},
        ]
    )
    sessions = [
        {"subject_id": "M001", "session_idx": 1, "session_date": "2026-01-06"},
        {"subject_id": "M001", "session_idx": 2, "session_date": "2026-01-07"},
        {"subject_id": "M002", "session_idx": 1, "session_date": "2026-01-06"},
    ]
    Session.insert(sessions)
    Session.Trial.insert(
        {
            "subject_id": s["subject_id"],
            "session_idx": s["session_idx"],
            "trial_idx": i + 1,
            "stimulus": random.choice(["left", "right"]),
            "response": random.choice(["left", "right"]),
            "correct": random.random() > 0.3,
            "reaction_time": random.uniform(0.2, 0.8),
        }
        for s in sessions
        for i in range(15)
    )
    print(f"Subjects: {len(Subject())}, Sessions: {len(Session())}, Trials: {len(Session.Trial())}")

    # --- populate() calls make for each key that is missing -----------------------------------------------------------

    print(f"\nEntries to compute: {len(SessionSummary.key_source - SessionSummary)}")
    SessionSummary.populate(display_progress=True)
    print(SessionSummary.preview())

    print("\nKey source of SessionSummary, the table its primary key refers to:")
    print(SessionSummary.key_source)

    # --- Several parents: every combination ---------------------------------------------------------------------------

    print(f"\nKey source has {len(SessionAnalysis.key_source)} entries")
    print(f"  = {len(Session())} sessions x {len(AnalysisMethod())} methods")
    SessionAnalysis.populate(display_progress=True)
    print(SessionAnalysis.preview())
    scores = (SessionAnalysis & {"method_name": "weighted"}).to_arrays("score", order_by="KEY")
    print("Weighted scores:", ", ".join(f"{score:.6f}" for score in scores))

    # --- Parts: details beside the summary ----------------------------------------------------------------------------

    TrialAnalysis.populate(display_progress=True)
    print("\nMaster table:")
    print(TrialAnalysis.preview())
    print("\nPart table (first session):")
    print(TrialAnalysis.TrialResult & {"subject_id": "M001", "session_idx": 1})

    # --- Computed from computed ---------------------------------------------------------------------------------------

    SubjectSummary.populate(display_progress=True)
    print("\nSubjects:")
    print(SubjectSummary.preview())

    print("\nThe pipeline, as Mermaid draws it:")
    print(Lab.diagram().to_mermaid())

    # --- A new session: compute what is missing, and again what it changed --------------------------------------------

    Session.insert1({"subject_id": "M001", "session_idx": 3, "session_date": "2026-01-08"})
    Session.Trial.insert(
        {
            "subject_id": "M001",
            "session_idx": 3,
            "trial_idx": i + 1,
            "stimulus": "left",
            "response": "left",
            "correct": True,
            "reaction_time": 0.3,
        }
        for i in range(20)
    )
    print("\nPopulating new session...")
    SessionSummary.populate(display_progress=True)
    TrialAnalysis.populate(display_progress=True)

    (SubjectSummary & {"subject_id": "M001"}).delete(prompt=False)  # computed from the old sessions
    SubjectSummary.populate(display_progress=True)
    print("\nUpdated SubjectSummary:")
    print(SubjectSummary.preview())

    # --- A part of the work -------------------------------------------------------------------------------------------

    print("\nOne subject, then at most 5 keys, then all that is left, whatever fails:")
    print(SessionAnalysis.populate(Subject & {"subject_id": "M001"}))
    print(SessionAnalysis.populate(max_calls=5, display_progress=True))
    result = SessionAnalysis.populate(suppress_errors=True)
    print(f"Success: {result['success_count']}, Errors: {len(result['error_list'])}")

    remaining, total = SessionAnalysis.progress()
    print(f"SessionAnalysis: {total - remaining}/{total} computed")

    # --- A key source of your own -------------------------------------------------------------------------------------

    print(f"\nKey source entries: {len(QualityCheck.key_source)}")
    QualityCheck.populate(display_progress=True)
    print(QualityCheck.preview())

    # --- Deleting takes along what was computed -----------------------------------------------------------------------

    print("\nDeleting a session would delete:")
    print((Session & {"subject_id": "M001", "session_idx": 3}).delete(dry_run=True))
    (Session & {"subject_id": "M001", "session_idx": 3}).delete(prompt=False)
    # SubjectSummary refers to the subject alone: what it says of the old sessions has to be deleted by hand, as above.
    print(f"Sessions: {len(Session())}, summaries: {len(SessionSummary())}, scores: {len(SessionAnalysis())}")
    Lab.progress()

    Lab.drop(prompt=False)


if __name__ == "__main__":
    main()
