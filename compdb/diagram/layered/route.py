"""Curves along the points of a mesh.

A line leaves its box downwards and runs from layer to layer in curves with vertical ends. Inside a layer it is vertical at its own
point, so it meets no box; where the room around that point allows, it passes the layer in the middle of a longer curve instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from compdb.diagram.layered.geometry import Box, Point, Route, Size
from compdb.diagram.layered.mesh import LOOP, LOOP_HEIGHT, Mesh
from compdb.diagram.layered.ports import Ports

__all__ = ["Router"]

CLEAR = 8
"""How far a line stays away from boxes beside it."""
HEIGHTS = 16
"""At how many heights lines are compared on their way from a layer to the next."""

Track = NDArray[np.float64]
_STEPS = np.linspace(0, 1, 201)
_DOWN, _ASIDE = 1.5 * _STEPS * (1 - _STEPS) + _STEPS**3, 3 * _STEPS**2 - 2 * _STEPS**3
"""How far a curve of `_curve` has come, down and aside, after some of its way."""


class Router:
    """Draws the lines of a mesh whose points have their places.

    Parameters
    ----------
    mesh : Mesh
    ports : Ports
    x : sequence of int
        The place of each point.
    bands : sequence of (float, float)
        Top and bottom of each layer.
    boxes : sequence of Box
    """

    def __init__(
        self, mesh: Mesh, ports: Ports, x: Sequence[int], bands: Sequence[tuple[float, float]], boxes: Sequence[Box]
    ) -> None:
        self.mesh, self.ports, self.x, self.bands, self.boxes = mesh, ports, x, bands, boxes
        self.row = {point: row for row, layer in enumerate(mesh.layers) for point in layer}
        self.room = {point: room for layer in mesh.layers for point, room in self._rooms(layer)}
        self.tracks: list[dict[int, Track]] = [{} for _ in bands]  # by the layer above, then by line
        for line, upper, lower in mesh.steps():
            row = self.row[upper]
            self.tracks[row][line] = self._track(row, *self._ends(line, upper, lower))
        self.loops: dict[int, list[int]] = {}
        for number, chain in enumerate(mesh.chains):
            if len(chain) == 1:
                self.loops.setdefault(chain[0], []).append(number)

    def _ends(self, line: int, upper: int, lower: int) -> tuple[Point, Point]:
        """Return where a curve starts below one point's layer, and where it ends above another's."""
        start, end = self.ports.ends(self.x, line, upper, lower)
        return (start, self.bands[self.row[upper]][1]), (end, self.bands[self.row[lower]][0])

    def _track(self, row: int, start: Point, end: Point) -> Track:
        """Return the x of a curve at some heights, from the bottom of a layer to the bottom of the next."""
        return _across(start, end, np.linspace(self.bands[row][1], self.bands[row + 1][1], HEIGHTS))

    def _rooms(self, layer: Sequence[int]) -> list[tuple[int, tuple[float, float]]]:
        """Return how far to the left and right a line may pass instead of right at its point: up to the nearest box or label."""
        found, edge = [], -float("inf")
        for point in layer:
            if self.mesh.passing(point):
                found.append((point, edge))
            else:
                edge = self.x[point] + self.mesh.right[point] + CLEAR
        lows, edge, rooms = dict(found), float("inf"), []
        for point in reversed(layer):
            here = float(self.x[point])
            if self.mesh.passing(point):
                rooms.append((point, (min(lows[point], here), max(edge, here))))
            else:
                rooms.append((point, (here, here)))
                edge = self.x[point] - self.mesh.left[point] - CLEAR
        return rooms

    def line(self, number: int) -> Route:
        """Return the route of a line between two boxes, from the upper to the lower."""
        chain = self.mesh.chains[number]
        points: list[Point] = [(self._ends(number, *chain[:2])[0][0], self.boxes[chain[0]].bottom)]
        at = 0
        while at < len(chain) - 1:
            to = next(
                to for to in range(len(chain) - 1, at, -1) if to == at + 1 or self._try(number, chain[at : to + 1])
            )
            start, end = self._ends(number, chain[at], chain[to])
            points += _straight(points[-1], start) + _curve(start, end)
            at = to
        points += _straight(points[-1], (points[-1][0], self.boxes[chain[-1]].y))
        return Route(tuple(points))

    def _try(self, number: int, chain: Sequence[int]) -> bool:
        """Tell whether one curve can take the place of several: in the room of each point passed, with no crossing more."""
        start, end = self._ends(number, chain[0], chain[-1])
        for point in chain[1:-1]:
            low, high = self.room[point]
            passed = _across(start, end, np.array(self.bands[self.row[point]]))
            if passed.min() < low or passed.max() > high:
                return False
        rows = range(self.row[chain[0]], self.row[chain[-1]])
        tracks = [self._track(row, start, end) for row in rows]
        if sum(map(self._crossings, rows, repeat(number), tracks)) > sum(
            self._crossings(row, number, self.tracks[row][number]) for row in rows
        ):
            return False
        for row, track in zip(rows, tracks):
            self.tracks[row][number] = track
        return True

    def _crossings(self, row: int, number: int, track: Track) -> int:
        """Return how often a line on this track crosses the others on the way from a layer to the next."""
        others = [other for line, other in self.tracks[row].items() if line != number]
        if not others:
            return 0
        side = np.sign(np.array(others) - track)
        return int(np.count_nonzero(side[:, 1:] * side[:, :-1] < 0))

    def loop(self, number: int, label: Size | None) -> tuple[Route, Box | None]:
        """Return the route of a line from a box to itself, at its right edge, and the place of its label."""
        (point,) = self.mesh.chains[number]
        box, same = self.boxes[point], self.loops[point]
        step = 2 * same.index(number) - len(same) + 1  # of half the distance of two loops
        y = box.centre[1] + step * LOOP_HEIGHT / 2
        share = box.height / 2 / len(same)
        inside = min(6.0, share)
        top = box.centre[1] + step * share - inside / 2
        reach = box.right + LOOP * 4 / 3 - 2
        route = Route(((box.right, top), (reach, y - 10), (reach, y + 10), (box.right, top + inside)))
        return route, Box(box.right + LOOP, y - label.height / 2, label.width, label.height) if label else None


def _straight(start: Point, end: Point) -> list[Point]:
    """Return the control points and end of a straight piece, or nothing where there is no way to go."""
    if start == end:
        return []
    dx, dy = (end[0] - start[0]) / 3, (end[1] - start[1]) / 3
    return [(start[0] + dx, start[1] + dy), (end[0] - dx, end[1] - dy), end]


def _curve(start: Point, end: Point) -> list[Point]:
    """Return the control points and end of a curve that is vertical at both ends."""
    if start[0] == end[0]:
        return _straight(start, end)
    middle = (start[1] + end[1]) / 2
    return [(start[0], middle), (end[0], middle), end]


def _across(start: Point, end: Point, y: Track) -> Track:
    """Return the x of such a curve at heights between its ends."""
    share: Track = np.interp((y - start[1]) / (end[1] - start[1]), _DOWN, _ASIDE)
    return start[0] + (end[0] - start[0]) * share
