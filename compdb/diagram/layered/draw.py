"""A layered drawing of boxes and lines: each line runs down, no box or label overlaps, no line runs through a box.

>>> drawing = draw([Size(60, 30), Size(60, 30)], [Line(0, 1)])
>>> [box.y for box in drawing.boxes]
[0.0, 64.0]

After Sugiyama: layers (`rank`), a point wherever a line passes a layer (`mesh`), the order within the layers (`order`), places
(`place`), and curves that keep to the room around those points (`route`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt

from compdb.diagram.layered.geometry import Box, Drawing, Line, Route, Size
from compdb.diagram.layered.mesh import Mesh, build
from compdb.diagram.layered.order import arrange
from compdb.diagram.layered.place import across, down
from compdb.diagram.layered.ports import ports_of
from compdb.diagram.layered.rank import downward, levels
from compdb.diagram.layered.route import Router

__all__ = ["draw"]

APART = 44
"""Room between pieces that no line connects."""


def draw(sizes: Sequence[Size], lines: Sequence[Line]) -> Drawing:
    """Return where boxes of these sizes and the lines between them are to be drawn.

    Parameters
    ----------
    sizes : sequence of Size
        The boxes; even widths.
    lines : sequence of Line
        What connects them. Lines in a circle are allowed, one of them then runs upwards.
    """
    pieces = []
    for members in _pieces(len(sizes), lines):
        number = {box: i for i, box in enumerate(members)}
        mine = [i for i, line in enumerate(lines) if line.tail in number]
        local = [replace(lines[i], tail=number[lines[i].tail], head=number[lines[i].head]) for i in mine]
        pieces.append((members, mine, _piece([sizes[i] for i in members], local)))
    return _pack(pieces, len(sizes), len(lines))


def _pieces(count: int, lines: Sequence[Line]) -> list[list[int]]:
    """Return the numbers of the boxes that lines connect, the largest piece first."""
    near: list[list[int]] = [[] for _ in range(count)]
    for line in lines:
        near[line.tail].append(line.head)
        near[line.head].append(line.tail)
    seen: set[int] = set()
    found = []
    for first in range(count):
        if first not in seen:
            seen.add(first)
            members = [first]
            for box in members:
                fresh = [other for other in dict.fromkeys(near[box]) if other not in seen]
                seen.update(fresh)
                members += fresh
            found.append(sorted(members))
    return sorted(found, key=len, reverse=True)


def _piece(sizes: Sequence[Size], lines: Sequence[Line]) -> Drawing:
    """Draw boxes that are all connected."""
    down_already = downward(len(sizes), [line for line in lines if line.tail != line.head])
    turned, pointing = [], iter(down_already)
    for line in lines:
        loop = line.tail == line.head
        turned.append(line if loop or next(pointing) else replace(line, tail=line.head, head=line.tail))
    layer = levels(len(sizes), [line for line in turned if line.tail != line.head])
    mesh = build(sizes, turned, layer)
    mesh.layers = arrange(mesh.layers, mesh.below())
    return _assemble(mesh, sizes, lines, turned)


def _assemble(mesh: Mesh, sizes: Sequence[Size], lines: Sequence[Line], turned: Sequence[Line]) -> Drawing:
    """Turn places into boxes, labels and routes, the left edge at 0."""
    ports = ports_of(mesh)
    x = across(mesh, ports, turned)
    ports = ports.straightened(mesh, x)
    bands = down(mesh, ports, x)
    row = {point: i for i, layer in enumerate(mesh.layers) for point in layer}

    def box(point: int, size: Size) -> Box:
        top, bottom = bands[row[point]]
        return Box(x[point] - size.width // 2, (top + bottom - size.height) / 2, size.width, size.height)

    boxes = [box(i, size) for i, size in enumerate(sizes)]
    router = Router(mesh, ports, x, bands, boxes)
    routes: list[Route] = []
    labels: list[Box | None] = []
    for number, (line, chain) in enumerate(zip(lines, mesh.chains)):
        if line.tail == line.head:
            route, label = router.loop(number, line.label)
        else:
            route, label = router.line(number), box(chain[-2], line.label) if line.label else None
        routes.append(route if turned[number] is line else route.reversed())
        labels.append(label)
    left = min(x[p] - mesh.left[p] for p in range(len(x)))
    right = max(x[p] + mesh.right[p] for p in range(len(x)))
    return Drawing(
        tuple(b.moved(-left, 0) for b in boxes),
        tuple(r.moved(-left, 0) for r in routes),
        tuple(b and b.moved(-left, 0) for b in labels),
        right - left,
        bands[-1][1],
    )


def _pack(pieces: Sequence[tuple[list[int], list[int], Drawing]], boxes: int, lines: int) -> Drawing:
    """Put the pieces beside and below each other, row by row."""
    area = sum((d.width + APART) * (d.height + APART) for _, _, d in pieces)
    widest = max([sqrt(area * 1.8), *(d.width for _, _, d in pieces)])
    all_boxes: dict[int, Box] = {}
    all_routes: dict[int, Route] = {}
    all_labels: dict[int, Box | None] = {}
    x = y = tall = width = 0.0
    for members, mine, piece in pieces:
        if x and x + piece.width > widest:
            x, y, tall = 0.0, y + tall + APART, 0.0
        all_boxes.update(zip(members, (b.moved(x, y) for b in piece.boxes)))
        all_routes.update(zip(mine, (r.moved(x, y) for r in piece.routes)))
        all_labels.update(zip(mine, (b and b.moved(x, y) for b in piece.labels)))
        width, tall = max(width, x + piece.width), max(tall, piece.height)
        x += piece.width + APART
    return Drawing(
        tuple(all_boxes[i] for i in range(boxes)),
        tuple(all_routes[i] for i in range(lines)),
        tuple(all_labels[i] for i in range(lines)),
        width,
        y + tall,
    )
