"""Faults that workers meet, each with the test that shows what comes of it.

The numbers are those of a catalogue of faults; those of defects are of DataJoint's that must not be ours. Workers are played by one process
here; where they must be real, the tests are in `test_kills` and `test_workers`.
"""

import datetime as dt
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from compdb.database import database_of
from compdb.jobs import Queue, jobs_of
from compdb.populate.serial import run_keys

from .conftest import N, fail, pipeline, queue, worker
from .processes import until

HERE = Path(__file__).parent

FAULTS = {
    "1: killed before the reservation is committed": "test_a_worker_killed_before_its_reservation_is_committed_leaves_every_key_pending",
    "2: killed after it, before make": "test_a_worker_killed_between_reservation_and_make_has_its_keys_taken_over_at_once",
    "5: killed during COMMIT, or after it": "test_a_worker_killed_around_the_commit_of_its_results_leaves_each_key_done_or_to_be_done",
    "5: killed at any moment": "test_a_worker_killed_at_any_moment_leaves_each_key_done_or_to_be_done",
    "6: a key that kills its worker": "test_a_key_that_kills_its_worker_ends_as_an_error_and_the_others_are_made",
    "6: in a pool of processes": "test_a_worker_process_that_dies_is_an_error_of_its_key",
    "8: the reply to COMMIT is lost": "test_a_commit_whose_reply_is_lost_is_a_success_and_nothing_is_doubled",
    "8: that of a reservation": "test_a_reservation_whose_reply_is_lost_loses_no_keys",
    "8: that of an error": "test_an_error_whose_reply_is_lost_is_written_down_once_and_told",
    "17: clocks of workers": "test_workers_whose_clocks_are_an_hour_apart_take_nothing_from_each_other",
    "17: no clock of a worker in SQL": "test_the_clock_of_a_worker_plays_no_part",
    "18: the clock of the database steps forward": "test_a_clock_of_the_database_that_steps_forward_costs_a_run_and_doubles_nothing",
    "18: and back": "test_a_clock_of_the_database_that_steps_back_loses_no_key_and_doubles_nothing",
    "19: several workers, one key": "test_of_workers_that_reserve_at_once_each_key_has_one",
    "19: without reservation": "test_of_two_that_populate_at_once_without_reservation_the_later_passes_over_quietly",
    "20: a worker that wakes up late": "test_a_zombie_commits_nothing",
    "20: as a process": "test_a_worker_stopped_beyond_its_lease_loses_its_key_and_keeps_nothing_of_it",
    "21: frozen with locks": "test_nobody_waits_for_a_worker_that_is_frozen_with_locks_in_its_hands",
    "21: on SQLite no lock is held while something is computed": "test_a_make_that_computes_keeps_nobody_from_writing",
    "24: a make that hangs": "test_a_make_longer_than_the_timeout_of_its_class_is_an_error",
    "24: in a statement": "test_a_timeout_that_strikes_in_a_statement_spoils_no_other_make",
    "24: in compiled code": "test_a_make_that_hangs_in_compiled_code_is_killed_and_is_an_error_of_its_key",
    "24: in a pool": "test_a_hanging_make_in_a_pool_of_processes_costs_no_other_key",
    "25: a make that leaks": "test_a_worker_that_outgrows_its_memory_is_replaced_between_two_makes",
    "30: SIGTERM": "test_sigterm_lets_the_make_end_and_gives_the_rest_back",
    "30: twice": "test_a_second_sigterm_rolls_the_make_back",
    "30: in a batch": "test_sigterm_in_a_batch_of_makes_that_have_become_slow_ends_after_the_one_that_runs",
    "30: with processes": "test_a_script_with_processes_that_is_told_to_end_gives_its_keys_back_at_once",
    "30: while a window is written": "test_an_interrupt_waits_until_a_window_is_written",
    "39: an input deleted during make": "test_an_input_deleted_during_make_drops_its_key_without_an_error",
    "40: and inserted again": "test_an_input_deleted_and_inserted_again_during_make_gives_no_stale_result",
    "42: a huge key source": "test_a_million_keys_are_refreshed_and_reserved_in_constant_memory",
    "76: the failure path fails": "test_an_error_that_cannot_be_stored_leaves_the_key_to_be_made_again",
    "76: the database is gone": "test_a_worker_whose_database_goes_away_leaves_its_keys_to_others",
    "defect 13: SIGTERM": "test_sigterm_in_plain_populate_by_reservation_leaves_no_key_in_error",
    "defect 19: threads": "test_populate_by_reservation_works_in_threads",
}


@pytest.mark.parametrize("test", FAULTS.values(), ids=FAULTS.keys())
def test_every_fault_has_its_test(test):
    assert any(f"def {test}(" in file.read_text() for file in HERE.glob("test_*.py"))


def run(table, keys):
    return run_keys(table, ("k",), keys, {}, stop=False)


def times(table, seconds):
    """Let the clock of the database step: all that is written down of it moves the other way."""
    jobs = jobs_of(table.__table__)
    by = dt.timedelta(seconds=seconds)
    with database_of(table.__table__).transaction() as session:
        for row in session.execute(sa.select(jobs.workers.c.worker_id, jobs.workers.c.lease_until)).all():
            new = {"lease_until": row.lease_until - by}
            session.execute(sa.update(jobs.workers).where(jobs.workers.c.worker_id == row.worker_id).values(new))
        for row in session.execute(sa.select(jobs.table.c.k, jobs.c["scheduled_time"])).all():
            new = {"scheduled_time": row.scheduled_time - by}
            session.execute(sa.update(jobs.table).where(jobs.table.c.k == row.k).values(new))


# ---------------------------------------------------------------- replies that are lost


@pytest.fixture
def lose(monkeypatch):
    """Return what loses the reply to the first COMMIT after a statement that has these words."""

    def losing(table, *words):
        engine = database_of(table.__table__).engine
        marked, lost = [], []

        def note(connection, cursor, statement, *rest):
            if not marked and all(word in statement for word in words):
                marked.append(connection.connection.dbapi_connection)

        sa.event.listen(engine, "before_cursor_execute", note)
        kind = type(engine.dialect)
        commit = kind.do_commit

        def do_commit(self, driver):
            commit(self, driver)
            if not lost and marked and driver.dbapi_connection is marked[0]:
                lost.append(True)
                driver.dbapi_connection.close()
                code = (2013, "Lost connection") if "sql" in engine.dialect.driver else ("the connection is closed",)
                raise engine.dialect.dbapi.OperationalError(*code)

        monkeypatch.setattr(kind, "do_commit", do_commit)
        return lost

    return losing


servers = pytest.mark.parametrize("url", ["mysql", "postgresql"], indirect=True)


@servers
def test_a_reservation_whose_reply_is_lost_loses_no_keys(lab, lose):
    lab.Res.jobs.refresh()
    a = worker(lab.Res)
    lost = lose(lab.Res, "UPDATE res__jobs", "reserved_time")
    first = queue(lab.Res).reserve(a.about, 5)
    assert lost
    assert [key["k"] for key in first] == list(range(5))
    assert len(lab.Res.jobs.reserved) == 5  # and not a second five that nobody knows of
    assert run(lab.Res, first).success == 5


@servers
def test_an_error_whose_reply_is_lost_is_written_down_once_and_told(lab, lose):
    lab.behaviour[3] = fail
    lost = lose(lab.Res, "UPDATE res__jobs", "error_stack")
    result = lab.Res.populate(reserve_jobs=True, suppress_errors=True)
    assert lost
    assert result == {"success_count": N - 1, "error_list": [({"k": 3}, "ValueError: a bad source")]}
    assert lab.Res.jobs.errors.fetch1("k", "attempts") == (3, 1)


# ---------------------------------------------------------------- clocks


def test_workers_whose_clocks_are_an_hour_apart_take_nothing_from_each_other(lab, monkeypatch):
    lab.Res.jobs.refresh()
    wrong = time.time

    def at(offset):
        monkeypatch.setattr(time, "time", lambda: wrong() + offset)

    at(3600)
    early = worker(lab.Res)
    mine = queue(lab.Res).reserve(early.about, 4)
    at(-3600)
    late = worker(lab.Res)
    assert late.look(now=True) == 0
    theirs = queue(lab.Res).reserve(late.about, 100)
    at(3600)
    assert early.look(now=True) == 0
    assert run(lab.Res, theirs).success == N - 4
    assert run(lab.Res, mine).success == 4
    assert len(lab.Res.jobs) == 0


def test_a_clock_of_the_database_that_steps_forward_costs_a_run_and_doubles_nothing(lab):
    lab.Res.jobs.refresh()
    a, b = worker(lab.Res), worker(lab.Res)
    mine = queue(lab.Res).reserve(a.about, 4)
    times(lab.Res, 3600)  # all leases are over at once
    assert queue(lab.Res).rescue() == 4
    while taken := queue(lab.Res).reserve(b.about, 100):
        run(lab.Res, taken)
    (lab.Res & "k < 100").delete(prompt=False)  # so that no primary key stands in for the fence
    assert run(lab.Res, mine).success == 0
    assert len(lab.Res) == 0


def test_a_clock_of_the_database_that_steps_back_loses_no_key_and_doubles_nothing(lab):
    lab.Res.jobs.refresh()
    a, b = worker(lab.Res), worker(lab.Res)
    mine = queue(lab.Res).reserve(a.about, 4)
    times(lab.Res, -5)  # what is due becomes due later, and leases last longer
    assert queue(lab.Res).rescue() == 0
    assert queue(lab.Res).reserve(b.about, 100) == []
    assert run(lab.Res, mine).success == 4
    assert lab.Res.populate(reserve_jobs=True)["success_count"] == 0  # nor is it made a second time meanwhile
    times(lab.Res, 5)
    assert lab.Res.populate(reserve_jobs=True)["success_count"] == N - 4


# ---------------------------------------------------------------- several at once


def test_of_workers_that_reserve_at_once_each_key_has_one(lab):
    lab.Src.insert({"k": i, "x": 0.0} for i in range(N, 200))
    lab.Res.jobs.refresh()
    barrier, found, errors = threading.Barrier(4), [], []

    def work():
        try:
            me, jobs = worker(lab.Res), queue(lab.Res)
            barrier.wait()
            while keys := jobs.reserve(me.about, 7):
                found.extend((key["k"], key.token) for key in keys)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sorted(k for k, _ in found) == list(range(200))


def test_of_two_that_populate_at_once_without_reservation_the_later_passes_over_quietly(lab):
    def meanwhile():
        thread = threading.Thread(target=lambda: results.append(run(lab.Res, [{"k": 3}])))
        thread.start()
        thread.join()

    results = []
    lab.behaviour[3] = once(meanwhile)
    result = lab.Res.populate()
    assert results[0].success == 1
    assert result == {"success_count": N - 1, "error_list": []}
    assert len(lab.Res) == N


def once(work):
    """Return a function that does `work` the first time."""
    done = []

    def first():
        if not done:
            done.append(1)
            work()

    return first


def test_keys_that_arrive_within_a_window_are_made_of_the_state_that_has_them(lab):
    """The snapshot that makes read is never older than their keys."""

    def meanwhile():
        thread = threading.Thread(target=arrive)
        thread.start()
        thread.join()

    def arrive():
        lab.Src.insert1({"k": 100, "x": 7.0})
        lab.Res.jobs.refresh()

    lab.behaviour[3] = meanwhile
    assert lab.Res.populate(reserve_jobs=True)["success_count"] == N + 1
    assert (lab.Res & {"k": 100}).fetch1("y") == 7.0


def test_a_make_that_computes_keeps_nobody_from_writing(lab):
    """Here each waits for the other: where a make held a lock, the writer would be refused, or both would wait for ever."""
    written = []

    def meanwhile():
        def write():
            lab.Src.insert1({"k": 100 + len(written), "x": 0.0})
            written.append(lab.Src.keys(order_by="k")[-1]["k"])

        thread = threading.Thread(target=write)
        thread.start()
        thread.join()

    lab.behaviour[3] = lab.behaviour[7] = meanwhile
    assert lab.Res.populate(reserve_jobs=True)["success_count"] >= N
    assert written == [100, 101]


@servers
def test_keys_that_another_one_looks_at_are_given_back_all_the_same(lab):
    """Whoever takes over the jobs of the dead has ours locked for a moment."""
    lab.Res.jobs.refresh()
    a = worker(lab.Res)
    assert len(queue(lab.Res).reserve(a.about, 5)) == 5
    locked, done = threading.Event(), threading.Event()

    def look():
        table = jobs_of(lab.Res.__table__).table
        with lab.transaction() as session:
            session.execute(sa.select(table.c.k).where(table.c.k < 3).with_for_update()).all()
            locked.set()
            done.wait(0.5)

    thread = threading.Thread(target=look)
    thread.start()
    locked.wait()
    assert queue(lab.Res).release(a.id) == 5
    done.set()
    thread.join()
    assert len(lab.Res.jobs.pending) == N


def test_one_who_looks_for_new_keys_and_never_ends_is_not_waited_for_for_ever(url, caplog):
    Lab = pipeline(lease=1.5)
    Lab.activate(url)
    Lab.Src.insert({"k": i, "x": 0.0} for i in range(3))
    database = database_of(Lab.Res.__table__)
    held, done, freed = threading.Event(), threading.Event(), []

    def hold():
        with database.lock("jobs res"):
            held.set()
            done.wait(250)
            freed.append("jobs res")

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    began = time.monotonic()
    assert Lab.Res.populate(reserve_jobs=True) == {"success_count": 0, "error_list": []}
    assert time.monotonic() - began > 1
    assert not freed
    assert "another worker has been looking for new keys" in caplog.text
    done.set()
    thread.join()
    assert Lab.Res.populate(reserve_jobs=True)["success_count"] == 3


def test_pointless_jobs_of_any_number_are_taken_out_at_refresh(lab, monkeypatch):
    monkeypatch.setattr("compdb.jobs.queue.MANY", 5)
    lab.Res.jobs.refresh()
    lab.Res.populate()
    assert lab.Res.jobs.refresh()["removed"] == N
    assert len(lab.Res.jobs) == 0


WAITING = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
    "mysql": "SELECT count(*) FROM information_schema.innodb_trx JOIN information_schema.processlist ON id = trx_mysql_thread_id"
    " WHERE trx_state = 'LOCK WAIT' AND db = DATABASE()",
}


def test_a_refresh_passes_over_jobs_that_somebody_inserts_meanwhile(lab, url):
    """By hand, or a worker of a release without the lock: its rows are not there when the INSERT begins, and there when it ends."""
    dialect = sa.make_url(url).get_backend_name()
    if dialect == "sqlite":
        pytest.skip("one writer at a time")
    sent, found = [], []
    sa.event.listen(database_of(lab.Res.__table__).engine, "before_cursor_execute", lambda c, cursor, s, *_: sent.append(s))
    other = sa.create_engine(url)
    with other.connect() as connection, other.connect() as watching:
        jobs = jobs_of(lab.Res.__table__).table
        connection.execute(sa.insert(jobs), [{"k": 3, "priority": 7}, {"k": 8, "priority": 7}])
        thread = threading.Thread(target=lambda: found.append(lab.Res.jobs.refresh()))
        thread.start()

        def blocked():
            time.sleep(0.2)  # MariaDB makes its list of waiting transactions anew only when nobody has asked for it for 0.1 s
            with watching.begin():
                return watching.scalar(sa.text(WAITING[dialect]))

        until(blocked)
        connection.commit()
        thread.join()
    other.dispose()
    assert len([s for s in sent if s.lstrip().startswith("INSERT INTO") and "missing" in s]) == 2
    assert found == [{"added": N - 2, "removed": 0, "re_pended": 0, "orphaned": 0}]
    assert len(lab.Res.jobs) == N
    assert sorted((lab.Res.jobs & "priority = 7").to_arrays("k")) == [3, 8]


# ---------------------------------------------------------------- interrupts


@pytest.mark.parametrize("reserve", [True, False])
def test_an_interrupt_waits_until_a_window_is_written(lab, reserve):
    """Ctrl-C in the middle of the INSERT: the makes that are finished are kept, and then it is raised."""
    made, struck = [], []
    lab.behaviour.update({k: lambda k=k: made.append(k) for k in range(N)})

    def strike(connection, cursor, statement, *rest):
        if "INTO res " in statement.replace("`", "").replace("(", " (") and not struck:
            struck.append(list(made))
            os.kill(os.getpid(), signal.SIGINT)

    sa.event.listen(database_of(lab.Res.__table__).engine, "before_cursor_execute", strike)
    lab.behaviour[6] = lambda: made.append(6) or time.sleep(0.4)
    with pytest.raises(KeyboardInterrupt):
        lab.Res.populate(reserve_jobs=reserve, suppress_errors=True)
    assert sorted(row["k"] for row in lab.Res) == struck[0]
    assert lab.Res.jobs.progress()["reserved"] == 0


@pytest.mark.parametrize("where", ["read", "write"])
@pytest.mark.parametrize("reserve", [True, False])
@servers
def test_a_timeout_that_strikes_in_a_statement_spoils_no_other_make(lab, url, reserve, where):
    lab.Res.timeout = 0.3
    nap = sa.text("SELECT SLEEP(5)" if url.startswith("mysql") else "SELECT pg_sleep(5)")

    def sleep():
        if where == "read":
            lab.session().scalar(nap)
        else:
            with lab.transaction() as session:
                session.execute(nap)

    lab.behaviour[3] = sleep
    result = lab.Res.populate(reserve_jobs=reserve, suppress_errors=True)
    assert result["success_count"] == N - 1
    assert [key for key, _ in result["error_list"]] == [{"k": 3}]
    assert result["error_list"][0][1].startswith("MakeTimeout")


def test_a_make_that_swallows_its_timeout_is_interrupted_again(lab):
    lab.Res.timeout = 0.2

    def stubborn():
        try:
            time.sleep(20)
        except Exception:
            slept.append("interrupted")
            time.sleep(20)
        slept.append("to the end")

    slept = []
    lab.behaviour[3] = stubborn
    result = lab.Res.populate(reserve_jobs=True, suppress_errors=True)
    assert slept == ["interrupted"]
    assert result["error_list"][0][1].startswith("MakeTimeout")


# ---------------------------------------------------------------- the database goes away


@servers
def test_a_worker_whose_database_goes_away_leaves_its_keys_to_others(lab, caplog):
    """Fault 76: neither the error nor the reservation can be given back; the worker ends, and its keys are taken over."""
    database = database_of(lab.Res.__table__)
    engines = (database.engine, database.reader)

    def refuse(*arguments):
        raise database.engine.dialect.dbapi.OperationalError(2003, "nobody answers")

    def vanish():
        for engine in engines:
            sa.event.listen(engine, "do_connect", refuse)
        database.dispose()
        raise ValueError("and then the make fails")

    lab.behaviour[3] = vanish
    with pytest.raises(Exception, match="nobody answers"):
        lab.Res.populate(reserve_jobs=True, suppress_errors=True)
    for engine in engines:
        sa.event.remove(engine, "do_connect", refuse)
    assert "others take them over" in caplog.text
    held = len(lab.Res.jobs.reserved)
    assert held >= 1
    workers = jobs_of(lab.Res.__table__).workers
    with lab.transaction() as session:  # its process ends, or its lease
        session.execute(sa.update(workers).values(pid=2**22 + 1))
    lab.behaviour.clear()
    assert lab.Res.jobs.refresh()["orphaned"] == held
    lab.Res.populate(reserve_jobs=True)
    assert len(lab.Res) == N
    assert len(lab.Res.jobs) == 0


# ---------------------------------------------------------------- a great many keys


def test_a_million_keys_are_refreshed_and_reserved_in_constant_memory(sqlite_url):
    program = """
        import resource, sys
        import compdb as cdb, sqlalchemy as sa
        from compdb import Key, Mapped

        class Lab(cdb.Pipeline):
            "A million keys."

        class Src(cdb.Manual, Lab):
            k: Key[int]

        class Res(cdb.Computed, Lab):
            src: Key[Src]
            y: Mapped[float]

            def make(self, key):
                self.y = 0.0

        Lab.activate(sys.argv[1])
        with Lab.transaction() as session:
            session.execute(sa.text(
                "INSERT INTO src WITH RECURSIVE n(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM n WHERE k < 999999) SELECT k FROM n"
            ))
        Res.populate(limit=5)
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        before = peak()
        added = Res.jobs.refresh()["added"]
        refreshed = peak()
        made = Res.populate(reserve_jobs=True, limit=2000)["success_count"]
        print(added, made, refreshed - before, peak() - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), sqlite_url]
    said = subprocess.run(command, capture_output=True, text=True, timeout=280)
    assert said.returncode == 0, said.stderr
    added, made, refreshing, making = map(int, said.stdout.split())
    assert (added, made) == (999_995, 2000)
    assert refreshing < 30  # MB: the keys stay in the database
    assert making < 60


def test_a_queue_without_its_fence_is_found_out(lab, monkeypatch):
    """The harness of the clocks finds a double result where the fence is gone: else it would prove nothing."""
    monkeypatch.setattr(Queue, "complete", lambda self, connection, keys, **options: True)
    lab.Res.jobs.refresh()
    a = worker(lab.Res)
    mine = queue(lab.Res).reserve(a.about, 4)
    times(lab.Res, 3600)
    assert queue(lab.Res).rescue() == 4
    assert run(lab.Res, mine).success == 4
