"""Jobs and their states: refresh, errors, ignored keys, retries, what is kept, and what is shown (design 7)."""

import datetime as dt
import json
import logging
import threading
import time
import uuid

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped, dag
from compdb.database import database_of
from compdb.dialects import utcnow
from compdb.jobs import Queue, jobs_of

from .conftest import N, fail, pipeline, queue


def counts(table):
    return {state: n for state, n in table.jobs.progress().items() if n}


def test_refresh_makes_a_job_of_every_pending_key_once(lab):
    lab.Res.populate(lab.Src & "k < 3")
    assert lab.Res.jobs.refresh() == {"added": N - 3, "removed": 0, "re_pended": 0, "orphaned": 0}
    assert lab.Res.jobs.refresh()["added"] == 0
    assert counts(lab.Res) == {"pending": N - 3, "total": N - 3}
    assert len(lab.Res.jobs.pending & (lab.Src & "x > 5")) == N - 6


def test_refresh_is_one_insert_however_many_keys_there_are(lab):
    sent = []
    sa.event.listen(database_of(lab.Res.__table__).engine, "before_cursor_execute", lambda c, cursor, s, *_: sent.append(s))
    lab.Res.jobs.refresh()
    inserts = [" ".join(s.split()).replace("`", "") for s in sent if "INSERT INTO" in s]
    assert len(inserts) == 1
    assert inserts[0].startswith("INSERT INTO res__jobs (k, status, priority, scheduled_time) SELECT")
    assert len(lab.Res.jobs) == N


def test_one_looks_for_new_keys_at_a_time(lab, monkeypatch):
    looking, most, refresh = [], [], Queue.refresh
    barrier = threading.Barrier(3)

    def watched(self, *arguments, **options):
        looking.append(1)
        most.append(len(looking))
        time.sleep(0.1)
        try:
            return refresh(self, *arguments, **options)
        finally:
            looking.pop()

    def look():
        barrier.wait()
        added.append(lab.Res.jobs.refresh()["added"])

    monkeypatch.setattr(Queue, "refresh", watched)
    added = []
    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(added) == [0, 0, N]
    assert max(most) == 1


def test_refresh_takes_out_jobs_whose_result_is_there_and_whose_key_is_gone(lab):
    lab.Res.jobs.refresh()
    lab.Res.populate(lab.Src & "k < 2")
    (lab.Src & "k = 11").delete(prompt=False)  # its job goes with it
    assert counts(lab.Res)["pending"] == N - 1
    assert lab.Res.jobs.refresh()["removed"] == 2


def test_populate_by_reservation_makes_what_plain_populate_makes(lab):
    assert lab.Res.populate(reserve_jobs=True) == {"success_count": N, "error_list": []}
    assert [r["y"] for r in lab.Res.to_dicts(order_by="KEY")] == [float(i) for i in range(N)]
    assert len(lab.Res.P) == 2 * N
    assert counts(lab.Res) == {}
    with lab.transaction() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(jobs_of(lab.Res.__table__).workers)) == 0


def test_an_error_is_kept_with_its_traceback_and_its_deletion_makes_the_key_pending_again(lab):
    lab.behaviour[3] = fail
    result = lab.Res.populate(reserve_jobs=True, suppress_errors=True)
    assert result == {"success_count": N - 1, "error_list": [({"k": 3}, "ValueError: a bad source")]}
    job = lab.Res.jobs.errors.fetch1()
    assert (job["k"], job["error_message"], job["attempts"]) == (3, "ValueError: a bad source", 1)
    assert "in fail" in job["error_stack"]
    assert lab.Res.populate(reserve_jobs=True)["success_count"] == 0  # it stays as it is
    lab.behaviour.clear()
    assert lab.Res.jobs.errors.delete() == 1
    assert lab.Res.populate(reserve_jobs=True)["success_count"] == 1


def test_the_traceback_of_a_key_that_the_database_refuses_tells_of_no_other(url):
    class Lab(cdb.Pipeline):
        """Results of which the database takes the small ones."""

    class Src(cdb.Manual, Lab):
        k: Key[int]

    class Res(cdb.Computed, Lab):
        src: Key[Src]
        y: Mapped[int]
        __table_args__ = (sa.CheckConstraint("y < 5", name="small"),)

        def make(self, key):
            self.insert1({**key, "y": key["k"]})

    Lab.activate(url)
    Src.insert({"k": k} for k in range(7))
    assert Res.populate(reserve_jobs=True, suppress_errors=True)["success_count"] == 5
    for job in Res.jobs.errors:
        assert job["error_message"].startswith("ConstraintError: Res: a row breaks a constraint")
        assert "test_states.py" in job["error_stack"].partition("inserted at ")[2]  # the line of the insert
        assert "During handling" not in job["error_stack"]  # of what failed the window
        assert f"make({{'k': {job['k']}}})" in job["error_stack"]


def test_an_error_that_is_raised_is_kept_too_and_the_other_keys_are_given_back(lab):
    lab.behaviour[3] = fail
    with pytest.raises(ValueError, match="a bad source"):
        lab.Res.populate(reserve_jobs=True)
    assert len(lab.Res) == 3
    assert counts(lab.Res) == {"error": 1, "pending": N - 4, "total": N - 3}


@pytest.mark.parametrize("reserve", [True, False])
def test_skip_has_the_key_ignored_with_its_reason_from_then_on(lab, reserve):
    lab.behaviour[3] = lambda: cdb.skip("no light")
    assert lab.Res.populate(reserve_jobs=reserve)["success_count"] == N - 1
    assert lab.Res.jobs.ignored.fetch1("k", "error_message") == (3, "no light")
    lab.behaviour[3] = fail  # it would be noticed
    assert lab.Res.populate() == lab.Res.populate(reserve_jobs=True) == {"success_count": 0, "error_list": []}
    lab.behaviour.clear()
    lab.Res.jobs.ignored.delete()
    assert lab.Res.populate(reserve_jobs=reserve)["success_count"] == 1


def test_a_key_that_is_passed_over_is_not_told_as_made(lab, caplog):
    made = []
    sa.event.listen(lab.Res, "after_make", lambda table, key, seconds: made.append(key["k"]))
    lab.behaviour[3] = lambda: cdb.skip("no light")
    with caplog.at_level(logging.INFO, "compdb"):
        lab.Res.populate(reserve_jobs=True)
    assert made == [k for k in range(N) if k != 3]
    assert "Res passes over {'k': 3}: no light" in caplog.text


def test_skip_after_rows_were_inserted_is_an_error(lab):
    def make(self, key):
        self.insert1({**key, "y": 1.0})
        return cdb.skip("but why")

    lab.Res.make = make
    with pytest.raises(cdb.MakeError, match="one of the two"):
        lab.Res.populate()
    assert len(lab.Res) == 0


def test_a_make_in_three_parts_may_skip_in_each_of_them(lab):
    class Long(cdb.Computed, lab):
        src: Key[lab.Src]
        y: Mapped[float]

        def make_fetch(self, key):
            return cdb.skip("fetch") if key["k"] == 0 else (key["k"],)

        def make_compute(self, key, k):
            return cdb.skip("compute") if k == 1 else (k,)

        def make_insert(self, key, k):
            if k == 2:
                return cdb.skip("insert")
            self.insert1({**key, "y": k})
            return None

    lab.activate()
    assert Long.populate()["success_count"] == N - 3
    assert [j["error_message"] for j in Long.jobs.ignored.to_dicts(order_by="KEY")] == ["fetch", "compute", "insert"]


def test_ignore_by_hand_holds_for_keys_with_and_without_a_job(lab):
    lab.Res.jobs.ignore({"k": 1}, "a joke")
    lab.Res.jobs.refresh()
    lab.Res.jobs.ignore({"k": 2})
    lab.Res.populate()
    assert sorted(r["k"] for r in lab.Res) == [0, *range(3, N)]
    assert lab.Res.progress(display=False) == (0, N)


def schedule(table, seconds):
    """Have all jobs of a table be due so many seconds from now."""
    jobs = jobs_of(table.__table__)
    with database_of(table.__table__).transaction() as session:
        session.execute(sa.update(jobs.table).values({jobs.c["scheduled_time"].name: utcnow(seconds)}))


def test_failed_makes_are_tried_again_later_as_often_as_the_class_says(lab):
    lab.Res.max_attempts = 2
    lab.behaviour[3] = fail
    lab.Res.populate(reserve_jobs=True, suppress_errors=True)
    job = (lab.Res.jobs & {"k": 3}).fetch1()
    assert (job["status"], job["attempts"]) == ("pending", 1)
    assert 0.5 < (job["scheduled_time"] - job["completed_time"]).total_seconds() < 2
    schedule(lab.Res, 3600)
    assert lab.Res.populate(reserve_jobs=True, suppress_errors=True)["error_list"] == []  # not due yet
    schedule(lab.Res, 0)
    lab.Res.populate(reserve_jobs=True, suppress_errors=True)
    assert (lab.Res.jobs & {"k": 3}).fetch1("status", "attempts") == ("error", 2)


def test_a_make_longer_than_the_timeout_of_its_class_is_an_error(lab):
    lab.Res.timeout = 0.2
    slept = []
    lab.behaviour[3] = lambda: time.sleep(20) or slept.append(3)
    result = lab.Res.populate(reserve_jobs=True, suppress_errors=True)
    assert slept == []
    assert result["success_count"] == N - 1
    assert lab.Res.jobs.errors.fetch1("error_message").startswith("MakeTimeout: make of Res for {'k': 3} took longer")


def test_small_priorities_go_first_and_larger_ones_can_be_left(lab):
    order = []
    lab.behaviour.update({k: lambda k=k: order.append(k) for k in range(N)})
    lab.Res.jobs.refresh(lab.Src & "k >= 10", priority=1)
    lab.Res.jobs.refresh(priority=7)
    lab.Res.populate(reserve_jobs=True, priority=3, refresh=False)
    assert order == [10, 11]
    lab.Res.populate(reserve_jobs=True)
    assert order == [10, 11, *range(10)]


def test_delayed_jobs_wait(lab):
    lab.Res.jobs.refresh(delay=3600)
    assert lab.Res.populate(reserve_jobs=True) == {"success_count": 0, "error_list": []}
    assert counts(lab.Res)["pending"] == N


def test_restrictions_limits_and_orders_hold_for_reservations(lab):
    order = []
    lab.behaviour.update({k: lambda k=k: order.append(k) for k in range(N)})
    lab.Res.populate(lab.Src & "k < 4", reserve_jobs=True, limit=2)
    assert order == [0, 1]
    lab.Res.populate(reserve_jobs=True, max_calls=3, order="reverse")
    assert order[2:] == [3, 2, 11] or order[2:] == [11, 10, 9]
    lab.Res.populate(lab.Src & "k < 4", reserve_jobs=True)
    assert sorted(k for k in order if k < 4) == [0, 1, 2, 3]
    assert counts(lab.Res).get("reserved", 0) == 0


def test_jobs_that_arrive_while_populate_runs_are_made_too(lab):
    def arrive():
        time.sleep(0.6)  # a look into the key source is good for half a second
        thread = threading.Thread(target=lambda: lab.Src.insert1({"k": 99, "x": 1.0}))
        thread.start()
        thread.join()

    lab.behaviour[N - 1] = arrive
    assert lab.Res.populate(reserve_jobs=True)["success_count"] == N + 1


def test_completed_jobs_are_kept_where_the_pipeline_says_so(url):
    Lab = pipeline(keep_completed=True)
    Lab.activate(url)
    Lab.Src.insert({"k": i, "x": float(i)} for i in range(3))
    Lab.Res.populate(reserve_jobs=True)
    assert counts(Lab.Res) == {"success": 3, "total": 3}
    assert all(j["duration"] is not None and j["completed_time"] for j in Lab.Res.jobs.completed)
    (Lab.Res & {"k": 1}).delete(prompt=False)
    assert Lab.Res.jobs.refresh()["re_pended"] == 1
    assert Lab.Res.populate(reserve_jobs=True)["success_count"] == 1


@pytest.mark.parametrize("reserve", [True, False])
def test_every_make_that_is_kept_leaves_a_line_in_the_runs_table(lab, reserve):
    lab.behaviour[3] = fail
    lab.Res.populate(reserve_jobs=reserve, suppress_errors=True)
    lines = lab.runs.to_dicts()
    assert sorted(json.loads(line["key"])["k"] for line in lines) == [k for k in range(N) if k != 3]
    assert {line["table_name"] for line in lines} == {"res"}
    assert len({(line["worker_id"], line["host"], line["user"], line["version"]) for line in lines}) == 1
    assert all(line["seconds"] >= 0 for line in lines)
    with lab.transaction() as session:
        now = session.scalar(sa.select(utcnow()))
    assert all(abs((now - line["started_time"]).total_seconds()) < 60 for line in lines)


def test_a_job_by_hand_is_reserved_completed_or_failed(lab):
    lab.Res.jobs.refresh()
    assert lab.Res.jobs.reserve({"k": 1})
    assert not lab.Res.jobs.reserve({"k": 1})
    lab.Res.jobs.complete({"k": 1})
    lab.Res.jobs.error({"k": 2}, "no good", "a stack")
    assert lab.Res.jobs.errors.fetch1("k", "error_message", "error_stack") == (2, "no good", "a stack")
    with pytest.raises(cdb.MissingAttribute):
        lab.Res.jobs.ignore({})


def test_a_key_whose_parent_is_not_there_is_told_in_its_name(lab):
    for verb in (lab.Res.jobs.ignore, lambda key: lab.Res.jobs.error(key, "no good")):
        with pytest.raises(cdb.MissingParent, match=r"Res.jobs needs a row of Src that is not there: \{'k': 77\}"):
            verb({"k": 77})
    assert not lab.Res.jobs & {"k": 77}


def test_a_job_that_is_completed_by_hand_is_kept_where_the_pipeline_says_so(url):
    Lab = pipeline(keep_completed=True)
    Lab.activate(url)
    Lab.Src.insert({"k": i, "x": float(i)} for i in range(3))
    Lab.Res.jobs.refresh()
    assert Lab.Res.jobs.reserve({"k": 1})
    Lab.Res.insert1({"k": 1, "y": 1.0}, allow_direct_insert=True)
    Lab.Res.jobs.complete({"k": 1})
    assert counts(Lab.Res) == {"pending": 2, "success": 1, "total": 3}
    assert Lab.Res.jobs.completed.fetch1("k", "worker_id") == (1, None)
    assert Lab.Res.populate(reserve_jobs=True)["success_count"] == 2


def test_the_jobs_of_all_tables_are_for_reading(lab):
    lab.Res.jobs.refresh()
    with pytest.raises(cdb.CompdbError):
        lab.jobs.delete(prompt=False)
    with pytest.raises(cdb.CompdbError):
        lab.jobs.insert1({"table_name": "res"})
    assert len(lab.Res.jobs) == N


def test_the_jobs_of_all_tables_are_one_relation(lab):
    class Twice(cdb.Computed, lab):
        res: Key[lab.Res]
        y: Mapped[float]

        def make(self, key):
            self.y = 2 * self.res.y

    lab.activate()
    lab.behaviour[3] = fail
    lab.Res.populate(reserve_jobs=True, suppress_errors=True)
    Twice.jobs.refresh()
    found = lab.jobs.to_dicts()
    assert [(j["table_name"], json.loads(j["key"])) for j in found if j["status"] == "error"] == [("res", {"k": 3})]
    assert "in fail" in next(j["error_stack"] for j in found if j["status"] == "error")
    assert len(lab.jobs & "table_name = 'twice' and status = 'pending'") == N - 1


def test_jobs_tables_are_no_tables_of_the_pipeline(lab):
    lab.Res.jobs.refresh()
    assert {t.__name__ for t in lab.Src.descendants()} == {"Res", "P"}
    assert dag.tier(jobs_of(lab.Res.__table__).table) == "jobs"
    assert "jobs" not in lab.diagram().to_mermaid()
    assert lab.Src.delete(prompt=False, dry_run=True) == {"Src": N}
    assert lab.Src.delete(prompt=False) == N
    assert len(lab.Res.jobs) == 0  # gone with their sources
    with pytest.raises(cdb.PopulateError, match="has no jobs"):
        lab.Src.jobs


def test_the_key_of_a_jobs_table_is_typed_as_the_key_of_its_table(url):
    class Lab(cdb.Pipeline):
        """Keys with names of job columns, renamed, of several types."""

    class Visit(cdb.Manual, Lab):
        status: Key[str]
        host: Key[int]

    class Scan(cdb.Computed, Lab, rows_per_key="many"):
        visit: Key[Visit] = cdb.foreign_key(rename={"host": "priority"})
        idx: Key[int]

        def make(self, key):
            self.insert({**key, "idx": i} for i in range(2))

    Lab.activate(url)
    Visit.insert([("good", 1), ("Good", 2)])
    assert jobs_of(Scan.__table__).keys == ("status", "priority")
    Scan.jobs.refresh()
    assert Scan.jobs.to_dicts()[0]["job_status"] == "pending"
    assert Scan.populate(reserve_jobs=True)["success_count"] == 2
    assert len(Scan) == 4


def test_the_database_itself_keeps_the_types_of_keys_and_takes_jobs_away_with_their_source(url):
    class Lab(cdb.Pipeline):
        """Keys of several types."""

    class Visit(cdb.Manual, Lab):
        who: Key[str]
        day: Key[dt.date]
        at: Key[dt.datetime]
        site: Key[uuid.UUID]

    class Scan(cdb.Computed, Lab):
        visit: Key[Visit]
        y: Mapped[float]

        def make(self, key):
            self.y = 0.0

    Lab.activate(url)
    rows = [{"who": w, "day": "2026-01-02", "at": "2026-01-02 03:04:05.678901", "site": uuid.UUID(int=7)} for w in ("a", "A", "a ")]
    Visit.insert(rows)
    Scan.jobs.refresh()
    assert len(Scan.jobs) == 3
    inspector = sa.inspect(database_of(Scan.__table__).engine)
    own, mine = ({c["name"]: repr(c["type"]) for c in inspector.get_columns(t)} for t in ("scan", "scan__jobs"))
    assert {name: mine[name] for name in ("who", "day", "at", "site")} == {n: own[n] for n in ("who", "day", "at", "site")}
    with Lab.transaction() as session:  # past everything that compdb does
        session.execute(sa.delete(Visit.__table__).where(Visit.__table__.c.who == "A"))
    assert sorted(job["who"] for job in Scan.jobs) == ["a", "a "]
    assert Scan.populate(reserve_jobs=True)["success_count"] == 2


def test_declaring_again_remakes_the_jobs_table(lab):
    before = jobs_of(lab.Res.__table__).table
    namespace = {
        "__annotations__": {"src": Key[lab.Src], "y": Mapped[float]},
        "__module__": __name__,
        "__qualname__": "Again",
    }
    first = type(lab)("Again", (cdb.Computed, lab), dict(namespace))
    old = jobs_of(first.__table__).table
    second = type(lab)("Again", (cdb.Computed, lab), dict(namespace))
    assert lab.metadata.tables["again__jobs"] is jobs_of(second.__table__).table is not old
    with pytest.raises(cdb.DeclarationError):
        type(lab)("Again", (cdb.Computed, lab), {**namespace, "__annotations__": {"insert": Key[lab.Src]}})
    assert lab.metadata.tables["again__jobs"] is jobs_of(second.__table__).table
    assert lab.metadata.tables["res__jobs"] is before


def test_errors_of_any_size_and_kind_can_be_stored(lab):
    class Odd(Exception):
        def __str__(self):
            raise RuntimeError("no text")

    def long():
        raise ValueError("x\0" * 3_000_000 + "\ud800")

    def odd():
        raise Odd

    lab.behaviour.update({1: long, 2: odd})
    lab.Res.populate(reserve_jobs=True, suppress_errors=True, return_exception_objects=True)
    messages = [j["error_message"] for j in lab.Res.jobs.errors.to_dicts(order_by="KEY")]
    assert messages[0].startswith("ValueError: x")
    assert len(messages[0]) <= 2047
    assert messages[1] == "Odd: <its text raised RuntimeError>"


def test_queue_says_what_is_due(lab):
    q = queue(lab.Res)
    assert not q.due()
    assert not q.unfinished()
    lab.Res.jobs.refresh(delay=100)
    assert not q.due()
    assert q.unfinished()
