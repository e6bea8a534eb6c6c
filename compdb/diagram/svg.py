"""A scene as SVG: our own layered drawing, with light and dark colours and tooltips; no external program.

The colours stand in the attributes of each element, which every viewer understands. `theme="auto"` has the light ones, and a style
sheet with the dark ones for viewers that ask for them (`prefers-color-scheme`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import Literal

from compdb.diagram import text
from compdb.diagram.layered.draw import draw
from compdb.diagram.layered.geometry import Box, Drawing, Line, Route, Size
from compdb.diagram.scene import Link, Node, Scene
from compdb.diagram.themes import THEMES, Theme
from compdb.errors import DiagramError

__all__ = ["Appearance", "layout", "svg"]

Appearance = Literal["auto", "light", "dark"]

FONT = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif"
MARGIN = 16
LABEL = 10
"""Font size of the names of renamed columns."""
WIDTHS = {"thick": 2.6, "solid": 1.4, "dashed": 1.4}
WEIGHTS = {"thick": 2, "solid": 2, "dashed": 1}


@dataclass(frozen=True)
class _Style:
    """Font sizes and room of a node."""

    font: int
    pad: int
    height: int
    count: int
    """Height that a count and its bar add."""


BIG, SMALL = _Style(14, 13, 34, 20), _Style(11, 9, 24, 17)


def _style(node: Node) -> _Style:
    return SMALL if node.tier == "part" else BIG


def _even(x: float) -> int:
    return 2 * int(x / 2 + 0.999)


def layout(scene: Scene) -> Drawing:
    """Return where the boxes, lines and labels of a scene go."""
    sizes = []
    for node in scene.nodes:
        style = _style(node)
        room = max(text.width(node.name, style.font), text.width(node.count, style.font - 3))
        sizes.append(Size(_even(room + 2 * style.pad), style.height + (style.count if node.progress else 0)))
    lines = [
        Line(
            link.parent,
            link.child,
            WEIGHTS[link.stroke],
            Size(_even(text.width(link.alias, LABEL) + 12), 16) if link.alias else None,
        )
        for link in scene.links
    ]
    return draw(sizes, lines)


def svg(scene: Scene, theme: Appearance = "auto", decorated: bool = True) -> str:
    """Return the picture as SVG text.

    Parameters
    ----------
    scene : Scene
    theme : auto, light or dark
    decorated : bool
        Underline by `text-decoration`; else by a line of about the right length, for programs that do not know it.

    Raises
    ------
    DiagramError
        For a theme that is none.
    """
    if theme not in ("auto", *THEMES):
        raise DiagramError(f"no theme {theme!r}: a diagram is drawn in 'auto', 'light' or 'dark'")
    colours = THEMES["dark" if theme == "dark" else "light"]
    drawing = layout(scene)
    width, height = drawing.width + 2 * MARGIN, drawing.height + 2 * MARGIN
    if not scene.nodes:
        width, height = 140, 40
    links = list(zip(scene.links, drawing.routes, drawing.labels))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="compdb-diagram compdb-{theme}" width="{_n(width)}" '
            f'height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}" font-family="{FONT}" '
            f'text-anchor="middle" role="img" aria-label="Diagram of {len(scene.nodes)} tables">',
            *([_sheet(THEMES["dark"])] if theme == "auto" else []),
            f'<rect class="ground" width="{_n(width)}" height="{_n(height)}" rx="6" fill="{colours.ground}"/>',
            *([] if scene.nodes else [_words("no tables", 12, width / 2, height / 2, colours.line, "note")]),
            f'<g class="links" transform="translate({MARGIN} {MARGIN})" fill="none">',
            *(_link(link, route, colours) for link, route, _ in sorted(links, key=lambda x: x[0].stroke != "dashed")),
            "</g>",
            f'<g class="tables" transform="translate({MARGIN} {MARGIN})">',
            *(_node(node, box, colours, decorated) for node, box in zip(scene.nodes, drawing.boxes)),
            *(_alias(link, box, colours) for link, _, box in links if box),
            "</g>",
            "</svg>\n",
        ]
    )


def _sheet(dark: Theme) -> str:
    rules = [f".ground{{fill:{dark.ground}}}", f".links path{{stroke:{dark.line}}}", f".note{{fill:{dark.line}}}"]
    for tier, paint in dark.tiers.items():
        rules.append(f".{tier} .box{{fill:{paint.fill};stroke:{paint.edge}}}")
        rules.append(f".{tier} text{{fill:{paint.ink}}}")
        rules.append(f".{tier} .part{{fill:{dark.ground}}}")
        rules.append(f".{tier} .done{{fill:{paint.edge}}}")
        rules.append(f".{tier} .todo{{fill:{paint.edge}}}")
    rules.append(f".alias rect{{fill:{dark.alias.fill};stroke:{dark.alias.edge}}}")
    rules.append(f".alias text{{fill:{dark.alias.ink}}}")
    body = "".join(f".compdb-auto {rule}" for rule in rules)
    return f"<style>@media (prefers-color-scheme: dark){{{body}}}</style>"


def _n(x: float) -> str:
    """Write a number as short as it can be, to a hundredth of a pixel."""
    return f"{x:.2f}".rstrip("0").rstrip(".")


def _escape(words: str) -> str:
    """Return text as XML allows it: control characters have no place there."""
    return escape(re.sub(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", words))


def _words(words: str, size: int, x: float, y: float, ink: str, style: str = "", underlined: bool = False) -> str:
    """Return one line of text around a middle."""
    kind = f' class="{style}"' if style else ""
    line = ' text-decoration="underline"' if underlined else ""
    return f'<text{kind} x="{_n(x)}" y="{_n(y + 0.35 * size)}" font-size="{size}" fill="{ink}"{line}>{_escape(words)}</text>'


def _link(link: Link, route: Route, colours: Theme) -> str:
    dash = ' stroke-dasharray="5 4"' if link.stroke == "dashed" else ""
    return (
        f'<path class="{link.stroke}" d="{_path(route)}" stroke="{colours.line}" stroke-width="{_n(WIDTHS[link.stroke])}"'
        f"{dash}><title>{_escape(link.tooltip)}</title></path>"
    )


def _path(route: Route) -> str:
    x, y = route.points[0]
    drawn = [f"M{_n(x)} {_n(y)}"]
    straight = False
    for a, b, c, d in route.curves():
        if a[0] == b[0] == c[0] == d[0]:
            if straight:
                drawn.pop()
            drawn.append(f"V{_n(d[1])}")
            straight = True
        else:
            drawn.append(f"C{_n(b[0])} {_n(b[1])} {_n(c[0])} {_n(c[1])} {_n(d[0])} {_n(d[1])}")
            straight = False
    return "".join(drawn)


def _node(node: Node, box: Box, colours: Theme, decorated: bool) -> str:
    style, paint, part = _style(node), colours.tiers[node.colour], node.tier == "part"
    x, middle = box.centre[0], box.y + style.height / 2
    drawn = [
        f'<g class="{node.colour}"><title>{_escape(node.tooltip)}</title>',
        f'<rect class="box{" part" if part else ""}" x="{_n(box.x)}" y="{_n(box.y)}" width="{_n(box.width)}" '
        f'height="{_n(box.height)}" rx="{4 if part else 6}" fill="{colours.ground if part else paint.fill}" '
        f'stroke="{paint.edge}" stroke-width="{1 if part else 1.4}"/>',
        _words(node.name, style.font, x, middle, paint.ink, underlined=node.dimension and decorated),
    ]
    if node.dimension and not decorated:
        half, y = text.width(node.name, style.font) * 0.44, middle + style.font * 0.5  # 0.88 of the widest: as in Arial
        drawn.append(f'<path d="M{_n(x - half)} {_n(y)}H{_n(x + half)}" stroke="{paint.ink}"/>')
    if node.progress:
        done, total = node.progress
        drawn.append(_words(node.count, style.font - 3, x, middle + style.count * 0.75, paint.ink))
        left, top, room = box.x + style.pad, box.bottom - 8, box.width - 2 * style.pad
        share = min(1.0, max(0.0, done / total)) if total else 0.0
        bar = f'y="{_n(top)}" height="3" rx="1.5" fill="{paint.edge}"'
        drawn.append(f'<rect class="todo" x="{_n(left)}" width="{_n(room)}" opacity="0.25" {bar}/>')
        if share:
            drawn.append(f'<rect class="done" x="{_n(left)}" width="{_n(room * share)}" {bar}/>')
    return "".join([*drawn, "</g>"])


def _alias(link: Link, box: Box, colours: Theme) -> str:
    paint = colours.alias
    return (
        f'<g class="alias"><title>{_escape(link.tooltip)}</title>'
        f'<rect x="{_n(box.x)}" y="{_n(box.y)}" width="{_n(box.width)}" height="{_n(box.height)}" rx="8" '
        f'fill="{paint.fill}" stroke="{paint.edge}"/>'
        f"{_words(link.alias, LABEL, *box.centre, paint.ink)}</g>"
    )
