"""The picture: whole, readable in light and dark, the same every time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import pytest
import sqlalchemy as sa
from PIL import ImageFont

from compdb import dag
from compdb.diagram import Diagram, text
from compdb.diagram.svg import svg
from compdb.diagram.themes import THEMES
from compdb.errors import DiagramError

from . import conftest

NS = "{http://www.w3.org/2000/svg}"
PICTURES = os.environ.get("COMPDB_TEST_PICTURES")


def parsed(diagram: Diagram, theme: str = "auto") -> ElementTree.Element:
    return ElementTree.fromstring(diagram.to_svg(theme))  # type: ignore[arg-type]


def groups(root: ElementTree.Element) -> dict[str, ElementTree.Element]:
    return {g.findtext(f"{NS}text", ""): g for g in root.iter(f"{NS}g") if g.find(f"{NS}title") is not None}


def test_each_table_has_a_box_in_the_colours_of_its_tier(sessions: sa.MetaData) -> None:
    found = groups(parsed(Diagram(sessions), "light"))
    for name, tier in (("Session", "manual"), ("AnalysisMethod", "lookup"), ("QualityCheck", "computed")):
        box = found[name].find(f"{NS}rect")
        assert box is not None
        assert (box.get("fill"), box.get("stroke")) == THEMES["light"].tiers[tier][:2]
        assert found[name].get("class") == tier


def test_parts_are_smaller_and_new_dimensions_underlined(sessions: sa.MetaData) -> None:
    found = {name: g.find(f"{NS}text") for name, g in groups(parsed(Diagram(sessions))).items()}
    sizes = {name: int(words.get("font-size", 0)) for name, words in found.items() if words is not None}
    assert sizes["Session.Trial"] < sizes["Session"]
    underlined = {name for name, words in found.items() if words is not None and words.get("text-decoration")}
    assert underlined == {"Subject", "Session", "Session.Trial", "AnalysisMethod", "TrialAnalysis.TrialResult"}


def test_lines_are_dashed_thick_or_plain(blobs: sa.MetaData) -> None:
    paths = {p.findtext(f"{NS}title", ""): p for p in parsed(Diagram(blobs)).iter(f"{NS}path")}
    assert len(paths) == 5
    dashed = [tip for tip, p in paths.items() if p.get("stroke-dasharray")]
    thick = [tip for tip, p in paths.items() if float(p.get("stroke-width", 0)) > 2]
    assert [tip.split(":")[0] for tip in dashed] == ["SelectDetection -> Detection"]
    assert [tip.split(":")[0] for tip in thick] == ["SelectDetection -> Image"]


def test_renamed_columns_stand_on_their_line(pedigree: sa.MetaData) -> None:
    found = groups(parsed(Diagram(pedigree)))
    assert {name for name, g in found.items() if g.get("class") == "alias"} == {
        "mother_mouse_id",
        "father_mouse_id",
        "pre_id",
        "post_id",
    }


def test_progress_is_a_count_and_a_bar(sessions: sa.MetaData) -> None:
    root = parsed(Diagram(sessions, progress={"SessionSummary": (1, 4), "QualityCheck": (3, 3)}))
    summary, check = groups(root)["SessionSummary"], groups(root)["QualityCheck"]
    bars = {r.get("class"): float(r.get("width", 0)) for r in summary.iter(f"{NS}rect")}
    assert bars["done"] == pytest.approx(0.75 * bars["todo"], abs=0.01)
    assert [words.text for words in summary.iter(f"{NS}text")] == ["SessionSummary", "3 / 4"]
    assert [r.get("class") for r in check.iter(f"{NS}rect")] == ["box", "todo"]


def test_light_and_dark_carry_their_colours_and_auto_follows_the_viewer(blobs: sa.MetaData) -> None:
    light, dark, auto = (Diagram(blobs).to_svg(theme) for theme in ("light", "dark", "auto"))  # type: ignore[arg-type]
    assert "<style>" not in light + dark
    assert THEMES["light"].ground in light
    assert THEMES["dark"].ground in dark
    sheet = re.search(r"<style>@media \(prefers-color-scheme: dark\)\{(.*)\}</style>", auto)
    assert sheet is not None
    assert auto.replace(sheet[0] + "\n", "") == light.replace("compdb-light", "compdb-auto")
    rules = re.findall(r"([^{}]+)\{", sheet[1])
    assert all(rule.startswith(".compdb-auto .") for rule in rules)  # nothing else on the page is touched
    assert set(re.findall("#[0-9a-f]{6}", dark)) <= set(re.findall("#[0-9a-f]{6}", sheet[1]))


def test_an_unknown_theme_is_refused(blobs: sa.MetaData) -> None:
    with pytest.raises(DiagramError, match="'auto', 'light' or 'dark'"):
        Diagram(blobs).to_svg("pink")  # type: ignore[arg-type]


def test_names_and_comments_with_any_characters_are_valid_xml() -> None:
    m = sa.MetaData()
    names = ['x<y>&"z"', "Größe", "日本語", "a\x00b\x0b", "emoji 🧠", "]]>", "\ud800 half"]
    for i, name in enumerate(names):
        conftest.declare(m, name, "manual", {f"k{i}": sa.Integer()}, comment=f"<b>{name}</b>")
    found = groups(parsed(Diagram(m)))
    assert set(names) - set(found) == {"a\x00b\x0b", "\ud800 half"}
    assert {"a\ufffdb\ufffd", "\ufffd half"} <= set(found)
    Diagram(m).to_svg().encode()


def test_a_diagram_of_nothing_says_so() -> None:
    assert "no tables" in Diagram().to_svg()
    parsed(Diagram())


FONTS = sorted(Path(matplotlib.get_data_path(), "fonts/ttf").glob("DejaVuSans.ttf")) + sorted(
    p for folder in (Path("/usr/share/fonts"),) for p in folder.rglob("*Sans*-Regular.ttf")
)


def test_no_label_is_cut_in_any_common_font() -> None:
    labels = [dag.label(t) for seed in range(10) for t in conftest.random_pipeline(seed).tables.values()]
    letters = [chr(i) for i in range(32, 127)]
    labels += [letter * 8 for letter in letters]
    labels += ["".join(letters), "Größe_ÄÖÜß", "Œuvre", "Ψυχή", "Щит", "12,345 / 67,890"]
    assert FONTS
    for font in FONTS:
        shown = ImageFont.truetype(str(font), 100)
        assert [label for label in labels if shown.getlength(label) > text.width(label, 100)] == [], font


def test_text_stays_within_its_box(sessions: sa.MetaData, pedigree: sa.MetaData) -> None:
    long = sa.MetaData()
    conftest.declare(long, "A" * 63, "manual", {"k": sa.Integer()})
    conftest.declare(long, "i", "computed", {"j": sa.Integer()})
    for m in (sessions, pedigree, long):
        for name, g in groups(parsed(Diagram(m, progress={"i": (1, 10**9), "Session": (10**6, 10**7)}))).items():
            box = g.find(f"{NS}rect")
            assert box is not None
            x, y = float(box.get("x", 0)), float(box.get("y", 0))
            right, bottom = x + float(box.get("width", 0)), y + float(box.get("height", 0))
            for words in g.iter(f"{NS}text"):
                size, middle, base = (float(words.get(k, 0)) for k in ("font-size", "x", "y"))
                half = text.width(words.text or "", size) / 2
                assert x + 3 < middle - half, name
                assert middle + half < right - 3, name
                assert y < base - 0.8 * size, name
                assert base + 0.25 * size < bottom, name


def test_the_picture_is_the_same_in_every_process() -> None:
    code = (
        "import importlib.util as u, sys\n"
        f"spec = u.spec_from_file_location('conftest', {conftest.__file__!r})\n"
        "m = u.module_from_spec(spec); spec.loader.exec_module(m)\n"
        "from compdb.diagram import Diagram\n"
        "d = Diagram(m.random_pipeline(7, 25)); sys.stdout.write(d.to_svg() + d.to_mermaid() + d.to_graphviz() + repr(d))"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1]
    assert b"</svg>" in found[0]


def test_a_program_without_text_decoration_gets_lines(blobs: sa.MetaData) -> None:
    scene = Diagram(blobs).layout()[0]
    assert "text-decoration" not in svg(scene, "light", decorated=False)
    assert svg(scene, "light", decorated=False).count("<path") == svg(scene, "light").count("<path") + 3


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["blobs", "sessions", "pedigree", "random"])
def test_a_saved_picture_shows_every_table_in_its_theme(
    name: str, theme: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Set COMPDB_TEST_PICTURES to a folder to keep them."""
    metadata = conftest.random_pipeline(2) if name == "random" else request.getfixturevalue(name)
    progress = {"SessionSummary": (1, 4), "SessionAnalysis": (0, 8), "QualityCheck": (3, 3), "Detection": (1, 3)}
    folder = Path(PICTURES or tmp_path)
    path = Diagram(metadata, progress=progress).save(folder / f"{name}_{theme}.svg", theme=theme)  # type: ignore[arg-type]
    root = ElementTree.parse(path).getroot()
    tables = {dag.label(table) for table in metadata.tables.values()}
    boxes = {name: g for name, g in groups(root).items() if g.get("class") != "alias"}
    assert set(boxes) == tables
    counted = {f"{of - left} / {of}" for table, (left, of) in progress.items() if table in tables}
    assert {words.text for g in boxes.values() for words in g.iter(f"{NS}text")} == tables | counted
    assert {r.get("fill") for r in root.iter(f"{NS}rect") if r.get("class") == "ground"} == {THEMES[theme].ground}
