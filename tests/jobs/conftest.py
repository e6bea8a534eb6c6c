"""A pipeline whose makes can be told what to do, and what tests need to play several workers in one process."""

from __future__ import annotations

import pytest

import compdb as cdb
from compdb import Key, Mapped
from compdb.database import database_of
from compdb.jobs import Queue, Worker, jobs_of

N = 12


def pipeline(**settings):
    """Return a fresh pipeline: Src, Res over it with a part; `Lab.behaviour[k]` is called by the make of key k."""

    class Lab(cdb.Pipeline, **settings):
        """Sources, and what is computed from them."""

    class Src(cdb.Manual, Lab):
        """A source."""

        k: Key[int]
        x: Mapped[float]

    class Res(cdb.Computed, Lab):
        """A result."""

        src: Key[Src]
        y: Mapped[float]

        class P(cdb.Part):
            """Details."""

            i: Key[int]

        def make(self, key):
            answer = Lab.behaviour.get(key["k"], lambda: None)()
            if answer is not None:
                return answer
            self.insert1({**key, "y": (Src & key).fetch1("x")})
            self.P.insert({**key, "i": i} for i in range(2))
            return None

    Lab.Src, Lab.Res, Lab.behaviour = Src, Res, {}
    return Lab


@pytest.fixture
def lab(url):
    """Return the pipeline, activated, with twelve sources."""
    Lab = pipeline()
    Lab.activate(url)
    Lab.Src.insert({"k": i, "x": float(i)} for i in range(N))
    return Lab


def queue(table):
    """Return the queue of a table."""
    return Queue(database_of(table.__table__), jobs_of(table.__table__))


def worker(table, lease=120.0):
    """Return a worker of this process with a lease and no heartbeat."""
    found = Worker(database_of(table.__table__), queue(table), lease)
    found.register()
    return found


def fail():
    """Fail, as a make does."""
    raise ValueError("a bad source")
