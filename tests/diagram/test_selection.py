"""Which tables a diagram shows."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy import orm

from compdb import dag
from compdb.diagram import Diagram
from compdb.errors import DiagramError

from .conftest import declare


def names(diagram: Diagram) -> set[str]:
    return {dag.label(t) for t in diagram.tables}


@pytest.fixture
def t(sessions: sa.MetaData) -> dict[str, sa.Table]:
    return {dag.label(table): table for table in sessions.tables.values()}


def test_a_diagram_of_a_pipeline_has_all_its_tables_parents_first(blobs: sa.MetaData) -> None:
    class Lab:
        metadata = blobs

    expected = ["Image", "BlobParamSet", "Detection", "Detection.Blob", "SelectDetection"]
    assert [dag.label(t) for t in Diagram(Lab).tables] == expected
    assert Diagram(Lab) == Diagram(blobs)


def test_a_diagram_is_made_of_tables_classes_rows_lists_and_diagrams(t: dict[str, sa.Table]) -> None:
    class Base(orm.DeclarativeBase):
        pass

    class Plain(Base):
        __tablename__ = "plain"
        id: orm.Mapped[int] = orm.mapped_column(primary_key=True)

    assert names(Diagram(t["Session"])) == {"Session"}
    assert names(Diagram(Plain)) == names(Diagram(Plain(id=3))) == names(Diagram(Base)) == {"plain"}
    several = Diagram([t["Session"], {Plain}], Diagram(t["Subject"]), (x for x in [t["QualityCheck"]]))
    assert names(several) == {"Session", "plain", "Subject", "QualityCheck"}
    assert len(several) == 4
    assert list(several) == list(several.tables)


def test_plus_n_goes_downstream_and_minus_n_upstream(t: dict[str, sa.Table]) -> None:
    below = {"Session", "Session.Trial", "SessionSummary", "SessionAnalysis", "TrialAnalysis", "QualityCheck"}
    assert names(Diagram(t["Session"]) + 0) == {"Session"}
    assert names(Diagram(t["Session"]) + 1) == below
    assert (
        names(Diagram(t["Session"]) + 2) == names(Diagram(t["Session"]) + 99) == below | {"TrialAnalysis.TrialResult"}
    )
    assert names(Diagram(t["TrialAnalysis.TrialResult"]) - 2) == {
        "TrialAnalysis.TrialResult",
        "TrialAnalysis",
        "Session",
    }
    assert names(Diagram(t["SessionAnalysis"]) - 9) == {"SessionAnalysis", "Session", "AnalysisMethod", "Subject"}
    assert names(Diagram(t["AnalysisMethod"]) + 1 - 1) == {"AnalysisMethod", "SessionAnalysis", "Session"}


def test_steps_cross_from_one_pipeline_to_another(t: dict[str, sa.Table]) -> None:
    other = sa.MetaData()
    declare(other, "Video", "imported", {}, [(t["Session"], True, {})])
    assert "Video" in names(Diagram(t["Session"]) + 1)
    assert names(Diagram(other) - 1) == {"Video", "Session"}


def test_diagrams_add_subtract_and_intersect_as_sets_of_tables(t: dict[str, sa.Table]) -> None:
    a, b = Diagram(t["Subject"], t["Session"]), Diagram(t["Session"], t["SessionSummary"])
    assert names(a + b) == {"Subject", "Session", "SessionSummary"}
    assert names(a - b) == {"Subject"}
    assert names(a * b) == {"Session"}
    assert a + b == b + a
    assert hash(a + b) == hash(b + a)
    assert (a - b) + (a * b) == a
    assert a + t["SessionSummary"] == a + b
    assert names(a * [t["Session"]]) == {"Session"}


def test_operators_leave_their_operands_alone_and_keep_the_progress(t: dict[str, sa.Table]) -> None:
    a = Diagram(t["SessionSummary"], progress={"SessionSummary": (1, 4)})
    assert (a - 1).progress == (a + 1).progress == (a + t["Subject"]).progress == {"SessionSummary": (1, 4)}
    both = a + Diagram(t["QualityCheck"], progress={"QualityCheck": (0, 3)})
    assert both.progress == {"SessionSummary": (1, 4), "QualityCheck": (0, 3)}
    assert names(a) == {"SessionSummary"}
    with pytest.raises(AttributeError):
        a.tables = ()  # type: ignore[misc]


def test_jobs_tables_are_left_out(t: dict[str, sa.Table]) -> None:
    declare(t["Session"].metadata, "SessionSummary.jobs", "jobs", {}, [(t["Session"], True, {})])
    assert "SessionSummary.jobs" not in names(Diagram(t["Session"].metadata))
    assert "SessionSummary.jobs" not in names(Diagram(t["Session"]) + 1)


def test_tables_that_depend_on_each_other_in_a_circle_are_shown() -> None:
    m = sa.MetaData()
    sa.Table("a", m, sa.Column("id", sa.Integer, primary_key=True), sa.Column("b_id", sa.ForeignKey("b.id")))
    sa.Table("b", m, sa.Column("id", sa.Integer, primary_key=True), sa.Column("a_id", sa.ForeignKey("a.id")))
    assert len(Diagram(m)) == 2
    assert "as b_id" in repr(Diagram(m))
    assert Diagram(m).to_svg().count("<path") == 2


@pytest.mark.parametrize("wrong", [3, "Session", None, object(), [4]])
def test_what_is_no_table_is_refused(wrong: object) -> None:
    with pytest.raises(DiagramError, match="tables, pipelines, other diagrams"):
        Diagram(wrong)


def test_negative_steps_are_refused(t: dict[str, sa.Table]) -> None:
    with pytest.raises(DiagramError, match="not by -1"):
        Diagram(t["Session"]) + -1


def test_the_order_of_tables_does_not_depend_on_how_they_were_given(t: dict[str, sa.Table]) -> None:
    assert Diagram(*reversed(t.values())).tables == Diagram(t.values()).tables
