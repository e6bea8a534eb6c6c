"""A scene in the language of graphviz, and the `dot` program where it is installed."""

from __future__ import annotations

import shutil
import subprocess

from compdb.diagram.scene import Link, Node, Scene
from compdb.diagram.themes import THEMES, Theme
from compdb.errors import DiagramError

__all__ = ["dot", "render"]

STYLES = {"thick": "solid, penwidth=3", "solid": "solid", "dashed": "dashed"}


def dot(scene: Scene, theme: str = "light") -> str:
    """Return the graph as text for `dot`."""
    colours = THEMES[theme]
    return "\n".join(
        [
            "digraph {",
            f'  graph [rankdir=TB, bgcolor="{colours.ground}", pad=0.2]',
            '  node [shape=box, style="rounded,filled", fontname="Helvetica,Arial,sans-serif", fontsize=14, height=0.45]',
            f'  edge [dir=none, color="{colours.line}", fontname="Helvetica,Arial,sans-serif", fontsize=10]',
            *(f"  {i} [{_node(node, colours)}]" for i, node in enumerate(scene.nodes)),
            *(f"  {link.parent} -> {link.child} [{_link(link, colours)}]" for link in scene.links),
            "}\n",
        ]
    )


def _quoted(words: str) -> str:
    return '"' + words.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _html(words: str) -> str:
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _node(node: Node, colours: Theme) -> str:
    paint, part = colours.tiers[node.colour], node.tier == "part"
    name = f"<u>{_html(node.name)}</u>" if node.dimension else _html(node.name)
    label = f"<{name}<br/>{node.count}>" if node.progress else f"<{name}>"
    text = (
        f'label={label}, tooltip={_quoted(node.tooltip)}, color="{paint.edge}", fontcolor="{paint.ink}", '
        f'fillcolor="{colours.ground if part else paint.fill}"'
    )
    return f"{text}, fontsize=11, height=0.3" if part else text


def _link(link: Link, colours: Theme) -> str:
    text = f"style={STYLES[link.stroke]}, tooltip={_quoted(link.tooltip)}"
    return f'{text}, label={_quoted(link.alias)}, fontcolor="{colours.alias.edge}"' if link.alias else text


def render(source: str, output: str) -> bytes | None:
    """Return what `dot` makes of a graph in a format of its own (png, json, ...), or None where it is not installed.

    Raises
    ------
    DiagramError
        If it fails; with what it says.
    """
    program = shutil.which("dot")
    if program is None:
        return None
    done = subprocess.run([program, f"-T{output}"], input=source.encode(), capture_output=True, check=False)  # noqa: S603
    if done.returncode:
        raise DiagramError(f"dot cannot draw this as {output}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout
