"""Where lines leave and reach their boxes: side by side, in the order of what they lead to, so that they do not cross there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compdb.diagram.layered.mesh import Mesh

__all__ = ["Ports", "ports_of"]

BESIDE, LEAST, MARGIN = 14, 8, 10
"""How far apart ports are, how near they may come, how far they stay away from the corners of a box."""
JOG = 12
"""A line that goes sideways by no more than this is made straight where its box has room."""

Offsets = Mapping[tuple[int, int], int]
"""(line, point) -> how far right of the point's middle."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where lines leave points below (`leaving`) and reach points from above (`arriving`)."""

    leaving: Offsets
    arriving: Offsets

    def ends(self, x: Sequence[int], line: int, upper: int, lower: int) -> tuple[int, int]:
        """Return where a line leaves one point and where it reaches another, once the points have their places."""
        return x[upper] + self.leaving[line, upper], x[lower] + self.arriving[line, lower]

    def straightened(self, mesh: Mesh, x: Sequence[int]) -> Ports:
        """Return the ports with small jogs taken away."""
        leaving, arriving = _Side(mesh, self.leaving), _Side(mesh, self.arriving)
        for line, upper, lower in mesh.steps():
            for mine, point, other, far in ((leaving, upper, arriving, lower), (arriving, lower, leaving, upper)):
                aside = x[far] + other.offsets[line, far] - x[point] - mine.offsets[line, point]
                if 0 < abs(aside) <= JOG:
                    mine.shift(line, point, aside)
        return Ports(leaving.offsets, arriving.offsets)


class _Side:
    """The ports on the lower side of all points, or on the upper side."""

    def __init__(self, mesh: Mesh, offsets: Offsets) -> None:
        self.mesh, self.offsets = mesh, dict(offsets)
        self.at: dict[int, list[tuple[int, int]]] = {}
        for line, point in offsets:
            self.at.setdefault(point, []).append((line, point))

    def shift(self, line: int, point: int, aside: int) -> None:
        """Move a port, if it keeps its distance from the others and from the corners."""
        here, room = self.offsets[line, point], self.mesh.left[point] - MARGIN
        others = [self.offsets[port] for port in self.at[point] if port != (line, point)]
        low = max([-room, *(o + LEAST for o in others if o < here)])
        high = min([room, *(o - LEAST for o in others if o > here)])
        if low <= here + aside <= high:
            self.offsets[line, point] = here + aside


def ports_of(mesh: Mesh) -> Ports:
    """Return the ports of a mesh whose layers are in order."""
    place = {point: i for layer in mesh.layers for i, point in enumerate(layer)}
    leaving: dict[int, list[tuple[int, int]]] = {}
    arriving: dict[int, list[tuple[int, int]]] = {}
    for line, upper, lower in mesh.steps():
        leaving.setdefault(upper, []).append((place[lower], line))
        arriving.setdefault(lower, []).append((place[upper], line))
    return Ports(_spread(mesh, leaving), _spread(mesh, arriving))


def _spread(mesh: Mesh, ends: Mapping[int, Sequence[tuple[int, int]]]) -> dict[tuple[int, int], int]:
    offsets = {}
    for point, found in ends.items():
        step = min(BESIDE, 2 * (mesh.left[point] - MARGIN) // max(1, len(found) - 1))
        for i, (_, line) in enumerate(sorted(found)):
            offsets[line, point] = (2 * i - len(found) + 1) * step // 2
    return offsets
