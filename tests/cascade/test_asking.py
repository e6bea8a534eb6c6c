"""Whether a deletion asks, what it shows, and what becomes of the answer."""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace

import pytest

from compdb.cascade import consent
from compdb.errors import DeleteError

from .lab import Lab, Person


def test_where_nobody_can_answer_delete_asks_for_prompt_false(lab: Lab) -> None:
    before = lab.count()
    with pytest.raises(DeleteError, match=r"delete\(prompt=False\)"):
        lab.delete("subject", prompt=None)
    assert lab.count() == before


def test_delete_shows_the_counts_and_does_as_it_is_told(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = lab.count()
    Person(monkeypatch, "no")
    assert lab.delete("subject", lab.subject.c.subject == 1, prompt=None) == 0
    assert lab.count() == before
    assert "  1  Subject\n  2  Session\n  3  Trial" in capsys.readouterr().out
    Person(monkeypatch, "what?", "yes")
    assert lab.delete("subject", lab.subject.c.subject == 1, prompt=None) == 1
    assert len(lab.rows("subject")) == 2


def test_rows_that_came_while_somebody_thought_are_asked_about_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def meanwhile() -> str:
        assert not lab.database.in_transaction()
        lab.add("trial", (1, 2, 77))
        return "yes"

    Person(monkeypatch, meanwhile, "yes")
    assert lab.delete("subject", lab.subject.c.subject == 1, prompt=True) == 1
    assert "meanwhile it has changed" in capsys.readouterr().out
    Person(monkeypatch, lambda: (lab.add("trial", (3, 1, 78)), "yes")[1], "no")
    assert lab.delete("subject", lab.subject.c.subject == 3, prompt=True) == 0
    assert len(lab.rows("trial")) == 2


def test_ctrl_c_at_the_question_deletes_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    before = lab.count()

    def interrupt() -> str:
        raise KeyboardInterrupt

    Person(monkeypatch, interrupt)
    with pytest.raises(KeyboardInterrupt):
        lab.delete("subject", prompt=True)
    assert lab.count() == before
    assert not lab.database.in_transaction()


def test_nothing_to_delete_is_not_asked_about(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    Person(monkeypatch)
    assert lab.delete("subject", lab.subject.c.subject == 99, prompt=True) == 0


def test_delete_does_not_ask_while_a_transaction_waits(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    Person(monkeypatch, "yes")
    with lab.database.transaction(), pytest.raises(DeleteError, match="prompt=False"):
        lab.delete("subject", prompt=True)


def test_delete_logs_what_it_deleted(lab: Lab, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "compdb"):
        lab.delete("subject", lab.subject.c.subject == 1)
    assert caplog.messages == [
        "deleted 1 row of Subject, 2 rows of Session, 3 rows of Trial, 2 rows of Detection, 3 rows of Detection.Spot"
    ]


@pytest.mark.parametrize("takes_input", [True, False])
def test_a_notebook_counts_as_somebody_when_its_front_end_takes_input(
    takes_input: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = SimpleNamespace(_allow_stdin=takes_input)
    notebook = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=kernel))
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    assert consent._somebody_there() is takes_input


@pytest.mark.parametrize("terminal", [True, False])
def test_a_terminal_counts_as_somebody(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", None)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: terminal))
    assert consent._somebody_there() is terminal


def test_an_answer_that_never_comes_deletes_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(prompt: str = "") -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", closed)
    with pytest.raises(DeleteError, match="nobody answered"):
        lab.delete("subject", prompt=True)
    assert len(lab.rows("subject")) == 3
