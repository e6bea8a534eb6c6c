"""The protocol as a model: every state that one key, two workers, kills, pauses, deletions and lost replies can reach.

A transition is one committed transaction, or something that happens to a worker. Two things must never be: a second result of one job, or
a result of an input that was deleted meanwhile; and from every state a result can still be reached. Taking out any one of the
rules that `compdb.jobs` keeps must break that: else the model would prove nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pytest


class Job(NamedTuple):
    state: str
    owner: Any
    attempt: int
    token: int | None


class Worker(NamedTuple):
    alive: bool
    leased: bool
    held: tuple[int, int, int] | None  # token, attempt, incarnation of the source


@dataclass(frozen=True)
class State:
    source: int = 1  # its incarnation; negative: deleted
    result: int | None = None  # incarnation of the source it was made of
    job: Job | None = None
    workers: tuple[Worker, Worker] = (Worker(True, True, None), Worker(True, True, None))
    tokens: int = 0
    deletions: int = 2
    kills: int = 2
    commits: int = 0  # results since there was none

    def worker(self, i, **new):
        changed = list(self.workers)
        changed[i] = changed[i]._replace(**new)
        return tuple(changed)

    @property
    def wrong(self):
        return self.commits > 1 or (self.result is not None and self.result != self.source)


MOST_TOKENS = 4


def steps(s, fence, rescue_of_the_gone, cascade):
    """Yield (what happens, the state then)."""
    job = s.job
    if s.source > 0 and s.result is None and job is None:
        yield "refresh", replace(s, job=Job("pending", None, 0, None))
    for i, w in enumerate(s.workers):
        if not w.alive:
            yield f"restart {i}", replace(s, workers=s.worker(i, alive=True, leased=True, held=None))
            continue
        yield (f"pause {i}" if w.leased else f"beat {i}"), replace(s, workers=s.worker(i, leased=not w.leased))
        if s.kills:
            gone = job._replace(owner="gone") if job and job.owner == i else job
            yield (
                f"kill {i}",
                replace(s, workers=s.worker(i, alive=False, leased=False, held=None), kills=s.kills - 1, job=gone),
            )
        if w.held is None:
            if s.source > 0 and job and job.state == "pending" and s.tokens < MOST_TOKENS:
                token = s.tokens + 1
                got = s.worker(i, leased=True, held=(token, job.attempt + 1, s.source))
                yield (
                    f"reserve {i}",
                    replace(s, job=Job("reserved", i, job.attempt + 1, token), tokens=token, workers=got),
                )
            continue
        yield from ends(s, i, w, fence)
    if job and job.state == "reserved" and orphaned(s, rescue_of_the_gone):
        yield "rescue", replace(s, job=Job("pending", None, job.attempt, None))
    if s.deletions:
        less = s.deletions - 1
        if s.result is not None:
            yield "delete result", replace(s, result=None, deletions=less, commits=0)
        if s.source > 0:
            yield (
                "delete source",
                replace(s, source=-s.source, result=None, deletions=less, commits=0, job=None if cascade else job),
            )
    if s.source < 0:
        yield "insert source again", replace(s, source=-s.source + 1)


def ends(s, i, w, fence):
    """Yield how the make of worker `i` may end."""
    token, attempt, incarnation = w.held
    job = s.job
    reserved = job is not None and job.state == "reserved"
    ours = {
        "token": reserved and job.token == token,
        "attempt": reserved and job.attempt == attempt,
        "state": reserved,
        "none": True,
    }[fence]
    free = s.worker(i, held=None)
    if ours and s.source > 0:
        yield (
            f"commit {i} (heard or not)",
            replace(s, result=incarnation, job=None, workers=free, commits=s.commits + 1),
        )
    if not ours or s.source < 0:
        yield f"lost {i}", replace(s, workers=free)
    if ours:
        yield f"give back {i}", replace(s, job=Job("pending", None, job.attempt, None) if job else None, workers=free)


def orphaned(s, rescue_of_the_gone):
    """Say whether no living worker has the job."""
    if s.job.owner == "gone":
        return rescue_of_the_gone
    owner = s.workers[s.job.owner]
    return not owner.leased or owner.held is None or owner.held[0] != s.job.token


def explore(fence="token", rescue_of_the_gone=True, cascade=True):
    """Return the number of states, the shortest way to a wrong one, and how many are stuck."""
    start = State()
    came: dict[State, tuple[str, State] | None] = {start: None}
    after: dict[State, list[State]] = {}
    todo, bad = deque([start]), None
    while todo:
        state = todo.popleft()
        after[state] = []
        for what, then in steps(state, fence, rescue_of_the_gone, cascade):
            after[state].append(then)
            if then.wrong:
                bad = bad or [*way(came, state), what]
            elif then not in came:
                came[then] = (what, state)
                todo.append(then)
    before: dict[State, list[State]] = {}
    for state, following in after.items():
        for then in following:
            before.setdefault(then, []).append(state)
    good = {s for s in came if s.result is not None}
    rest = list(good)
    while rest:
        for state in before.get(rest.pop(), []):
            if state not in good:
                good.add(state)
                rest.append(state)
    stuck = sum(s not in good and s.tokens < MOST_TOKENS for s in came)
    return len(came), bad, stuck


def way(came, state):
    path = []
    while came[state] is not None:
        what, state = came[state]
        path.append(what)
    return path[::-1]


def test_every_key_gets_one_fresh_result_whatever_happens():
    states, bad, stuck = explore()
    assert states > 1000
    assert bad is None
    assert stuck == 0


@pytest.mark.parametrize(
    "rule",
    [{"fence": "none"}, {"fence": "state"}, {"fence": "attempt"}, {"cascade": False}],
    ids=["no fence", "fence by state", "fence by a counter that starts again", "jobs outlive their source"],
)
def test_without_one_of_its_rules_a_result_is_doubled_or_stale(rule):
    _, bad, _ = explore(**rule)
    assert bad is not None
    assert 4 <= len(bad) <= 9


def test_without_rescue_of_workers_that_have_no_row_keys_are_lost():
    _, _, stuck = explore(rescue_of_the_gone=False)
    assert stuck > 0
