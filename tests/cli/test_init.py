"""`compdb init`: what it writes, and where it refuses to."""

from __future__ import annotations

import tomllib

import pytest


def test_it_writes_a_project_and_says_what_comes_next(compdb, folder):
    said = compdb("init", "demo", "--json")
    assert said.code == 0
    assert {"demo/pipeline.py", "pyproject.toml", "migrations/env.py"} <= set(said.json["files"])
    assert all((folder / file).is_file() for file in said.json["files"])
    settings = tomllib.loads((folder / "pyproject.toml").read_text())
    assert settings["project"]["name"] == "demo"
    assert settings["tool"]["compdb"] == {
        "pipeline": "demo.pipeline:Lab",
        "url": "sqlite:///demo.db",
        "migrations": "migrations",
    }
    assert len(list((folder / "migrations" / "versions").glob("*.py"))) == 1


def test_it_says_what_comes_next(compdb, folder):
    said = compdb("init", "demo")
    assert [line.split()[0] for line in said.out.splitlines()] == [
        "demo/pipeline.py",
        "pyproject.toml",
        "migrations/",
        "next:",
    ]


def test_the_folder_names_the_project(compdb, tmp_path, folder):
    place = tmp_path / "Tone-Lab"
    said = compdb("init", "--folder", str(place), "--url", "sqlite:///other.db", "--json")
    assert said.json["name"] == "Tone-Lab"
    assert (place / "tone_lab" / "pipeline.py").is_file()
    assert 'url = "sqlite:///other.db"' in (place / "pyproject.toml").read_text()
    assert not list(folder.iterdir())


def test_a_pyproject_that_is_there_gets_a_section(compdb, folder):
    (folder / "pyproject.toml").write_text('[project]\nname = "mine"\nversion = "7"\n')
    assert compdb("init", "demo").code == 0
    settings = tomllib.loads((folder / "pyproject.toml").read_text())
    assert settings["project"] == {"name": "mine", "version": "7"}
    assert settings["tool"]["compdb"]["pipeline"] == "demo.pipeline:Lab"
    assert compdb("activate").code == 0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("2nd", "cannot be the name of a package"),
        ("class", "cannot be the name of a package"),
        ("json", "there is a package 'json' already"),
        ("numpy", "there is a package 'numpy' already"),
        ("compdb", "there is a package 'compdb' already"),
    ],
)
def test_a_name_that_would_hide_another_package_is_refused(compdb, folder, name, told):
    said = compdb("init", name)
    assert said.code == 2
    assert told in said.line
    assert not list(folder.iterdir())


def test_nothing_that_is_there_is_written_over(compdb, folder):
    (folder / ".gitignore").write_text("mine\n")
    said = compdb("init", "demo")
    assert said.code == 2
    assert ".gitignore is there already" in said.line
    assert [p.name for p in folder.iterdir()] == [".gitignore"]
    (folder / ".gitignore").unlink()
    assert compdb("init", "demo").code == 0
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert "this is a compdb project already" in compdb("init", "other").line
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts} == {
        p: b for p, b in before.items() if "__pycache__" not in p.parts
    }
