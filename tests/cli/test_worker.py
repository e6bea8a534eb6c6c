"""`compdb worker`: its log, its refusals, and several in processes (what one worker does is told in tests/jobs)."""

from __future__ import annotations

import json
import os
import signal
import time
from multiprocessing.connection import wait
from pathlib import Path

import pytest

from .conftest import change, process

SLOW = """        import os, pathlib, time
        pathlib.Path(__file__).with_name(f"began_{key['k']}").touch()
        time.sleep(float(os.environ.get('LAB_SECONDS', '0')))
        self.y = self.src.x
"""


def activated(compdb, file):
    """Activate a pipeline whose makes take LAB_SECONDS, and of which none fails."""
    change(file, "        self.y = self.src.x\n", SLOW)
    change(file, 'key["k"] == 3', 'key["k"] == 99')
    assert compdb("activate").code == 0
    return file


@pytest.fixture
def active(compdb, sqlite_lab):
    """Return the file of the pipeline, activated on SQLite."""
    return activated(compdb, sqlite_lab)


@pytest.fixture
def active_everywhere(compdb, lab):
    """Return the file of the pipeline, activated on each database."""
    return activated(compdb, lab)


def until(condition, seconds=60):
    """Wait for a condition; fail if it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def res(said):
    """Return rows, pending and reserved of Res in what `status --json` says."""
    return next((t["rows"], t["pending"], t["reserved"]) for t in said.json["tables"] if t["table"] == "Res")


def began(file):
    """Count the makes of Res that have begun."""
    return len(list(file.parent.glob("began_*")))


def hears(process, words):
    """Wait until a process has logged these words; read no further, so that `communicate` answers with the rest."""
    said = b""
    while words.encode() not in said:
        more = os.read(process.stderr.fileno(), 1) if wait([process.stderr], 60) else b""
        assert more, f"it was not said: {said.decode()}"
        said += more


def children(pid):
    """Return the processes that a crew has started and that work."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
            words = (stat.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if fields[1] == str(pid) and fields[0] != "Z" and b"spawn_main" in words:
            found.append(int(stat.parent.name))
    return found


def test_it_logs_a_line_for_each_key_and_answers_with_counts(compdb, active_everywhere):
    said = compdb("worker", "--json")
    assert said.code == 0
    assert said.json == {
        "made": 10,
        "errors": 0,
        "tables": {"Res": {"made": 5, "errors": 0}, "Twice": {"made": 5, "errors": 0}},
    }
    lines = [json.loads(line) for line in said.err.splitlines()]
    made = [line for line in lines if line.get("event") == "made"]
    assert [(line["table"], line["key"]) for line in made[:5]] == [("Res", {"k": k}) for k in range(5)]
    assert all(line["level"] == "info" and line["seconds"] >= 0 and line["pid"] == os.getpid() for line in made)
    assert lines[-1] | {"time": "", "pid": 0} == {
        "time": "",
        "pid": 0,
        "level": "info",
        "message": "10 made, 0 failed",
        "event": "end",
        "made": 10,
        "errors": 0,
    }


def test_quiet_logs_failures_alone(compdb, active):
    change(active, 'key["k"] == 99', 'key["k"] == 3')
    said = compdb("worker", "--quiet", "--json")
    assert said.code == 1
    (line,) = map(json.loads, said.err.splitlines())
    assert line["level"] == "error"
    assert (line["event"], line["table"], line["key"]) == ("failed", "Res", {"k": 3})
    assert "a bad source" in line["message"]


def test_the_log_is_as_it_was_afterwards(compdb, active):
    import logging

    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    compdb("worker")
    assert (list(root.handlers), root.level) == before
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_it_refuses_a_database_that_does_not_fit(compdb, active):
    change(active, "    y: Mapped[float]\n", "    y: Mapped[float]\n    w: Mapped[float]\n")
    for processes in ("1", "2"):
        said = compdb("worker", "--processes", processes)
        assert said.code == 2
        assert "Res" in said.line
        assert "'w'" in said.line
    change(active, "    w: Mapped[float]\n", "")
    assert res(compdb("status", "--json")) == (0, 5, 0)
    change(active, '    """A result; that of 3 fails."""', '    """Another comment."""')
    assert compdb("worker", "--quiet").code == 0


def test_processes_share_the_keys(compdb, active_everywhere):
    said = compdb("worker", "--processes", "2", "--json")
    assert said.code == 0
    assert said.json["made"] == 10
    assert compdb("status").code == 0


def test_failures_of_processes_are_counted(compdb, active):
    change(active, 'key["k"] == 99', 'key["k"] == 3')
    said = compdb("worker", "--processes", "2", "--json")
    assert said.code == 1
    assert (said.json["made"], said.json["errors"]) == (8, 1)


def test_a_process_that_cannot_work_says_why_in_a_line(compdb, active):
    change(active, "import compdb as cdb\n", "import compdb as cdb\nimport multiprocessing\n")
    active.write_text(
        active.read_text() + "\n\nif multiprocessing.parent_process() is not None:\n    raise OSError('no camera')\n"
    )
    with process("worker", "--processes", "2") as crew:
        _, err = crew.communicate(timeout=60)
    assert crew.returncode == 2
    assert "Traceback" not in err
    assert err.count("compdb worker: lab cannot be imported (lab.py, line ") == 2
    assert "OSError: no camera" in err


def test_a_process_that_dies_is_replaced_and_its_keys_are_made(compdb, active):
    with process("worker", "--processes", "2", LAB_SECONDS="1") as crew:
        until(lambda: began(active) >= 2)
        first = children(crew.pid)
        os.kill(first[0], signal.SIGKILL)
        until(lambda: set(children(crew.pid)) - set(first))
        out, err = crew.communicate(timeout=60)
    assert crew.returncode == 0, err
    assert "died of SIGKILL; another takes its place" in err
    assert out == ""
    assert compdb("status").code == 0


def test_sigterm_drains_all_even_when_they_hear_it_themselves(compdb, active):
    with process("worker", "--processes", "2", "--forever", LAB_SECONDS="1.5") as crew:
        until(lambda: began(active) >= 2)
        for pid in [crew.pid, *children(crew.pid)]:  # as systemd and Slurm do
            os.kill(pid, signal.SIGTERM)
        _, err = crew.communicate(timeout=60)
    assert crew.returncode == 0, err
    rows, pending, reserved = res(compdb("status", "--json"))
    assert rows >= 2  # the makes that ran have ended
    assert (rows + pending, reserved) == (5, 0)


def test_a_second_sigterm_ends_them_at_once(compdb, active):
    with process("worker", "--processes", "2", LAB_SECONDS="100") as crew:
        until(lambda: began(active) >= 2)
        crew.terminate()
        hears(crew, "SIGTERM: the makes that run end")
        assert crew.poll() is None
        crew.terminate()
        crew.communicate(timeout=30)
    assert crew.returncode == 143
    assert res(compdb("status", "--json")) == (0, 5, 0)


def test_workers_whose_parent_is_killed_drain(compdb, active):
    with process("worker", "--processes", "2", "--forever", LAB_SECONDS="0.5") as crew:
        until(lambda: len(children(crew.pid)) == 2)
        members = children(crew.pid)
        crew.kill()
        crew.wait(timeout=30)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in members), 20)
    rows, pending, reserved = res(compdb("status", "--json"))
    assert (rows + pending, reserved) == (5, 0)
