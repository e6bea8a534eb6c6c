"""A scene as PNG, by whatever here can make one: cairosvg (our own drawing), else graphviz (its drawing)."""

from __future__ import annotations

import importlib
from typing import Literal

from compdb.diagram.graphviz import dot, render
from compdb.diagram.scene import Scene
from compdb.diagram.svg import svg
from compdb.errors import DiagramError

__all__ = ["png"]


def png(scene: Scene, theme: Literal["light", "dark"] = "light") -> bytes:
    """Return the picture as PNG.

    Raises
    ------
    DiagramError
        If neither cairosvg nor `dot` is installed.
    """
    try:
        cairosvg = importlib.import_module("cairosvg")
    except (ImportError, OSError):  # OSError: the package is here, the library cairo is not
        found = render(dot(scene, theme), "png")
    else:
        found = cairosvg.svg2png(bytestring=svg(scene, theme, decorated=False).encode(), scale=2)
    if found is None:
        raise DiagramError(
            "a PNG needs cairosvg (pip install 'compdb[diagram]') or graphviz (the program dot); .svg and .mmd need neither"
        )
    return found
