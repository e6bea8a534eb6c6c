"""Mermaid, graphviz, PNG, files and notebooks."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
import sqlalchemy as sa
from IPython.core.formatters import DisplayFormatter

from compdb.diagram import Diagram
from compdb.diagram.graphviz import render
from compdb.errors import DiagramError

from . import conftest

ID = r"t_\w*"
LABEL = r'"[^"]*"'
MERMAID = [
    r"flowchart TB",
    rf"    {ID}(\[{LABEL}\]|\({LABEL}\)):::[a-z_]+",
    rf"    {ID} (===|---|-\.-)(\|{LABEL}\|)? {ID}",
    r"    classDef [a-z_]+ fill:#\w{6},stroke:#\w{6},color:#\w{6}(,font-size:12px)?",
    r"    classDef dimension text-decoration:underline",
    rf"    class {ID}(,{ID})* dimension",
]


def test_mermaid_shows_tiers_strokes_aliases_and_dimensions(blobs: sa.MetaData, pedigree: sa.MetaData) -> None:
    text = Diagram(blobs, progress={"Detection": (1, 3)}).to_mermaid()
    assert text.splitlines() == [
        "flowchart TB",
        '    t_Image["Image"]:::manual',
        '    t_BlobParamSet["BlobParamSet"]:::lookup',
        '    t_Detection["Detection<br/>2 / 3"]:::computed',
        '    t_Detection_Blob("Detection.Blob"):::computed_part',
        '    t_SelectDetection["SelectDetection"]:::manual',
        "    t_Image --- t_Detection",
        "    t_BlobParamSet --- t_Detection",
        "    t_Detection --- t_Detection_Blob",
        "    t_Image === t_SelectDetection",
        "    t_Detection -.- t_SelectDetection",
        "    classDef computed fill:#fde3e0,stroke:#d2453d,color:#6a1712",
        "    classDef computed_part fill:#ffffff,stroke:#d2453d,color:#6a1712,font-size:12px",
        "    classDef lookup fill:#e9ecef,stroke:#79838d,color:#2b3238",
        "    classDef manual fill:#dff3e1,stroke:#2f9a4a,color:#12401f",
        "    classDef dimension text-decoration:underline",
        "    class t_Image,t_BlobParamSet,t_Detection_Blob dimension",
    ]
    assert '    t_Mouse -.-|"mother_mouse_id"| t_Mouse' in Diagram(pedigree).to_mermaid().splitlines()


NASTY = [
    'a"b',
    "end",
    "class",
    "x<y>&z",
    "`tick`",
    "back\\slash",
    "日本",
    "#hash",
    "a.b",
    "a_b",
    "[x]",
    "|p|",
    "two\nlines",
    "graph TB",
]


def odd() -> Diagram:
    m = sa.MetaData()
    for i, name in enumerate(NASTY):
        conftest.declare(m, name, "manual", {f"k{i}": sa.Integer()})
    conftest.declare(m, "Child", "computed", {}, [(next(iter(m.tables.values())), True, {"k0": 're|na"med'})])
    return Diagram(m)


def test_every_mermaid_line_is_valid_whatever_the_names() -> None:
    for diagram in (odd(), Diagram(), *(Diagram(conftest.random_pipeline(seed)) for seed in range(10))):
        lines = diagram.to_mermaid().splitlines()
        assert [line for line in lines if not any(re.fullmatch(rule, line) for rule in MERMAID)] == []
        ids = [line.split("[")[0].split("(")[0] for line in lines if ":::" in line]
        assert len(set(ids)) == len(ids) == len(diagram)


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz's dot is not installed")
def test_graphviz_draws_the_text_whatever_the_names() -> None:
    found = render(odd().to_graphviz(), "svg")
    assert found is not None
    assert found.count(b'class="node"') == len(NASTY) + 1


def test_a_fault_of_dot_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, b"", b"syntax error in line 1")
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/dot")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(DiagramError, match="syntax error in line 1"):
        render("nonsense", "png")


@pytest.mark.parametrize(
    ("ending", "start"), [("svg", "<svg"), ("mmd", "flowchart"), ("dot", "digraph"), ("SVG", "<svg")]
)
def test_the_ending_of_the_name_chooses_the_format(
    ending: str, start: str, sessions: sa.MetaData, tmp_path: Path
) -> None:
    path = Diagram(sessions).save(str(tmp_path / f"lab.{ending}"))
    assert path == tmp_path / f"lab.{ending}"
    assert path.read_text(encoding="utf-8").startswith(start)


@pytest.mark.parametrize("name", ["lab.pdf", "lab"])
def test_another_ending_is_refused(name: str, sessions: sa.MetaData, tmp_path: Path) -> None:
    with pytest.raises(DiagramError, match=r"\.svg, \.mmd, \.dot or \.png"):
        Diagram(sessions).save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.fixture
def no_cairosvg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cairosvg", None)


@pytest.mark.usefixtures("no_cairosvg")
def test_a_png_without_any_program_says_what_to_install(
    sessions: sa.MetaData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(DiagramError, match=r"pip install 'compdb\[diagram\]'"):
        Diagram(sessions).save(tmp_path / "lab.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("no_cairosvg")
@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz's dot is not installed")
def test_a_png_by_graphviz(sessions: sa.MetaData, tmp_path: Path) -> None:
    assert Diagram(sessions).save(tmp_path / "lab.png").read_bytes().startswith(b"\x89PNG")


def test_a_png_by_cairosvg_is_our_own_drawing(
    sessions: sa.MetaData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("cairosvg")
    module.svg2png = lambda bytestring, scale: bytestring  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cairosvg", module)
    for theme, drawn in (("auto", b"compdb-light"), ("dark", b"compdb-dark")):
        found = Diagram(sessions).save(tmp_path / "lab.png", theme=theme).read_bytes()  # type: ignore[arg-type]
        assert drawn in found
        assert b"text-decoration" not in found


def test_notebooks_show_the_picture_and_terminals_the_listing(sessions: sa.MetaData) -> None:
    diagram = Diagram(sessions)
    data, _ = DisplayFormatter().format(diagram)
    assert data["image/svg+xml"] == diagram.to_svg() == diagram._repr_svg_()
    assert data["text/plain"] == repr(diagram)
