"""A scene as a Mermaid flowchart: plain text that GitHub, GitLab and many editors draw.

Labels are quoted; names of nodes begin with `t_`, since `end`, `class` and others mean something to Mermaid.
"""

from __future__ import annotations

import re

from compdb.diagram.scene import Node, Scene
from compdb.diagram.themes import THEMES

__all__ = ["mermaid"]

LINES = {"thick": "===", "solid": "---", "dashed": "-.-"}


def mermaid(scene: Scene) -> str:
    """Return the flowchart."""
    names = _names(scene)
    lines = ["flowchart TB"]
    for name, node in zip(names, scene.nodes):
        opening, closing = ("(", ")") if node.tier == "part" else ("[", "]")
        count = f"<br/>{node.count}" if node.progress else ""
        lines.append(f'    {name}{opening}"{_quoted(node.name)}{count}"{closing}:::{_class(node)}')
    for link in scene.links:
        stroke = LINES[link.stroke] + (f'|"{_quoted(link.alias)}"|' if link.alias else "")
        lines.append(f"    {names[link.parent]} {stroke} {names[link.child]}")
    for style in sorted({_class(node) for node in scene.nodes}):
        paint, small = THEMES["light"].tiers[style.partition("_")[0]], style.endswith("_part")
        fill, font = (THEMES["light"].ground, ",font-size:12px") if small else (paint.fill, "")
        lines.append(f"    classDef {style} fill:{fill},stroke:{paint.edge},color:{paint.ink}{font}")
    new = [name for name, node in zip(names, scene.nodes) if node.dimension]
    if new:
        lines += ["    classDef dimension text-decoration:underline", f"    class {','.join(new)} dimension"]
    return "\n".join([*lines, ""])


def _class(node: Node) -> str:
    return f"{node.colour}_part" if node.tier == "part" else node.colour


def _names(scene: Scene) -> list[str]:
    """Return a name for each node: its label in letters, digits and _, told apart by a number where needed."""
    found: dict[str, None] = {}
    for node in scene.nodes:
        plain = name = "t_" + re.sub(r"[^A-Za-z0-9]+", "_", node.name).strip("_")
        number = 2
        while name in found:
            name, number = f"{plain}_{number}", number + 1
        found[name] = None
    return list(found)


def _quoted(words: str) -> str:
    """Return text as it may stand between quotes: Mermaid writes special characters as #number;."""
    return re.sub(r"[\"#<>&`\\\x00-\x1f]", lambda found: f"#{ord(found[0])};", words)
