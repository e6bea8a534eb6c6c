"""The layered drawing: what must hold of every picture, on 50 random pipelines of 40 tables and on arbitrary graphs."""

from __future__ import annotations

import json
import random
import shutil
from functools import cache
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compdb.diagram import Diagram
from compdb.diagram.graphviz import render
from compdb.diagram.layered.draw import draw
from compdb.diagram.layered.geometry import Drawing, Line, Route, Size
from compdb.diagram.layered.mesh import build
from compdb.diagram.layered.order import arrange
from compdb.diagram.layered.order import crossings as order_crossings
from compdb.diagram.layered.ports import ports_of
from compdb.diagram.layered.simplex import Span, solve
from compdb.diagram.scene import Scene

from . import conftest, geometry

SEEDS = range(50)


@cache
def pipeline(seed: int) -> tuple[Scene, Drawing]:
    return Diagram(conftest.random_pipeline(seed)).layout()


def lines_of(scene: Scene) -> list[Line]:
    return [Line(link.parent, link.child) for link in scene.links]


@pytest.mark.parametrize("seed", SEEDS)
def test_boxes_keep_apart_and_lines_go_around_them(seed: int) -> None:
    scene, drawing = pipeline(seed)
    assert len(drawing.boxes) == 40
    assert not geometry.overlapping(drawing)
    assert not geometry.outside(drawing)
    assert not geometry.run_through(drawing)
    assert not geometry.loose(drawing, lines_of(scene))


def test_children_stand_below_their_parents() -> None:
    for seed in SEEDS:
        scene, drawing = pipeline(seed)
        links = [link for link in scene.links if link.parent != link.child]
        assert len(links) >= 20
        for link in links:
            assert drawing.boxes[link.parent].bottom < drawing.boxes[link.child].y


def by_graphviz(scene: Scene, drawing: Drawing) -> list[Route]:
    """Return the routes of graphviz's own layout, of the same boxes and links."""
    boxes = [f'{i} [width="{b.width / 72}", height="{b.height / 72}"]' for i, b in enumerate(drawing.boxes)]
    links = [f"{k.parent} -> {k.child}" for k in scene.links if k.parent != k.child]
    node = 'node [shape=box, fixedsize=true, label=""]; edge [dir=none]'
    found = render(f"digraph {{ {node}; {'; '.join([*boxes, *links])} }}", "json")
    assert found is not None
    return [Route(tuple(tuple(map(float, p.split(","))) for p in e["pos"].split())) for e in json.loads(found)["edges"]]


@pytest.mark.skipif(
    shutil.which("dot") is None, reason="graphviz's dot is not installed: crossings are not compared with it"
)
def test_lines_cross_at_most_half_as_often_again_as_graphviz_draws_them(record_property: pytest.FixtureRequest) -> None:
    counts = []
    for seed in SEEDS:
        scene, drawing = pipeline(seed)
        ours = [r for r, link in zip(drawing.routes, scene.links) if link.parent != link.child]
        counts.append((geometry.crossings(ours), geometry.crossings(by_graphviz(scene, drawing))))
    record_property("crossings (ours, graphviz)", [sum(c) for c in zip(*counts)])
    assert [(seed, *count) for seed, count in enumerate(counts) if count[0] > 1.5 * count[1]] == []
    assert sum(ours for ours, _ in counts) <= sum(theirs for _, theirs in counts)


sizes = st.builds(Size, st.integers(10, 80).map(lambda w: 2 * w), st.integers(20, 60))
labels = st.none() | st.builds(Size, st.integers(15, 40).map(lambda w: 2 * w), st.just(16))


@st.composite
def graphs(draw_: st.DrawFn) -> tuple[list[Size], list[Line]]:
    """Any graph: circles, loops, several lines between two boxes, pieces; a label on every loop, as renamed columns need."""
    boxes = draw_(st.lists(sizes, min_size=1, max_size=12))
    numbers = st.integers(0, len(boxes) - 1)
    lines = draw_(st.lists(st.builds(Line, numbers, numbers, st.integers(1, 3), labels), max_size=20))
    loops = dict.fromkeys(range(len(boxes)), 0)
    kept = []
    for line in lines:
        if line.tail == line.head:
            loops[line.tail] += 1
            if not line.label or loops[line.tail] > 3:
                continue
        kept.append(line)
    return boxes, kept


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_any_graph_is_drawn_without_overlaps(graph: tuple[list[Size], list[Line]]) -> None:
    drawing = draw(*graph)
    assert [Size(b.width, b.height) for b in drawing.boxes] == graph[0]
    assert not geometry.overlapping(drawing)
    assert not geometry.outside(drawing)
    assert not geometry.run_through(drawing)
    assert not geometry.loose(drawing, graph[1])


def test_a_chain_and_a_fan_are_drawn_straight_and_centred() -> None:
    chain = draw([Size(60, 30)] * 3, [Line(0, 1), Line(1, 2)])
    assert len({b.centre[0] for b in chain.boxes}) == 1
    fan = draw([Size(60, 30)] * 4, [Line(0, 1), Line(0, 2), Line(0, 3)])
    assert fan.boxes[0].centre[0] == sorted(b.centre[0] for b in fan.boxes[1:])[1]


def test_a_small_jog_is_taken_out_where_the_box_has_room() -> None:
    mesh = build([Size(80, 30), Size(80, 30), Size(80, 30)], [Line(0, 1), Line(0, 2)], [0, 1, 1])
    ports = ports_of(mesh)
    assert ports.leaving == {(0, 0): -7, (1, 0): 7}

    def aside(line: int, x: list[int]) -> int:
        start, end = ports.straightened(mesh, x).ends(x, line, 0, line + 1)
        return end - start

    assert (aside(0, [100, 88, 200]), aside(1, [100, 88, 200])) == (0, 93)
    assert aside(1, [100, 0, 118]) == 0
    assert aside(1, [100, 0, 100]) == 0


def test_a_line_upwards_in_a_circle_still_leads_from_its_tail_to_its_head() -> None:
    drawing = draw([Size(60, 30)] * 2, [Line(0, 1), Line(1, 0)])
    assert drawing.routes[1].points[0][1] == drawing.boxes[1].y
    assert drawing.routes[1].points[-1][1] == drawing.boxes[0].bottom


def test_pieces_that_nothing_connects_fill_rows() -> None:
    drawing = draw([Size(100, 30)] * 30, [])
    assert len({b.y for b in drawing.boxes}) > 3
    assert drawing.width < 1.9 * drawing.height * 100 / 30


def test_nothing_is_drawn_of_nothing() -> None:
    assert draw([], []).boxes == ()


@pytest.mark.parametrize("seed", range(60))
def test_network_simplex_finds_the_shortest_of_all_positions(seed: int) -> None:
    chance = random.Random(seed)
    count = chance.randint(2, 5)
    pairs = [(chance.randrange(i), i) for i in range(1, count)]
    pairs += [tuple(sorted(chance.sample(range(count), 2))) for _ in range(count)]
    spans = [Span(a, b, chance.randint(0, 2), chance.randint(0, 3)) for a, b in pairs]

    def cost(at: tuple[int, ...]) -> float:
        fits = all(at[s.head] - at[s.tail] >= s.length for s in spans)
        return sum(s.weight * (at[s.head] - at[s.tail]) for s in spans) if fits else float("inf")

    best = min(map(cost, product(range(2 * count - 1), repeat=count)))
    assert cost(tuple(solve(count, spans))) == best
    assert cost(tuple(solve(count, spans, centred=True))) == best


def test_centred_takes_the_middle_of_equally_good_positions() -> None:
    spans = [Span(0, 1, 0, 1), Span(1, 2, 0, 1), Span(0, 2, 10, 1)]
    assert solve(3, spans, centred=True) == [0, 5, 10]


def test_the_order_of_layers_without_a_crossing_is_found() -> None:
    chance = random.Random(1)
    for _ in range(20):  # trees, shuffled
        layers, down = [[0]], [[]]
        for _ in range(4):
            layers.append([])
            for parent in layers[-2]:
                for _ in range(chance.choice((1, 1, 2, 3))):
                    down[parent].append(len(down))
                    layers[-1].append(len(down))
                    down.append([])
        for layer in layers:
            chance.shuffle(layer)
        assert order_crossings(arrange(layers, down), down) == 0


def test_crossings_are_counted_as_pairs_of_lines_in_opposite_order() -> None:
    assert order_crossings([[0, 1], [2, 3]], [[2, 3], [2, 3], [], []]) == 1
    assert order_crossings([[0, 1], [2, 3]], [[3, 3], [2], [], []]) == 2
