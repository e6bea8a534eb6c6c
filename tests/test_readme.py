"""The README is true today: its blocks run, in order, in one namespace, and print what they say they print."""

import contextlib
import io
import itertools
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = ("Try it", "Test it")


def section(heading):
    """Return the text under `## heading`, up to the next heading of that level."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"README.md has no '## {heading}'"
    return found[1]


def blocks():
    """Return [(language, code)] of every block but the two commands."""
    text = README
    for heading in COMMANDS:
        text = text.replace(section(heading), "")
    return BLOCK.findall(text)


def wishes():
    """Return what to do, from each line of the table "I want to ..."."""
    lines = [line for line in section("I want to …").splitlines() if line.startswith("| ") and "→" not in line]
    return [re.search(r"\| `(.+)` \|$", line)[1] for line in lines]


@pytest.mark.parametrize("heading", COMMANDS)
def test_a_command_is_one_line_directly_under_its_heading(heading):
    text = section(heading)
    assert re.match(r"\s*```(bash|sh|console|shell)?\n[^\n]+\n```\n", text)
    ((_, command),) = BLOCK.findall(text)
    assert not subprocess.run(["bash", "-nc", command], check=False).returncode


def test_every_other_block_is_python_or_its_output():
    kinds = [language for language, _ in blocks()]
    assert set(kinds) <= {"python", "text", "console"}
    assert kinds[0] == "python"
    assert "python" in kinds
    for before, kind in itertools.pairwise(kinds):
        assert kind != "text" or before == "python", "an output block stands under the block that prints it"


def test_every_block_runs_and_prints_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COMPDB_URL", raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    module = types.ModuleType("readme")
    monkeypatch.setitem(sys.modules, "readme", module)
    printed = None
    for language, code in blocks():
        if language == "console":
            continue
        if language == "python":
            assert printed is None or not printed.strip(), f"printed, but not shown:\n{printed}"
            output = io.StringIO()
            with contextlib.redirect_stdout(output):
                exec(compile(code, "README.md", "exec"), module.__dict__)
            printed = output.getvalue()
        else:
            assert [line.rstrip() for line in printed.strip().splitlines()] == [
                line.rstrip() for line in code.strip().splitlines()
            ]
            printed = None
    assert printed is None or not printed.strip(), f"printed, but not shown:\n{printed}"
    with contextlib.redirect_stdout(io.StringIO()):
        for line in wishes():
            exec(compile(line + "\n", line, "single"), module.__dict__)


IDENTIFIER = re.compile(r"\b[0-9a-f]{12}(?=[_:])")
"""Of a revision: another one each time."""


def dialogue(code):
    """Return [(command, what it printed)] of a console block; a command goes on in lines that begin with `> `."""
    found = []
    for line in code.splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.startswith("> ") or line == ">":
            command, printed = found.pop()
            found.append((f"{command}\n{line[2:]}", printed))
        else:
            found[-1][1].append(line)
    return found


def test_every_console_block_runs_and_prints_what_it_says(tmp_path, monkeypatch):
    steps = [step for language, code in blocks() if language == "console" for step in dialogue(code)]
    assert len(steps) > 10
    (tmp_path / "bin").mkdir()
    for name, arguments in (("compdb", "-m compdb"), ("python", "")):
        script = tmp_path / "bin" / name
        script.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n')
        script.chmod(0o755)
    for name in ("COMPDB_URL", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    (tmp_path / "here").mkdir()
    mark = "----8<----"
    text = "exec 2>&1\n" + "".join(f"{command}\necho '{mark}'\n" for command, _ in steps)
    ran = subprocess.run(["bash", "-c", text], cwd=tmp_path / "here", capture_output=True, text=True, timeout=280)
    answers = ran.stdout.split(f"{mark}\n")[:-1]
    assert len(answers) == len(steps), ran.stdout
    for (command, printed), answer in zip(steps, answers, strict=True):
        said = [IDENTIFIER.sub("…", line).rstrip() for line in answer.splitlines()]
        assert said == [IDENTIFIER.sub("…", line).rstrip() for line in printed], command


def test_links_lead_to_files_that_exist():
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)\)", README)
    assert "LICENSE" in targets
    assert [target for target in targets if not (ROOT / target).exists()] == []
