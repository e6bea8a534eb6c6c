"""What kills the process of `victim.py`, or cuts it off, and says what is wrong with what is left behind."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import sqlalchemy as sa

from compdb.database import connect

from .proxy import Proxy

HERE = Path(__file__).parent


def fresh() -> Any:
    """Return the module of the pipeline, declared anew."""
    spec = importlib.util.spec_from_file_location("victim", HERE / "victim.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(lab: Any) -> int:
    """Return how many keys of Res are done; fail if anything is there but whole makes."""
    with lab.Lab.transaction():
        rows = {row["k"]: row["y"] for row in lab.Res.to_dicts()}
        parts = sorted((p["k"], p["i"], p["z"]) for p in lab.Res.P.to_dicts())
        long = {row["k"]: row["y"] for row in lab.Long.to_dicts()}
        long_parts = sorted((p["k"], p["i"]) for p in lab.Long.P.to_dicts())
        seen = {row["k"] for row in lab.Seen.to_dicts()}
        x = {row["k"]: row["x"] for row in lab.Src.to_dicts()}
    assert rows == {k: 2 * x[k] for k in rows}
    assert parts == sorted((k, i, i * x[k]) for k in rows for i in range(2))
    assert long == {k: 2 * x[k] for k in long}
    assert long_parts == sorted((k, i) for k in long for i in range(2))
    assert seen == {5} & rows.keys()
    return len(rows)


def cut(lab: Any, proxy: Proxy, way: str, offset: int = 0, every: int = 1) -> int:
    """Populate again and again, with the line cut at a packet later each time; return how often it was.

    A line that is cut once costs nothing: the run goes on, and says that all is done.
    """
    lab.populate()  # what is prepared once, is prepared
    lab.clear()
    proxy.count()
    lab.populate()
    packets, times = proxy.replies if way == "reply torn" else proxy.requests, 0
    for number in range(1 + offset, packets + 1, every):
        lab.clear()
        proxy.cut(number, way)
        try:
            for table, count in ((lab.Res, lab.KEYS), (lab.Long, lab.LONG)):
                assert table.populate() == {"success_count": count, "error_list": []}
        except BaseException as error:
            error.add_note(f"{way} at packet {number} of {packets}")
            raise
        times += proxy.has_cut
        proxy.count()
        assert check(lab) == lab.KEYS
    return times


@contextlib.contextmanager
def through_proxy(url: str) -> Iterator[tuple[Any, Proxy]]:
    """Give the pipeline, connected to its server through a proxy, and the proxy."""
    lab, address = fresh(), sa.make_url(url)
    with Proxy(str(address.host), address.port or 0) as proxy:
        through = address.set(host="127.0.0.1", port=proxy.port)
        lab.Lab.activate(through)
        lab.Src.insert(({"k": k, "x": k / 7} for k in range(lab.KEYS)), skip_duplicates=True)
        lab.clear()
        yield lab, proxy
        connect(through).dispose()


class Victim:
    """The process, as a context."""

    def __init__(self, url: str) -> None:
        self.lab, self.url = fresh(), url

    def __enter__(self) -> Self:
        root = str(HERE.parents[1])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "victim.py"), self.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        assert self._line() == "ready"
        self.lab.Lab.connect(self.url)
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def _line(self) -> Any:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the process has ended"
        return json.loads(line)

    def ask(self, command: str) -> tuple[int, Any]:
        """Have a command done; return the exit code of the child that did it, and its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        found = self._line()
        return found["status"], found["answer"]

    def steps(self) -> tuple[list[str], float]:
        """Return the names of the steps of a whole run, and how long it takes; nothing is left of it."""
        status, (steps, seconds) = self.ask("steps")
        assert status == 0
        assert check(self.lab) == self.lab.KEYS
        assert self.ask("clear")[0] == 0
        return steps, seconds

    def kill(self, number: int) -> int | None:
        """Kill at a step; see that all is well, and that the rest can be made; return how many keys were done.

        Windows are of time, so a run may take fewer steps than another: None if it ended before.
        """
        return self._recover(f"kill {number}", signal.SIGKILL)

    def kill_after(self, seconds: float) -> int | None:
        """Kill after some time."""
        return self._recover(f"after {seconds}", signal.SIGALRM)

    def _recover(self, command: str, how: signal.Signals) -> int | None:
        try:
            status, _ = self.ask(command)
            assert status in (-how, 0), status
            done = check(self.lab)
            assert self.ask("finish")[0] == 0
            assert check(self.lab) == self.lab.KEYS
            assert len(self.lab.Long) == self.lab.LONG
            assert self.ask("clear")[0] == 0
        except BaseException as error:
            error.add_note(f"after {command!r}")
            raise
        return done if status else None
