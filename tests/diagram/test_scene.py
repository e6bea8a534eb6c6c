"""What a node and a link say, whatever draws them."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from compdb.diagram import Diagram
from compdb.diagram.scene import Link, Node, Scene

from .conftest import declare, refer_to_itself


def nodes(scene: Scene) -> dict[str, Node]:
    return {n.name: n for n in scene.nodes}


def links(scene: Scene) -> dict[tuple[str, str, str], Link]:
    return {(scene.nodes[k.parent].name, scene.nodes[k.child].name, k.alias): k for k in scene.links}


def scene(*sources: object, progress: dict[str, tuple[int, int]] | None = None) -> Scene:
    return Diagram(*sources, progress=progress).layout()[0]


def test_a_line_is_thick_for_the_same_key_solid_in_the_key_and_dashed_beside_it(blobs: sa.MetaData) -> None:
    found = {names[:2]: link.stroke for names, link in links(scene(blobs)).items()}
    assert found == {
        ("Image", "Detection"): "solid",
        ("BlobParamSet", "Detection"): "solid",
        ("Detection", "Detection.Blob"): "solid",
        ("Image", "SelectDetection"): "thick",
        ("Detection", "SelectDetection"): "dashed",
    }


def test_tables_with_a_key_attribute_of_their_own_add_a_dimension(blobs: sa.MetaData, pedigree: sa.MetaData) -> None:
    assert {n.name for n in scene(blobs).nodes if n.dimension} == {"Image", "BlobParamSet", "Detection.Blob"}
    assert {n.name for n in scene(pedigree).nodes if n.dimension} == {"Mouse", "room", "Cage"}  # Synapse's are renamed


def test_a_part_has_the_colour_of_its_master(sessions: sa.MetaData) -> None:
    found = nodes(scene(sessions))
    assert (found["Session.Trial"].tier, found["Session.Trial"].colour) == ("part", "manual")
    assert found["TrialAnalysis.TrialResult"].colour == "computed"
    assert found["AnalysisMethod"].colour == "lookup"


def test_renamed_columns_are_named_on_their_link(pedigree: sa.MetaData) -> None:
    found = links(scene(pedigree))
    assert found["Mouse", "Mouse", "mother_mouse_id"].tooltip.endswith("mother_mouse_id = mouse_id (may be empty)")
    assert ("Mouse", "Synapse", "pre_id") in found
    assert found["room", "Cage", ""].tooltip == "Cage -> room: room_id (a secondary attribute)"
    assert found["Mouse", "Synapse", "post_id"].tooltip == "Synapse -> Mouse: post_id = mouse_id (in the key)"


def test_of_many_renamed_columns_two_are_named() -> None:
    m = sa.MetaData()
    wide = declare(m, "Wide", "manual", {f"k{i}": sa.Integer() for i in range(5)})
    refer_to_itself(wide, "old")
    assert scene(m).links[0].alias == "old_k0, old_k1 +3"


def test_the_tooltip_has_comment_and_heading(blobs: sa.MetaData) -> None:
    assert nodes(scene(blobs))["Detection"].tooltip == (
        "Detection (computed)\n"
        "Blobs found in one image with one parameter set.\n"
        "\n"
        "image_id : int  -> Image\n"
        "blob_paramset : int  -> BlobParamSet\n"
        "---\n"
        "nblobs : int"
    )


def test_a_column_of_any_type_has_a_place_in_the_tooltip() -> None:
    class Odd(sa.types.UserDefinedType[object]):
        @property
        def python_type(self) -> type:
            raise RuntimeError

    m = sa.MetaData()
    sa.Table("odd", m, sa.Column("id", Odd(), primary_key=True), sa.Column("x", sa.types.NullType(), comment="what"))
    assert scene(m).nodes[0].tooltip == "odd\n\nid : Odd\n---\nx : object | None  # what"


def test_progress_is_told_as_done_of_total(sessions: sa.MetaData) -> None:
    found = nodes(scene(sessions, progress={"SessionSummary": (345, 12345), "QualityCheck": (0, 0), "Nothing": (1, 2)}))
    assert found["SessionSummary"].count == "12,000 / 12,345"
    assert found["QualityCheck"].count == "0 / 0"
    assert found["TrialAnalysis"].count == ""


def test_tables_of_two_pipelines_with_one_label_are_told_apart() -> None:
    a, b = sa.MetaData(), sa.MetaData(schema="other")
    declare(a, "Session", "manual", {"a": sa.Integer()})
    declare(b, "Session", "manual", {"b": sa.Integer()})
    assert {n.name for n in scene(a, b).nodes} == {"Session (session)", "Session (other.session)"}


def test_the_listing_names_tier_progress_and_dependencies(blobs: sa.MetaData, pedigree: sa.MetaData) -> None:
    assert repr(Diagram(blobs, progress={"Detection": (1, 3)})) == (
        "Diagram of 5 tables\n"
        "  Image            manual\n"
        "  BlobParamSet     lookup\n"
        "  Detection        computed  2 / 3  <- Image, BlobParamSet\n"
        "  Detection.Blob   part             <- Detection\n"
        "  SelectDetection  manual           <- Image, (Detection)"
    )
    assert "<- Mouse as pre_id, Mouse as post_id" in repr(Diagram(pedigree))
    assert repr(Diagram()) == "Diagram of 0 tables"


def test_the_listing_never_fails(blobs: sa.MetaData, monkeypatch: pytest.MonkeyPatch) -> None:
    diagram = Diagram(blobs)
    monkeypatch.setattr("compdb.diagram.scene._node", lambda *_: 1 / 0)
    assert repr(diagram) == "<Diagram of 5 tables that cannot be listed: division by zero>"
