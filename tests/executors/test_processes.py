"""Worker processes as an executor: what becomes of work, of those that die, hang, grow or are told to end, and of those who wait."""

from __future__ import annotations

import functools
import itertools
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, wait
from pathlib import Path

import pytest

from compdb.executors import futures, posts
from compdb.executors.futures import Batches, in_executor
from compdb.executors.processes import NeverBegan, Processes, WorkerDied


def steps(keys):
    """Do what the keys say, as a run of makes does; return how many were done."""
    post = posts.here()
    for number, what in enumerate(keys):
        if not post.begin():
            return number
        if what == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "hang":
            with post.until(0.3):
                all(itertools.repeat(True))
        if what == "retire":
            post.retire()
        if what == "fork":
            subprocess.Popen([sys.executable, "-c", "import time; time.sleep(90)"], close_fds=False)
            os.kill(os.getpid(), signal.SIGKILL)
        if isinstance(what, Path):
            what.touch()
            until(what.with_suffix(".end").exists)
        post.finish()
    return len(keys)


def until(condition, seconds=120):
    """Wait for a condition, but not for ever."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def number(_=None):
    return os.getpid()


def leave(_):
    raise SystemExit(3)


def fail(_):
    raise KeyError("no")


def lambdas(_):
    return lambda: 0


def broken():
    raise RuntimeError("cannot start")


@pytest.fixture
def pool():
    """Return one worker process."""
    with Processes(1) as pool:
        yield pool


def test_work_is_done_elsewhere_and_the_process_kept(pool):
    first, second = pool.submit(number).result(60), pool.submit(number).result(60)
    assert first == second != os.getpid()


def meet(mine, other):
    """Leave a sign, and wait for the sign of another, who works at the same time; say whether it came."""
    mine.touch()
    until(other.exists, 30)
    return other.exists()


def test_several_work_at_once(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    with Processes(2) as pool:
        assert all(future.result(60) for future in [pool.submit(meet, here, there), pool.submit(meet, there, here)])


@pytest.mark.parametrize(("work", "kind"), [(fail, KeyError), (leave, SystemExit), (lambdas, RuntimeError)])
def test_what_work_raises_comes_back_and_the_process_goes_on(pool, work, kind):
    before = pool.submit(number).result(60)
    assert isinstance(pool.submit(work, 1).exception(60), kind)
    assert pool.submit(number).result(60) == before


def test_one_that_dies_is_told_with_the_key_it_was_at_and_replaced(pool):
    died = pool.submit(steps, ["a", "die", "b"]).exception(60)
    assert isinstance(died, WorkerDied)
    assert (died.done, died.begun, died.late, died.how) == (1, True, False, "SIGKILL")
    assert pool.submit(steps, ["a"]).result(60) == 1


def test_one_that_dies_and_leaves_a_child_with_its_connection_is_noticed_too(pool):
    assert isinstance(pool.submit(steps, ["fork"]).exception(60), WorkerDied)


def test_one_that_hangs_past_its_deadline_is_killed(pool):
    died = pool.submit(steps, ["a", "a", "hang"]).exception(60)
    assert isinstance(died, WorkerDied)
    assert (died.done, died.begun, died.late) == (2, True, True)
    assert pool.submit(steps, ["a"]).result(60) == 1


def test_one_that_asks_for_it_is_replaced_after_its_batch(pool):
    before = pool.submit(number).result(60)
    assert pool.submit(steps, ["retire", "a"]).result(60) == 2
    assert pool.submit(number).result(60) != before


def test_what_has_not_begun_of_a_batch_is_called_back(pool, tmp_path):
    begun = tmp_path / "begun"
    future = pool.submit(steps, ["a", begun, "b", "c"])
    until(begun.exists)
    assert pool.recall(future) == 2
    begun.with_suffix(".end").touch()
    assert future.result(60) == 2
    assert pool.submit(steps, ["a", "b"]).result(60) == 2  # the next batch is whole again


def test_an_interrupt_gives_up_what_runs(pool, tmp_path):
    begun = tmp_path / "begun"
    future = pool.submit(steps, [begun])
    until(begun.exists)
    pool.interrupt()
    assert isinstance(future.exception(60), WorkerDied)
    assert pool.submit(steps, ["a"]).result(60) == 1


def test_one_that_was_told_to_end_is_given_nothing_more(pool):
    before = pool.submit(number).result(60)
    pool.interrupt()
    after = [pool.submit(number).result(60) for _ in range(3)]
    assert before not in after
    assert len(set(after)) == 1


def test_processes_that_cannot_start_are_not_tried_for_ever():
    with Processes(1, broken) as pool:
        assert isinstance(pool.submit(number).exception(60), NeverBegan)


def test_nothing_can_be_submitted_after_the_end_and_no_process_stays():
    pool = Processes(1)
    there = pool.submit(number).result(60)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(number)
    with pytest.raises(ProcessLookupError):
        os.kill(there, 0)


def test_a_pool_that_nobody_ends_does_not_keep_python_from_ending(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "from compdb.executors.processes import Processes\n"
        "if __name__ == '__main__':\n    print(Processes(1).submit(abs, -3).result())\n"
    )
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (0, "3\n"), run.stderr


@pytest.mark.parametrize(
    "what", ["nap", pytest.param("hang", marks=pytest.mark.skipif(sys.platform != "linux", reason="of Linux"))]
)
def test_workers_end_with_a_parent_that_is_killed(tmp_path, what):
    script = tmp_path / "script.py"
    script.write_text(
        "import itertools, os, time\n"
        "from compdb.executors.processes import Processes\n"
        "def nap(_): time.sleep(120)\n"
        "def hang(_): all(itertools.repeat(True))\n"
        "if __name__ == '__main__':\n"
        "    pool = Processes(1)\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        f"    pool.submit({what}, 1).result()\n"
    )
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    time.sleep(0.5)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    pytest.fail("it was still there")


def test_keys_that_come_back_are_done_by_another(tmp_path):
    """One of two processes is stuck; the other does all that waits behind it."""
    keys = Batches([{"k": i} for i in range(20)])
    keys.size = 10
    stuck, done = tmp_path / "stuck", []
    with Processes(2) as pool:
        wait([pool.submit(steps, []) for _ in range(2)], 60)
        for batch, result in in_executor(pool, functools.partial(stuck_at_three, stuck), keys):
            done += [key["k"] for key in batch[:result]]
            keys.again(batch[result:])
            if len(done) == 16:  # of its own batch those before it come with it
                stuck.with_suffix(".end").touch()
    assert sorted(done) == list(range(20))
    assert done.index(3) >= 16


def stuck_at_three(stuck, keys):
    return steps([stuck if key["k"] == 3 else "" for key in keys])


class Dreaming(Executor):
    """It never says what becomes of anything but the first batch, not even of what is cancelled; dask is like that."""

    def __init__(self):
        self.futures = []

    def submit(self, fn, /, *args, **kwargs):
        self.futures.append(Future())
        if len(self.futures) == 1:
            self.futures[0].set_result(fn(*args, **kwargs))
        return self.futures[-1]


def test_what_is_cancelled_is_not_waited_for(monkeypatch):
    waited = []

    def note(some, **options):
        waited.extend(some)
        return wait(some, **options)

    dreaming = Dreaming()
    run = in_executor(dreaming, len, Batches([{"k": i} for i in range(20)]))
    assert next(run) == ([{"k": 0}], 1)
    monkeypatch.setattr(futures, "wait", note)
    run.close()
    assert waited == []
    assert len(dreaming.futures) > 1
    assert all(future.cancelled() for future in dreaming.futures[1:])
