"""Keys and numbers given to the jobs of a table: numpy's are taken, and what is none is told."""

from __future__ import annotations

import numpy as np
import pytest

import compdb as cdb
from compdb import Key, Mapped


@pytest.fixture
def Made(url):
    class Lab(cdb.Pipeline):
        """Something to make."""

    class Given(cdb.Manual, Lab):
        given: Key[int]

    class Made(cdb.Computed, Lab):
        given: Key[Given]
        n: Mapped[int]

        def make(self, key):
            self.n = 1

    Lab.activate(url)
    Given.insert((i,) for i in range(3))
    return Made


def test_a_key_may_hold_numbers_of_numpy(Made):
    Made.jobs.refresh(priority=np.int64(3), delay=np.float64(0))
    Made.jobs.ignore({"given": np.int64(1)}, "not this one")
    Made.jobs.error({"given": np.int8(2)}, "by hand")
    assert Made.jobs.ignored.keys() == [{"given": 1}]
    assert Made.jobs.errors.keys() == [{"given": 2}]
    Made.jobs.complete({"given": np.int64(2)})
    assert Made.populate(reserve_jobs=True, refresh=False)["success_count"] == 1
    assert Made.keys() == [{"given": 0}]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (5, "Made.jobs: a key is a dict of given, not 5"),
        ({"given": "one"}, r"Made.jobs.given: 'one' \(str\) is not a whole number"),
        ({"gven": 1}, "no value for 'given'"),
    ],
    ids=str,
)
def test_what_is_no_key_is_told(Made, key, words):
    for verb in (Made.jobs.ignore, Made.jobs.complete, Made.jobs.reserve):
        with pytest.raises(cdb.CompdbError, match=words):
            verb(key)


@pytest.mark.parametrize("setting", [{"priority": "high"}, {"priority": 1.5}, {"delay": "soon"}, {"delay": None}], ids=str)
def test_a_refresh_with_what_is_no_number(Made, setting):
    with pytest.raises(cdb.PopulateError, match=rf"{next(iter(setting))} of .*refresh is a number"):
        Made.jobs.refresh(**setting)
    assert len(Made.jobs) == 0
