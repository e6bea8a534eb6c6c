"""The points and segments of a layered drawing: boxes, labels, and a point wherever a line passes through a layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from compdb.diagram.layered.geometry import Line, Size

__all__ = ["Mesh", "build"]

LOOP = 18
"""How far a loop reaches out of its box."""
LOOP_HEIGHT = 22
"""Room above each other for the loops of one box."""


@dataclass(slots=True)
class Mesh:
    """The boxes (numbers 0 to `boxes` - 1) and the other points, with the room that each needs around its middle.

    Attributes
    ----------
    layers : list of list of int
        The points of each layer, from left to right.
    left, right, height : list of int
        The room of each point.
    chains : list of list of int
        For each line its points from the upper box to the lower one; a loop has its box only.
    """

    boxes: int
    layers: list[list[int]]
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    height: list[int] = field(default_factory=list)
    chains: list[list[int]] = field(default_factory=list)

    def add(self, width: int, height: int, layer: int) -> int:
        """Add a point and return its number."""
        self.left.append(width // 2)
        self.right.append(width // 2)
        self.height.append(height)
        self.layers[layer].append(len(self.left) - 1)
        return len(self.left) - 1

    def passing(self, point: int) -> bool:
        """Tell whether a point is neither box nor label: a line only passes there."""
        return self.left[point] == 0

    def steps(self) -> Iterator[tuple[int, int, int]]:
        """Yield each line's way from layer to layer: the line, a point, and the next below."""
        for line, chain in enumerate(self.chains):
            for upper, lower in pairwise(chain):
                yield line, upper, lower

    def below(self) -> list[list[int]]:
        """Return for each point its neighbours in the layer below."""
        found: list[list[int]] = [[] for _ in self.left]
        for _, upper, lower in self.steps():
            found[upper].append(lower)
        return found


def build(sizes: Sequence[Size], lines: Sequence[Line], layer: Sequence[int]) -> Mesh:
    """Return the mesh of boxes in given layers; all lines but loops must point down."""
    mesh = Mesh(len(sizes), [[] for _ in range(max(layer) + 1)])
    for size, row in zip(sizes, layer):
        mesh.add(size.width, size.height, row)
    loops: dict[int, int] = {}
    for line in lines:
        if line.tail == line.head:
            loops[line.tail] = loops.get(line.tail, 0) + 1
            beside = LOOP + (line.label.width if line.label else 0)
            mesh.right[line.tail] = max(mesh.right[line.tail], mesh.left[line.tail] + beside)
            mesh.height[line.tail] = max(mesh.height[line.tail], loops[line.tail] * LOOP_HEIGHT)
            mesh.chains.append([line.tail])
            continue
        chain = [line.tail]
        for row in range(layer[line.tail] + 1, layer[line.head]):
            label = line.label if row == layer[line.head] - 1 else None
            chain.append(mesh.add(label.width, label.height, row) if label else mesh.add(0, 0, row))
        mesh.chains.append([*chain, line.head])
    return mesh
