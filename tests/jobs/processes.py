"""Worker processes for tests: the pipeline of `lab_module` under a name of its own, and `compdb worker` over it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import wait
from pathlib import Path

import pytest
import sqlalchemy as sa

from compdb.database import database_of
from compdb.dialects import utcnow
from compdb.jobs import jobs_of

HERE = Path(__file__).parent
N = 24


@pytest.fixture
def module(url, tmp_path, monkeypatch):
    """Return the pipeline in a module of its own name, activated, with sources."""
    name = f"lab_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text((HERE / "lab_module.py").read_text())
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("COMPDB_URL", url)
    monkeypatch.syspath_prepend(str(tmp_path))
    spec = importlib.util.spec_from_file_location(name, tmp_path / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    module.Lab.activate(url)
    module.Src.insert({"k": i, "x": 0.0} for i in range(N))
    yield module
    sys.modules.pop(name)


@contextlib.contextmanager
def workers(module, count=1, *arguments, **environment):
    """Run workers of the command line; end them at the end."""
    command = [sys.executable, "-m", "compdb", "worker", f"{module.__name__}:Lab", *arguments]
    with started(command, count, **environment) as processes:
        yield processes


@contextlib.contextmanager
def scripts(module, code, **environment):
    """Run a script over the pipeline, whose names it finds; end it at the end."""
    head = f"from {module.__name__} import *\nimport os, sys\n"
    file = Path(module.__file__).with_name("script.py")
    body = "\n".join("    " + line for line in ["Lab.connect(os.environ['COMPDB_URL'])", *code.strip().splitlines()])
    file.write_text(f"{head}if __name__ == '__main__':\n{body}\n")
    with started([sys.executable, str(file)], 1, **environment) as (process,):
        yield process


@contextlib.contextmanager
def started(command, count, **environment):
    """Run a command several times at once; end what runs at the end."""
    env = {**os.environ, **{n: str(v) for n, v in environment.items()}}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, env=env, **pipes) for _ in range(count)]
    try:
        yield processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.communicate()


def logs_of(processes, timeout=120):
    """Wait for the end of processes and return what each has logged; all are read at once, for a full pipe would hold one up."""
    with ThreadPoolExecutor(len(processes)) as readers:
        return [errors for _, errors in readers.map(lambda process: process.communicate(timeout=timeout), processes)]


def hears(process, words, seconds=60):
    """Wait until a process has logged these words; read no further, so that `communicate` answers with the rest."""
    said, deadline = b"", time.monotonic() + seconds
    while words.encode() not in said:
        ready = wait([process.stderr], max(0, deadline - time.monotonic()))
        more = os.read(process.stderr.fileno(), 1) if ready else b""
        assert more, f"it was not said: {said.decode()}"
        said += more


@contextlib.contextmanager
def frozen_while(process, module, holds):
    """Stop a process where `holds` does and, on SQLite, where it has not the one lock that there is; let it run at the end."""
    while True:
        until(holds)
        process.send_signal(signal.SIGSTOP)
        until(lambda: stopped(process.pid))
        if holds() and writable(module):
            break
        process.send_signal(signal.SIGCONT)
    yield
    process.send_signal(signal.SIGCONT)


def stopped(pid):
    """Say whether a process is stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def writable(module):
    """Say whether anybody can write, who may have to wait for one who is quick."""
    database = database_of(module.Res.__table__)
    if database.engine.dialect.name != "sqlite":
        return True
    with contextlib.closing(sqlite3.connect(database.engine.url.database, timeout=0.5)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        connection.rollback()
    return True


def until(condition, seconds=60):
    """Wait for a condition; fail if it does not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def whole(module, count=N):
    """Say that every key has one result, with its two parts."""
    assert len(module.Res) == count
    assert len(module.Res.P) == 2 * count
    assert len(module.Res.jobs) == 0


def accounted(module, count=N):
    """Say that each key has its whole result and no job, or a job and nothing of a result, at one moment."""
    tables = [module.Res.__table__, module.Res.P.__table__, jobs_of(module.Res.__table__).table]
    with database_of(module.Res.__table__).snapshot() as connection:  # a server may still be at the COMMIT of one who is dead
        made, parts, jobs = ([row.k for row in connection.execute(sa.select(t.c.k))] for t in tables)
    made, jobs = set(made), set(jobs)
    assert sorted(parts) == sorted([*made, *made])
    assert not made & jobs
    assert made | jobs == set(range(count))


def alive(module, process=None):
    """Count the workers whose lease runs, or those of one process."""
    table = jobs_of(module.Res.__table__).workers
    query = sa.select(sa.func.count()).select_from(table).where(table.c.lease_until > utcnow())
    if process is not None:
        query = query.where(table.c.pid == process.pid)
    with database_of(module.Res.__table__).reading() as connection:
        return connection.scalar(query)


def free(module):
    """Return the reserved keys that nobody has locked."""
    jobs = jobs_of(module.Res.__table__)
    query = sa.select(jobs.table.c.k).where(jobs.c["status"] == "reserved").with_for_update(skip_locked=True)
    with module.Lab.transaction() as session:
        return set(session.scalars(query))
