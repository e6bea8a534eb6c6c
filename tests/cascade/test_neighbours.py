"""Deletions inside transactions, and beside others who write."""

from __future__ import annotations

import runpy
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from compdb.cascade import deletion
from compdb.errors import DeleteError

from .lab import Lab, fresh, outsider


def test_delete_is_part_of_the_transaction_in_force(lab: Lab) -> None:
    before = lab.count()
    with pytest.raises(ZeroDivisionError), lab.database.transaction():
        lab.add("subject", (9, "F"))
        assert lab.delete("subject", lab.subject.c.subject.in_([1, 9])) == 2
        assert len(lab.rows("subject")) == 2
        raise ZeroDivisionError
    assert lab.count() == before


def test_a_failed_delete_spares_the_transaction_around_it(lab: Lab) -> None:
    outsider(lab, "")
    with lab.database.transaction():
        lab.add("subject", (9, "F"))
        with pytest.raises(DeleteError):
            lab.delete("subject")
    assert len(lab.rows("subject")) == 4


def test_mapped_objects_notice_that_their_row_is_gone(lab: Lab) -> None:
    registry = sa.orm.registry()

    class Subject:
        subject: int

    registry.map_imperatively(Subject, lab.subject)
    with lab.database.transaction() as session:
        kept, gone = session.get(Subject, 2), session.get(Subject, 1)
        assert kept is not None
        assert gone is not None
        lab.delete("subject", lab.subject.c.subject == 1)
        assert kept.subject == 2
        with pytest.raises(sa.orm.exc.ObjectDeletedError):
            assert gone.subject
    registry.dispose()


def test_a_child_that_comes_late_goes_too(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the counting of trials and the deleting of their sessions, somebody adds a trial."""
    if lab.database.dialect.one_writer:
        pytest.skip("one writer at a time: nobody can come between")
    late = threading.Event()
    original = deletion.Plan.delete

    def interrupted(plan: Any) -> Any:
        if not late.is_set():
            late.set()
            detached = {
                t: plan.terms.pop(t) for t in [lab.trial]
            }  # as if its rows had been looked for before the new one came
            adding = threading.Thread(target=lab.add, args=("trial", (1, 2, 500)))
            adding.start()
            adding.join()
            assert detached
        return original(plan)

    monkeypatch.setattr(deletion.Plan, "delete", interrupted)
    assert lab.delete("subject", lab.subject.c.subject == 1) == 1
    assert lab.rows("trial") == [(3, 1, 1)]


WORKER = """
import sys, time
import compdb as cdb
from compdb import Key, Mapped

class Lab(cdb.Pipeline):
    pass

class Session(cdb.Manual, Lab):
    session: Key[int]

class Scan(cdb.Imported, Lab):
    from_session: Key[Session]
    n: Mapped[int]

    class Frame(cdb.Part):
        frame: Key[int]

    def make(self, key):
        self.insert1({**key, "n": 3})
        self.Frame.insert([{**key, "frame": i} for i in range(3)])

class Spikes(cdb.Computed, Lab):
    scan: Key[Scan]
    n: Mapped[int]

    def make(self, key):
        self.insert1({**key, "n": len(Scan.Frame & key)})

Lab.activate(sys.argv[1])
if __name__ == "__main__":
    print("ready", flush=True)
    end = time.monotonic() + float(sys.argv[2])
    while time.monotonic() < end:
        for table in (Scan, Spikes):
            table.populate(suppress_errors=True)
    print("done", flush=True)
"""


@pytest.mark.slow
def test_delete_races_with_populate_in_another_process(url: str, tmp_path: Path) -> None:
    """Whoever wins, every scan has its three frames and every result its scan, and a delete takes all or nothing."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    fresh(url)
    argv, sys.argv = sys.argv, ["worker", url]
    try:
        pipeline = SimpleNamespace(**runpy.run_path(str(script), run_name="pipeline"))
    finally:
        sys.argv = argv
    session, scan, spikes = pipeline.Session, pipeline.Scan, pipeline.Spikes
    told = [tmp_path / f"worker {number}" for number in range(2)]  # no pipe: it might be full before anybody reads it
    workers = [
        subprocess.Popen([sys.executable, str(script), url, "4"], stdout=path.open("w"), stderr=subprocess.STDOUT) for path in told
    ]
    deadline = time.monotonic() + 60
    while not all(path.read_text().startswith("ready\n") for path in told):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    deleted = rounds = 0
    while any(worker.poll() is None for worker in workers):
        session.insert([(i,) for i in range(10)], skip_duplicates=True)
        gone = (session & f"session % 3 = {rounds % 3}").delete(prompt=False)
        assert gone in (3, 4)
        deleted, rounds = deleted + gone, rounds + 1
        frames = scan.aggr(scan.Frame, frames="count(frame)")
        assert [row for row in frames.to_dicts() if row["frames"] != 3] == []
    for worker, path in zip(workers, told):
        assert worker.returncode == 0
        assert path.read_text().endswith("done\n")  # after what populate logged of keys whose session had gone
    assert rounds > 5
    assert len(scan - session) == len(spikes - scan) == 0


def test_an_interrupted_deletion_leaves_everything(lab: Lab) -> None:
    before = lab.count()
    seen: list[str] = []

    def interrupt(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE"):
            seen.append(statement)
            if len(seen) == 3:
                raise KeyboardInterrupt

    sa.event.listen(lab.database.engine, "after_cursor_execute", interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            lab.delete("subject")
    finally:
        sa.event.remove(lab.database.engine, "after_cursor_execute", interrupt)
    assert lab.count() == before
    assert lab.delete("subject") == 3


def test_a_preview_over_five_tables_takes_few_statements(lab: Lab) -> None:
    with lab.statements() as seen:
        lab.delete("subject", lab.subject.c.subject == 1, dry_run=True)
    assert 3 <= len(seen) <= 10
