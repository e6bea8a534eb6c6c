"""The walk: from an empty folder to a pipeline whose tables were changed, on every database, by its URL alone."""

from __future__ import annotations

import pytest

from .conftest import change

LOUDNESS = '''

class Loudness(cdb.Computed, Lab):
    """How loud one recording is."""

    recording: Key[Recording]
    rms: Mapped[float]

    def make(self, key):
        signal = (Recording & key).fetch1("signal")
        self.insert1({**key, "rms": np.sqrt(np.mean(signal**2))})
'''


def standing(said):
    """Return {table: (rows, pending)} of what `status --json` says."""
    return {t["table"]: (t["rows"], t["pending"]) for t in said.json["tables"]}


@pytest.fixture
def demo(compdb, folder, url, monkeypatch):
    """Return the file of the tables of a new project, on the database of the test."""
    monkeypatch.setenv("COMPDB_URL", url)
    assert compdb("init", "demo").code == 0
    return folder / "demo" / "pipeline.py"


def test_a_new_project_is_activated_populated_and_done(compdb, demo):
    before = compdb("status", "--json")
    assert before.code == 2
    assert standing(before) == dict.fromkeys(["Tone", "Window", "Recording", "Peak"], (None, None))
    assert compdb("populate").line.endswith("has no tables yet; compdb activate makes them")
    made = compdb("activate", "--json")
    assert made.code == 0
    assert made.json["tables"] == ["Tone", "Window", "Recording", "Peak"]
    assert len(made.json["applied"]) == 1
    assert compdb("activate", "--json").json["applied"] == []
    activated = compdb("status", "--json")
    assert activated.code == 2
    assert standing(activated) == {"Tone": (3, None), "Window": (2, None), "Recording": (0, 3), "Peak": (0, 0)}
    assert activated.json["drift"] == activated.json["migrations"] == []
    assert compdb("populate", "--json").json["made"] == 9
    done = compdb("status", "--json")
    assert done.code == 0
    assert standing(done) == {"Tone": (3, None), "Window": (2, None), "Recording": (3, 0), "Peak": (6, 0)}
    assert compdb("populate", "--json").json["made"] == 0


def test_a_new_table_is_written_down_applied_populated_and_taken_back(compdb, demo):
    compdb("activate")
    compdb("populate")
    change(demo, demo.read_text(), demo.read_text() + LOUDNESS)
    drifted = compdb("status", "--json")
    assert drifted.code == 2
    assert ("table", "Loudness") in {(d["kind"], d["table"]) for d in drifted.json["drift"]}
    assert standing(drifted)["Peak"] == (6, 0)
    for verb in ("populate", "worker"):
        refused = compdb(verb)
        assert refused.code == 2
        assert "'loudness' is not in the database" in refused.line
        assert "compdb migrate new" in refused.line
    file = compdb("migrate", "new", "loudness", "--json").json["file"]
    waiting = compdb("status", "--json")
    assert waiting.code == 2
    assert [m["message"] for m in waiting.json["migrations"]] == ["loudness"]
    (revision,) = compdb("migrate", "up", "--json").json["applied"]
    assert revision in file
    fits = compdb("status", "--json")
    assert fits.code == 2
    assert fits.json["drift"] == fits.json["migrations"] == []
    assert standing(fits)["Loudness"] == (0, 3)
    assert compdb("migrate", "new", "nothing", "--json").json["file"] is None
    assert compdb("populate", "--json").json["made"] == 3
    assert compdb("status").code == 0
    assert compdb("migrate", "down", "--json").json["taken_back"] == [revision]
    assert compdb("migrate", "check").code == 2
    assert compdb("migrate", "up", "--json").json["applied"] == [revision]
    assert compdb("migrate", "check").code == 0


def test_a_new_column_keeps_the_rows_and_a_renamed_one_its_values(compdb, demo):
    compdb("activate")
    compdb("populate")
    change(
        demo,
        '    peak: Mapped[float] = mapped_column(comment="Hz")\n',
        '    peak: Mapped[float] = mapped_column(comment="Hz")\n    power: Mapped[float | None]\n',
    )
    assert "power" in compdb("status").out
    compdb("migrate", "new", "power")
    assert compdb("migrate", "up").code == 0
    assert compdb("status").code == 0
    change(demo, "    power: Mapped[float | None]\n", "    height: Mapped[float | None]\n")
    asked = compdb("migrate", "new", "height")
    assert asked.code == 2
    assert "--rename Peak.power=height, or --no-renames" in asked.line
    assert len(compdb("migrate", "history", "--json").json["revisions"]) == 2
    missed = compdb("migrate", "new", "height", "--rename", "Peak.peak=height", "--no-renames")
    assert "--rename Peak.peak=height: no such column goes" in missed.line
    assert len(compdb("migrate", "history", "--json").json["revisions"]) == 2
    assert compdb("migrate", "new", "height", "--rename", "Peak.power=height").code == 0
    assert compdb("migrate", "up").code == 0
    done = compdb("status", "--json")
    assert done.code == 0
    assert standing(done)["Peak"] == (6, 0)


def test_a_database_made_without_migrations_is_taken_over(compdb, demo, folder):
    change(folder / "pyproject.toml", 'migrations = "migrations"\n', "")
    assert compdb("activate").code == 0
    assert compdb("populate").code == compdb("status").code == 0
    assert "where are the migrations" in compdb("migrate", "up").line
    change(folder / "pyproject.toml", "[tool.compdb]\n", '[tool.compdb]\nmigrations = "migrations"\n')
    unknown = compdb("status", "--json")
    assert unknown.code == 2
    assert [unknown.json[n] for n in ("pending", "errors", "drift")] == [0, 0, []]
    assert unknown.json["migrations"] != []
    (revision,) = compdb("migrate", "history", "--json").json["revisions"]
    assert compdb("migrate", "stamp", "--json").json["revision"] == revision["revision"]
    assert compdb("status").code == 0
    assert compdb("migrate", "up", "--json").json["applied"] == []
    assert compdb("migrate", "new", "nothing", "--json").json["file"] is None


def test_a_revision_that_there_is_not_is_told_with_those_there_are(compdb, demo):
    (revision,) = compdb("migrate", "history", "--json").json["revisions"]
    assert revision["applied"] is False
    assert (
        "there is no revision 'nonsense'; there are: " + revision["revision"]
        in compdb("migrate", "up", "nonsense").line
    )
    assert "has 0 revisions applied, not 1" in compdb("migrate", "down").line
    assert compdb("migrate", "up", "+1", "--json").json["applied"] == [revision["revision"]]
    assert "has 0 revisions to apply, not 1" in compdb("migrate", "up", "+1").line
    assert "has 1 revision applied, not 2" in compdb("migrate", "down", "-2").line
    assert compdb("migrate", "down", "base", "--json").json["taken_back"] == [revision["revision"]]
    assert compdb("migrate", "up", revision["revision"][:4], "--json").json["applied"] == [revision["revision"]]


def test_migrations_of_two_pipelines_are_not_made_for_one(compdb, demo, folder):
    (folder / "second.py").write_text("import compdb as cdb\n\n\nclass More(cdb.Pipeline): ...\n")
    change(folder / "pyproject.toml", '"demo.pipeline:Lab"', '["demo.pipeline:Lab", "second:More"]')
    said = compdb("migrate", "new", "one", "--pipeline", "second:More")
    assert said.code == 2
    assert "migrations holds the migrations of demo.pipeline:Lab, too: leave --pipeline out" in said.line
    assert compdb("migrate", "up").code == 0
    assert compdb("migrate", "check", "--pipeline", "second:More").code == 0


def test_a_folder_of_migrations_for_a_pipeline_that_has_none(compdb, lab, folder):
    change(lab.parent / "pyproject.toml", "[tool.compdb]\n", '[tool.compdb]\nmigrations = "changes"\n')
    assert "changes is no folder of migrations" in compdb("activate").line
    assert compdb("migrate", "init").code == 0
    assert (folder / "changes" / "env.py").is_file()
    assert "is there already" in compdb("migrate", "init").line
    assert compdb("migrate", "new", "the first tables").code == 0
    assert compdb("activate").code == 0
    assert compdb("status", "--json").json["drift"] == []
