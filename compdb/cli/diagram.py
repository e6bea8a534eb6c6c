"""`compdb diagram`: the tables and what depends on what."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import sqlalchemy as sa
from cyclopts import Parameter, validators

from compdb import dag
from compdb.cli.answer import Answer
from compdb.cli.choice import named
from compdb.cli.place import HERE, Place
from compdb.diagram import Diagram

__all__ = ["diagram"]

Steps = Annotated[int, Parameter(validator=validators.Number(gte=0))]


def diagram(
    file: Path | None = None,
    *,
    table: Sequence[str] = (),
    up: Steps = 0,
    down: Steps = 0,
    progress: bool = False,
    mermaid: bool = False,
    theme: Literal["auto", "light", "dark"] = "auto",
    place: Place = HERE,
) -> Answer:
    """Draw the tables and what depends on what: to the terminal, or into a file.

    Parameters
    ----------
    file : Path, optional
        Where to: a name in .svg, .mmd (Mermaid), .dot (graphviz), or .png, which needs cairosvg or graphviz.
    table : str, optional
        Only this table; may be given several times.
    up : int
        And what it depends on, so many steps away.
    down : int
        And what depends on it, so many steps away.
    progress : bool
        Show how much of each table is done, which asks the database.
    mermaid : bool
        Print Mermaid, which GitHub and many editors draw.
    theme : str
        Colours of the picture; auto follows the viewer.
    """
    pipelines = place.connect() if progress else place.pipelines()
    drawn = Diagram(*(pipeline.diagram(progress=progress) for pipeline in pipelines))
    if table:
        chosen = Diagram(*(named(pipelines, name) for name in table), progress=drawn.progress)
        drawn = (chosen - up) + (chosen + down)
    document: dict[str, Any] = {"tables": [_entry(t) for t in drawn]}
    if drawn.progress:
        document["progress"] = {name: {"remaining": r, "total": n} for name, (r, n) in drawn.progress.items()}
    if file is not None:
        drawn.save(file, theme)
        document["file"] = str(file)
        return Answer(document, [f"{file}: {len(drawn)} tables"])
    if mermaid:
        document["mermaid"] = drawn.to_mermaid()
    return Answer(document, [drawn.to_mermaid().rstrip() if mermaid else repr(drawn)])


def _entry(table: sa.Table) -> dict[str, Any]:
    links = [{"table": dag.label(e.parent), "columns": dict(e.pairs), "primary": e.primary} for e in dag.parents(table)]
    return {"table": dag.label(table), "tier": dag.tier(table), "parents": links}
