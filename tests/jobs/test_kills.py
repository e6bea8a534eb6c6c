"""Workers killed, frozen and told to end at a chosen moment, as processes (faults 1, 2, 5, 21, 24, 25, 30; defect 13)."""

import random
import signal
import time

import pytest

from .conftest import queue
from .processes import N, accounted, alive, free, hears, logs_of, module, scripts, stopped, until, whole, workers

__all__ = ["module"]

RESERVES = r"UPDATE res__jobs .*reserved_time="
WRITES = "INSERT INTO compdb_runs"
ONLY = ("--table", "Res")


def finish(module):
    """Have another worker make the rest."""
    with workers(module, 1, *ONLY) as (process,):
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    whole(module)


def test_a_worker_killed_before_its_reservation_is_committed_leaves_every_key_pending(module):
    """Fault 1."""
    with workers(module, 1, *ONLY, LAB_HOOK=f"{RESERVES}:before:SIGKILL") as (process,):
        process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert {job["status"] for job in module.Res.jobs} == {"pending"}
    assert sum(job["crashes"] for job in module.Res.jobs) == 0
    finish(module)


def test_a_worker_killed_between_reservation_and_make_has_its_keys_taken_over_at_once(module):
    """Fault 2."""
    with workers(module, 1, *ONLY, LAB_HOOK=f"{RESERVES}:after:SIGKILL") as (process,):
        process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert len(module.Res) == 0
    assert len(module.Res.jobs.reserved) == 1
    assert alive(module) == 1  # its lease runs for two minutes, and yet:
    assert module.Res.jobs.refresh()["orphaned"] == 1
    assert module.Res.jobs.progress()["pending"] == N
    finish(module)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_worker_killed_around_the_commit_of_its_results_leaves_each_key_done_or_to_be_done(module, when):
    """Fault 5, at its two edges."""
    with workers(module, 1, *ONLY, LAB_HOOK=f"{WRITES}:{when}:SIGKILL") as (process,):
        process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert (len(module.Res) > 0) == (when == "after")
    accounted(module)
    finish(module)


def test_a_worker_killed_at_any_moment_leaves_each_key_done_or_to_be_done(module):
    """Fault 5, wherever it strikes."""
    count, rng = 1200, random.Random(5)
    module.Src.insert({"k": i, "x": 0.0} for i in range(N, count))
    for _ in range(6):
        more = len(module.Lab.runs) + 1
        with workers(module, 1, *ONLY, LAB_SECONDS=0.001) as (process,):
            until(lambda more=more: len(module.Lab.runs) >= more)
            time.sleep(rng.uniform(0, 0.3))
            process.kill()
            process.wait()
        accounted(module, count)
    with workers(module, 2, *ONLY) as processes:
        logs_of(processes, 200)
    whole(module, count)
    assert len(module.Lab.runs) == count  # no make was kept twice


@pytest.mark.parametrize("url", ["mysql", "postgresql"], indirect=True)
def test_nobody_waits_for_a_worker_that_is_frozen_with_locks_in_its_hands(module):
    """Fault 21: it sleeps between its last statement and COMMIT; then it wakes, and what it held is done too."""
    with workers(module, 1, *ONLY, LAB_HOOK=f"{WRITES}:before:SIGSTOP", LAB_LEASE=1, LAB_SECONDS=0.1) as (frozen,):
        until(lambda: stopped(frozen.pid))
        held = {job["k"] for job in module.Res.jobs.reserved}
        locked = held - free(module)  # where it has reserved more than it has locked, others take that over
        assert 1 <= len(locked) < N
        until(lambda: not alive(module, frozen))
        with workers(module, 1, *ONLY, "--forever", LAB_LEASE=1) as (other,):
            until(lambda: len(module.Res) > 0)
            until(lambda: len(module.Res) == N - len(locked), 30)  # locks would keep it for as long as a server waits
            until(lambda: not alive(module))
            assert queue(module.Res).rescue() == 0  # nor does it wait where it would take over what is locked
            frozen.send_signal(signal.SIGCONT)
            frozen.communicate(timeout=60)
            until(lambda: len(module.Res.jobs) == 0)
            other.terminate()
            other.communicate(timeout=60)
    assert frozen.returncode == other.returncode == 0
    whole(module)


def test_a_make_that_hangs_in_compiled_code_is_killed_and_is_an_error_of_its_key(module):
    """Fault 24, in a worker of the command line."""
    with workers(module, 1, *ONLY, LAB_HANG=3, LAB_TIMEOUT=1) as (process,):
        _, said = process.communicate(timeout=120)
    assert process.returncode == 1, said
    job = module.Res.jobs.errors.fetch1()
    assert (job["k"], job["crashes"], job["attempts"]) == (3, 0, 1)
    assert "timeout of 1 s" in job["error_message"]
    assert "its process was killed" in job["error_message"]
    assert len(module.Res) == N - 1
    assert len(module.Res.jobs) == 1
    assert said.count("make of Res failed") == 1
    assert len({line.split("made Res ")[1] for line in said.splitlines() if "made Res " in line}) >= N - 1


def test_a_make_that_hangs_is_tried_again_later_where_its_class_says_so(module):
    """Fault 24, with `max_attempts`: the worker waits for the second attempt, and only then it is an error."""
    with workers(module, 1, *ONLY, LAB_HANG=3, LAB_TIMEOUT=1, LAB_ATTEMPTS=2) as (process,):
        _, said = process.communicate(timeout=120)
    assert process.returncode == 1, said
    assert module.Res.jobs.errors.fetch1("k", "attempts") == (3, 2)
    assert len(module.Res) == N - 1


@pytest.mark.parametrize("reserve", [True, False])
def test_a_hanging_make_in_a_pool_of_processes_costs_no_other_key(module, reserve, monkeypatch):
    """Fault 24, in `populate(processes=2)`."""
    monkeypatch.setenv("LAB_HANG", "3")
    monkeypatch.setenv("LAB_TIMEOUT", "1")
    with scripts(module, f"print(Res.populate(reserve_jobs={reserve}, processes=2, suppress_errors=True))") as process:
        said, complained = process.communicate(timeout=120)
    assert "'success_count': 23" in said, complained
    assert said.count("MakeTimeout") == 1
    assert len(module.Res) == N - 1
    assert len(module.Res.jobs.errors) == reserve


def test_a_worker_that_outgrows_its_memory_is_replaced_between_two_makes(module):
    """Fault 25."""
    leak, most = 20_000_000, 400_000_000
    environment = {"LAB_LEAK": leak, "LAB_MEMORY": most, "LAB_SECONDS": 0.02}
    with workers(module, 1, *ONLY, **environment) as (process,):
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    whole(module)
    made = {}
    for row in module.Res:
        made[row["pid"]] = made.get(row["pid"], 0) + 1
    assert len(made) >= 2  # one process would have grown by 480 MB
    assert process.pid not in made
    assert max(made.values()) * leak < most


def test_sigterm_in_a_batch_of_makes_that_have_become_slow_ends_after_the_one_that_runs(module):
    """Fault 30: twelve quick makes let a batch be large; the thirteenth takes five minutes."""
    with workers(module, 1, *ONLY, LAB_LONG=12) as (process,):
        until(lambda: stuck(module))
        process.terminate()
        hears(process, "SIGTERM: this make ends")
        assert process.poll() is None
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert sorted(row["k"] for row in module.Res) == list(range(12))
    assert module.Res.jobs.progress()["pending"] == N - 12 == len(module.Res.jobs)
    assert not [job for job in module.Res.jobs if job["crashes"] or job["attempts"]]


def stuck(module):
    """Say that the make of key 12 runs, and that what cannot begin before its end was given back."""
    jobs = {job["k"]: job["status"] for job in module.Res.jobs}
    return jobs.get(12) == "reserved" and not [k for k, status in jobs.items() if k > 12 and status == "reserved"]


def alone(module):
    """Say that the make of key 12 runs, and that nothing is left but that and what waits in its process to be written."""
    jobs = {job["k"]: job["status"] for job in module.Res.jobs}
    return jobs.get(12) == "reserved" and max(jobs) == 12 and set(jobs.values()) == {"reserved"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_script_with_processes_that_is_told_to_end_gives_its_keys_back_at_once(module, number):
    """Fault 30 and defect 13, in `populate(reserve_jobs=True, processes=2)`."""
    code = "Res.populate(reserve_jobs=True, processes=2, suppress_errors=True)"
    with scripts(module, code, LAB_LONG=12) as process:
        until(lambda: alone(module))
        process.send_signal(number)
        process.communicate(timeout=120)  # the make of key 12 would take 300 s
    assert process.returncode != 0
    assert sorted(row["k"] for row in module.Res) == [k for k in range(N) if k != 12]
    assert module.Res.jobs.fetch1("k", "status", "crashes", "attempts") == (12, "pending", 0, 0)
    assert alive(module) == 0


def test_sigterm_in_plain_populate_by_reservation_leaves_no_key_in_error(module):
    """Defect 13."""
    with scripts(module, "Res.populate(reserve_jobs=True, suppress_errors=True)", LAB_LONG=12) as process:
        until(lambda: stuck(module))
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert module.Res.jobs.progress()["pending"] == N - 12 == len(module.Res.jobs)


def test_what_a_slow_make_keeps_from_beginning_is_there_for_others(module):
    """A worker whose makes have become slow does not sit on a batch that it reserved when they were quick."""
    with workers(module, 1, *ONLY, LAB_LONG=12) as (slow,):
        until(lambda: stuck(module))
        with workers(module, 1, *ONLY, "--forever") as (quick,):
            until(lambda: {row["k"] for row in module.Res} >= set(range(13, N)))
            quick.terminate()
            quick.communicate(timeout=60)
        assert stuck(module)
        slow.kill()


def test_a_worker_waits_for_keys_that_are_due_later(module):
    """It does not return while a failed make is to be tried again, nor while jobs are delayed."""
    module.Res.jobs.refresh(delay=3)
    began = time.monotonic()
    with workers(module, 1, *ONLY, LAB_BAD=3, LAB_ATTEMPTS=2) as (process,):
        _, said = process.communicate(timeout=120)
    assert process.returncode == 1, said
    assert time.monotonic() - began > 3
    assert module.Res.jobs.errors.fetch1("k", "attempts") == (3, 2)
    assert len(module.Res) == N - 1
    assert said.count("made Res") == N - 1  # a line for each key
    assert said.count("make of Res failed for {'k': 3}") == 2
