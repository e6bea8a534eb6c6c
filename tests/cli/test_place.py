"""Which pipeline, and which database: options, settings, environment."""

from __future__ import annotations

import pytest

from compdb.errors import SettingsError
from compdb.settings import Project, project

from .conftest import LAB, change


def test_settings_are_those_of_the_nearest_project(folder):
    assert project() is None
    (folder / "pyproject.toml").write_text('[tool.compdb]\npipeline = "lab:Lab"\nmigrations = "changes"\n')
    inner = folder / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "pyproject.toml").write_text("[tool.other]\n")
    assert project(inner) == Project(folder, ("lab:Lab",), folder / "changes")
    (folder / "a" / "pyproject.toml").write_text('[tool.compdb]\npipeline = ["a:A", "b:B"]\n')
    assert project(inner) == Project(folder / "a", ("a:A", "b:B"), None)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('pipline = "lab:Lab"', "has 'pipline', which means nothing; did you mean 'pipeline'?"),
        ("pipeline = 3", "pipeline must be text"),
        ("pipeline = []", "pipeline must be text"),
        ("url = 3", "url must be text"),
        ('pipeline = "lab', "cannot be read"),
    ],
)
def test_settings_that_nobody_would_heed_are_refused(compdb, folder, text, told):
    (folder / "pyproject.toml").write_text(f"[tool.compdb]\n{text}\n")
    with pytest.raises(SettingsError, match=r"pyproject\.toml"):
        project()
    said = compdb("status")
    assert said.code == 2
    assert told in said.line


def test_without_a_project_it_says_how_to_name_the_pipeline(compdb, folder):
    said = compdb("status")
    assert said.code == 2
    for way in ("--pipeline my_lab.pipeline:Lab", "[tool.compdb]", "compdb init"):
        assert way in said.line
    (folder / "pyproject.toml").write_text('[tool.compdb]\nurl = "sqlite:///lab.db"\n')
    assert "pyproject.toml names no pipeline" in compdb("status").line


def test_without_a_database_it_says_in_one_line_how_to_name_it(compdb, sqlite_lab, folder):
    change(folder / "pyproject.toml", 'url = "sqlite:///lab.db"\n', "")
    said = compdb("status")
    assert said.code == 2
    for way in ("COMPDB_URL", "[tool.compdb]", 'Lab.activate("sqlite:///lab.db")'):
        assert way in said.line


def test_the_project_is_found_from_below_with_its_own_database(compdb, sqlite_lab, folder, monkeypatch):
    inner = folder / "notebooks"
    inner.mkdir()
    monkeypatch.chdir(inner)
    assert compdb("activate").code == 0
    assert (folder / "lab.db").exists()
    assert not (inner / "lab.db").exists()


def test_a_package_under_src_is_found(compdb, folder):
    (folder / "src").mkdir()
    (folder / "src" / "lab.py").write_text(LAB)
    (folder / "pyproject.toml").write_text('[tool.compdb]\npipeline = "lab:Lab"\nurl = "sqlite:///lab.db"\n')
    assert compdb("activate").code == 0


def test_options_go_before_the_environment_and_that_before_the_settings(compdb, sqlite_lab, folder, monkeypatch):
    assert compdb("activate", "--json").json["database"].endswith("/lab.db")
    monkeypatch.setenv("COMPDB_URL", "sqlite:///environment.db")
    assert compdb("activate", "--json").json["database"].endswith("environment.db")
    assert compdb("activate", "--url", "sqlite:///option.db", "--json").json["database"].endswith("option.db")
    assert {p.name for p in folder.glob("*.db")} == {"lab.db", "environment.db", "option.db"}


def test_a_module_that_connects_by_itself_keeps_its_database(compdb, sqlite_lab, folder):
    sqlite_lab.write_text(LAB + '\nLab.connect("sqlite:///own.db")\n')
    assert compdb("activate", "--json").json["database"].endswith("own.db")
    assert compdb("activate", "--url", "sqlite:///option.db", "--json").json["database"].endswith("option.db")


def test_a_pipeline_by_option_needs_no_project(compdb, folder):
    (folder / "free.py").write_text(LAB)
    place = ["--pipeline", "free:Lab", "--url", "sqlite:///free.db"]
    assert compdb("activate", *place).code == 0
    assert compdb("status", *place, "--json").json["pending"] == 5
    assert compdb("worker", "free:Lab", "--quiet", "--url", "sqlite:///free.db").code == 1


def test_two_pipelines_of_one_project_are_one(compdb, folder):
    (folder / "first.py").write_text(LAB)
    (folder / "second.py").write_text(
        "import compdb as cdb\nfrom compdb import Key, Mapped\nfrom first import Res\n\n\n"
        "class More(cdb.Pipeline):\n    '''More.'''\n\n\n"
        "class Thrice(cdb.Computed, More):\n    '''Three times.'''\n\n    res: Key[Res]\n    t: Mapped[float]\n\n"
        "    def make(self, key):\n        self.t = 3 * self.res.y\n"
    )
    (folder / "pyproject.toml").write_text(
        '[tool.compdb]\npipeline = ["first:Lab", "second:More"]\nurl = "sqlite:///lab.db"\n'
    )
    assert compdb("activate").code == 0
    assert compdb("populate", "--where", "k = 1", "--json").json["made"] == 3
    assert [t["rows"] for t in compdb("status", "--json").json["tables"] if t["table"] == "Thrice"] == [1]
    assert "Thrice" in compdb("diagram").out
    assert compdb("status", "--pipeline", "second:More", "--json").json["pipelines"] == ["More"]


def test_lookups_that_changed_are_changed_when_asked(compdb, sqlite_lab):
    compdb("activate")
    change(sqlite_lab, "i / 2", "i / 4")
    refused = compdb("activate")
    assert refused.code == 2
    assert "x is 0.5, declared 0.25" in refused.line
    assert compdb("activate", "--update-lookups").code == 0
    assert compdb("activate").code == 0
