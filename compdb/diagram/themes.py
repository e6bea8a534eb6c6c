"""The colours of a diagram on light and on dark ground: Lookup gray, Manual green, Imported blue, Computed red."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["THEMES", "Paint", "Theme"]


class Paint(NamedTuple):
    """The colours of one kind of box: its inside, its edge, and what is written in it."""

    fill: str
    edge: str
    ink: str


class Theme(NamedTuple):
    """All colours: the ground, the lines, the boxes by tier, and the names of renamed columns."""

    ground: str
    line: str
    tiers: Mapping[str, Paint]
    alias: Paint


THEMES: Mapping[str, Theme] = {
    "light": Theme(
        ground="#ffffff",
        line="#5c6773",
        tiers={
            "lookup": Paint("#e9ecef", "#79838d", "#2b3238"),
            "manual": Paint("#dff3e1", "#2f9a4a", "#12401f"),
            "imported": Paint("#dcebfb", "#2b78c8", "#0c3763"),
            "computed": Paint("#fde3e0", "#d2453d", "#6a1712"),
            "other": Paint("#ffffff", "#8b7aa8", "#3d3153"),
        },
        alias=Paint("#fff3e0", "#e07c00", "#7a4300"),
    ),
    "dark": Theme(
        ground="#1b1e23",
        line="#9aa5b1",
        tiers={
            "lookup": Paint("#3a4047", "#98a3ad", "#eceff2"),
            "manual": Paint("#1e3d27", "#52b86c", "#d9f5df"),
            "imported": Paint("#1b3550", "#5aa3ea", "#d9ebfd"),
            "computed": Paint("#4a2422", "#ee756d", "#fde3e0"),
            "other": Paint("#1b1e23", "#b3a3d1", "#e9e2f6"),
        },
        alias=Paint("#3f2e14", "#f0a03c", "#ffe2b8"),
    ),
}
