"""A process that populates is killed at every step that it takes (faults 3, 4, 5, 31); the run of all steps is `nox -s torture`.

What the database holds then are whole makes and nothing else, and the next populate makes the rest.
"""

from __future__ import annotations

import random

import pytest

from .harness import Victim


@pytest.fixture
def victim(url):
    """Return a process that populates, and is killed."""
    with Victim(url) as victim:
        yield victim


def test_a_process_killed_at_any_of_the_steps_leaves_whole_makes_and_nothing_else(victim):
    steps, _ = victim.steps()
    assert {"make has read", "make has read its row back", "make has written elsewhere", "make_compute"} < set(steps)
    assert steps.count("before do_commit") == steps.count("after do_commit") > 4
    occurrences: dict[str, list[int]] = {}
    for number, name in enumerate(steps, 1):
        occurrences.setdefault(name, []).append(number)
    rng = random.Random(len(steps))
    numbers = {rng.choice(found) for found in occurrences.values()} | set(rng.sample(occurrences["after do_commit"], 6))
    done = [victim.kill(number) for number in sorted(numbers)]
    assert sum(n is not None for n in done) > 0.8 * len(numbers)
    assert len(set(done)) > 2


def test_a_process_killed_at_any_moment_leaves_whole_makes_and_nothing_else(victim):
    _, seconds = victim.steps()
    rng, killed = random.Random(1), 0
    for _ in range(40):
        if victim.kill_after(rng.uniform(0, seconds)) is None:
            seconds *= 0.8  # it had ended before
        else:
            killed += 1
        if killed == 6:
            return
    raise AssertionError(f"it was killed {killed} times only")
