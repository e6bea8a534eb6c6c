"""The examples run as a stranger runs them, twice, on every database, and show the published results."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

pytestmark = pytest.mark.slow


def run(name, url, *arguments):
    """Run an example with the database at `url`, or its own if None, and return what it prints."""
    environment = {k: v for k, v in os.environ.items() if k != "COMPDB_URL"}
    environment["COLUMNS"] = "120"
    if url is not None:
        environment["COMPDB_URL"] = url
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not re.search("Traceback|Warning", done.stderr), done.stderr
    return done.stdout


def words(text):
    """Return the lines of printed tables as lists of words, borders left out."""
    return [re.findall(r"[^\s│┃|]+", line) for line in text.splitlines()]


def assert_shows(rows, text):
    """Assert that each row, a string of words, is a line of `text`."""
    lines = words(text)
    missing = [row for row in rows if row.split() not in lines]
    assert not missing, f"not shown: {missing}\n{text}"


def png_size(path):
    """Return width and height of a PNG file."""
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    return struct.unpack(">II", data[16:24])


def test_blob_detection_shows_the_published_counts_twice(url, tmp_path):
    for _ in range(2):
        shown = run("blob_detection.py", url, tmp_path)
        assert_shows(["1 1 1921", "1 2 971", "1 3 229"], shown)
        assert "detections.png" in shown
        (tmp_path / "detections.png").unlink()


def test_blob_detection_needs_no_settings(tmp_path):
    shown = run("blob_detection.py", None)
    picture = Path(re.search(r"Saved (.*detections\.png)", shown)[1])
    width, height = png_size(picture)
    assert (width, height) == (1800, 580)
    assert picture.with_name("blobs.db").exists()
    assert run("blob_detection.py", None)


def test_sessions_shows_the_tutorials_tables_twice(url):
    for _ in range(2):
        shown = run("sessions.py", url)
        assert "Subjects: 2, Sessions: 3, Trials: 45" in shown
        assert "Entries to compute: 3" in shown
        assert_shows(
            [
                "M001 1 15 12 0.8 0.482",
                "M001 2 15 12 0.8 0.469333",
                "M002 1 15 9 0.6 0.492667",
                "M001 1 basic 0.8",
                "M001 1 weighted 0.80587",
                "M001 2 weighted 0.765167",
                "M002 1 weighted 0.511793",
                "M001 1 1 33.3333 True",
                "M001 1 2 100 False",
                "M001 1 11 6.66667 True",
                "M001 1 12 93.3333 False",
                "M001 2 30 0.8",
                "M001 3 50 0.88",
                "M002 1 15 0.6",
                "M001 3 True",
                "M002 1 True",
            ],
            shown,
        )
        assert "Key source has 6 entries" in shown
        assert "Weighted scores: 0.805870, 0.765167, 0.511793" in shown
        assert "{'success_count': 2, 'error_list': []}" in shown
        assert "{'success_count': 0, 'error_list': []}" in shown
        assert "Success: 0, Errors: 0" in shown
        assert "SessionAnalysis: 8/8 computed" in shown
        assert "Key source entries: 4" in shown
        assert "Sessions: 3, summaries: 3, scores: 6" in shown
