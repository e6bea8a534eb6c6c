"""What worker processes of the tests import: makes that do what the environment tells them.

LAB_HOOK is "pattern:when:signal": the process sends itself the signal before or after the COMMIT of the first transaction that has sent a
statement that matches the pattern.
"""

import itertools
import os
import re
import signal
import time

import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped
from compdb.jobs import worker

if "LAB_MACHINE" in os.environ:
    worker.machine = lambda: os.environ["LAB_MACHINE"]


class Lab(cdb.Pipeline, lease=float(os.environ.get("LAB_LEASE", "120"))):
    """A pipeline in a module."""


class Src(cdb.Manual, Lab):
    k: Key[int]
    x: Mapped[float]


class Res(cdb.Computed, Lab):
    src: Key[Src]
    pid: Mapped[int]
    __table_args__ = (sa.CheckConstraint("pid >= 0", name="real"),)
    timeout = float(os.environ["LAB_TIMEOUT"]) if "LAB_TIMEOUT" in os.environ else None
    max_memory = float(os.environ["LAB_MEMORY"]) if "LAB_MEMORY" in os.environ else None
    max_attempts = int(os.environ.get("LAB_ATTEMPTS", "1"))

    class P(cdb.Part):
        i: Key[int]

    def make(self, key):
        k = str(key["k"])
        time.sleep(float(os.environ.get("LAB_SECONDS", "0")))
        if k == os.environ.get("LAB_LONG"):
            time.sleep(300)
        if k == os.environ.get("LAB_HANG"):
            all(itertools.repeat(True))  # for ever, in compiled code, where no signal is looked at
        if "LAB_LEAK" in os.environ:
            LEAKED.append(b"x" * int(os.environ["LAB_LEAK"]))
        self.insert1({**key, "pid": -1 if k == os.environ.get("LAB_REFUSED") else os.getpid()})
        self.P.insert({**key, "i": i} for i in range(2))
        if k == os.environ.get("LAB_DEADLY"):
            os.kill(os.getpid(), signal.SIGKILL)
        if k == os.environ.get("LAB_BAD"):
            raise ValueError("bad")


class Twice(cdb.Computed, Lab):
    res: Key[Res]
    y: Mapped[float]

    def make(self, key):
        self.y = 2.0


LEAKED = []


def hook(pattern, when, number):
    """Send this process a signal around a COMMIT."""
    marked = []

    def before(connection, cursor, statement, *rest):
        if not marked and re.search(pattern, statement):
            marked.append(connection.connection.dbapi_connection)
            kind = type(connection.dialect)
            commit = kind.do_commit

            def do_commit(self, driver):
                mine = getattr(driver, "dbapi_connection", driver) is marked[0]
                if mine and when == "before":
                    os.kill(os.getpid(), number)
                commit(self, driver)
                if mine and when == "after":
                    os.kill(os.getpid(), number)
                if mine:
                    kind.do_commit = commit

            kind.do_commit = do_commit

    sa.event.listen(sa.Engine, "before_cursor_execute", before)


if "LAB_HOOK" in os.environ:
    what, at, name = os.environ["LAB_HOOK"].rsplit(":", 2)
    hook(what, at, signal.Signals[name])
