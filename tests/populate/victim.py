"""A process to be killed: it populates a pipeline with every kind of make, and every step that it takes has a name and a number.

    python victim.py URL

It reads commands, one per line, does each in a forked child, and answers in one line of JSON: `steps` makes everything, names the
steps and tells how long it took, `kill 17` is killed by SIGKILL at the 17th, `after 0.02` after so many seconds, `finish` makes what is left, `clear` removes all.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

import sqlalchemy as sa

import compdb as cdb
from compdb import Key, Mapped
from compdb.database import connect

KEYS, LONG = 8, 3


class Lab(cdb.Pipeline, commit_interval=0.03):
    """Makes that are killed."""


class Src(cdb.Manual, Lab):
    k: Key[int]
    x: Mapped[float]


class Seen(cdb.Manual, Lab):
    k: Key[int]


class Res(cdb.Computed, Lab):
    """Windows of buffered makes, and direct ones among them."""

    src: Key[Src]
    y: Mapped[float]
    allow_writes_to = (Seen,)

    class P(cdb.Part):
        i: Key[int]
        z: Mapped[float]

    def make(self, key):
        step("make begins")
        x = (Src & key).fetch1("x")
        step("make has read")
        self.insert1({**key, "y": 2 * x})
        step("make has inserted its row")
        if key["k"] == 2:  # reads back its own rows
            assert len(self & key) == 1
            step("make has read its row back")
        if key["k"] == 5:  # writes elsewhere, too
            with Lab.transaction():
                Seen.insert1(key)
                step("make has written elsewhere")
        self.P.insert({**key, "i": i, "z": i * x} for i in range(2))
        time.sleep(0.01)
        step("make ends")


class Long(cdb.Computed, Lab):
    """A make in three parts."""

    src: Key[Src]
    y: Mapped[float]
    key_source = Src & f"k < {LONG}"

    class P(cdb.Part):
        i: Key[int]

    def make_fetch(self, key):
        return ((Src & key).fetch1("x"),)

    def make_compute(self, key, x):
        step("make_compute")
        return (2 * x,)

    def make_insert(self, key, y):
        self.insert1({**key, "y": y})
        self.P.insert({**key, "i": i} for i in range(2))
        step("make_insert ends")


taken: list[str] = []
fatal: int | None = None


def step(name: str) -> None:
    """Take a step; perhaps the last."""
    taken.append(name)
    if fatal is not None and len(taken) == fatal:
        os.kill(os.getpid(), signal.SIGKILL)


def watch(url: str) -> None:
    """Let everything that goes to the database be a step, before and after."""
    database = connect(url)

    def words(statement: str) -> str:
        return " ".join(statement.split()[:3])

    for engine in {database.engine, database.reader, database.writer}:
        sa.event.listen(engine, "before_cursor_execute", lambda c, cur, s, *_: step(f"before {words(s)}"))
        sa.event.listen(engine, "after_cursor_execute", lambda c, cur, s, *_: step(f"after {words(s)}"))
    for dialect in {database.engine.dialect, database.reader.dialect}:
        for name in ("do_commit", "do_rollback"):
            setattr(dialect, name, around(name, getattr(dialect, name)))


def around(name: str, do):
    def both(connection):
        step(f"before {name}")
        do(connection)
        step(f"after {name}")

    return both


def populate() -> None:
    """Make everything; an error is one too many."""
    for table in (Res, Long):
        result = table.populate()
        assert not result["error_list"], result


def clear() -> None:
    """Remove all that was made."""
    for table in (Res, Long, Seen):
        table.delete(prompt=False)


def command(words: list[str]) -> object:
    """Do what a line says."""
    global fatal
    match words:
        case ["clear"]:
            clear()
            return None
        case ["steps"]:
            began = time.monotonic()
            populate()
            return taken, time.monotonic() - began
        case ["kill", number]:
            fatal = int(number)
        case ["after", seconds]:
            signal.signal(
                signal.SIGALRM, signal.SIG_DFL
            )  # which ends a process as SIGKILL does, with nothing cleaned up
            signal.setitimer(signal.ITIMER_REAL, float(seconds))
    populate()
    return len(taken)


def main(url: str) -> None:
    """Do one command after the other, each in a child."""
    Lab.activate(url)
    Src.insert(({"k": i, "x": i / 7} for i in range(KEYS)), skip_duplicates=True)
    watch(url)
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            os.close(read)
            answer = command(line.split())
            os.write(write, json.dumps(answer).encode())
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as pipe:
            answer = pipe.read()
        _, status = os.waitpid(child, 0)
        print(
            json.dumps({"status": os.waitstatus_to_exitcode(status), "answer": json.loads(answer or "null")}),
            flush=True,
        )


if __name__ == "__main__":
    main(sys.argv[1])
