"""Who may commit what: leases, rescue and the fence, played by several workers in one process (faults 17-21, 39, 40, 76)."""

import datetime as dt
import logging
import os
import random
import threading
import time

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb.database import database_of
from compdb.jobs import Ledger, Queue, Worker, jobs_of
from compdb.jobs import worker as workers
from compdb.populate.serial import run_keys

from .conftest import N, fail, pipeline, queue, worker


def expire(table, who):
    """End the lease of a worker, as a pause beyond it does."""
    workers = jobs_of(table.__table__).workers
    with database_of(table.__table__).transaction() as session:
        past = dt.datetime(2000, 1, 1)
        session.execute(sa.update(workers).where(workers.c.worker_id == who.id).values(lease_until=past))


def run(table, keys):
    return run_keys(table, ("k",), keys, {}, stop=False)


def test_a_key_is_reserved_once(lab):
    lab.Res.jobs.refresh()
    a, b = worker(lab.Res), worker(lab.Res)
    first = queue(lab.Res).reserve(a.about, 5)
    second = queue(lab.Res).reserve(b.about, 100)
    assert [k["k"] for k in first] == list(range(5))
    assert [k["k"] for k in second] == list(range(5, N))
    assert len({k.token for k in first}) == 1
    assert first[0].token != second[0].token
    assert queue(lab.Res).release(a.id) == 5
    assert len(lab.Res.jobs.pending) == 5


def test_a_living_worker_keeps_its_keys_and_a_dead_one_loses_them(lab):
    lab.Res.jobs.refresh()
    a = worker(lab.Res)
    queue(lab.Res).reserve(a.about, 3)
    assert queue(lab.Res).rescue() == 0
    expire(lab.Res, a)
    assert queue(lab.Res).rescue() == 3
    assert queue(lab.Res).rescue() == 0
    assert lab.Res.jobs.progress()["pending"] == N


def test_a_worker_without_a_row_is_dead(lab):
    lab.Res.jobs.refresh()
    queue(lab.Res).reserve({"worker_id": "nobody", "host": "h", "pid": 1}, 3)
    assert queue(lab.Res).rescue() == 3


@pytest.mark.parametrize("window", [1, 4])
def test_a_zombie_commits_nothing(lab, window, caplog):
    caplog.set_level(logging.INFO, "compdb")
    lab.Res.jobs.refresh()
    a, b = worker(lab.Res), worker(lab.Res)
    slow = queue(lab.Res).reserve(a.about, window)
    expire(lab.Res, a)
    queue(lab.Res).rescue()
    taken = queue(lab.Res).reserve(b.about, 100)
    assert run(lab.Res, taken).success == N - window  # those that were never anybody's come first
    while again := queue(lab.Res).reserve(b.about, 100):
        assert len(again) == 1  # one by one: one of them may have killed its worker
        run(lab.Res, again)
    (lab.Res & "k < 100").delete(prompt=False)  # so that no primary key stands in for the fence
    outcome = run(lab.Res, slow)
    assert (outcome.success, outcome.errors) == (0, [])
    assert len(lab.Res) == 0
    assert "another worker's now" in caplog.text


def test_in_a_window_only_the_keys_that_were_lost_are_lost(lab):
    lab.Res.jobs.refresh()
    a = worker(lab.Res)
    mine = queue(lab.Res).reserve(a.about, 4)
    (lab.Res.jobs & {"k": 2}).delete()
    assert run(lab.Res, mine).success == 3
    assert sorted(r["k"] for r in lab.Res) == [0, 1, 3]


def test_the_harness_sees_a_double_result_when_the_fence_is_removed(lab, monkeypatch):
    monkeypatch.setattr(Queue, "complete", lambda self, connection, keys, **options: True)
    lab.Res.jobs.refresh()
    a = worker(lab.Res)
    mine = queue(lab.Res).reserve(a.about, 4)
    (lab.Res.jobs & {"k": 2}).delete()
    assert run(lab.Res, mine).success == 4  # the mutant that test_in_a_window... kills


def test_an_input_deleted_and_inserted_again_during_make_gives_no_stale_result(lab):
    def meanwhile():
        def work():
            (lab.Src & {"k": 3}).delete(prompt=False)
            lab.Src.insert1({"k": 3, "x": 333.0})

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    lab.behaviour[3] = once(meanwhile)
    lab.Res.populate(reserve_jobs=True, suppress_errors=True)
    lab.Res.populate(reserve_jobs=True)
    assert (lab.Res & {"k": 3}).fetch1("y") == 333.0
    assert len(lab.Res.jobs) == 0


def test_an_input_deleted_during_make_drops_its_key_without_an_error(lab):
    def meanwhile():
        thread = threading.Thread(target=lambda: (lab.Src & {"k": 3}).delete(prompt=False))
        thread.start()
        thread.join()

    lab.behaviour[3] = once(meanwhile)
    lab.Res.populate(reserve_jobs=True, suppress_errors=True)
    assert sorted(r["k"] for r in lab.Res) == [k for k in range(N) if k != 3]
    assert len(lab.Res.jobs) == 0


def once(work):
    """Return a function that does `work` the first time."""
    done = []

    def first():
        if not done:
            done.append(1)
            work()

    return first


def test_a_key_that_kills_its_worker_three_times_is_an_error_and_its_neighbours_are_not(lab):
    lab.Res.jobs.refresh()
    batch = None
    for death in range(3):
        dying = worker(lab.Res)
        keys = queue(lab.Res).reserve(dying.about, 5)
        while death and keys[0]["k"] != 0:  # those that do not kill are made
            run(lab.Res, keys)
            keys = queue(lab.Res).reserve(dying.about, 5)
            if all(not key.alone for key in keys):
                continue
        batch = keys
        expire(lab.Res, dying)
        queue(lab.Res).rescue()
    assert len(batch) == 1
    assert batch[0].alone
    job = lab.Res.jobs.errors.fetch1()
    assert (job["k"], job["crashes"]) == (0, 3)
    assert "died 3 times" in job["error_message"]
    lab.Res.populate(reserve_jobs=True)
    assert sorted(r["k"] for r in lab.Res) == list(range(1, N))


def test_a_heartbeat_keeps_a_short_lease_alive(url):
    Lab = pipeline(lease=1.2)
    Lab.activate(url)
    Lab.Src.insert({"k": i, "x": 0.0} for i in range(2))
    stolen = []

    def long():
        for _ in range(6):
            time.sleep(0.5)
            stolen.append(queue(Lab.Res).rescue())

    Lab.behaviour[1] = long
    assert Lab.Res.populate(reserve_jobs=True)["success_count"] == 2
    assert set(stolen) == {0}


@pytest.mark.parametrize("url", ["mysql", "postgresql"], indirect=True)
def test_heartbeats_go_past_the_transaction_of_a_make(url):
    Lab = pipeline(lease=1.2)
    Lab.activate(url)
    Lab.Src.insert({"k": i, "x": 0.0} for i in range(2))
    workers, database = jobs_of(Lab.Res.__table__).workers, database_of(Lab.Res.__table__)
    query = sa.select(workers.c.lease_until)

    def lease():
        with database.connect(database.reader) as connection:
            return connection.scalar(query)

    def direct():
        with Lab.transaction() as session:
            session.execute(sa.update(Lab.Res.__table__).values(y=0.0))
            before, deadline = lease(), time.monotonic() + 30
            while lease() == before:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    Lab.behaviour[1] = direct
    assert Lab.Res.populate(reserve_jobs=True)["success_count"] == 2


def test_a_worker_whose_heartbeat_could_not_write_takes_nothing_from_itself(lab, monkeypatch):
    """A make that holds the one lock of SQLite for longer than the lease, or the one connection of a database in memory."""
    monkeypatch.setattr(Worker, "_beat", lambda self: self._ended.wait())
    lab.Res.jobs.refresh()
    jobs = queue(lab.Res)
    with Worker(jobs.database, jobs, 0.2) as a:
        assert len(jobs.reserve(a.about, 3)) == 3
        while not jobs._any(jobs._orphans()):
            time.sleep(0.05)
        assert a.look(now=True) == 0
        assert len(lab.Res.jobs.reserved) == 3
    assert len(lab.Res.jobs.pending) == N


def test_a_worker_that_was_taken_for_dead_comes_back_with_its_next_heartbeat(lab):
    lab.Res.jobs.refresh()
    a = worker(lab.Res)
    queue(lab.Res).reserve(a.about, 3)
    workers = jobs_of(lab.Res.__table__).workers
    with lab.transaction() as session:
        session.execute(sa.delete(workers))
    with database_of(lab.Res.__table__).transaction() as session:
        a._renew(session.connection())
    assert queue(lab.Res).rescue() == 0


def test_users_who_do_not_see_each_others_processes_do_not_take_each_other_for_dead(lab, monkeypatch):
    """/proc may be mounted so that it hides the processes of others, that of init among them."""
    lab.Res.jobs.refresh()
    jobs, own = queue(lab.Res), os.getpid()
    monkeypatch.setattr(workers, "started", lambda pid: 7 if pid == own else None)
    monkeypatch.setattr(workers, "machine", workers.machine.__wrapped__)  # asked anew each time
    for uid in (1000, 1001):
        monkeypatch.setattr(os, "getuid", lambda uid=uid: uid)
        other = worker(lab.Res)
        jobs.reserve(other.about, 1 + (uid == 1001))
        database = database_of(lab.Res.__table__)
        table = jobs_of(lab.Res.__table__).workers
        with database.transaction() as session:  # it is another process
            session.execute(sa.update(table).where(table.c.worker_id == other.id).values(pid=own + 1))
    assert worker(lab.Res).look(now=True) == 2  # of its own user, whose process it would see
    assert len(lab.Res.jobs.reserved) == 1


def test_the_clock_of_a_worker_plays_no_part(lab, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    statements = []
    engine = database_of(lab.Res.__table__).engine
    sa.event.listen(engine, "before_cursor_execute", lambda c, cursor, s, p, *_: statements.append((s, p)))
    lab.behaviour[3] = fail
    lab.Res.populate(reserve_jobs=True, suppress_errors=True)
    mine = [(s, p) for s, p in statements if "__jobs" in s or "compdb_workers" in s]
    assert mine
    assert not [
        p for _, p in mine if any(isinstance(v, dt.datetime) for v in (p.values() if isinstance(p, dict) else p))
    ]


def test_an_error_that_cannot_be_stored_leaves_the_key_to_be_made_again(lab, monkeypatch):
    lab.behaviour[3] = fail

    def broken(self, *arguments):
        raise sa.exc.OperationalError("UPDATE", {}, Exception("the database is down"))

    monkeypatch.setattr(Queue, "error", broken)
    result = lab.Res.populate(reserve_jobs=True, suppress_errors=True, limit=5)
    assert len(result["error_list"]) == 1
    assert (lab.Res.jobs & {"k": 3}).fetch1("status") == "pending"


def test_ctrl_c_gives_the_current_key_back_and_keeps_what_was_finished(lab):
    def interrupt():
        raise KeyboardInterrupt

    lab.behaviour[3] = interrupt
    with pytest.raises(KeyboardInterrupt):
        lab.Res.populate(reserve_jobs=True, suppress_errors=True)
    assert sorted(r["k"] for r in lab.Res) == [0, 1, 2]
    assert {j["status"] for j in lab.Res.jobs} == {"pending"}
    assert not [j for j in lab.Res.jobs if j["attempts"] or j["crashes"]]


def test_populate_by_reservation_works_in_threads(lab):
    lab.behaviour.update({k: lambda: time.sleep(0.02) for k in range(N)})
    results, errors = [], []

    def work():
        try:
            results.append(lab.Res.populate(reserve_jobs=True)["success_count"])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []  # defect 19: no signal handler is asked for outside the main thread
    assert sum(results) == len(lab.Res) == N


def test_a_result_that_plain_populate_made_meanwhile_is_no_error(lab):
    lab.Res.jobs.refresh()
    a = worker(lab.Res)
    mine = queue(lab.Res).reserve(a.about, 3)
    lab.Res.populate(lab.Src & "k = 1")
    outcome = run(lab.Res, mine)
    assert (outcome.success, outcome.errors) == (2, [])
    assert len(lab.Res.jobs) == N - 3


def test_the_fence_is_the_last_statement_before_commit(lab):
    lab.Res.jobs.refresh()
    mine = queue(lab.Res).reserve(worker(lab.Res).about, 3)
    seen = []
    engine = database_of(lab.Res.__table__).engine
    sa.event.listen(engine, "before_cursor_execute", lambda c, cursor, s, *_: seen.append(" ".join(s.split()[:3])))
    sa.event.listen(engine, "commit", lambda c: seen.append("COMMIT"))
    run(lab.Res, mine)
    places = [i for i, s in enumerate(seen) if s.startswith("DELETE") and "res__jobs" in s]
    assert len(places) == 1  # one statement for all keys of the window
    assert seen[places[0] + 1] == "COMMIT"
    assert [s for s in seen if s.startswith("INSERT")] == [s for s in seen[: places[0]] if s.startswith("INSERT")]


def test_a_ledger_tells_versions_of_a_make_apart(lab):
    database = database_of(lab.Res.__table__)
    before = Ledger(lab.Res, database)._same["version"]

    def make(self, key):
        self.insert1({**key, "y": 0.0})

    lab.Res.make = make
    assert Ledger(lab.Res, database)._same["version"] not in (before, "unknown")


def test_key_sources_that_tell_their_key_late_say_so(url):
    class Lab(cdb.Pipeline):
        """A key source as a property that cannot be asked at declaration."""

    class Src(cdb.Manual, Lab):
        k: cdb.Key[int]

    later = {}

    class Res(cdb.Computed, Lab, rows_per_key="many"):
        src: cdb.Key[Src]
        i: cdb.Key[int]

        @property
        def key_source(self):
            return later["source"]

        def make(self, key):
            self.insert1(key)

    class Other(cdb.Manual, Lab):
        src: cdb.Key[Src]
        i: cdb.Key[int]

    Lab.activate(url)
    later["source"] = Other
    Src.insert1({"k": 1})
    Other.insert1({"k": 1, "i": 2})
    with pytest.raises(cdb.PopulateError, match="give key_source as a relation"):
        Res.populate(reserve_jobs=True)
    assert Res.populate()["success_count"] == 1


@pytest.mark.parametrize("url", ["mysql", "postgresql"], indirect=True)
def test_a_commit_whose_reply_is_lost_is_a_success_and_nothing_is_doubled(url, monkeypatch):
    class Lab(cdb.Pipeline):
        """Rows under random keys: no primary key stands in for the fence."""

    class Src(cdb.Manual, Lab):
        k: cdb.Key[int]

    class Res(cdb.Computed, Lab, rows_per_key="many"):
        src: cdb.Key[Src]
        i: cdb.Key[int]

        def make(self, key):
            self.insert({**key, "i": random.randrange(10**9)} for _ in range(2))

    Lab.activate(url)
    Src.insert({"k": k} for k in range(3))
    Res.jobs.refresh()
    mine = queue(Res).reserve(worker(Res).about, 3)
    dialect = database_of(Res.__table__).engine.dialect
    commit, cut = type(dialect).do_commit, []

    def lose(self, driver):
        commit(self, driver)
        if not cut and threading.current_thread() is threading.main_thread():
            cut.append(1)
            driver.dbapi_connection.close()
            code = (2013, "Lost connection") if "sql" in dialect.driver else ("the connection is closed",)
            raise dialect.dbapi.OperationalError(*code)

    monkeypatch.setattr(type(dialect), "do_commit", lose)
    outcome = run(Res, mine)
    assert cut
    assert (outcome.success, outcome.errors) == (3, [])
    assert len(Res) == 6
    assert len(Res.jobs) == 0


def test_a_zombie_cannot_commit_while_another_worker_has_its_key(lab):
    lab.Res.jobs.refresh(lab.Src & "k = 0")
    a, b = worker(lab.Res), worker(lab.Res)
    slow = queue(lab.Res).reserve(a.about, 1)
    expire(lab.Res, a)
    queue(lab.Res).rescue()
    taken = queue(lab.Res).reserve(b.about, 1)
    assert taken == slow
    assert run(lab.Res, slow).success == 0
    assert len(lab.Res) == 0
    assert run(lab.Res, taken).success == 1


@pytest.mark.parametrize("form", ["direct", "in three parts", "through the row", "skip"])
def test_a_zombie_keeps_nothing_whatever_the_form_of_its_make(lab, form):
    class Other(cdb.Computed, lab):
        src: cdb.Key[lab.Src]
        y: cdb.Mapped[float]

        if form == "in three parts":

            def make_fetch(self, key):
                return (1.0,)

            def make_compute(self, key, y):
                return (y,)

            def make_insert(self, key, y):
                self.insert1({**key, "y": y})

        else:

            def make(self, key):
                if form == "skip":
                    return cdb.skip("no light")
                if form == "direct":
                    with lab.transaction():
                        self.insert1({**key, "y": 1.0})
                        assert len(Other & key) == 1
                else:
                    self.y = 1.0
                return None

    lab.activate()
    Other.jobs.refresh(lab.Src & "k = 0")
    a, b = worker(Other), worker(Other)
    slow = queue(Other).reserve(a.about, 1)
    expire(Other, a)
    queue(Other).rescue()
    taken = queue(Other).reserve(b.about, 1)
    outcome = run(Other, slow)
    assert (outcome.success, outcome.errors) == (0, [])
    assert len(Other) == 0
    assert Other.jobs.fetch1("status") == "reserved"
    outcome = run(Other, taken)
    assert outcome.errors == []
    assert len(Other) == (form != "skip")
    assert Other.jobs.progress()["total"] == Other.jobs.progress()["ignore"] == (form == "skip")


def test_a_zombie_cannot_fail_a_key_that_another_worker_has(lab):
    lab.Res.jobs.refresh(lab.Src & "k = 0")
    a, b = worker(lab.Res), worker(lab.Res)
    slow = queue(lab.Res).reserve(a.about, 1)
    expire(lab.Res, a)
    queue(lab.Res).rescue()
    queue(lab.Res).reserve(b.about, 1)
    lab.behaviour[0] = fail
    assert run(lab.Res, slow).errors == []
    assert lab.Res.jobs.fetch1("status") == "reserved"
