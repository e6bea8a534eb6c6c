"""What an executor must pass before makes are given to it.

    from compdb.testing.executors import ExecutorConformance

    class TestMyCluster(ExecutorConformance):
        @pytest.fixture
        def executor(self):
            with MyCluster() as cluster:
                yield cluster.executor()

        @pytest.fixture
        def url(self):
            return "postgresql+psycopg://user@host/empty"

The same rows as in one process, the same errors, nothing half, and a parent that stays whole whatever happens to a worker. The database
must be empty of tables named `conformance_...`, and in reach of the workers, where compdb with its `testing` can be imported.
"""

from __future__ import annotations

import io
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from rich.console import Console

import compdb as cdb
from compdb import Key, Mapped
from compdb.database import database_of
from compdb.populate import Display

__all__ = ["ExecutorConformance"]

KEYS = 24
PATIENCE = 60.0
"""How long a make that was told to wait does so at the most, in seconds."""


class Conformance(cdb.Pipeline):
    """Makes that do as they are told."""


class ConformanceInput(cdb.Manual, Conformance):
    """What is computed from."""

    k: Key[int]
    x: Mapped[float]


class ConformanceSignal(cdb.Manual, Conformance):
    """A row of it lets those go on that wait."""

    number: Key[int]


class ConformanceOutput(cdb.Computed, Conformance):
    """What is computed, where, and its parts."""

    source: Key[ConformanceInput]
    y: Mapped[float]
    worker: Mapped[str]

    class Detail(cdb.Part):
        """One of two."""

        i: Key[int]
        z: Mapped[float]

    def make(self, key: dict[str, Any], orders: dict[int, str] | None = None, factor: float = 2.0) -> Any:
        """Make the row of a key, or do what `orders` say."""
        x = (ConformanceInput & key).fetch1("x")
        self.insert1({**key, "y": factor * x, "worker": _here()})
        self.Detail.insert({**key, "i": i, "z": i * x} for i in range(2))
        return _obey((orders or {}).get(key["k"]), key)


class ConformanceLong(cdb.Computed, Conformance):
    """A make in three parts."""

    source: Key[ConformanceInput]
    y: Mapped[float]

    def make_fetch(self, key: dict[str, Any]) -> Any:
        """Return the input; one key is passed over."""
        return cdb.skip("one is left out") if key["k"] == 1 else ((ConformanceInput & key).fetch1("x"),)

    def make_compute(self, key: dict[str, Any], x: float) -> tuple[float]:
        """Return the result."""
        return (3 * x,)

    def make_insert(self, key: dict[str, Any], y: float) -> None:
        """Insert it."""
        self.insert1({**key, "y": y})


class Unusual(Exception):
    """An error that cannot be copied: it takes two arguments and tells one."""

    def __init__(self, key: Any, reason: str) -> None:
        super().__init__(f"{reason} at {key}")


def _here() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def _obey(order: str | None, key: dict[str, Any]) -> None:
    match order:
        case "raise":
            raise ValueError(f"no {key['k']}")
        case "raise what cannot be copied":
            raise Unusual(key["k"], "no")
        case "break the rules":
            ConformanceInput.insert1({"k": 1000 + key["k"], "x": 0.0})
        case "die":
            os.kill(os.getpid(), signal.SIGKILL)
        case "wait":
            began = time.monotonic()
            while not (ConformanceSignal & {"number": 1}).to_dicts():
                assert time.monotonic() - began < PATIENCE, "nobody gave the signal"
                time.sleep(0.02)


class ExecutorConformance:
    """Subclass it, and give it the fixtures `executor` and `url`.

    Attributes
    ----------
    elsewhere : bool
        Whether makes run in other processes than that of the tests; threads do not.
    survives : bool
        Whether it can be used after a worker has died.
    """

    elsewhere: ClassVar[bool] = True
    survives: ClassVar[bool] = True

    @contextmanager
    def inputs(self, url: str) -> Iterator[None]:
        """Have tables with inputs in a database while the block runs."""
        Conformance.activate(url)
        ConformanceInput.insert({"k": k, "x": k / 7} for k in range(KEYS))
        try:
            yield
        finally:
            Conformance.drop(prompt=False)
            database_of(Conformance.metadata).dispose()

    @pytest.fixture(autouse=True)
    def _inputs(self, url: str) -> Iterator[None]:
        with self.inputs(url):
            yield

    def test_it_does_what_one_process_does(self, executor: Executor) -> None:
        """The same rows and parts, each once, with a line each in the runs table; then nothing is left to do."""
        ConformanceOutput.populate()
        rows, details = _rows(), ConformanceOutput.Detail.to_dicts(order_by="KEY")
        ConformanceOutput.delete(prompt=False)
        before = len(Conformance.runs)
        assert ConformanceOutput.populate(executor=executor) == {"success_count": KEYS, "error_list": []}
        assert _rows() == rows
        assert ConformanceOutput.Detail.to_dicts(order_by="KEY") == details
        assert len(Conformance.runs) == before + KEYS
        assert ConformanceOutput.progress(display=False) == (0, KEYS)
        assert ConformanceOutput.populate(executor=executor) == {"success_count": 0, "error_list": []}

    def test_makes_run_where_the_executor_is(self, executor: Executor) -> None:
        """In other processes than this one, or in this one."""
        ConformanceOutput.populate(executor=executor)
        workers = {row["worker"] for row in ConformanceOutput.to_dicts()}
        assert workers.isdisjoint({_here()}) if self.elsewhere else workers == {_here()}

    def test_three_parts_and_keys_that_are_passed_over(self, executor: Executor) -> None:
        """A make in three parts, and one that returns `skip(...)`."""
        assert ConformanceLong.populate(executor=executor) == {"success_count": KEYS - 1, "error_list": []}
        assert {row["k"]: row["y"] for row in ConformanceLong.to_dicts()} == {
            k: 3 * (k / 7) for k in range(KEYS) if k != 1
        }
        assert ConformanceLong.jobs.ignored.fetch1("k", "error_message") == (1, "one is left out")

    def test_settings_hold(self, executor: Executor) -> None:
        """Restrictions, order, limits, and what is passed to makes."""
        ConformanceOutput.populate("k < 20", executor=executor, order="reverse", limit=5, make_kwargs={"factor": 3.0})
        assert _rows() == {k: 3.0 * (k / 7) for k in range(15, 20)}
        ConformanceOutput.populate(executor=executor, max_calls=2)
        assert len(ConformanceOutput) == 7

    def test_progress_is_told(self, executor: Executor) -> None:
        """With its errors, as in one process."""
        console = Console(file=io.StringIO(), width=200)
        with Display(["ConformanceOutput"], console) as shown:
            ConformanceOutput.populate(
                executor=executor,
                make_kwargs={"orders": {5: "raise"}},
                suppress_errors=True,
                display_progress=shown,
            )
        last = console.file.getvalue().splitlines()[-1]  # type: ignore[attr-defined]
        assert last.startswith(f"ConformanceOutput: {KEYS} of {KEYS}, ")
        assert last.endswith(", 1 error")

    def test_an_error_comes_back_with_its_key_and_its_place(self, executor: Executor) -> None:
        """As an object of its own type; the other keys are made."""
        result = ConformanceOutput.populate(
            executor=executor,
            make_kwargs={"orders": {5: "raise", 7: "break the rules"}},
            suppress_errors=True,
            return_exception_objects=True,
        )
        errors = {key["k"]: error for key, error in result["error_list"]}
        assert {k: type(error) for k, error in errors.items()} == {5: ValueError, 7: cdb.MakeError}
        assert str(errors[5]) == "no 5"
        assert any("in _obey" in note for note in errors[5].__notes__)
        assert result["success_count"] == KEYS - 2
        assert sorted(_rows()) == [k for k in range(KEYS) if k not in (5, 7)]
        assert len(ConformanceInput) == KEYS

    def test_an_error_that_is_raised_leaves_the_parent_whole(self, executor: Executor) -> None:
        """Nothing half is kept, this process goes on, and so does the executor."""
        with pytest.raises(ValueError, match="no 5"):
            ConformanceOutput.populate(executor=executor, make_kwargs={"orders": {5: "raise"}})
        assert 5 not in _whole()
        assert ConformanceOutput.populate(executor=executor)["error_list"] == []
        assert len(_whole()) == KEYS

    def test_an_error_that_cannot_be_copied_is_told_in_words(self, executor: Executor) -> None:
        """It costs its own key alone."""
        result = ConformanceOutput.populate(
            executor=executor, make_kwargs={"orders": {5: "raise what cannot be copied"}}, suppress_errors=True
        )
        ((key, words),) = result["error_list"]
        assert key == {"k": 5}
        assert words.endswith("Unusual: no at 5")
        assert result["success_count"] == len(ConformanceOutput) == KEYS - 1

    def test_keys_may_be_reserved(self, executor: Executor) -> None:
        """Through the jobs table; an error stays there."""
        result = ConformanceOutput.populate(
            executor=executor, reserve_jobs=True, make_kwargs={"orders": {5: "raise"}}, suppress_errors=True
        )
        assert result == {"success_count": KEYS - 1, "error_list": [({"k": 5}, "ValueError: no 5")]}
        assert ConformanceOutput.jobs.fetch1("k", "status") == (5, "error")

    def test_a_worker_that_dies_keeps_nothing_half(self, executor: Executor) -> None:
        """The key that kills is an error; what is there is whole, and the next run makes the rest."""
        if not self.elsewhere:
            pytest.skip("a worker of this process that dies takes the process with it")
        result = ConformanceOutput.populate(executor=executor, make_kwargs={"orders": {5: "die"}}, suppress_errors=True)
        lost, there = {key["k"] for key, _ in result["error_list"]}, _whole()
        assert 5 in lost
        assert 5 not in there
        if self.survives:  # one that breaks may let others go on for a while
            assert lost.isdisjoint(there)
            assert lost | there.keys() == set(range(KEYS))
        again: dict[str, Any] = {"executor": executor} if self.survives else {}
        assert ConformanceOutput.populate(**again)["error_list"] == []
        assert len(_whole()) == KEYS

    def test_an_interrupt_leaves_everything_whole(self, executor: Executor) -> None:
        """Ctrl-C while makes run: it is raised here, and nothing half is kept."""
        with pytest.raises(KeyboardInterrupt):
            _interrupted(executor, dict.fromkeys(range(4, KEYS), "wait"))
        _whole()
        assert ConformanceOutput.populate(executor=executor)["error_list"] == []
        assert len(_whole()) == KEYS


def _rows() -> dict[int, float]:
    return {row["k"]: row["y"] for row in ConformanceOutput.to_dicts(order_by="KEY")}


def _whole() -> dict[int, float]:
    """Return the rows that are there; see, in one query, that each is right and has its parts."""
    found = ConformanceOutput.aggr(ConformanceOutput.Detail, "y", details="count(*)").to_dicts(order_by="KEY")
    rows = {row["k"]: row["y"] for row in found}
    assert rows == {k: 2 * (k / 7) for k in rows}
    assert all(row["details"] == 2 for row in found)
    return rows


def _interrupted(executor: Executor, orders: dict[int, str]) -> None:
    """Populate, interrupted once something is done; then those go on that wait."""

    def interrupt() -> None:
        began = time.monotonic()
        while not len(ConformanceOutput) and time.monotonic() - began < PATIENCE:
            time.sleep(0.02)
        signal.raise_signal(signal.SIGINT)
        ConformanceSignal.insert1({"number": 1})

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        ConformanceOutput.populate(executor=executor, make_kwargs={"orders": orders}, suppress_errors=True)
        time.sleep(PATIENCE)  # an interrupt may be on its way
    finally:
        thread.join()
