"""Diagram: the tables of a pipeline and how they depend on each other, as a picture.

>>> diagram = Diagram(Lab)
>>> diagram.save("lab.svg")

What to show is an algebra of sets of tables: `Diagram(Session) + 1` adds what depends directly on Session, `- 1` what it
directly depends on; diagrams add up (`+`), are taken away (`-`) and intersect (`*`).

Tiers have their colours: Lookup gray, Manual green, Imported blue, Computed red; parts are small, in the colour of their master.
A line is a foreign key, the parent above: thick where the child's key is exactly the parent's, solid where it is part of the
child's key, dashed where it is a secondary attribute; renamed columns stand on it in orange. An underlined name is a table that
adds a dimension: an attribute of its own in its key. Hovering over a box shows the heading.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from compdb.diagram.graphviz import dot
from compdb.diagram.mermaid import mermaid
from compdb.diagram.png import png
from compdb.diagram.scene import Scene, scene_of
from compdb.diagram.selection import downstream, ordered, tables_of, upstream
from compdb.diagram.svg import Appearance, layout, svg
from compdb.errors import DiagramError

if TYPE_CHECKING:
    import sqlalchemy as sa

    from compdb.diagram.layered.geometry import Drawing

__all__ = ["Diagram"]


@dataclass(frozen=True, init=False, repr=False)
class Diagram:
    """Tables and their dependencies, to be looked at.

    Parameters
    ----------
    *sources
        Tables, mapped classes, pipelines (all their tables), other diagrams, and lists of these.
    progress : mapping of label to (remaining, total), optional
        Shows for each of these tables how many rows are done.

    Attributes
    ----------
    tables : tuple of Table
        Each after those it depends on, without jobs tables.
    """

    tables: tuple[sa.Table, ...]
    progress: Mapping[str, tuple[int, int]] = field(hash=False)

    def __init__(self, *sources: object, progress: Mapping[str, tuple[int, int]] | None = None) -> None:
        known: dict[str, tuple[int, int]] = {}
        for source in sources:
            if isinstance(source, Diagram):
                known.update(source.progress)
        object.__setattr__(self, "tables", ordered(tables_of(sources)))
        object.__setattr__(self, "progress", known | dict(progress or {}))

    def __iter__(self) -> Iterator[sa.Table]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)

    def __add__(self, other: object) -> Diagram:
        """Add what depends on these tables, up to `other` steps down; or the tables of another diagram, table or pipeline."""
        if isinstance(other, int):
            return Diagram(downstream(self.tables, _steps(other)), progress=self.progress)
        return Diagram(self, other)

    def __sub__(self, other: object) -> Diagram:
        """Add what these tables depend on, up to `other` steps up; or take the tables of another diagram away."""
        if isinstance(other, int):
            return Diagram(upstream(self.tables, _steps(other)), progress=self.progress)
        away = set(tables_of(other))
        return Diagram([t for t in self.tables if t not in away], progress=self.progress)

    def __mul__(self, other: object) -> Diagram:
        """Keep the tables that are in both."""
        both = set(tables_of(other))
        return Diagram([t for t in self.tables if t in both], progress=self.progress)

    def _scene(self) -> Scene:
        return scene_of(self.tables, self.progress)

    def layout(self) -> tuple[Scene, Drawing]:
        """Return what is drawn and where: boxes, and for each link its route and perhaps the box of its label."""
        scene = self._scene()
        return scene, layout(scene)

    def to_mermaid(self) -> str:
        """Return a Mermaid flowchart, which GitHub and many editors draw."""
        return mermaid(self._scene())

    def to_graphviz(self) -> str:
        """Return the diagram in the language of graphviz, for those who have it."""
        return dot(self._scene())

    def to_svg(self, theme: Appearance = "auto") -> str:
        """Return the picture as SVG, drawn without any other program; `auto` follows the viewer's light or dark mode."""
        return svg(self._scene(), theme)

    def save(self, path: str | Path, theme: Appearance = "auto") -> Path:
        """Write the diagram to a file: `.svg`, `.mmd` (Mermaid), `.dot` (graphviz) or `.png`.

        A PNG needs cairosvg (the extra `diagram`) or graphviz's `dot`; `auto` is light there.

        Raises
        ------
        DiagramError
            For any other ending, and for a PNG where neither is installed.
        """
        path = Path(path)
        ending = path.suffix.lower()
        if ending == ".png":
            path.write_bytes(png(self._scene(), "dark" if theme == "dark" else "light"))
        elif ending in (".svg", ".mmd", ".dot"):
            text = {".svg": lambda: self.to_svg(theme), ".mmd": self.to_mermaid, ".dot": self.to_graphviz}[ending]()
            path.write_text(text, encoding="utf-8", newline="\n")
        else:
            raise DiagramError(f"cannot save a diagram as {path.name!r}: the name must end in .svg, .mmd, .dot or .png")
        return path

    def _repr_svg_(self) -> str:
        return self.to_svg()

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Give notebooks the picture, and the listing where there are no pictures."""
        return {"image/svg+xml": self.to_svg(), "text/plain": repr(self)}

    def __repr__(self) -> str:
        try:
            return _listing(self._scene())
        except Exception as error:  # a repr never fails, whatever became of the tables since
            return f"<Diagram of {len(self.tables)} tables that cannot be listed: {error}>"


def _steps(number: int) -> int:
    if number < 0:
        raise DiagramError(f"a diagram grows by 0 steps or more, not by {number}; `- n` goes up, `+ n` down")
    return number


def _listing(scene: Scene) -> str:
    """Return one line per table: name, tier, what is done, what it depends on (secondary dependencies in brackets)."""
    above: list[list[str]] = [[] for _ in scene.nodes]
    for link in scene.links:
        name = scene.nodes[link.parent].name + (f" as {link.alias}" if link.alias else "")
        above[link.child].append(f"({name})" if link.stroke == "dashed" else name)
    columns = [(n.name, n.tier, n.count, f"<- {', '.join(up)}" if up else "") for n, up in zip(scene.nodes, above)]
    widths = [max(map(len, column)) for column in zip(*columns)]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths) if w).rstrip() for row in columns]
    return "\n".join([f"Diagram of {len(columns)} table{'' if len(columns) == 1 else 's'}", *("  " + x for x in lines)])
