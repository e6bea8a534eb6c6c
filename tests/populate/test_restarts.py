"""A server of our own goes down and comes back in the middle of a populate (fault 9)."""

from __future__ import annotations

import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest

import compdb as cdb
from compdb.database import connect
from compdb.populate import patience

from .conftest import N, computed, pipeline
from .servers import private
from .test_window import everything


@pytest.fixture(scope="module", params=["mysql", "postgresql"])
def server(request):
    """Return a server of our own; pytest closes its folders to other users whenever a session of it begins."""
    with tempfile.TemporaryDirectory(prefix="compdb-") as folder, private(request.param, Path(folder)) as server:
        yield server


@pytest.fixture
def lab(server):
    """Return the pipeline on it, with twenty sources."""
    if server.process is None:
        server.start()
    Lab = pipeline()
    Lab.activate(server.url)
    Lab.Src.insert({"k": i, "x": i / 7} for i in range(N))
    yield Lab
    if server.process is None:
        server.start()
    Lab.drop(prompt=False)
    connect(server.url).dispose()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("direct", [False, True])
def test_a_server_restarted_in_mid_make_costs_no_key(lab, server, how, direct):
    runs = []

    def make(self, key):
        runs.append(key["k"])
        x = (lab.Src & key).fetch1("x")
        self.insert1({**key, "y": x})
        self.P.insert1({**key, "i": 0, "z": x})
        if direct:
            assert len(self & key) == 1
        if key["k"] == 5 and runs.count(5) == 1:
            server.restart(how)
        assert (lab.Src & key).fetch1("x") == x

    Res = computed(lab, make)
    assert Res.populate() == {"success_count": N, "error_list": []}
    assert everything(Res) == {i: i / 7 for i in range(N)}
    assert len(Res.P) == N
    assert runs.count(5) == 2 or not direct  # a snapshot may have been let go of before
    assert len(runs) == N - 1 + runs.count(5)  # what other makes had computed was kept, and sent to the new server


def test_a_server_that_is_away_for_a_while_is_waited_for(lab, server):
    def make(self, key):
        self.insert1({**key, "y": (lab.Src & key).fetch1("x")})
        if key["k"] == 5 and server.process is not None:
            server.end()
            threading.Timer(1.0, server.start).start()

    Res = computed(lab, make, part=False)
    began = time.monotonic()
    assert Res.populate() == {"success_count": N, "error_list": []}
    assert time.monotonic() - began > 1.0
    assert everything(Res) == {i: i / 7 for i in range(N)}


def test_a_server_that_stays_away_ends_the_run_and_the_keys_stay_pending(lab, server, monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE", 0.5)
    down = []

    def make(self, key):
        self.insert1({**key, "y": (lab.Src & key).fetch1("x")})
        if key["k"] == 5 and not down:
            down.append(key["k"])
            server.end()

    Res = computed(lab, make, part=False)
    with pytest.raises(cdb.DatabaseError, match=r"has not answered for 0\.5 s; populate of Res stops here"):
        Res.populate(suppress_errors=True)
    with pytest.raises(cdb.ConnectionFailed):  # not Hopeless: one that does not answer at the start is not waited for
        Res.populate(suppress_errors=True)
    server.start()
    done = len(Res)
    assert Res.populate() == {"success_count": N - done, "error_list": []}
    assert everything(Res) == {i: i / 7 for i in range(N)}
