"""What a database may do to a run: deadlocks, cut connections, a lost reply, a full disk. No half make, no lost neighbour."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb import insert as inserting
from compdb.database import database_of

from .conftest import N, computed
from .test_window import everything, lab_engine


@pytest.mark.parametrize("swallow", [False, True])
def test_the_eleven_keys_of_the_recipe_end_as_they_do_there(lab, swallow):
    """User errors, commits and rollbacks in make, nothing inserted, a broken foreign key, a transaction the database ended."""
    lab.Note.insert([{"k": 1001, "text": "one"}, {"k": 1002, "text": "two"}])
    engine, note, state = lab_engine(lab.Src), lab.Note.__table__, {"runs": 0}

    def make(self, key):
        k = key["k"]
        session = lab.session()
        if k == 1:
            self.insert1({**key, "y": 1.0})
            raise ValueError
        if k == 2:
            self.insert1({**key, "y": 2.0})
            session.commit()
        if k == 3:
            session.execute(note.update().where(note.c.k == 1001).values(text="changed"))
            session.rollback()
        if k == 4:
            return
        if k == 5:
            self.P.insert1({**key, "i": 0, "z": None})
            self.insert1({**key, "y": 5.0})
            self.Q.insert1({**key, "other": 5555})
        if k == 6:
            state["runs"] += 1
            if state["runs"] == 1:
                with contextlib.suppress(sa.exc.DBAPIError) if swallow else contextlib.nullcontext():
                    end_transaction(session, engine, note)
        if k != 5:
            self.insert1({**key, "y": float(k)})

    class Q(cdb.Part):
        """Refers to a note."""

    Q.__annotations__ = {"of": cdb.Mapped[lab.Note]}
    Q.of = cdb.foreign_key(rename={"k": "other"})
    Res = computed(lab, make, Q=Q)
    result = Res.populate("k < 11", suppress_errors=True, return_exception_objects=True)
    failed = {key["k"]: type(error) for key, error in result["error_list"]}
    # PostgreSQL refuses all that follows an error which make has swallowed, and nobody knows any more what it was
    refused = {6: cdb.MakeError} if swallow and engine.dialect.name == "postgresql" else {}
    assert failed == {1: ValueError, 2: cdb.MakeError, 4: cdb.EmptyMake, 5: cdb.MissingParent, **refused}
    assert everything(Res) == {k: float(k) for k in (0, 3, 6, 7, 8, 9, 10) if k not in refused}
    assert result["success_count"] == 7 - len(refused)
    assert state["runs"] == 2 - len(refused)
    assert (lab.Note & {"k": 1001}).fetch1("text") == "one"
    assert len(Res.P) == len(Res.Q) == 0


def end_transaction(session, engine, note):
    """Have the database end the transaction of `session`: a real deadlock, or on SQLite a full disk."""
    if engine.dialect.name == "sqlite":
        driver = session.connection().connection.dbapi_connection
        pages = driver.execute("PRAGMA page_count").fetchone()[0]
        driver.execute(f"PRAGMA max_page_count={pages + 5}")
        try:
            session.execute(note.insert(), [{"k": 5000 + i, "text": "x" * 200} for i in range(5000)])
        finally:
            driver.execute("PRAGMA max_page_count=1073741823")
        return
    ready, go = threading.Event(), threading.Event()

    def other():
        with engine.connect() as connection:
            for _ in range(300):  # the one that has done more is not the victim
                connection.execute(note.update().where(note.c.k == 1002).values(text="other"))
            ready.set()
            go.wait()
            try:
                connection.execute(note.update().where(note.c.k == 1001).values(text="other"))
            finally:
                connection.rollback()

    session.execute(note.update().where(note.c.k == 1001).values(text="mine"))
    thread = threading.Thread(target=other)
    thread.start()
    ready.wait()
    threading.Timer(0.3, go.set).start()
    try:
        if engine.dialect.name != "postgresql":
            time.sleep(0.6)
        session.execute(note.update().where(note.c.k == 1002).values(text="mine"))
        raise AssertionError("no deadlock")
    finally:
        thread.join()


def cut_connections(lab, *, keep=None):
    """Have the server end every other connection to our database."""
    engine = lab_engine(lab.Src)
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        elif engine.dialect.name in ("mysql", "mariadb"):
            ids = connection.exec_driver_sql(
                "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
            ).scalars()
            for number in list(ids):
                connection.exec_driver_sql(f"KILL {number}")


@pytest.mark.parametrize("when", ["before the first read", "after a read", "after the insert"])
def test_connections_cut_in_make_lose_nothing(lab, when):
    runs = []

    def make(self, key):
        runs.append(key["k"])
        first = runs.count(key["k"]) == 1
        if key["k"] == 5 and first and when == "before the first read":
            cut_connections(lab)
        x = (lab.Src & key).fetch1("x")
        if key["k"] == 5 and first and when == "after a read":
            cut_connections(lab)
            x = (lab.Src & {"k": key["k"]}).to_dicts()[0]["x"]
        self.insert1({**key, "y": x})
        if key["k"] == 5 and first and when == "after the insert":
            cut_connections(lab)

    Res = computed(lab, make)
    if lab_engine(Res).dialect.name == "sqlite":
        pytest.skip("SQLite has no connection to cut")
    assert Res.populate() == {"success_count": N, "error_list": []}
    assert everything(Res) == {i: i / 7 for i in range(N)}


def test_a_cut_in_a_direct_make_runs_it_again(lab):
    runs = []

    def make(self, key):
        runs.append(key["k"])
        self.insert1({**key, "y": 1.0})
        assert len(self & key) == 1
        if key["k"] == 5 and runs.count(5) == 1:
            cut_connections(lab)

    Res = computed(lab, make)
    if lab_engine(Res).dialect.name == "sqlite":
        pytest.skip("SQLite has no connection to cut")
    assert Res.populate()["success_count"] == N
    assert runs.count(5) == 2
    assert len(runs) == N + 1


def fail_once(engine, error, *, at="INSERT INTO res ", after=False):
    """Let the first statement that begins with `at` fail with a driver's error, before or after it ran."""
    failed = []
    hook = "after_cursor_execute" if after else "before_cursor_execute"

    def listener(connection, cursor, statement, parameters, context, executemany):
        if statement.startswith(at) and not failed:
            failed.append(statement)
            raise error

    sa.event.listen(engine, hook, listener)
    return failed


def transient(engine):
    """Return the driver's error of a deadlock."""
    if engine.dialect.name == "sqlite":
        import sqlite3

        error = sqlite3.OperationalError("database is locked")
        error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_BUSY, "SQLITE_BUSY"
        return sa.exc.OperationalError("INSERT", {}, error)
    if engine.dialect.name == "postgresql":
        import psycopg

        return sa.exc.OperationalError("INSERT", {}, psycopg.errors.DeadlockDetected("deadlock detected"))
    import pymysql

    return sa.exc.OperationalError("INSERT", {}, pymysql.err.OperationalError(1213, "Deadlock found"))


def test_a_deadlock_at_the_windows_end_sends_the_buffer_again_and_no_make_twice(lab):
    runs = []

    def make(self, key):
        runs.append(key["k"])
        self.insert1({**key, "y": 1.0})
        self.P.insert1({**key, "i": 0, "z": None})

    Res = computed(lab, make)
    engine = lab_engine(Res)
    failed = fail_once(engine, transient(engine), at="INSERT INTO res__p")
    assert Res.populate() == {"success_count": N, "error_list": []}
    assert len(failed) == 1
    assert sorted(runs) == list(range(N))
    assert len(Res.P) == N


def test_a_reply_to_commit_that_is_lost_is_no_error(lab):
    """The COMMIT arrived, its answer did not: the rows are there, once, and the keys count as made."""

    def make(self, key):
        self.insert1({**key, "y": 1.0})

    Res = computed(lab, make)
    engine = lab_engine(Res)
    lost = []

    def commit(connection):
        if not lost:
            lost.append(True)
            connection.connection.dbapi_connection.commit()
            raise transient(engine)

    sa.event.listen(engine, "commit", commit)
    result = Res.populate()
    sa.event.remove(engine, "commit", commit)
    assert result["error_list"] == []
    assert everything(Res) == dict.fromkeys(range(N), 1.0)
    assert result["success_count"] == N


def test_a_reply_to_commit_that_is_lost_before_a_direct_make_is_no_error(lab):
    """Whether the rows of the window are there is asked while a make runs that has rows in its buffer, too."""
    engine, lost = lab_engine(lab.Src), []

    def commit(connection):
        if not lost:
            lost.append(True)
            connection.connection.dbapi_connection.commit()
            raise transient(engine)

    def make(self, key):
        self.insert1({**key, "y": 1.0})
        if key["k"] == 5:
            sa.event.listen(engine, "commit", commit)
            assert len(self & key) == 1

    Res = computed(lab, make)
    result = Res.populate()
    sa.event.remove(engine, "commit", commit)
    assert result == {"success_count": N, "error_list": []}
    assert everything(Res) == dict.fromkeys(range(N), 1.0)


def test_a_reply_to_the_commit_of_a_direct_make_that_is_lost_is_no_error(lab):
    engine, lost, runs = lab_engine(lab.Src), [], []

    def commit(connection):
        if not lost and runs[-1] == 5:
            lost.append(True)
            connection.connection.dbapi_connection.commit()
            raise transient(engine)

    def make(self, key):
        runs.append(key["k"])
        self.insert1({**key, "y": 1.0})
        if key["k"] == 5:
            assert len(self & key) == 1
            if runs.count(5) == 1:
                sa.event.listen(engine, "commit", commit)

    Res = computed(lab, make)
    result = Res.populate()
    sa.event.remove(engine, "commit", commit)
    assert result == {"success_count": N, "error_list": []}
    assert everything(Res) == dict.fromkeys(range(N), 1.0)
    assert runs.count(5) == 2


@pytest.mark.parametrize("what", ["disk full", "read-only"])
def test_a_database_that_takes_no_rows_ends_the_run_and_the_keys_stay_pending(lab, what):
    """As a full disk of SQLite does; here the answers of the drivers are played."""

    def make(self, key):
        self.insert1({**key, "y": 1.0})

    Res = computed(lab, make)
    engine = lab_engine(Res)

    def refuse(connection, cursor, statement, parameters, context, executemany):
        if "res" in statement and not statement.startswith(("SELECT", "BEGIN")):
            raise refusal(engine, what)

    sa.event.listen(engine, "before_cursor_execute", refuse)
    try:
        with pytest.raises(cdb.DatabaseError, match="populate of Res stops here"):
            Res.populate(suppress_errors=True)
    finally:
        sa.event.remove(engine, "before_cursor_execute", refuse)
    assert len(Res) == 0
    assert Res.populate() == {"success_count": N, "error_list": []}


def refusal(engine, what):
    """Return the driver's error of a database that takes nothing."""
    full = what == "disk full"
    if engine.dialect.name == "sqlite":
        import sqlite3

        error = sqlite3.OperationalError("database or disk is full" if full else "attempt to write a readonly database")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL if full else sqlite3.SQLITE_READONLY
    elif engine.dialect.name == "postgresql":
        import psycopg

        error = (psycopg.errors.DiskFull if full else psycopg.errors.ReadOnlySqlTransaction)("no")
    else:
        import pymysql

        error = pymysql.err.OperationalError(1114 if full else 1290, "no")
    return sa.exc.OperationalError("INSERT", {}, error)


def test_a_key_that_another_worker_made_meanwhile_is_passed_over(lab):
    other = sa.create_engine(lab_engine(lab.Src).url)

    def make(self, key):
        if key["k"] == 3:
            with other.begin() as connection:
                connection.execute(Res.__table__.insert(), {"k": 3, "y": 99.0})
        self.insert1({**key, "y": 1.0})

    Res = computed(lab, make)
    result = Res.populate()
    other.dispose()
    assert result == {"success_count": N - 1, "error_list": []}
    assert everything(Res) == {k: 99.0 if k == 3 else 1.0 for k in range(N)}


def test_a_full_disk_ends_the_run_and_the_keys_stay_pending(tmp_path):
    from .conftest import pipeline

    Lab = pipeline()
    Lab.activate(f"sqlite:///{tmp_path}/full.db")
    Lab.Src.insert({"k": i, "x": 1.0} for i in range(5))

    def make(self, key):
        self.insert1({**key, "y": 1.0})
        self.P.insert({**key, "i": i, "z": None} for i in range(20_000 if key["k"] == 2 else 1))

    Res = computed(Lab, make)
    database = database_of(Res.__table__)

    @sa.event.listens_for(database.engine, "connect")
    def small(driver, record):
        driver.execute(f"PRAGMA max_page_count={driver.execute('PRAGMA page_count').fetchone()[0] + 20}")

    database.dispose()
    with pytest.raises(cdb.DatabaseError, match="disk full"):
        Res.populate(suppress_errors=True)
    sa.event.remove(database.engine, "connect", small)
    database.dispose()
    done = len(Res)
    assert done in (0, 2)  # the makes before it are kept, that one and those after it are not
    assert Res.populate()["success_count"] == 5 - done
    assert len(Res) == 5
    assert len(Res.P) == 20_004


def test_a_make_that_finds_a_row_of_another_table_there_goes_on(lab):
    """It was counted as a success, and what it had inserted before was gone."""

    def make(self, key):
        self.insert1({**key, "y": 1.0})
        with contextlib.suppress(cdb.DuplicateKey):
            lab.Note.insert1({"k": 0, "text": "again"})
        lab.Note.insert1({"k": 100 + key["k"], "text": "new"})
        self.P.insert1({**key, "i": 0, "z": 1.0})

    Res = computed(lab, make, allow_writes_to=(lab.Note,))
    assert Res.populate() == {"success_count": N, "error_list": []}
    assert everything(Res) == dict.fromkeys(range(N), 1.0)
    assert len(Res.P) == len(lab.Note & "k >= 100") == N
    assert (lab.Note & "k = 0").fetch1("text") == "b"


@pytest.mark.parametrize("more", [False, True])
def test_a_make_that_swallows_an_error_in_its_own_rows_is_an_error(lab, more):

    def make(self, key):
        self.insert1({**key, "y": 1.0})
        if key["k"] == 4:
            assert len(self & key) == 1
            with contextlib.suppress(sa.exc.DBAPIError, cdb.ConstraintError):
                self.P.insert1({**key, "i": 0, "z": -1.0})
            if more:
                self.P.insert1({**key, "i": 1, "z": 1.0})

    Res = computed(lab, make)
    with pytest.MonkeyPatch.context() as patch:
        write = inserting.write

        def refuse(database, connection, table, rows, mode):
            if any(row.get("z") == -1.0 for row in rows):
                raise sa.exc.IntegrityError("INSERT", {}, Exception("a trigger says no"))
            return write(database, connection, table, rows, mode)

        patch.setattr(inserting, "write", refuse)
        result = Res.populate(suppress_errors=True)
    assert result["success_count"] == N - 1
    ((key, told),) = result["error_list"]
    assert key == {"k": 4}
    assert "goes on for {'k': 4} after an error that undid what it had written: a trigger says no; let it raise" in told
    assert sorted(everything(Res)) == [k for k in range(N) if k != 4]


def test_an_error_swallowed_in_make_keeps_no_half_of_it(lab):
    """A make that goes on after the database refused a statement must not commit what is left."""

    def make(self, key):
        self.insert1({**key, "y": 1.0})
        if key["k"] == 4:
            with contextlib.suppress(sa.exc.DBAPIError):
                lab.session().execute(sa.text("SELECT nonsense FROM nowhere"))
            lab.session().execute(sa.text("SELECT 1"))

    Res = computed(lab, make)
    result = Res.populate(suppress_errors=True)
    assert len(Res) == result["success_count"]
    assert {key["k"] for key, _ in result["error_list"]} <= {4}
    assert set(everything(Res)) >= set(range(N)) - {4}
