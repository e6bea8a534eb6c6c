"""What an editor completes: mypy --strict and pyright read `tests/typing` and must agree with the comments there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "typing"
ROOT = FOLDER.parent.parent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def short(text):
    """Return a type without module names, as pyright writes it."""
    text = re.sub(r"\b(?:\w+\.)+(?=\w)", "", text)
    text = text.replace("] | Literal[", ", ")  # mypy takes a union of literals apart
    return re.sub(r"\bUnion\[(.+), None\]", r"\1 | None", text).replace('"', "'")


def mypy(file):
    """Return [(line, severity, message)] of `mypy --strict`."""
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--show-absolute-path", str(file)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    found = re.findall(rf"{re.escape(file.name)}:(\d+): (error|note): (.*)", run.stdout)
    return [(int(line), "error" if kind == "error" else "note", message) for line, kind, message in found]


def pyright(file):
    """Return [(line, severity, message)] of pyright."""
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, str(file)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode in (0, 1), run.stdout + run.stderr
    found = json.loads(run.stdout)["generalDiagnostics"]
    return [(d["range"]["start"]["line"] + 1, d["severity"], d["message"]) for d in found]


CHECKERS = pytest.mark.parametrize("check", [mypy, pyright], ids=["mypy", "pyright"])


def expected(file, mark):
    """Return {line: text after `mark`} of a file."""
    lines = file.read_text().splitlines()
    return {n: line.split(mark, 1)[1].strip() for n, line in enumerate(lines, 1) if mark in line and n > 1}


@CHECKERS
def test_the_types_of_rows_links_and_relations_are_known(check):
    file = FOLDER / "pipeline.py"
    found = check(file)
    assert [item for item in found if item[1] == "error"] == []
    revealed = {}
    for line, _, message in found:
        match = re.search(r"(?:Revealed type is|Type of \".*\" is) [\"'](.*)[\"']$", message, re.DOTALL)
        if match:
            revealed[line] = short(match[1])
    assert revealed == expected(file, "# revealed: ")


@CHECKERS
def test_mistakes_are_seen_and_nothing_else(check):
    file = FOLDER / "mistakes.py"
    wrong = {line for line, severity, _ in check(file) if severity == "error"}
    assert wrong == set(expected(file, "  # wrong"))
