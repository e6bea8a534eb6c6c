"""Makes in worker processes and on executors: the same rows, the same errors, and a parent that stays whole."""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

import compdb as cdb
from compdb.database import database_of

from .test_faults import refusal

MODULE = '''
import ctypes, os, signal, time
import compdb as cdb
from compdb import Key, Mapped

class Lab(cdb.Pipeline):
    """A pipeline in a module."""

class Src(cdb.Manual, Lab):
    k: Key[int]
    x: Mapped[float]

class Res(cdb.Computed, Lab):
    src: Key[Src]
    y: Mapped[float]
    worker: Mapped[int]

    class P(cdb.Part):
        i: Key[int]

    def make(self, key, bad=None):
        if key["k"] == bad:
            raise ValueError(f"bad {bad}")
        self.insert1({**key, "y": 2 * (Src & key).fetch1("x"), "worker": os.getpid()})
        self.P.insert({**key, "i": i} for i in range(2))

class Deadly(cdb.Computed, Lab):
    src: Key[Src]
    y: Mapped[float]

    def make(self, key, how="kill", fatal=3):
        self.insert1({**key, "y": 1.0})
        if key["k"] == fatal:
            with open(os.environ["DEATHS"], "a") as deaths:
                print(how, file=deaths)
            match how:
                case "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "_exit":
                    os._exit(0)
                case "abort":
                    os.abort()
                case "segfault":
                    ctypes.string_at(0)
'''
N = 12


@pytest.fixture
def module(tmp_path, monkeypatch, url):
    """Return a module with a pipeline, activated on the database."""
    name = f"pipeline_{tmp_path.name}".replace("-", "_").replace("[", "_").replace("]", "_")
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    module = importlib.import_module(name)
    module.Lab.activate(url)
    module.Src.insert({"k": i, "x": i / 2} for i in range(N))
    return module


def test_two_processes_do_what_one_does(module):
    assert module.Res.populate(processes=2) == {"success_count": N, "error_list": []}
    rows = module.Res.to_dicts(order_by="KEY")
    assert [row["y"] for row in rows] == [float(i) for i in range(N)]
    assert os.getpid() not in {row["worker"] for row in rows}
    assert len(module.Res.P) == 2 * N


def test_an_error_in_a_worker_is_raised_here_and_the_parent_goes_on(module):
    with pytest.raises(ValueError, match="bad 5") as caught:
        module.Res.populate(processes=2, make_kwargs={"bad": 5})
    assert any("in a worker process" in note for note in caught.value.__notes__)
    assert len(module.Src) == N  # defect 20: the connection of the parent still answers
    result = module.Res.populate(processes=2, make_kwargs={"bad": 5}, suppress_errors=True)
    assert result["error_list"] == [({"k": 5}, "ValueError: bad 5")]
    assert len(module.Res) == N - 1


@pytest.mark.parametrize(
    ("how", "words"), [("kill", "SIGKILL"), ("_exit", "exit code 0"), ("abort", "SIGABRT"), ("segfault", "SIGSEGV")]
)
def test_a_worker_that_dies_is_an_error_of_its_key(module, tmp_path, monkeypatch, how, words):
    monkeypatch.setenv("DEATHS", str(tmp_path / "deaths"))
    told = []
    sa.event.listen(module.Deadly, "make_failed", lambda table, key, error: told.append((key, str(error))))
    result = module.Deadly.populate(processes=2, suppress_errors=True, make_kwargs={"how": how})
    ((key, error),) = result["error_list"]
    assert key == {"k": 3}
    assert f"died while it made Deadly for {{'k': 3}}, twice ({words})" in error
    assert [(k, f"PopulateError: {e}") for k, e in told] == [(key, error)]
    assert (tmp_path / "deaths").read_text().split() == [how, how]
    assert len(module.Deadly) == N - 1


def test_the_first_key_that_is_tried_is_given_a_second_chance_too(module, tmp_path, monkeypatch):
    """Alone in its batch, as the first ones are."""
    monkeypatch.setenv("DEATHS", str(tmp_path / "deaths"))
    result = module.Deadly.populate("k = 3", processes=2, suppress_errors=True)
    assert [key for key, _ in result["error_list"]] == [{"k": 3}]
    assert (tmp_path / "deaths").read_text().split() == ["kill", "kill"]


def test_any_executor_will_do(module):
    with ThreadPoolExecutor(2) as pool:
        assert module.Res.populate(executor=pool)["success_count"] == N
    assert len(module.Res.P) == 2 * N


@pytest.mark.parametrize("what", ["disk full", "read-only"])
def test_a_database_that_takes_no_rows_ends_a_run_on_an_executor_too(module, what):
    engine = database_of(module.Res.__table__).engine

    def refuse(connection, cursor, statement, parameters, context, executemany):
        if "INTO res" in statement:
            raise refusal(engine, what)

    sa.event.listen(engine, "before_cursor_execute", refuse)
    try:
        with ThreadPoolExecutor(2) as pool, pytest.raises(cdb.DatabaseError, match="populate of Res stops here"):
            module.Res.populate(executor=pool, suppress_errors=True)
    finally:
        sa.event.remove(engine, "before_cursor_execute", refuse)
    assert len(module.Res) == 0
    assert module.Res.populate() == {"success_count": N, "error_list": []}


def test_keys_of_a_batch_that_was_given_up_are_no_errors_where_they_are_there(module):
    """An executor that loses what a batch has returned, as dask does when a worker dies too often."""

    class Forgetful(ThreadPoolExecutor):
        def submit(self, fn, /, *args, **kwargs):
            def forget():
                fn(*args, **kwargs)
                raise RuntimeError("forgotten")

            return super().submit(forget)

    with Forgetful(2) as pool:
        assert module.Res.populate("k < 5", executor=pool) == {"success_count": 5, "error_list": []}
    assert len(module.Res) == 5


def test_a_class_in_a_function_cannot_travel(url):
    class Lab(cdb.Pipeline):
        """In a function."""

    class Src(cdb.Manual, Lab):
        k: cdb.Key[int]

    table = type(Lab)(
        "Res", (cdb.Computed, Lab), {"__annotations__": {"src": cdb.Key[Src]}, "__qualname__": "f.<locals>.Res"}
    )
    Lab.activate(url)
    Src.insert1({"k": 1})
    with pytest.raises(cdb.PopulateError, match="move it to the top of a module"):
        table.populate(processes=2)


SCRIPT = (
    MODULE
    + """
if __name__ == "__main__":
    import sys
    Lab.activate(sys.argv[1])
    Src.insert(({"k": i, "x": i / 2} for i in range(12)), skip_duplicates=True)
    print(Res.populate(processes=2))
"""
)


def test_classes_of_a_script_travel_by_running_it_under_another_name(tmp_path, sqlite_url):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    run = subprocess.run([sys.executable, str(script), sqlite_url], capture_output=True, text=True, timeout=120)
    assert "{'success_count': 12, 'error_list': []}" in run.stdout, run.stderr


def test_a_script_without_a_guard_is_told(tmp_path, sqlite_url):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.replace('if __name__ == "__main__":', "if True:"))
    run = subprocess.run([sys.executable, str(script), sqlite_url], capture_output=True, text=True, timeout=120)
    assert run.returncode != 0
    assert '__name__ == "__main__"' in run.stderr


def test_classes_of_a_notebook_travel_in_a_parcel(tmp_path, sqlite_url):
    pytest.importorskip("cloudpickle")
    cells = MODULE.split("\nclass Deadly", maxsplit=1)[0]
    program = textwrap.dedent(
        """
        import sys
        main = sys.modules["__main__"]
        del main.__file__
        exec(compile(CELLS, "<cell>", "exec"), main.__dict__)
        Lab.activate(sys.argv[1])
        Src.insert({"k": i, "x": i / 2} for i in range(12))
        print(Res.populate(processes=2), len(Res.P))
        """
    )
    script = tmp_path / "notebook.py"
    script.write_text(f"CELLS = {cells!r}\n{program}")
    run = subprocess.run([sys.executable, str(script), sqlite_url], capture_output=True, text=True, timeout=120)
    assert "{'success_count': 12, 'error_list': []} 24" in run.stdout, run.stderr


PROMPT = """
import sys
main = sys.modules["__main__"]
del main.__file__
exec(compile(CELLS, "<cell>", "exec"), main.__dict__)
"""
EXECUTORS = {
    "dask": """
from dask.distributed import Client, LocalCluster
with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
    print(Res.populate(executor=client.get_executor()), len(Res.P))
""",
    "loky": """
from loky import get_reusable_executor
print(Res.populate(executor=get_reusable_executor(max_workers=1)), len(Res.P))
""",
}


@pytest.mark.parametrize("executor", EXECUTORS)
def test_classes_of_a_notebook_travel_to_an_executor(tmp_path, sqlite_url, executor):
    pytest.importorskip("cloudpickle")
    pytest.importorskip({"dask": "distributed"}.get(executor, executor))
    cells = MODULE.split("\nclass Deadly", maxsplit=1)[0]
    script = tmp_path / "notebook.py"
    run_it = "Lab.activate(sys.argv[1])\nSrc.insert({'k': i, 'x': i / 2} for i in range(12))\n" + EXECUTORS[executor]
    script.write_text(f"CELLS = {cells!r}\n{PROMPT}\nif __name__ == '__main__':\n{textwrap.indent(run_it, '    ')}")
    run = subprocess.run([sys.executable, str(script), sqlite_url], capture_output=True, text=True, timeout=120)
    assert "{'success_count': 12, 'error_list': []} 24" in run.stdout, run.stderr


def test_what_cannot_travel_from_a_notebook_is_told_with_its_class_and_the_fix(tmp_path, sqlite_url):
    pytest.importorskip("cloudpickle")
    cells = """
import threading
import compdb as cdb
from compdb import Key, Mapped
class Lab(cdb.Pipeline): pass
class Src(cdb.Manual, Lab):
    k: Key[int]
lock = threading.Lock()
class Res(cdb.Computed, Lab):
    src: Key[Src]
    def make(self, key):
        with lock:
            self.insert1(key)
"""
    script = tmp_path / "notebook.py"
    script.write_text(f"CELLS = {cells!r}\n{PROMPT}\nLab.activate(sys.argv[1])\nRes.populate(processes=2)\n")
    run = subprocess.run([sys.executable, str(script), sqlite_url], capture_output=True, text=True, timeout=120)
    assert re.search(r"PopulateError: Res\.make cannot travel .*move the class into a module", run.stderr), run.stderr


def test_sigterm_ends_a_run_with_finished_keys_kept(tmp_path, sqlite_url):
    script = tmp_path / "script.py"
    script.write_text(
        MODULE
        + """
class Slow(cdb.Computed, Lab):
    src: Key[Src]
    def make(self, key):
        self.insert1(key)
        if key["k"] == 4:
            print("now", flush=True)
            time.sleep(30)

if __name__ == "__main__":
    import sys
    Lab.activate(sys.argv[1])
    Src.insert({"k": i, "x": i / 2} for i in range(12))
    try:
        Slow.populate(suppress_errors=True)
    finally:
        print("rows", len(Slow), flush=True)
"""
    )
    run = subprocess.Popen([sys.executable, str(script), sqlite_url], stdout=subprocess.PIPE, text=True)
    assert run.stdout.readline() == "now\n"
    run.send_signal(signal.SIGTERM)
    out, _ = run.communicate(timeout=60)
    assert out == "rows 4\n"
    assert run.returncode == 128 + signal.SIGTERM
