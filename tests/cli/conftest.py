"""What tests of the command line need: an empty folder to work in, and `compdb(...)` as a shell would call it."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from compdb.cli import app
from compdb.database import disconnect

LAB = '''
import compdb as cdb
from compdb import Key, Mapped


class Lab(cdb.Pipeline):
    """Sources and what is computed from them."""


class Src(cdb.Lookup, Lab):
    """A source."""

    k: Key[int]
    x: Mapped[float]
    contents = [(i, i / 2) for i in range(5)]


class Note(cdb.Manual, Lab):
    """What somebody says of a source."""

    src: Key[Src]
    text: Mapped[str]


class Res(cdb.Computed, Lab):
    """A result; that of 3 fails."""

    src: Key[Src]
    y: Mapped[float]

    class Part(cdb.Part):
        i: Key[int]

    def make(self, key):
        if key["k"] == 3:
            raise ValueError("a bad source\\nof two lines")
        self.y = self.src.x


class Twice(cdb.Computed, Lab):
    """What follows from a result."""

    res: Key[Res]
    z: Mapped[float]

    def make(self, key):
        self.z = 2 * self.res.y
'''


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document on stdout."""
        return json.loads(self.out)

    @property
    def line(self) -> str:
        """The one line on stderr, of a command that had nothing else to say."""
        assert not self.out, self.out
        (line,) = self.err.splitlines()
        return line


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return the empty folder that commands run in."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.delenv("COMPDB_URL", raising=False)
    return here


@pytest.fixture
def compdb(folder, capsys):
    """Return what runs one command in this process, as if it were a new one: modules of the folder are read again."""
    path = list(sys.path)

    def forget() -> None:
        sys.path[:] = path
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(str(folder)):
                del sys.modules[name]
        importlib.invalidate_caches()

    def run(*arguments: str) -> Said:
        capsys.readouterr()
        try:
            code = app(list(arguments))
        finally:
            forget()
        return Said(code, *capsys.readouterr())

    yield run
    forget()
    disconnect()


@pytest.fixture
def lab(folder, url, monkeypatch):
    """Return the file of a pipeline without migrations, in a project whose database is that of the test."""
    write_lab(folder)
    monkeypatch.setenv("COMPDB_URL", url)
    return folder / "lab.py"


@pytest.fixture
def sqlite_lab(folder):
    """Return the file of the same pipeline on a SQLite file, for what does not depend on the database."""
    write_lab(folder)
    return folder / "lab.py"


def write_lab(folder: Path) -> None:
    """Write a project: settings and a module."""
    (folder / "pyproject.toml").write_text('[tool.compdb]\npipeline = "lab:Lab"\nurl = "sqlite:///lab.db"\n')
    (folder / "lab.py").write_text(LAB)


def change(file: Path, old: str, new: str) -> None:
    """Change a file; Python must not take its old bytecode for the new one of the same second and size."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    for cached in file.parent.glob("__pycache__/*"):
        cached.unlink()


@contextlib.contextmanager
def process(*arguments: str, **environment: str):
    """Run a command as a real process; end it at the end."""
    command = [sys.executable, "-m", "compdb", *arguments]
    env = {**os.environ, **environment}
    running = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate()
