"""A calcium imaging pipeline: diamonds between parts, enums, two parameter sets, a choice made by a person.

`Traces.Trace`, a part of one computed table, refers to `Segmentation.Roi`, a part of another: both bring the session and the scan, and
share them. Written from the design alone.
"""

import enum
from decimal import Decimal
from typing import Literal
from uuid import UUID, uuid4

import numpy as np
import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped, foreign_key, mapped_column


class Imaging(cdb.Pipeline):
    """From a movie to who fires with whom."""


class Region(enum.Enum):
    """Where the objective looked."""

    V1 = "primary visual cortex"
    S1 = "primary somatosensory cortex"


class Experimenter(cdb.Lookup, Imaging):
    """Who sat at the microscope."""

    name: Key[str] = mapped_column(sa.String(40))
    contents = [("ada",), ("emmy",)]


class Scan(cdb.Manual, Imaging):
    """One movie."""

    scan: Key[int]
    uuid: Mapped[UUID] = mapped_column(default=uuid4)
    region: Mapped[Region]
    mode: Mapped[Literal["galvo", "resonant"]] = mapped_column(default="galvo")
    zoom: Mapped[Decimal] = mapped_column(sa.Numeric(4, 2))
    by: Mapped[Experimenter | None] = foreign_key(rename={"name": "experimenter"})
    movie: Mapped[np.ndarray] = mapped_column(comment="(time, height, width)")
    settings: Mapped[dict | None]


class SegmentationMethod(cdb.Lookup, Imaging):
    """How to find cells."""

    method: Key[Literal["threshold", "rows"]]
    level: Mapped[float]
    contents = [{"method": "threshold", "level": 3.0}, {"method": "rows", "level": 1.0}]


class Filter(cdb.Lookup, Imaging):
    """How to clean a trace."""

    filter_id: Key[int]
    width: Mapped[int]
    contents = [(1, 1), (2, 3)]


class Segmentation(cdb.Computed, Imaging):
    """The cells of one scan, found by one method."""

    scan_: Key[Scan]
    method_: Key[SegmentationMethod]
    n_rois: Mapped[int]

    class Roi(cdb.Part):
        """One cell."""

        roi: Key[int]
        mask: Mapped[np.ndarray]
        kind: Mapped[Literal["soma", "dendrite"]]

    def make(self, key):
        movie, level = self.scan_.movie, self.method_.level
        mean = movie.mean(axis=0)
        rows = [row for row in range(len(mean)) if mean[row].max() >= level]
        self.n_rois = len(rows)
        for roi, row in enumerate(rows):
            mask = np.zeros(mean.shape, bool)
            mask[row] = True
            self.Roi.insert1({**key, "roi": roi, "mask": mask, "kind": "soma" if row % 2 else "dendrite"})


class Traces(cdb.Computed, Imaging):
    """The traces of one segmentation, cleaned by one filter."""

    segmentation: Key[Segmentation]
    filter: Key[Filter]

    class Trace(cdb.Part):
        """One cell over time: a part that refers to a part of another table."""

        cell: Key[Segmentation.Roi]
        trace: Mapped[np.ndarray]
        peak: Mapped[float]

    def make(self, key):
        movie = (Scan & key).fetch1("movie")
        width = (Filter & key).fetch1("width")
        self.insert1(key)
        for roi in (Segmentation.Roi & key).to_dicts(order_by="roi"):
            trace = movie[:, roi["mask"]].mean(axis=1)
            trace = np.convolve(trace, np.ones(width) / width, mode="same")
            self.Trace.insert1({**key, "roi": roi["roi"], "trace": trace, "peak": trace.max()})


class Pair(cdb.Computed, Imaging):
    """How alike two cells are: two links to one part, told apart by rename, each pair once."""

    traces: Key[Traces]
    first: Key[Segmentation.Roi] = foreign_key(rename={"roi": "first_roi"})
    second: Key[Segmentation.Roi] = foreign_key(rename={"roi": "second_roi"})
    correlation: Mapped[float]

    @property
    def key_source(self):
        return super().key_source & "first_roi < second_roi"

    def make(self, key):
        cells = Traces.Trace & key
        first = (cells & {"roi": key["first_roi"]}).fetch1("trace")
        second = (cells & {"roi": key["second_roi"]}).fetch1("trace")
        self.correlation = np.corrcoef(first, second)[0, 1]


class Chosen(cdb.Manual, Imaging):
    """Which segmentation a person trusts, one for each scan."""

    scan_: Key[Scan]
    segmentation: Mapped[Segmentation]


@pytest.fixture
def scans(url):
    Imaging.activate(url)
    generator = np.random.default_rng(7)
    for scan, region in ((1, Region.V1), (2, Region.S1)):
        movie = generator.normal(1.0, 0.01, size=(50, 4, 5))
        movie[:, 1] += 3 + np.sin(np.arange(50))[:, None]
        movie[:, 2] += 3 + np.sin(np.arange(50))[:, None]
        Scan.insert1(
            {
                "scan": scan,
                "region": region,
                "zoom": "1.50",
                "experimenter": "ada" if scan == 1 else None,
                "movie": movie,
                "settings": {"laser": 920, "power": [1.5, None]},
            }
        )
    return Scan


def test_the_pipeline_runs_over_both_methods_and_filters(scans):
    Imaging.populate()
    assert len(Segmentation) == 4
    assert (Segmentation & {"scan": 1}).to_arrays("n_rois", order_by="KEY").tolist() in ([2, 2], [2, 4], [4, 2])
    assert len(Traces) == 8
    assert len(Traces.Trace) == 2 * len(Segmentation.Roi)
    assert Imaging.populate()["success_count"] == 0


def test_diamond_parts_share_what_both_parents_bring(scans):
    columns = [c.name for c in Traces.Trace.__table__.primary_key.columns]
    assert columns == ["scan", "method", "filter_id", "roi"]
    Imaging.populate()
    trace = (Traces.Trace & {"scan": 1, "method": "threshold", "filter_id": 1, "roi": 0}).row1()
    assert trace.cell.mask.sum() == 5
    joined = Traces.Trace * Segmentation.Roi
    assert len(joined) == len(Traces.Trace)
    assert set(joined.heading.names) >= {"trace", "mask", "kind"}


def test_a_diamond_part_of_another_segmentation_is_refused(scans):
    Segmentation.populate()
    Traces.insert1({"scan": 1, "method": "threshold", "filter_id": 1}, allow_direct_insert=True)
    stray = {"scan": 1, "method": "threshold", "filter_id": 1, "roi": 99, "trace": np.zeros(3), "peak": 0.0}
    with pytest.raises(cdb.MissingParent, match=r"Segmentation\.Roi"):
        Traces.Trace.insert1(stray, allow_direct_insert=True)
    assert len(Traces.Trace) == 0


def test_enums_literals_uuids_decimals_and_json_come_back(scans):
    rows = Scan.to_dicts(order_by="scan")
    assert [row["region"] for row in rows] == [Region.V1, Region.S1]
    assert [row["mode"] for row in rows] == ["galvo", "galvo"]
    assert rows[0]["zoom"] == Decimal("1.50")
    assert isinstance(rows[0]["uuid"], UUID)
    assert rows[0]["uuid"] != rows[1]["uuid"]
    assert rows[0]["settings"] == {"laser": 920, "power": [1.5, None]}
    assert len(Scan & {"region": Region.V1}) == 1
    assert len(Scan & (Scan.region == Region.S1)) == 1
    assert len(Scan & {"uuid": str(rows[0]["uuid"])}) == 1


@pytest.mark.parametrize(("attribute", "value"), [("mode", "telepathy"), ("region", "M1"), ("zoom", Decimal(1000))])
def test_a_value_outside_its_type_is_refused(scans, attribute, value):
    row = {"scan": 3, "region": Region.V1, "zoom": 1, "movie": np.zeros((1, 1, 1)), attribute: value}
    with pytest.raises(cdb.InvalidValue, match=attribute):
        Scan.insert1(row)
    assert len(Scan) == 2


def test_a_literal_in_the_key_restricts_and_orders(scans):
    Segmentation.populate({"method": "threshold"})
    assert {row["method"] for row in Segmentation} == {"threshold"}
    assert len(Segmentation & {"method": ["threshold", "rows"]}) == 2
    assert Segmentation.progress(display=False) == (2, 4)


def test_two_renamed_links_to_one_part(scans):
    Imaging.populate()
    together = Pair & {"scan": 1, "method": "threshold", "filter_id": 1}
    row = together.row1()
    assert (row.first_roi, row.second_roi) == (0, 1)
    assert row.correlation > 0.9
    assert row.first.kind != row.second.kind
    assert tuple(Pair.primary_key)[-2:] == ("first_roi", "second_roi")


def test_a_persons_choice_selects_traces(scans):
    Imaging.populate()
    Chosen.insert([{"scan": 1, "method": "threshold"}, {"scan": 2, "method": "rows"}])
    chosen = Traces.Trace & Chosen
    assert {(row["scan"], row["method"]) for row in chosen} == {(1, "threshold"), (2, "rows")}
    with pytest.raises(cdb.MissingParent, match=r"Scan|Segmentation"):
        Chosen.insert1({"scan": 3, "method": "rows"})


def test_deleting_a_method_takes_its_branch_of_the_diamond(scans):
    Imaging.populate()
    (Segmentation & {"method": "rows"}).delete(prompt=False)
    assert {row["method"] for row in Traces.Trace} == {"threshold"}
    assert {row["method"] for row in Pair} == {"threshold"}
    assert len(Segmentation) == 2
    report = Imaging.populate()
    assert report["error_list"] == []
    assert len(Segmentation) == 4


def test_a_part_does_not_go_without_its_master(scans):
    Segmentation.populate()
    with pytest.raises(cdb.DeleteError, match="Segmentation"):
        (Segmentation.Roi & {"roi": 0}).delete(prompt=False)
    assert (Segmentation.Roi & {"scan": 1, "roi": 0}).delete(prompt=False, part_integrity="cascade") > 0
    assert len(Segmentation & {"scan": 1}) == 0


def test_progress_and_diagram_of_the_pipeline(scans, capsys):
    Segmentation.populate(max_calls=1)
    assert Segmentation.progress(display=False) == (3, 4)
    Imaging.progress()
    assert "Segmentation" in capsys.readouterr().out
    mermaid = Imaging.diagram().to_mermaid()
    assert all(name in mermaid for name in ("Scan", "Segmentation", "Traces", "Chosen"))
