"""Where the points of a mesh stand: across by network simplex, down by layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from compdb.diagram.layered.geometry import Line
from compdb.diagram.layered.mesh import Mesh
from compdb.diagram.layered.ports import Ports
from compdb.diagram.layered.simplex import Span, solve

__all__ = ["across", "down"]

BETWEEN_BOXES, BESIDE_BOX, BETWEEN_LINES = 26, 18, 12
NARROW, WIDE = 34, 110
"""The least and the most room between two layers."""


def across(mesh: Mesh, ports: Ports, lines: Sequence[Line]) -> list[int]:
    """Return the x of each point: in the order of its layer, apart enough, the lines as straight as can be.

    A bend in the middle of a long line looks worse than one at its end, so the inner segments pull harder. Where lines would be
    equally good, the only line of a box is the straight one.
    """
    below, above = Counter(upper for _, upper, _ in mesh.steps()), Counter(lower for _, _, lower in mesh.steps())
    spans, count = [], len(mesh.left)
    for line, upper, lower in mesh.steps():
        inner = (upper >= mesh.boxes) + (lower >= mesh.boxes)
        weight = 4 * (1, 2, 8)[inner] * lines[line].weight + (below[upper] == 1) + (above[lower] == 1)
        spans.append(Span(count, upper, -ports.leaving[line, upper], weight))
        spans.append(Span(count, lower, -ports.arriving[line, lower], weight))
        count += 1
    for layer in mesh.layers:
        for a, b in pairwise(layer):
            gap = (BETWEEN_BOXES, BESIDE_BOX, BETWEEN_LINES)[(mesh.left[a] == 0) + (mesh.left[b] == 0)]
            spans.append(Span(a, b, mesh.right[a] + gap + mesh.left[b], 0))
    return solve(count, spans, centred=True)[: len(mesh.left)]


def down(mesh: Mesh, ports: Ports, x: Sequence[int]) -> list[tuple[float, float]]:
    """Return top and bottom of each layer; the farther lines go sideways between two layers, the more room is there."""
    row = {point: i for i, layer in enumerate(mesh.layers) for point in layer}
    sideways = [0] * len(mesh.layers)
    for line, upper, lower in mesh.steps():
        start, end = ports.ends(x, line, upper, lower)
        sideways[row[upper]] = max(sideways[row[upper]], abs(end - start))
    lined = [min(layer) >= mesh.boxes for layer in mesh.layers]  # no box there: half the room above and half below
    bands, top = [], 0.0
    for i, layer in enumerate(mesh.layers):
        bottom = top + max(mesh.height[p] for p in layer)
        bands.append((top, bottom))
        room = min(WIDE, NARROW + sideways[i] / 8)
        top = bottom + (room * 0.6 if any(lined[i : i + 2]) else room)
    return bands
