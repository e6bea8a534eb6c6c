"""Mutants: one rule of populate after the other is taken out, and each time a test must fail.

    python tests/torture/mutants.py                 all of them
    python tests/torture/mutants.py "the snapshot"  one

It is this module, too, that takes the rule out in each process of the tests, where Python begins (`sitecustomize`).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
POPULATE = HERE.parent / "populate"


def no_snapshot() -> None:
    """Let each read of a window see a state of its own."""
    from compdb.populate.snapshot import Snapshot

    def connection(self: Any) -> Any:
        if self._connection is None:
            self._connection = self.database.connect(self.database.reader)
        return self._connection

    Snapshot.connection = connection  # type: ignore[method-assign]


def no_timer() -> None:
    """Let a make keep its snapshot for as long as it likes."""
    from compdb.populate.snapshot import Snapshot

    Snapshot._start_timer = lambda self: None  # type: ignore[method-assign]


def no_direct_rule() -> None:
    """Let reads that could see buffered rows go to the snapshot."""
    from compdb.populate.make import Make

    Make._could_see_buffered = lambda self, statement: False  # type: ignore[method-assign]


def no_flush_before_direct() -> None:
    """Let a direct make begin while rows of finished ones wait in the buffer."""
    from compdb.populate.make import Make
    from compdb.populate.run import Run

    go_direct, flush = Make.go_direct, Run.flush

    def without(self: Any) -> None:
        Run.flush = lambda run: run.end_snapshot()  # type: ignore[method-assign]
        try:
            go_direct(self)
        finally:
            Run.flush = flush  # type: ignore[method-assign]

    Make.go_direct = without  # type: ignore[method-assign]


def no_guard() -> None:
    """Let a transaction that the database has ended go on."""
    from compdb import dialects
    from compdb.dialects.mysql import MySQL
    from compdb.dialects.sqlite import SQLite

    assert dialects
    for dialect in (MySQL, SQLite):
        dialect.transaction_lost = lambda self, connection, error: False  # type: ignore[method-assign]


def no_redo() -> None:
    """Let an error in a window be one of all its keys."""
    from compdb.populate.run import Run

    def all_fail(self: Any, makes: list[Any]) -> None:
        try:
            self._write(makes)
        except Exception as error:
            for make in makes:
                self.fail(make.key, make.told(error))
        else:
            self.count(makes)
        makes.clear()

    Run._write_window = all_fail  # type: ignore[method-assign]


def redo_by_running() -> None:
    """Let the redo run the makes again."""
    from compdb.populate import serial
    from compdb.populate.run import Run

    def again(self: Any, make: Any) -> None:
        self.interval = 0
        self.finished = []
        serial._one(self, make.key, {})

    Run._write_alone = again  # type: ignore[method-assign]


def no_resending() -> None:
    """Let a deadlock at the end of a window be an error."""
    from compdb.populate import run, serial

    run.RETRIES = serial.RETRIES = 1  # type: ignore[attr-defined]


def a_transaction_for_each_table() -> None:
    """Write masters, commit, then parts."""
    from compdb.populate.run import Run

    def send(self: Any, makes: list[Any]) -> None:
        from compdb import insert

        calls = sorted((c for m in makes for c in m.buffer), key=lambda c: self.rank[c.table])
        for i, call in enumerate(calls):
            if i and calls[i - 1].table is not call.table:
                self.writer.get_transaction().commit()
                self.writer.begin()
            insert.write(self.database, self.writer, call.table, call.rows, call.mode)

    def write(self: Any, makes: list[Any]) -> None:
        self.writer.begin()
        try:
            self.send(makes)
            self.close_ledger(makes)
            self.writer.get_transaction().commit()
        except BaseException:
            self._drop_writer()
            raise

    Run.send, Run._write = send, write  # type: ignore[method-assign]


def stale_inputs() -> None:
    """Answer from what was read ahead after the make has written, too."""
    from compdb.populate.make import Make

    def answer(self: Any, table: Any, names: Any, equality: Any) -> Any:
        inputs, snapshot = self.run.inputs, self.run.snapshot
        if not inputs.serves(table, names, equality, self.key):
            return None
        return inputs.rows(snapshot.connection(), snapshot.number, table, names, self.key)

    Make.answer = answer  # type: ignore[method-assign]


def inputs_of_the_past() -> None:
    """Answer from what was read ahead in a snapshot that has ended."""
    from compdb.populate.inputs import Inputs
    from compdb.populate.run import Run

    rows = Inputs.rows
    Inputs.rows = lambda self, connection, state, *rest: rows(self, connection, 1, *rest)  # type: ignore[method-assign]
    Run.end_snapshot = lambda self: self.snapshot.end()  # type: ignore[method-assign]


def no_digest() -> None:
    """Let inputs change while make_compute runs."""
    from compdb.populate import make

    make.digest = lambda value, **_: b""  # type: ignore[attr-defined]


def no_look_before_an_error() -> None:
    """Let a row that is there, since the reply to its COMMIT was lost, be an error."""
    from compdb.populate.run import Run

    Run.done_elsewhere = lambda self, make, error, *, in_doubt: False  # type: ignore[method-assign]


def held_while_computing() -> None:
    """Keep connections while make_compute runs."""
    from compdb.populate.run import Run

    Run.rest = lambda self: None  # type: ignore[method-assign]


def commit_in_make() -> None:
    """Let a make commit its session."""
    from compdb.populate.run import MakeSession

    MakeSession.commit = MakeSession.settle  # type: ignore[method-assign]


def through_the_make() -> None:
    """Let what populate itself asks at the end of a window go through the make that runs."""
    from contextlib import nullcontext

    from compdb.populate.run import Run

    Run.aside = lambda self: nullcontext()  # type: ignore[assignment, method-assign]


MUTANTS: dict[str, tuple[Callable[[], None], str]] = {
    "the snapshot": (no_snapshot, "test_window.py"),
    "the timer of the snapshot": (no_timer, "test_window.py"),
    "the direct rule": (no_direct_rule, "test_window.py"),
    "the commit before a direct make": (no_flush_before_direct, "test_window.py"),
    "the guard of lost transactions": (no_guard, "test_faults.py"),
    "the redo": (no_redo, "test_window.py"),
    "the buffer in the redo": (redo_by_running, "test_window.py"),
    "sending again": (no_resending, "test_faults.py"),
    "one transaction for a window": (a_transaction_for_each_table, "test_kills.py"),
    "asking anew after a write": (stale_inputs, "test_window.py"),
    "asking anew in another snapshot": (inputs_of_the_past, "test_window.py"),
    "the digest of inputs": (no_digest, "test_forms.py"),
    "the look at a row that is there": (no_look_before_an_error, "test_faults.py"),
    "resting while computing": (held_while_computing, "test_forms.py"),
    "the refusal of commit": (commit_in_make, "test_window.py"),
    "going past the make that runs": (through_the_make, "test_faults.py"),
}


def take_out() -> None:
    """Take the rule out in this process."""
    MUTANTS[os.environ["COMPDB_MUTANT"]][0]()


def main(names: list[str]) -> int:
    """Take one rule out after the other; return 1 if no test finds it."""
    survived = []
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "sitecustomize.py").write_text("import mutants\n\nmutants.take_out()\n")
        path = os.pathsep.join([folder, str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
        for name in names:
            run = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", str(POPULATE / MUTANTS[name][1]), "--tb=no"],
                env={**os.environ, "COMPDB_MUTANT": name, "PYTHONPATH": path},
                capture_output=True,
                text=True,
                check=False,
            )
            failed = dict.fromkeys(re.findall(r"^(?:FAILED|ERROR) \S+::(\w+)", run.stdout, re.MULTILINE))
            some = ", ".join(list(failed)[:4]) or run.stdout[-500:]
            print(f"without {name}: {len(failed)} tests fail: {some}", flush=True)
            if run.returncode != 1 or not failed:
                survived.append(name)
    print(f"\nsurvived: {', '.join(survived) or 'none'}")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(MUTANTS)))
