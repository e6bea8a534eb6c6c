"""Network simplex: integer positions that keep distances and make the weighted sum of lengths smallest.

>>> solve(3, [Span(0, 1, 1, 1), Span(1, 2, 1, 1), Span(0, 2, 1, 1)])
[0, 1, 2]

The layered layout asks it twice: for the layer of each table, and for the horizontal place of each box. After Gansner,
Koutsofios, North and Vo (1993), "A technique for drawing directed graphs", sections 2.3 and 4.2.

A tree of tight spans holds all points. The cut value of a tree span is what the total length would gain by lengthening it: as
spans inside a subtree cancel out, it is the sum of `out - in` weights over the subtree (`surplus`), up to sign. While one is
negative, that span leaves the tree and the tightest span across the same cut, in the other direction, enters.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush
from typing import NamedTuple

__all__ = ["Span", "solve"]


class Span(NamedTuple):
    """`position[head] - position[tail] >= length`, pulled together with `weight`."""

    tail: int
    head: int
    length: int
    weight: int


def solve(count: int, spans: Sequence[Span], start: Sequence[int] | None = None, centred: bool = False) -> list[int]:
    """Return positions of `count` points, the smallest 0.

    Parameters
    ----------
    count : int
        How many points; the spans must connect them, without a circle.
    spans : sequence of Span
        Each keeps its head at least `length` after its tail.
    start : sequence of int, optional
        Positions to begin with, which must keep all lengths; good ones save time. Computed if not given.
    centred : bool
        Where several positions are equally good, take the middle.
    """
    if count < 2:
        return [0] * count
    tree = _Tree(count, spans, start)
    tree.improve()
    if centred:
        tree.centre()
    least = min(tree.at)
    return [x - least for x in tree.at]


class _Tree:
    """A spanning tree of tight spans, rooted at point 0, and the positions that follow from it."""

    def __init__(self, count: int, spans: Sequence[Span], start: Sequence[int] | None) -> None:
        self.spans = list(spans)
        self.near: list[list[int]] = [[] for _ in range(count)]  # numbers of the spans at each point
        for i, span in enumerate(self.spans):
            self.near[span.tail].append(i)
            self.near[span.head].append(i)
        self.at = list(start) if start is not None else self._earliest(count)
        self.up = [-1] * count  # the span to the parent in the tree
        self.below: list[list[int]] = [[] for _ in range(count)]  # children in the tree
        self._grow()
        self.surplus = [0] * count
        for span in self.spans:
            self.surplus[span.tail] += span.weight
            self.surplus[span.head] -= span.weight
        for point in reversed(self._subtree(0)):
            if self.up[point] >= 0:
                self.surplus[self._parent(point)] += self.surplus[point]

    def _earliest(self, count: int) -> list[int]:
        """Place each point as early as its tails allow."""
        waiting = [0] * count
        for span in self.spans:
            waiting[span.head] += 1
        at, ready = [0] * count, [p for p in range(count) if not waiting[p]]
        for point in ready:
            for i in self.near[point]:
                span = self.spans[i]
                if span.tail == point:
                    at[span.head] = max(at[span.head], at[point] + span.length)
                    waiting[span.head] -= 1
                    if not waiting[span.head]:
                        ready.append(span.head)
        assert len(ready) == count, "spans in a circle"
        return at

    def _slack(self, i: int) -> int:
        span = self.spans[i]
        return self.at[span.head] - self.at[span.tail] - span.length

    def _other(self, i: int, point: int) -> int:
        span = self.spans[i]
        return span.head if span.tail == point else span.tail

    def _parent(self, point: int) -> int:
        return self._other(self.up[point], point)

    def _grow(self) -> None:
        """Build the tree: take every tight span; where none is left, move the whole tree to make the nearest one tight."""
        inside, moved = [False] * len(self.at), 0
        after: list[tuple[int, int]] = []  # spans out of the tree: slack + moved, number; as heaps
        before: list[tuple[int, int]] = []  # spans into the tree: slack - moved, number
        members = []

        def take(point: int) -> None:
            inside[point] = True
            members.append(point)
            for i in self.near[point]:
                if not inside[self._other(i, point)]:
                    out = self.spans[i].tail == point
                    heappush(after if out else before, (self._slack(i) + (moved if out else -moved), i))

        take(0)
        while len(members) < len(self.at):
            for heap in (after, before):
                while heap and inside[self.spans[heap[0][1]].tail] and inside[self.spans[heap[0][1]].head]:
                    heappop(heap)
            out = bool(after) and (not before or after[0][0] - moved <= before[0][0] + moved)
            i = (after if out else before)[0][1]
            move = self._slack(i) if out else -self._slack(i)
            if move:
                moved += move
                for point in members:
                    self.at[point] += move
            here, fresh = (self.spans[i].tail, self.spans[i].head)[:: 1 if out else -1]
            self.up[fresh] = i
            self.below[here].append(fresh)
            take(fresh)

    def _subtree(self, point: int) -> list[int]:
        """Return `point` and all below it, parents first."""
        found = [point]
        for here in found:
            found += self.below[here]
        return found

    def _cut(self, point: int) -> int:
        """Return the cut value of the tree span above `point`."""
        return self.surplus[point] if self.spans[self.up[point]].tail == point else -self.surplus[point]

    def _entering(self, point: int) -> tuple[int, int, list[int]]:
        """Return the span that could replace the one above `point`, its slack, and the subtree of `point`."""
        below = self._subtree(point)
        inside = set(below)
        rising = self.spans[self.up[point]].tail == point  # then the subtree moves to smaller positions
        best, least = -1, 0
        for here in below:
            for i in self.near[here]:
                span = self.spans[i]
                mine, other = (span.head, span.tail) if rising else (span.tail, span.head)
                if mine == here and other not in inside:
                    slack = self._slack(i)
                    if best < 0 or slack < least:
                        best, least = i, slack
        return best, least, below

    def _shift(self, point: int, below: list[int], by: int) -> None:
        move = -by if self.spans[self.up[point]].tail == point else by
        for here in below:
            self.at[here] += move

    def improve(self) -> None:
        """Exchange spans until no cut value is negative."""
        count, here = len(self.at), 0
        for _ in range(40 * count + 1000):  # equal exchanges could go round in theory; every state is a valid answer
            leaving, worst, found = -1, 0, 0
            for step in range(1, count + 1):
                point = (here + step) % count
                if self.up[point] >= 0 and (cut := self._cut(point)) < 0:
                    found += 1
                    if cut < worst:
                        leaving, worst = point, cut
                    if found == 30:
                        break
            if leaving < 0:
                return
            here = leaving
            entering, slack, below = self._entering(leaving)
            self._shift(leaving, below, slack)
            self._exchange(leaving, entering, set(below))

    def _exchange(self, point: int, entering: int, inside: set[int]) -> None:
        """Hang the subtree of `point` on the span `entering`, and set the surpluses right along the way."""
        span, whole = self.spans[entering], self.surplus[point]
        lower, upper = (span.tail, span.head) if span.tail in inside else (span.head, span.tail)
        for first, change in ((self._parent(point), -whole), (upper, whole)):
            here = first
            while True:
                self.surplus[here] += change
                if self.up[here] < 0:
                    break
                here = self._parent(here)
        self.below[self._parent(point)].remove(point)
        here, above, link, passed = lower, upper, entering, 0
        while True:
            before, old_link, old_surplus = self._parent(here), self.up[here], self.surplus[here]
            self.up[here], self.surplus[here] = link, whole - passed
            self.below[above].append(here)
            if here == point:
                return
            self.below[before].remove(here)
            here, above, link, passed = before, here, old_link, old_surplus

    def centre(self) -> None:
        """Move each subtree that may go either way at no cost to the middle of its room."""
        for point in range(len(self.at)):
            if self.up[point] >= 0 and self._cut(point) == 0:
                entering, slack, below = self._entering(point)
                if entering >= 0 and slack > 1:
                    self._shift(point, below, slack // 2)
