"""The order of the points in each layer, so that few lines cross.

Finding the fewest crossings is NP-hard. A start puts the points in the order in which a walk meets them; sweeps sort each layer by
where its neighbours stand (barycenters, down and up in turn); sifting moves single points to the best place in their layer.
From the best of several starts, a search shakes a few connected points loose, sifts again, and keeps what is no worse. Everything
is deterministic.

How many lines of a point `a` cross those of `b` when `a` stands left of it does not depend on where in the layer they stand. So a
layer's counts are one product of matrices, and sifting adds them up.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

__all__ = ["arrange", "crossings"]

Counts = NDArray[np.float64]
Order = list[NDArray[np.int64]]
"""For each layer its points, given by their places in the layer as it was handed in."""

STARTS, SWEEPS = 8, 8
PATIENCE = 200
"""How many shakes in a row may bring nothing."""
WORK, LEAST_SHAKES = 200_000, 100
"""How many shakes in all, times the number of points; but not fewer than these."""
TOGETHER = 12
"""How many points a shake moves at most."""


def crossings(layers: Sequence[Sequence[int]], down: Sequence[Sequence[int]]) -> int:
    """Return how many pairs of lines cross; `down` has for each point its neighbours in the layer below."""
    search = _Search(layers, down)
    return search.total([np.arange(size) for size in search.sizes])


def arrange(layers: Sequence[Sequence[int]], down: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the layers with their points in an order with few crossings.

    Parameters
    ----------
    layers : sequence of sequences of int
        The points of each layer, the top one first.
    down : sequence of sequences of int
        For each point its neighbours in the layer below. A line over several layers has a point in each.
    """
    up: dict[int, list[int]] = {}
    for point, others in enumerate(down):
        for other in others:
            up.setdefault(other, []).append(point)
    kept = [layer for layer in layers if any(len(up.get(p, ())) != 1 or len(down[p]) != 1 for p in layer)]
    return _with_passing(layers, _best(kept, _lines_between(kept, down)), up, down)


def _lines_between(kept: Sequence[Sequence[int]], down: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return for each point its neighbours in the next layer that is kept."""
    known = {point for layer in kept for point in layer}
    found = [list(others) for others in down]
    for others in found:
        for i, point in enumerate(others):
            while point not in known:
                (point,) = down[point]
            others[i] = point
    return found


def _with_passing(
    layers: Sequence[Sequence[int]],
    kept: Sequence[Sequence[int]],
    up: Mapping[int, Sequence[int]],
    down: Sequence[Sequence[int]],
) -> list[list[int]]:
    """Put the layers back that lines only pass: between the layers above and below there is an order without new crossings."""
    place = {point: i for layer in kept for i, point in enumerate(layer)}
    known, following, done = set(place), iter(kept), list[list[int]]()

    def between(point: int) -> tuple[int, int]:
        (above,), below = up[point], point
        while below not in known:
            (below,) = down[below]
        return place[above] + place[below], place[above]

    for layer in layers:
        done.append(list(next(following)) if layer[0] in known else sorted(layer, key=between))
        place.update({point: i for i, point in enumerate(done[-1])})
    return done


def _best(layers: Sequence[Sequence[int]], down: Sequence[Sequence[int]]) -> list[list[int]]:
    """Search for the order."""
    if len(layers) < 2:
        return [list(layer) for layer in layers]
    search = _Search(layers, down)
    best = min((search.sweep(search.start(number)) for number in range(STARTS)), key=search.total)
    counts, chance, idle = search.counts(best), random.Random(0), 0  # noqa: S311 - for variety, the same each time
    for _ in range(max(LEAST_SHAKES, WORK // sum(search.sizes))):
        if idle == PATIENCE or not any(counts):
            break
        order = search.shaken(best, chance)
        found = search.counts(order, best, counts)
        idle = 0 if sum(found) < sum(counts) else idle + 1
        if sum(found) <= sum(counts):
            best, counts = order, found
    return [[layer[i] for i in places] for layer, places in zip(layers, best)]


class _Search:
    """The lines between the layers as matrices: `lines[i][a, b]` runs from point a of layer i to point b of the next."""

    def __init__(self, layers: Sequence[Sequence[int]], down: Sequence[Sequence[int]]) -> None:
        self.sizes = [len(layer) for layer in layers]
        self.lines: list[Counts] = []
        for upper, lower in pairwise(layers):
            place = {point: i for i, point in enumerate(lower)}
            between = np.zeros((len(upper), len(lower)))
            for a, point in enumerate(upper):
                for other in down[point]:
                    between[a, place[other]] += 1
            self.lines.append(between)

    def _sides(self, order: Order, row: int) -> list[Counts]:
        """Return the lines of a layer's points to the layers above and below, these in their order."""
        above = [self.lines[row - 1][order[row - 1]].T] if row > 0 else []
        below = [self.lines[row][:, order[row + 1]]] if row < len(self.lines) else []
        return above + below

    def _near(self, row: int, i: int) -> list[tuple[int, int]]:
        """Return the neighbours of a point."""
        above = np.flatnonzero(self.lines[row - 1][:, i]).tolist() if row > 0 else []
        below = np.flatnonzero(self.lines[row][i]).tolist() if row < len(self.lines) else []
        return [(row - 1, j) for j in above] + [(row + 1, j) for j in below]

    def total(self, order: Order) -> int:
        """Return the number of crossings."""
        return sum(self.counts(order))

    def counts(self, order: Order, like: Order | None = None, known: Sequence[int] = ()) -> list[int]:
        """Return the crossings below each layer but the last; those of a `like` order are `known`."""
        found = []
        for row, lines in enumerate(self.lines):
            upper, lower = order[row], order[row + 1]
            if like is not None and like[row] is upper and like[row + 1] is lower:
                found.append(known[row])
            else:
                here = lines[upper][:, lower]
                beyond = np.cumsum(
                    np.cumsum(here[::-1], axis=0)[::-1], axis=1
                )  # lines from here or right, to here or left
                found.append(int((here[:-1, 1:] * beyond[1:, :-1]).sum()))
        return found

    def start(self, number: int) -> Order:
        """Return a starting order: a walk along the lines, from the top or the bottom; the later ones go at random."""
        chance = random.Random(number)  # noqa: S311 - for variety, the same each time
        rows = range(len(self.sizes)) if number % 2 == 0 else range(len(self.sizes) - 1, -1, -1)
        todo = [(row, i) for row in rows for i in range(self.sizes[row])]
        if number > 1:
            chance.shuffle(todo)
        todo.reverse()
        order: list[list[int]] = [[] for _ in self.sizes]
        seen: set[tuple[int, int]] = set()
        while todo:
            row, i = todo.pop()
            if (row, i) not in seen:
                seen.add((row, i))
                order[row].append(i)
                near = self._near(row, i)
                if number > 1:
                    chance.shuffle(near)
                todo += reversed(near)
        return [np.array(places) for places in order]

    def sweep(self, order: Order) -> Order:
        """Sort the layers by barycenters, down and up in turn, then sift the best order met."""
        best, fewest = order, self.total(order)
        for turn in range(SWEEPS):
            downward, order = turn % 2 == 0, list(order)
            for row in range(1, len(order)) if downward else range(len(order) - 2, -1, -1):
                side = self._sides(order, row)[0 if downward else -1]
                order[row] = _by_barycenter(order[row], side, turn % 4 > 1)
            total = self.total(order)
            if total < fewest:
                best, fewest = order, total
        return self.sift(best, range(len(best)))

    def sift(self, order: Order, rows: Iterable[int]) -> Order:
        """Move single points to the best place in their layer, in `rows` and wherever that changes something."""
        order, waiting = list(order), dict.fromkeys(rows)
        while waiting:
            row = next(iter(waiting))
            del waiting[row]
            gain = np.sum([_crossing(side) for side in self._sides(order, row)], axis=0)
            places, moved = _sifted(order[row], gain - gain.T)
            if moved:
                order[row] = places
                waiting.update(dict.fromkeys(near for near in (row - 1, row + 1) if 0 <= near < len(order)))
        return order

    def shaken(self, order: Order, chance: random.Random) -> Order:
        """Move a few points that lines connect to another place, all to the left or right alike, then sift."""
        order, chosen, wanted = list(order), set[tuple[int, int]](), chance.randint(1, TOGETHER)
        row = chance.randrange(len(order))
        todo = [(row, chance.randrange(self.sizes[row]))]
        while todo and len(chosen) < wanted:
            row, i = todo.pop(chance.randrange(len(todo)))
            chosen.add((row, i))
            todo += [other for other in self._near(row, i) if other not in chosen]
        where = chance.random()
        rows = sorted({row for row, _ in chosen})
        for row in rows:
            rest = [i for i in order[row].tolist() if (row, i) not in chosen]
            cut = round(where * len(rest))
            together = [i for i in order[row].tolist() if (row, i) in chosen]
            order[row] = np.array(rest[:cut] + together + rest[cut:])
        around = (near for row in rows for near in (row - 1, row, row + 1))
        return self.sift(order, [row for row in around if 0 <= row < len(order)])


def _moved(places: NDArray[np.int64], start: int, end: int) -> NDArray[np.int64]:
    listed = places.tolist()
    listed.insert(end, listed.pop(start))
    return np.array(listed)


def _sifted(places: NDArray[np.int64], price: Counts) -> tuple[NDArray[np.int64], bool]:
    """Move points while that helps; `price[a, b]` is what it costs when a stands left of b rather than right of it."""
    moved, all_ = False, np.arange(len(places))
    while True:
        costs = np.zeros((len(places) + 1, len(places)))  # of each point (column) before each place (row)
        np.cumsum(price[places][:, places], axis=0, out=costs[1:])
        wins = costs[all_, all_] - costs.min(axis=0)
        start = int(wins.argmax())
        if wins[start] <= 0:
            return places, moved
        end = int(costs[:, start].argmin())
        places, moved = _moved(places, start, end - (end > start)), True


def _crossing(side: Counts) -> Counts:
    """Return how many lines of each point (row) cross those of another (column) when it stands left of it."""
    beyond = side.sum(axis=1, keepdims=True) - np.cumsum(side, axis=1)  # lines that end farther right
    return np.asarray(beyond @ side.T)


def _by_barycenter(places: NDArray[np.int64], side: Counts, reverse: bool) -> NDArray[np.int64]:
    """Sort a layer by the mean place of its neighbours; points without any keep their place."""
    degree = side.sum(axis=1)
    mean = (side @ np.arange(side.shape[1])) / np.maximum(degree, 1)
    held = degree[places] > 0
    moving = places[held]
    if reverse:  # of points with the same mean, the last comes first: a way out of stalemates
        moving = moving[::-1]
    sorted_places = places.copy()
    sorted_places[held] = moving[np.argsort(mean[moving], kind="stable")]
    return sorted_places
