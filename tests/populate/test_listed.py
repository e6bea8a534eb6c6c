"""Faults that a populate meets, each with the test that shows what comes of it; here are those that no other file has.

The numbers are those of a catalogue of faults; those of defects are of DataJoint's that must not be ours.
"""

from __future__ import annotations

import contextlib
import contextvars
import os
import threading
import time
import warnings
from pathlib import Path

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb.database import database_of

from .conftest import N, computed
from .test_window import everything, lab_engine

TESTS = Path(__file__).parent.parent

FAULTS = {
    "3: killed inside make": "test_a_process_killed_at_any_of_the_steps_leaves_whole_makes_and_nothing_else",
    "4: killed between two keys of a window": "test_a_process_killed_at_any_moment_leaves_whole_makes_and_nothing_else",
    "7: the connection is lost": "test_connections_cut_in_make_lose_nothing",
    "7: in a direct make": "test_a_cut_in_a_direct_make_runs_it_again",
    "7: at any packet": "test_a_line_cut_at_any_packet_costs_nothing",
    "8: the reply to COMMIT is lost": "test_a_reply_to_commit_that_is_lost_is_no_error",
    "8: before a direct make": "test_a_reply_to_commit_that_is_lost_before_a_direct_make_is_no_error",
    "8: that of a direct make": "test_a_reply_to_the_commit_of_a_direct_make_that_is_lost_is_no_error",
    "9: the database is started again": "test_a_server_restarted_in_mid_make_costs_no_key",
    "9: and is away for a while": "test_a_server_that_is_away_for_a_while_is_waited_for",
    "10: the server ends idle transactions": "test_a_server_that_ends_idle_transactions_finds_none_in_a_long_make",
    "11, 12: deadlock": "test_the_eleven_keys_of_the_recipe_end_as_they_do_there",
    "11, 12: at the end of a window": "test_a_deadlock_at_the_windows_end_sends_the_buffer_again_and_no_make_twice",
    "13: lock timeout": "test_a_lock_that_is_not_to_be_had_in_time_is_asked_for_again_and_no_make_runs_twice",
    "13: that ends the whole transaction": "test_a_make_that_swallows_a_lock_timeout_keeps_no_half_of_it",
    "14: reads, then writes": "test_a_make_that_has_read_may_write_whatever_others_have_written_meanwhile",
    "15: disk full": "test_a_full_disk_ends_the_run_and_the_keys_stay_pending",
    "15: disk full, or read-only, on every database": "test_a_database_that_takes_no_rows_ends_the_run_and_the_keys_stay_pending",
    "15: disk full, on servers": "test_a_full_disk_of_a_server_ends_the_run_and_loses_nothing",
    "22: make raises": "test_keys_finished_before_an_error_are_kept_then_it_is_raised",
    "22: errors suppressed": "test_suppressed_errors_are_told_in_words_or_as_objects",
    "23: a database error is swallowed": "test_an_error_swallowed_in_make_keeps_no_half_of_it",
    "26: make forks": "test_a_child_that_a_make_forks_cannot_use_its_session_and_harms_nothing",
    "27: make starts threads": "test_another_thread_may_not_use_the_makes_session",
    "27: threads that insert": "test_another_thread_may_not_insert_for_a_make",
    "28: sys.exit in make": "test_an_interrupt_ends_the_run_and_finished_keys_are_kept",
    "29: Ctrl-C": "test_ctrl_c_in_a_long_make_leaves_the_process_whole",
    "29: Ctrl-C in the parent of workers": "test_an_interrupt_leaves_everything_whole",
    "31: os._exit, os.abort, a crash": "test_a_worker_that_dies_is_an_error_of_its_key",
    "32: another key": "test_a_make_of_another_key_is_an_error_and_rolled_back",
    "33: nothing inserted": "test_an_empty_make_is_an_error_and_is_not_done",
    "33: skip": "test_skip_has_the_key_ignored_with_its_reason_from_then_on",
    "34: a table that is not declared": "test_an_insert_elsewhere_must_be_declared",
    "34: another computed table": "test_another_computed_table_is_never_inserted_into",
    "35: a part of another key": "test_a_part_of_another_key_is_refused",
    "36: commit in make": "test_commit_in_make_is_refused",
    "36: rollback, close, begin": "test_a_session_that_a_make_rolls_back_or_closes_keeps_no_half_of_it",
    "37: DDL in make": "test_ddl_in_make_is_refused",
    "38: populate in make": "test_populate_inside_a_transaction_or_a_make_is_told",
    "41: inputs updated during make": "test_the_reads_of_one_make_are_of_one_state",
    "41: in three parts": "test_inputs_that_change_meanwhile_keep_nothing",
    "43: an empty key source": "test_an_empty_key_source_is_nothing_to_do",
    "43: doubled keys": "test_a_key_source_of_ones_own_is_answered_as_it_is_defined",
    "44: a key source of another key": "test_a_key_source_of_another_key_is_told",
    "defect 6: make as a generator": "test_defect_6_a_make_that_yields_is_told",
    "defect 7: the digest of inputs": "test_megabytes_are_compared_in_milliseconds",
    "defect 11: Ctrl-C swallowed": "test_ctrl_c_in_a_long_make_leaves_the_process_whole",
    "defect 20: the parent's connection after an error": "test_an_error_in_a_worker_is_raised_here_and_the_parent_goes_on",
}


@pytest.mark.parametrize("test", FAULTS.values(), ids=FAULTS.keys())
def test_every_fault_has_its_test(test):
    files = [*TESTS.glob("**/test_*.py"), TESTS.parent / "compdb" / "testing" / "executors.py"]
    assert any(f"def {test}(" in file.read_text() for file in files)


# ---------------------------------------------------------------- the database


@contextlib.contextmanager
def sessions_with(table, statements):
    """Have every connection of our engines begin with a statement."""
    database = database_of(table.__table__)

    def begin(driver, record):
        cursor = driver.cursor()
        cursor.execute(statements[database.dialect.name])
        cursor.close()
        if database.dialect.name == "postgresql":
            driver.commit()

    database.dispose()
    pools = {database.engine.pool, database.reader.pool}
    for pool in pools:
        sa.event.listen(pool, "connect", begin)
    try:
        yield database
    finally:
        for pool in pools:
            sa.event.remove(pool, "connect", begin)
        database.dispose()


@pytest.mark.parametrize("url", ["mysql", "postgresql"], indirect=True)
def test_a_server_that_ends_idle_transactions_finds_none_in_a_long_make(lab):
    runs = []

    def make(self, key):
        runs.append(key["k"])
        x = (lab.Src & key).fetch1("x")
        self.insert1({**key, "y": x})
        time.sleep(1.6)
        assert (lab.Src & {"k": key["k"]}).to_dicts()[0]["x"] == x

    Res = computed(lab, make, part=False)
    limits = {
        "mariadb": "SET SESSION idle_transaction_timeout = 1",
        "mysql": "SET SESSION idle_transaction_timeout = 1",
        "postgresql": "SET idle_in_transaction_session_timeout = 1000",
    }
    with sessions_with(Res, limits):
        assert Res.populate("k < 3") == {"success_count": 3, "error_list": []}
    assert runs == [0, 1, 2]


def test_a_lock_that_is_not_to_be_had_in_time_is_asked_for_again_and_no_make_runs_twice(lab):
    runs, refused = [], []
    src = lab.Src.__table__

    def make(self, key):
        runs.append(key["k"])
        self.insert1({**key, "y": 1.0})

    Res = computed(lab, make, part=False)
    limits = {
        "sqlite": "PRAGMA busy_timeout = 50",
        "mariadb": "SET innodb_lock_wait_timeout = 1",
        "mysql": "SET innodb_lock_wait_timeout = 1",
        "postgresql": "SET lock_timeout = 100",
    }
    other = sa.create_engine(lab_engine(lab.Src).url)
    with sessions_with(Res, limits) as database, other.connect() as rival:

        def give_way(context):
            refused.append(context.original_exception)
            rival.rollback()

        sa.event.listen(database.engine, "handle_error", give_way)
        if database.dialect.one_writer:
            rival.connection.dbapi_connection.isolation_level = None
            rival.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            rival.execute(sa.select(src).where(src.c.k == 3).with_for_update())
        assert Res.populate() == {"success_count": N, "error_list": []}
        sa.event.remove(database.engine, "handle_error", give_way)
    other.dispose()
    assert len(refused) == 1
    assert sorted(runs) == list(range(N))
    assert everything(Res) == dict.fromkeys(range(N), 1.0)


def test_a_make_that_has_read_may_write_whatever_others_have_written_meanwhile(lab):
    """On SQLite a transaction that has read an older state could not (SQLITE_BUSY_SNAPSHOT)."""
    runs, src = [], lab.Src.__table__
    other = sa.create_engine(lab_engine(lab.Src).url)

    def make(self, key):
        runs.append(key["k"])
        x = (lab.Src & key).fetch1("x")
        with other.begin() as connection:
            connection.execute(sa.update(src).where(src.c.k == 19).values(x=src.c.x + 1))
        self.insert1({**key, "y": x})
        with lab.transaction():
            lab.Note.insert1({"k": 100 + key["k"], "text": "direct"})
        with other.begin() as connection:  # not while the direct make has its lock, where there is but one
            assert connection.dialect.name == "sqlite" or connection.execute(sa.select(src.c.k)).all()

    Res = computed(lab, make, allow_writes_to=(lab.Note,))
    assert Res.populate("k < 5") == {"success_count": 5, "error_list": []}
    other.dispose()
    assert runs == list(range(5))
    assert len(lab.Note & "k >= 100") == 5


# ---------------------------------------------------------------- what a make does


def test_a_child_that_a_make_forks_cannot_use_its_session_and_harms_nothing(lab):
    codes = []

    def child(self, key):
        for use in (
            lambda: lab.Src.to_dicts(),
            lambda: self.insert1({**key, "y": 9.0}),
            lambda: lab.session().execute(sa.text("SELECT 1")),
        ):
            try:
                use()
            except cdb.SessionError:
                continue
            return 1
        return 0

    def make(self, key):
        (lab.Src & key).fetch1("x")
        if key["k"] == 7:  # in a transaction of its own
            lab.Note.insert1({"k": 107, "text": "direct"})
        if key["k"] in (3, 7):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads
                pid = os.fork()
            if not pid:
                code = 2
                try:
                    code = child(self, key)
                finally:
                    os._exit(code)
            codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        self.insert1({**key, "y": 1.0})

    Res = computed(lab, make, allow_writes_to=(lab.Note,))
    assert Res.populate() == {"success_count": N, "error_list": []}
    assert codes == [0, 0]
    assert everything(Res) == dict.fromkeys(range(N), 1.0)
    assert len(lab.Note & {"k": 107}) == 1


def test_another_thread_may_not_insert_for_a_make(lab):
    errors = []

    def make(self, key):
        def work(run):
            try:
                run(lambda: self.insert1({**key, "y": 9.0}))
            except cdb.CompdbError as error:
                errors.append(type(error))

        for run in (contextvars.copy_context().run, lambda do: do()):
            thread = threading.Thread(target=work, args=(run,))
            thread.start()
            thread.join()
        self.insert1({**key, "y": 1.0})

    Res = computed(lab, make)
    assert Res.populate("k < 2")["success_count"] == 2
    assert len(errors) == 4
    assert errors[0] is cdb.SessionError
    assert everything(Res) == {0: 1.0, 1: 1.0}


@pytest.mark.parametrize("verb", ["rollback", "close", "begin", "expunge_all", "invalidate"])
@pytest.mark.parametrize("wrote", [False, True])
def test_a_session_that_a_make_rolls_back_or_closes_keeps_no_half_of_it(lab, verb, wrote):
    """What make did by the session may be gone then, never a part of its rows; its neighbours do not notice."""
    note = lab.Note.__table__

    def make(self, key):
        self.insert1({**key, "y": 1.0})
        self.P.insert1({**key, "i": 0, "z": None})
        if key["k"] == 4:
            session = lab.session()
            if wrote:
                session.execute(sa.update(note).where(note.c.k == 2).values(text="changed"))
            getattr(session, verb)()
        self.P.insert1({**key, "i": 1, "z": None})

    Res = computed(lab, make)
    result = Res.populate(suppress_errors=True)
    failed = {key["k"] for key, _ in result["error_list"]}
    assert failed <= {4}
    assert set(everything(Res)) == set(range(N)) - failed
    assert sorted((p["k"], p["i"]) for p in Res.P.to_dicts()) == [
        (k, i) for k in range(N) if k not in failed for i in range(2)
    ]
    if failed:
        assert (lab.Note & {"k": 2}).fetch1("text") == "a"


def test_defect_6_a_make_that_yields_is_told(lab):
    """DataJoint's documentation shows such a make; it counts as made, and nothing is."""

    def make(self, key):
        x = yield (lab.Src & key).fetch1("x")
        self.insert1({**key, "y": x})

    Res = computed(lab, make)
    with pytest.raises(cdb.MakeError, match=r"make of Res has a `yield`, so nothing of it ran"):
        Res.populate()
    assert Res.progress(display=False) == (N, N)


# ---------------------------------------------------------------- the key source


def test_an_empty_key_source_is_nothing_to_do(lab, capsys):
    Res = computed(lab, lambda self, key: None)
    lab.Src.delete(prompt=False)
    assert Res.populate() == {"success_count": 0, "error_list": []}
    assert Res.populate(reserve_jobs=True) == {"success_count": 0, "error_list": []}
    assert Res.progress() == (0, 0)
    assert "Src is empty" in capsys.readouterr().out


def test_a_key_source_of_another_key_is_told(lab):
    class Two(cdb.Manual, lab):
        """Keys of two attributes."""

        k: cdb.Key[int]
        j: cdb.Key[int]

    def over(name, parent, source):
        namespace = {
            "__annotations__": {"of": cdb.Key[parent], "y": cdb.Mapped[float]},
            "key_source": source,
            "__module__": __name__,
        }
        return type(lab)(name, (cdb.Computed, lab), namespace)

    Lacking = over("Lacking", Two, lab.Src.proj())
    Having = over("Having", lab.Src, property(lambda self: Two.proj()))
    lab.activate()
    with pytest.raises(cdb.PopulateError, match=r"key source of Lacking must supply its key \(k, j\); it lacks j"):
        Lacking.populate()
    with pytest.raises(cdb.PopulateError, match=r"key source of Having .* it has j, which Having lacks"):
        Having.populate()
