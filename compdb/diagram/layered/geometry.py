"""What the layout is given and what it returns: sizes and lines in, boxes and curves out; y grows downwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Box", "Drawing", "Line", "Point", "Route", "Size"]

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Size:
    """How much room a box needs."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Line:
    """A connection between two boxes, given by their numbers.

    Attributes
    ----------
    tail, head : int
        The upper and the lower box; the same for a loop.
    weight : int
        How much the line is to be short and straight.
    label : Size or None
        Room for a label on the line.
    """

    tail: int
    head: int
    weight: int = 1
    label: Size | None = None


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: `x`, `y` is its upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The right edge."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.y + self.height

    @property
    def centre(self) -> Point:
        """The middle."""
        return self.x + self.width / 2, self.y + self.height / 2

    def moved(self, dx: float, dy: float) -> Box:
        """Return the box at another place."""
        return Box(self.x + dx, self.y + dy, self.width, self.height)


@dataclass(frozen=True, slots=True)
class Route:
    """A chain of cubic Bezier curves: the start, then two control points and an end for each."""

    points: tuple[Point, ...]

    def curves(self) -> Iterator[tuple[Point, Point, Point, Point]]:
        """Yield start, two control points and end of each curve."""
        for i in range(0, len(self.points) - 1, 3):
            yield self.points[i], self.points[i + 1], self.points[i + 2], self.points[i + 3]

    def polyline(self, steps: int = 16) -> list[Point]:
        """Return points on the curves, `steps` on each."""
        found = [self.points[0]]
        for a, b, c, d in self.curves():
            for i in range(1, steps + 1):
                t = i / steps
                p, q, r, s = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
                found.append((p * a[0] + q * b[0] + r * c[0] + s * d[0], p * a[1] + q * b[1] + r * c[1] + s * d[1]))
        return found

    def reversed(self) -> Route:
        """Return the route from its end to its start."""
        return Route(self.points[::-1])

    def moved(self, dx: float, dy: float) -> Route:
        """Return the route at another place."""
        return Route(tuple((x + dx, y + dy) for x, y in self.points))


@dataclass(frozen=True, slots=True)
class Drawing:
    """Where everything is: a box for each size given, a route and perhaps a label's box for each line."""

    boxes: tuple[Box, ...]
    routes: tuple[Route, ...]
    labels: tuple[Box | None, ...]
    width: float
    height: float
