"""What must hold of any drawing, checked on its geometry."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from compdb.diagram.layered.geometry import Box, Drawing, Line, Point, Route

TOUCH = 0.01


def overlapping(drawing: Drawing) -> list[tuple[Box, Box]]:
    """Return the pairs of boxes or labels that come nearer than 4 pixels."""
    boxes = [*drawing.boxes, *(b for b in drawing.labels if b)]
    return [
        (a, b)
        for a, b in combinations(boxes, 2)
        if a.x < b.right + 4 and b.x < a.right + 4 and a.y < b.bottom + 4 and b.y < a.bottom + 4
    ]


def outside(drawing: Drawing) -> list[Box]:
    """Return the boxes and labels that reach out of the picture."""
    boxes = [*drawing.boxes, *(b for b in drawing.labels if b)]
    return [b for b in boxes if min(b.x, b.y) < 0 or b.right > drawing.width or b.bottom > drawing.height]


def runs_through(route: Route, boxes: Sequence[Box]) -> list[Box]:
    """Return the boxes that a route comes inside of (their edges may be touched)."""
    x, y = np.array(route.polyline(24)).T
    left, top, right, bottom = np.array([(b.x, b.y, b.right, b.bottom) for b in boxes]).T[:, :, None]
    inside = (x > left + TOUCH) & (x < right - TOUCH) & (y > top + TOUCH) & (y < bottom - TOUCH)
    return [box for box, hit in zip(boxes, inside.any(axis=1)) if hit]


def run_through(drawing: Drawing) -> list[tuple[int, Box]]:
    """Return the lines that run through a box, or through the label of another line."""
    found = []
    for i, route in enumerate(drawing.routes):
        others = [*drawing.boxes, *(b for j, b in enumerate(drawing.labels) if b and j != i)]
        found += [(i, box) for box in runs_through(route, others)]
    return found


def loose(drawing: Drawing, lines: Sequence[Line]) -> list[int]:
    """Return the lines that do not lead from the edge of one of their boxes to the edge of the other, or miss their label."""

    def at_edge(point: Point, box: Box) -> bool:
        x, y = point
        level = abs(y - box.y) < TOUCH or abs(y - box.bottom) < TOUCH
        return (level and box.x < x < box.right) or (abs(x - box.right) < TOUCH and box.y < y < box.bottom)

    found = []
    for i, (line, route, label) in enumerate(zip(lines, drawing.routes, drawing.labels)):
        ends = at_edge(route.points[0], drawing.boxes[line.tail]) and at_edge(
            route.points[-1], drawing.boxes[line.head]
        )
        near = label and Box(label.x - 2, label.y, label.width + 2, label.height)
        if not ends or (near and not runs_through(route, [near])):
            found.append(i)
    return found


def crossings(routes: Sequence[Route]) -> int:
    """Return how often routes cross one another.

    Each is moved aside by a hair, for curves may cross exactly where two of their pieces meet (graphviz's often do).
    """
    lines = [np.array(route.polyline(10)) + 1e-4 * np.array([np.sin(i), np.cos(i)]) for i, route in enumerate(routes)]
    bounds = [(line.min(axis=0), line.max(axis=0)) for line in lines]
    total = 0
    for (a, (low_a, high_a)), (b, (low_b, high_b)) in combinations(zip(lines, bounds), 2):
        if (low_a <= high_b).all() and (low_b <= high_a).all():
            total += _crossings(a, b)
    return total


def _crossings(a: np.ndarray, b: np.ndarray) -> int:
    p, q, r, s = a[:-1, None], a[1:, None], b[None, :-1], b[None, 1:]

    def turn(u: np.ndarray, v: np.ndarray, w: np.ndarray) -> np.ndarray:
        return (v[..., 0] - u[..., 0]) * (w[..., 1] - u[..., 1]) - (v[..., 1] - u[..., 1]) * (w[..., 0] - u[..., 0])

    across = (turn(p, q, r) * turn(p, q, s) < 0) & (turn(r, s, p) * turn(r, s, q) < 0)
    across[np.ix_([0, -1], [0, -1])] = False  # lines that begin or end together
    return int(across.sum())
