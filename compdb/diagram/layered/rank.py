"""Layers: every line points down, and the lines together are as short as can be."""

from __future__ import annotations

from collections.abc import Sequence

from compdb.diagram.layered.geometry import Line
from compdb.diagram.layered.simplex import Span, solve

__all__ = ["downward", "levels"]


def downward(count: int, lines: Sequence[Line]) -> list[bool]:
    """Tell for each line whether it points down once circles are broken: a line back to where a walk came from points up."""
    below: list[list[int]] = [[] for _ in range(count)]
    for i, line in enumerate(lines):
        below[line.tail].append(i)
    down = [True] * len(lines)
    state = [0] * count  # 1: on the walk, 2: done
    entered = {line.head for line in lines}
    for first in [*(p for p in range(count) if p not in entered), *range(count)]:
        if state[first]:
            continue
        walk = [(first, iter(below[first]))]
        state[first] = 1
        while walk:
            point, rest = walk[-1]
            i = next(rest, -1)
            if i < 0:
                state[point] = 2
                walk.pop()
            elif state[lines[i].head] == 1:
                down[i] = False
            elif not state[lines[i].head]:
                state[lines[i].head] = 1
                walk.append((lines[i].head, iter(below[lines[i].head])))
    return down


def levels(count: int, lines: Sequence[Line]) -> list[int]:
    """Return the layer of each point, the top one 0; the lines must connect the points, without a circle.

    A label stands in a layer of its own right above the lower end of its line, so such layers are put in where needed.
    """
    layer = solve(count, [Span(line.tail, line.head, 1, line.weight) for line in lines])
    labelled = {layer[line.head] for line in lines if line.label}
    extra = [sum(1 for x in labelled if x <= i) for i in range(max(layer) + 1)]
    return [x + extra[x] for x in layer]
