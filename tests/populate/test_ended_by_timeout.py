"""A MariaDB that ends the whole transaction when a lock was not to be had in time, not the statement alone (fault 13)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
import sqlalchemy as sa

from compdb.database import connect

from .conftest import N, computed, pipeline
from .servers import private
from .test_window import everything


@pytest.fixture
def lab():
    """Return the pipeline with twenty sources, on a server of our own."""
    options = ("--innodb-rollback-on-timeout=1", "--innodb-lock-wait-timeout=1")
    with tempfile.TemporaryDirectory(prefix="compdb-") as folder, private("mysql", Path(folder), *options) as server:
        Lab = pipeline()
        Lab.activate(server.url)
        Lab.Src.insert({"k": i, "x": 1.0} for i in range(N))
        Lab.url = server.url
        yield Lab
        connect(server.url).dispose()


def test_a_make_that_swallows_a_lock_timeout_keeps_no_half_of_it(lab):
    runs, swallowed, rival = [], [], sa.create_engine(lab.url).connect()

    def make(self, key):
        runs.append(key["k"])
        self.insert1({**key, "y": 1.0})
        if key["k"] == 5:
            assert len(self & key) == 1  # from here on what it inserts is in the database, and locked
            try:
                lab.Note.insert1({"k": 50, "text": "ours"})
            except sa.exc.OperationalError as error:
                swallowed.append(error.orig.args[0])
                rival.rollback()
        self.P.insert1({**key, "i": 0, "z": 1.0})

    Res = computed(lab, make, allow_writes_to=(lab.Note,))
    rival.execute(sa.insert(lab.Note.__table__), {"k": 50, "text": "theirs"})
    assert Res.populate() == {"success_count": N, "error_list": []}
    rival.close()
    rival.engine.dispose()
    assert swallowed == [1205]
    assert runs.count(5) == 2  # what it had inserted before was gone
    assert everything(Res) == dict.fromkeys(range(N), 1.0)
    assert len(Res.P) == N
    assert (lab.Note & "k = 50").fetch1("text") == "ours"
