"""Workers as processes: killed, stopped, terminated, many at once (faults 1, 2, 6, 20, 21, 24, 25, 30; the command line)."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from .processes import N, alive, frozen_while, hears, logs_of, module, until, whole, workers

__all__ = ["module"]


def test_a_worker_makes_the_whole_pipeline_and_returns_0(module):
    with workers(module) as (process,):
        _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    whole(module)
    assert len(module.Twice) == N
    assert said.count("made Res") == N


def test_a_worker_with_failed_makes_returns_1_and_one_without_its_pipeline_2(module):
    with workers(module, 1, "--table", "Res", LAB_BAD=3) as (process,):
        process.communicate(timeout=120)
    assert process.returncode == 1
    assert len(module.Res.jobs.errors) == 1
    assert len(module.Twice) == 0
    for wrong in ("nowhere:Lab", f"{module.__name__}:Nope", f"{module.__name__}"):
        assert (
            subprocess.run(
                [sys.executable, "-m", "compdb", "worker", wrong], capture_output=True, timeout=60
            ).returncode
            == 2
        )


def test_each_key_has_a_line_that_says_what_became_of_it(module):
    """One is refused by the database, with the rows of a window: it is not told as made before that is known."""
    with workers(module, 1, "--table", "Res", LAB_REFUSED=3, LAB_BAD=5) as (process,):
        _, said = process.communicate(timeout=120)
    assert process.returncode == 1
    lines = [line for line in said.splitlines() if "made Res {" in line or "make of Res failed for {" in line]
    assert [sum(f"{{'k': {k}}}" in line for line in lines) for k in range(N)] == [1] * N
    assert sum("failed for" in line for line in lines) == 2
    assert sorted(job["k"] for job in module.Res.jobs.errors) == [3, 5]


def test_eight_workers_share_the_keys(module):
    module.Src.insert({"k": i, "x": 0.0} for i in range(N, 2000))
    with workers(module, 8, "--table", "Res") as processes:
        logs = logs_of(processes, 240)
    assert [p.returncode for p in processes] == [0] * 8, logs
    assert len(module.Res) == 2000
    assert sum(log.count("made Res") for log in logs) == len(module.Lab.runs) == 2000
    for doubled in ("another worker's now", "is there already"):
        assert not any(doubled in log for log in logs)
    assert not any("locked" in log for log in logs)


def test_the_keys_of_a_killed_worker_are_taken_over_long_before_its_lease_ends(module):
    with workers(module, 3, "--table", "Res", LAB_SECONDS=300, LAB_LEASE=3600) as killed:
        until(lambda: len(module.Res.jobs.reserved) == 3)
        with workers(module, 1, "--table", "Res", "--forever", LAB_LEASE=3600) as (other,):
            until(lambda: len(module.Res) == N - 3)
            for left, process in zip((2, 1, 0), killed):
                assert alive(module, process) == 1
                process.kill()
                until(lambda left=left: len(module.Res.jobs) == left)
            other.terminate()
            other.communicate(timeout=30)
    whole(module)


def test_the_keys_of_a_worker_killed_on_another_machine_are_taken_over_when_its_lease_ends(module):
    with workers(module, 1, "--table", "Res", LAB_SECONDS=300, LAB_LEASE=3, LAB_MACHINE="elsewhere") as (first,):
        until(lambda: len(module.Res.jobs.reserved) == 1)
        with workers(module, 1, "--table", "Res", "--forever", LAB_LEASE=3) as (other,):
            until(lambda: len(module.Res) == N - 1)
            first.kill()
            first.wait()
            early = module.Res.jobs.refresh()["orphaned"]
            assert early == 0 or not alive(module, first)
            until(lambda: not alive(module, first), 3 + 5)
            until(lambda: len(module.Res.jobs) == 0)
            other.terminate()
            _, said = other.communicate(timeout=30)
    assert "taken over 1 keys of workers that have died" in said
    whole(module)


def test_a_worker_that_works_for_ever_makes_what_arrives_later(module):
    with workers(module, 1, "--forever") as (process,):
        until(lambda: len(module.Twice) == N)
        module.Src.insert1({"k": 100, "x": 0.0})
        module.Res.jobs.refresh()
        until(lambda: len(module.Twice) == N + 1)
        assert process.poll() is None
        process.terminate()
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    assert said.count("made Res") == said.count("made Twice") == N + 1


def test_a_worker_stopped_beyond_its_lease_loses_its_key_and_keeps_nothing_of_it(module):
    with workers(module, 1, "--table", "Res", LAB_SECONDS=1.5, LAB_LEASE=1) as (frozen,):
        with frozen_while(frozen, module, lambda: len(module.Res.jobs.reserved) > 0):
            until(lambda: not alive(module))
            with workers(module, 1, "--table", "Res", LAB_LEASE=1, LAB_SECONDS=0) as (other,):
                other.communicate(timeout=120)
        _, said = frozen.communicate(timeout=120)
    assert frozen.returncode == other.returncode == 0
    assert "is there already" in said or "another worker's now" in said
    whole(module)


def test_sigterm_lets_the_make_end_and_gives_the_rest_back(module):
    with workers(module, 1, "--table", "Res", LAB_SECONDS=0.5) as (process,):
        until(lambda: len(module.Res) >= 1)
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0
    made = len(module.Res)
    assert 1 <= made < N
    assert module.Res.jobs.progress()["pending"] == N - made == module.Res.jobs.progress()["total"]
    assert not [j for j in module.Res.jobs if j["crashes"] or j["attempts"]]
    assert alive(module) == 0


def test_a_second_sigterm_rolls_the_make_back(module):
    with workers(module, 1, "--table", "Res", LAB_SECONDS=300) as (process,):
        until(lambda: len(module.Res.jobs.reserved) > 0)
        process.terminate()
        hears(process, "SIGTERM: this make ends")
        assert process.poll() is None
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 143
    assert module.Res.jobs.progress()["pending"] == N
    assert len(module.Res) == 0


def test_ctrl_c_rolls_the_make_back_and_gives_all_keys_back(module):
    with workers(module, 1, "--table", "Res", LAB_SECONDS=300) as (process,):
        until(lambda: len(module.Res.jobs.reserved) > 0)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert module.Res.jobs.progress()["pending"] == N
    assert not [j for j in module.Res.jobs if j["crashes"] or j["attempts"]]
    assert alive(module) == 0


def test_a_key_that_kills_its_worker_ends_as_an_error_and_the_others_are_made(module):
    for _ in range(5):
        with workers(module, 1, "--table", "Res", LAB_DEADLY=3) as (process,):
            process.communicate(timeout=120)
        if process.returncode == 0:
            break
    assert process.returncode == 0
    assert module.Res.jobs.errors.fetch1("k", "crashes") == (3, 3)
    assert len(module.Res) == N - 1
    assert len(module.Res.jobs) == 1


def test_processes_make_reserved_keys(module):
    assert module.Res.populate(reserve_jobs=True, processes=2) == {"success_count": N, "error_list": []}
    assert os.getpid() not in {r["pid"] for r in module.Res}
    whole(module)


def test_an_executor_makes_reserved_keys(module):
    with ThreadPoolExecutor(2) as executor:
        assert module.Res.populate(reserve_jobs=True, executor=executor)["success_count"] == N
    whole(module)


@pytest.mark.parametrize("where", ["processes", "executor"])
def test_what_a_make_raised_elsewhere_is_kept_with_its_traceback(module, monkeypatch, where):
    monkeypatch.setenv("LAB_BAD", "3")
    with ThreadPoolExecutor(2) as executor:
        place = {"processes": 2} if where == "processes" else {"executor": executor}
        result = module.Res.populate(reserve_jobs=True, suppress_errors=True, **place)
    assert result == {"success_count": N - 1, "error_list": [({"k": 3}, "ValueError: bad")]}
    job = module.Res.jobs.errors.fetch1()
    assert (job["k"], job["attempts"], job["error_message"]) == (3, 1, "ValueError: bad")
    assert 'in make\n    raise ValueError("bad")' in job["error_stack"]


def test_a_worker_process_that_dies_is_an_error_of_its_key(module, monkeypatch):
    monkeypatch.setenv("LAB_DEADLY", "3")
    result = module.Res.populate(reserve_jobs=True, processes=2, suppress_errors=True)
    assert [key for key, _ in result["error_list"]] == [{"k": 3}]
    assert "worker process died" in module.Res.jobs.errors.fetch1("error_message")
    assert len(module.Res) == N - 1
    assert len(module.Res.jobs) == 1
