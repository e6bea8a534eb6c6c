"""An electrophysiology pipeline as a laboratory writes it: files to recordings to units to what they mean.

`Imported` tables read `.npy` and `.csv` files, `rows_per_key="many"` for the units that a recording turns out to have, the form of
make native to the ORM (`self` is the row), and waveforms as parts. Written from the design alone.
"""

import csv
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped, foreign_key, mapped_column

RATE = 1000.0  # samples per second
AMPLITUDES = {1: (80.0, 40.0), 2: (60.0,)}  # of the units that the recordings hold


class Ephys(cdb.Pipeline):
    """Extracellular recordings and the units in them."""


class Subject(cdb.Manual, Ephys):
    """An animal."""

    subject: Key[str] = mapped_column(sa.String(32))
    sex: Mapped[Literal["F", "M", "U"]]
    born: Mapped[date | None]
    mother: Mapped["Subject | None"] = foreign_key(rename={"subject": "mother_id"})


class Probe(cdb.Lookup, Ephys):
    """A model of probe."""

    probe_type: Key[str] = mapped_column(sa.String(32))
    n_channels: Mapped[int]
    contents = [{"probe_type": "tetrode", "n_channels": 4}, {"probe_type": "stereotrode", "n_channels": 2}]


class Session(cdb.Manual, Ephys):
    """One stay in the rig."""

    subject: Key[Subject]
    session_start: Key[datetime]
    rig: Mapped[str] = mapped_column(sa.String(16), default="A")


class Recording(cdb.Manual, Ephys):
    """One probe in one session, and where its files are."""

    session: Key[Session]
    insertion: Key[int]
    probe: Mapped[Probe]
    folder: Mapped[str]


class Trace(cdb.Imported, Ephys):
    """The voltage, as the amplifier saved it."""

    recording: Key[Recording]
    rate: Mapped[float] = mapped_column(comment="samples per second")
    duration: Mapped[timedelta]
    voltage: Mapped[npt.NDArray[np.float32]] = mapped_column(comment="(n_samples, n_channels), microvolts")

    def make(self, key):
        folder = Path((Recording & key).fetch1("folder"))
        voltage = np.load(folder / "voltage.npy")
        duration = timedelta(seconds=len(voltage) / RATE)
        self.insert1({**key, "rate": RATE, "duration": duration, "voltage": voltage})


class Unit(cdb.Imported, Ephys, rows_per_key="many"):
    """The units that the sorter found: as many rows as its table has."""

    recording: Key[Recording]
    unit: Key[int]
    quality: Mapped[Literal["good", "mua", "noise"]]
    spike_times: Mapped[np.ndarray] = mapped_column(comment="seconds")

    class Waveform(cdb.Part):
        """The mean waveform of a unit on one channel."""

        channel: Key[int]
        waveform: Mapped[np.ndarray]
        peak: Mapped[float]

    def make(self, key):
        folder = Path(self.recording.folder)
        n_channels = self.recording.probe.n_channels
        with (folder / "clusters.csv").open(newline="") as file:
            clusters = list(csv.DictReader(file))
        times = np.load(folder / "spike_times.npy")
        labels = np.load(folder / "spike_clusters.npy")
        for cluster in clusters:
            unit = int(cluster["cluster_id"])
            row = {**key, "unit": unit}
            self.insert1({**row, "quality": cluster["group"], "spike_times": times[labels == unit]})
            for channel in range(n_channels):
                waveform = float(cluster["amplitude"]) * np.hanning(12) / (channel + 1)
                self.Waveform.insert1({**row, "channel": channel, "waveform": waveform, "peak": waveform.max()})


class Rate(cdb.Computed, Ephys):
    """How often a good unit fires: only units worth the time."""

    unit: Key[Unit]
    trace: Mapped[Trace]
    spikes: Mapped[int]
    rate: Mapped[float] = mapped_column(comment="Hz")
    peak_channel: Mapped[int | None]

    key_source = Unit & {"quality": "good"}

    def make(self, key):
        best = max((Unit.Waveform & key).to_dicts(), key=lambda row: row["peak"])
        trace = (Trace & key).row1()
        self.spikes = len(self.unit.spike_times)
        self.rate = self.spikes / trace.duration.total_seconds()
        self.peak_channel = best["channel"]


class Summary(cdb.Computed, Ephys):
    """One line per session, in the ORM's form with a part per recording."""

    session: Key[Session]
    n_units: Mapped[int]
    mean_rate: Mapped[float | None]

    class OfRecording(cdb.Part):
        recording: Key[Recording]
        n_units: Mapped[int]

    def make(self, key):
        rates = (Rate & key).to_arrays("rate")
        self.n_units = len(Unit & key)
        self.mean_rate = rates.mean() if len(rates) else None
        for recording in (Recording & key).keys():
            self.OfRecording.insert1({**recording, "n_units": len(Unit & recording)})


def write_files(folder: Path, insertion: int) -> None:
    """Write what an amplifier and a sorter leave behind."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(insertion)
    np.save(folder / "voltage.npy", generator.normal(size=(2000, 4)).astype(np.float32))
    units = AMPLITUDES[insertion]
    np.save(folder / "spike_times.npy", np.arange(30 * len(units)) / 100)
    np.save(folder / "spike_clusters.npy", np.repeat(np.arange(len(units)), 30))
    with (folder / "clusters.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["cluster_id", "group", "amplitude"])
        table.writerows([i, "good" if i == 0 else "mua", amplitude] for i, amplitude in enumerate(units))


def populate_all():
    """Populate in the order of what each make reads: Summary reads rates, though no foreign key says so."""
    first = Ephys.populate(tables=[Trace, Unit, Rate])
    return first["success_count"] + Summary.populate()["success_count"]


@pytest.fixture
def recordings(url, tmp_path):
    """Two subjects, one session each of two insertions, and their files."""
    Ephys.activate(url)
    Subject.insert(
        [
            {"subject": "mia", "sex": "F", "born": "2025-11-02"},
            {"subject": "max", "sex": "M", "born": None, "mother_id": "mia"},
        ]
    )
    start = datetime(2026, 1, 6, 9, 30, 0, 250_000)
    Session.insert({"subject": name, "session_start": start} for name in ("mia", "max"))
    for name in ("mia", "max"):
        for insertion, probe in ((1, "tetrode"), (2, "stereotrode")):
            folder = tmp_path / name / str(insertion)
            write_files(folder, insertion)
            Recording.insert1(
                {
                    "subject": name,
                    "session_start": start,
                    "insertion": insertion,
                    "probe_type": probe,
                    "folder": str(folder),
                }
            )
    return Recording.keys(order_by="KEY")


def test_the_whole_pipeline_runs_in_order(recordings):
    assert populate_all() == 4 + 4 + 4 + 2
    assert len(Trace) == 4
    assert len(Unit) == 6
    assert len(Unit.Waveform) == 2 * (2 * 4 + 1 * 2)
    assert len(Rate) == 4
    assert len(Summary) == 2
    assert Ephys.populate()["success_count"] == 0


def test_arrays_come_back_as_they_were(recordings):
    Trace.populate()
    key = recordings[0]
    voltage = (Trace & key).fetch1("voltage")
    saved = np.load(Path((Recording & key).fetch1("folder")) / "voltage.npy")
    assert voltage.dtype == np.float32
    np.testing.assert_array_equal(voltage, saved)
    voltage[0, 0] = 0  # fetched arrays are the caller's own
    assert (Trace & key).fetch1("duration") == timedelta(seconds=2)


def test_one_key_makes_many_units_or_none_of_them(recordings):
    key = {"subject": "mia", "insertion": 1}
    broken = Path((Recording & key).fetch1("folder")) / "clusters.csv"
    text = broken.read_text()
    broken.write_text(text.replace("mua", "unheard of"))
    report = Unit.populate(suppress_errors=True)
    assert report["success_count"] == 3
    assert len(Unit & key) == len(Unit.Waveform & key) == 0
    assert Unit.progress(display=False) == (1, 4)

    broken.write_text(text)
    assert Unit.populate()["success_count"] == 1
    assert (Unit & key).to_arrays("unit", order_by="unit").tolist() == [0, 1]


def test_a_many_table_without_a_row_is_an_empty_make(recordings):
    key = {"subject": "mia", "insertion": 2}
    clusters = Path((Recording & key).fetch1("folder")) / "clusters.csv"
    clusters.write_text("cluster_id,group,amplitude\n")
    with pytest.raises(cdb.EmptyMake, match="Unit"):
        Unit.populate(Recording & key)


def test_key_source_of_units_is_recordings_and_of_rates_the_good_ones(recordings):
    Trace.populate()
    Unit.populate()
    assert tuple(Unit.key_source.primary_key) == ("subject", "session_start", "insertion")
    assert len(Rate.key_source) == 4
    assert Rate.progress(display=False) == (4, 4)
    Rate.populate(Subject & {"subject": "mia"})
    assert {row["subject"] for row in Rate} == {"mia"}


def test_what_is_computed_is_right_and_reachable_from_the_row(recordings):
    populate_all()
    rate = (Rate & {"subject": "mia", "insertion": 1}).row1()
    assert (rate.spikes, rate.rate, rate.peak_channel) == (30, 15.0, 0)
    assert rate.unit.recording.session.subject.sex == "F"
    assert rate.unit.recording.probe.n_channels == 4
    assert rate.trace.rate == RATE
    summary = (Summary & {"subject": "max"}).fetch1()
    assert (summary["n_units"], summary["mean_rate"]) == (3, 15.0)
    assert (Summary.OfRecording & {"subject": "max"}).to_arrays("n_units", order_by="KEY").tolist() == [2, 1]


def test_the_algebra_over_the_pipeline(recordings):
    populate_all()
    per_session = Session.aggr(Unit & {"quality": "good"}, n="count(*)")
    assert [row["n"] for row in per_session.to_dicts(order_by="KEY")] == [2, 2]
    loud = Unit.Waveform & "peak > 70"
    assert {(row["subject"], row["unit"]) for row in (Unit & loud).proj()} == {("mia", 0), ("max", 0)}
    assert len(Recording - (Unit & {"quality": "mua"})) == 2
    assert len((Recording * Probe) & "n_channels = 4") == 2
    assert len(Rate & (Session & {"subject": "mia"})) == 2
    daughters = Subject.proj(mother_id="subject", mothers_sex="sex")
    assert (Subject * daughters & {"subject": "max"}).fetch1("mothers_sex") == "F"


def test_deleting_a_recording_takes_along_what_came_of_it(recordings):
    populate_all()
    doomed = Recording & {"subject": "mia", "insertion": 1}
    with pytest.raises(cdb.DeleteError, match="Summary"):
        doomed.delete(prompt=False)  # a part of Summary names the recording; it does not go without its master
    assert (len(Recording), len(Unit.Waveform)) == (4, 20)

    counts = doomed.delete(dry_run=True, part_integrity="cascade")
    assert (counts["Recording"], counts["Unit.Waveform"], counts["Summary"]) == (1, 8, 1)
    assert doomed.delete(prompt=False, part_integrity="cascade") == 1
    assert (len(Trace), len(Unit), len(Rate), len(Summary)) == (3, 4, 3, 1)
    assert populate_all() == 1
    assert (Summary & {"subject": "mia"}).fetch1("n_units") == 1


def test_a_session_is_found_again_by_its_microseconds(recordings):
    start = datetime(2026, 1, 6, 9, 30, 0, 250_000)
    assert len(Session & {"session_start": start}) == 2
    assert len(Session & {"session_start": "2026-01-06 09:30:00.250000"}) == 2
    assert len(Session & {"session_start": start.replace(microsecond=0)}) == 0
    assert Session.to_arrays("rig").tolist() == ["A", "A"]
