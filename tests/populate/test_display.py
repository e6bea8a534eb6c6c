"""What populate shows while it runs: one live display of all tables in a terminal, a line for each elsewhere, nothing unasked."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from compdb.populate import Display, display

from .conftest import N, computed, pipeline


@pytest.fixture
def chain(sqlite_url):
    """Return a pipeline of two computed tables, of which the first fails for one key."""
    Lab = pipeline()

    def make(self, key):
        assert key["k"] != 3, "three"
        self.insert1({**key, "y": 1.0})

    First = computed(Lab, make, name="First", part=False, activate=False)
    computed(Lab, make, name="Second", part=False, activate=False, key_source=First.proj())
    Lab.activate(sqlite_url)
    Lab.Src.insert({"k": i, "x": 1.0} for i in range(N))
    return Lab


def terminal():
    """Return a terminal of which all is kept."""
    return Console(file=io.StringIO(), force_terminal=True, width=110, color_system=None)


def frames(console):
    """Return what stood in a terminal, one drawing after the other."""
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "\n", console.file.getvalue())
    return [line.rstrip() for line in text.replace("\r", "\n").splitlines() if line.strip()]


def test_nothing_is_shown_unasked(chain, capfd):
    chain.populate(suppress_errors=True)
    assert capfd.readouterr() == ("", "")


def test_without_a_terminal_each_table_is_a_line(chain, capfd):
    chain.populate(suppress_errors=True, display_progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert re.fullmatch(r"First: 20 of 20, [\d,.]+/s, in 0:00:0\d, 1 error", first)
    assert re.fullmatch(r"Second: 19 of 19, [\d,.]+/s, in 0:00:0\d", second)


def test_without_a_terminal_a_long_run_says_how_far_it_is(chain, capfd, monkeypatch):
    monkeypatch.setattr(display, "SELDOM", 0.0)
    chain.populate(suppress_errors=True, display_progress=True)
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) > N
    assert re.fullmatch(r"First: 1 of 20, [\d,.]+/s, 0:00:\d\d left", lines[0])
    assert re.fullmatch(r"First: 4 of 20, [\d,.]+/s, 0:00:\d\d left, 1 error", lines[3])


def test_in_a_terminal_all_tables_stand_in_one_display(chain, monkeypatch):
    monkeypatch.setattr(display, "OFTEN", 0.0)
    console = terminal()
    monkeypatch.setattr("rich.console.Console", lambda **_: console)
    chain.populate(suppress_errors=True, display_progress=True)
    shown = frames(console)
    assert any(re.fullmatch(r"First +waiting", line) for line in shown)
    first, second = shown[-2:]
    assert re.fullmatch(r"First +━+ +20/20 +[\d,.]+/s +in 0:00:0\d +1 error", first)
    assert re.fullmatch(r"Second +━+ +19/19 +[\d,.]+/s +in 0:00:0\d", second)


def test_one_table_has_a_display_of_its_own(chain, monkeypatch):
    console = terminal()
    monkeypatch.setattr("rich.console.Console", lambda **_: console)
    first = chain.metadata.tables["first"].info["class"]
    first.populate("k < 3", display_progress=True, max_calls=2)
    assert re.fullmatch(r"First +━+ +2/2 +[\d,.]+/s +in 0:00:0\d", frames(console)[-1])


def test_an_error_that_is_raised_leaves_the_terminal_whole(chain, monkeypatch):
    console = terminal()
    monkeypatch.setattr("rich.console.Console", lambda **_: console)
    with pytest.raises(AssertionError, match="three"):
        chain.populate(display_progress=True)
    assert console.file.getvalue().endswith("\x1b[?25h")  # the cursor is back
    lines = frames(console)
    assert re.match(r"First +━.* 3/20 ", lines[-2])
    assert re.fullmatch(r"Second +waiting", lines[-1])


def test_a_display_is_told_of_a_thousand_keys_in_no_time():
    console = terminal()
    with Display(["Many"], console) as shown, shown.table("Many", 100_000) as advance:
        for _ in range(100_000):
            advance(1, 0)
    assert len(console.file.getvalue()) < 50_000
    assert "100,000/100,000" in frames(console)[-1]
