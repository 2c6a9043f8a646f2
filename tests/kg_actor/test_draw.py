from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from envs import PAPER, Catalogue, InteractionTable
from kg_actor import KnowledgeGraph, MergeKey, draw

CLASS = {name: PAPER.class_index(name) for name in PAPER.class_names}
ACTION = {name: i for i, name in enumerate(PAPER.action_names)}

Met = tuple[int, str, str, int]


def graph_of(
    predicted: list[str], met: Iterable[Met], catalogue: Catalogue = PAPER
) -> KnowledgeGraph:
    """A graph in which (signature, action, true class) happened so many times."""
    graph = KnowledgeGraph(np.array([CLASS[name] for name in predicted], np.int8), catalogue)
    rows = [(s, ACTION[action], CLASS[actual], count) for s, action, actual, count in met]
    graph.merge(InteractionTable.tally(*zip(*rows, strict=True)), MergeKey("run", 1, 0))
    return graph


@pytest.fixture
def small() -> KnowledgeGraph:
    """Signature 0 errs often, 1 errs once, 2 and 3 never; 4 has matched nothing."""
    return graph_of(
        ["Benign", "Benign", "DoS", "DoS", "Web"],
        [
            (0, "No Action", "Benign", 60),
            (0, "No Action", "DDoS", 40),
            (1, "No Action", "Benign", 900),
            (1, "Audit", "Web", 1),
            (2, "Filter Network Traffic", "DoS", 5000),
            (2, "Network Segmentation", "DoS", 10),
            (2, "Input Validation", "DoS", 10),
            (3, "Audit", "DoS", 7),
        ],
    )


def texts(svg: str) -> list[str]:
    root = ET.fromstring(svg)  # noqa: S314 (our own output)
    return [t.text or "" for t in root.iter() if t.tag.endswith("text")]


def node_kinds(svg: str) -> list[str]:
    return re.findall(r'id="graph-node-(\w+)-\d+"', svg)


def inline(graph: KnowledgeGraph, signatures: int = 12, actions: int = 3) -> str:
    part = draw.sketch(graph, signatures, actions)
    return draw.inline_svg(draw.figure(part.view), "graph", part.caption)


def test_salient_takes_the_most_misdetected_flows_first(small: KnowledgeGraph) -> None:
    assert draw.salient(small, 2) == [0, 1]


def test_salient_then_takes_the_most_flows_and_never_a_signature_that_matched_none(
    small: KnowledgeGraph,
) -> None:
    assert draw.salient(small, 99) == [0, 1, 2, 3]


def test_salient_takes_turns_between_types_where_nothing_was_misdetected() -> None:
    graph = graph_of(
        ["Benign", "Benign", "DoS"],
        [(0, "Audit", "Benign", 900), (1, "Audit", "Benign", 800), (2, "Audit", "DoS", 5)],
    )

    assert draw.salient(graph, 2) == [0, 2]
    assert "No flow in this graph was misdetected" in draw.sketch(graph).caption


def test_sketch_keeps_the_best_actions_and_the_chosen_signatures_alone(
    small: KnowledgeGraph,
) -> None:
    part = draw.sketch(small, signatures=1, actions=1)

    assert sorted(part.view) == [
        "action:Filter Network Traffic",
        "action:No Action",
        "signature:0",
        "type:Benign",
        "type:DDoS",
        "type:DoS",
        "type:Web",
    ]
    kinds = sorted(data["kind"] for *_, data in part.view.edges(data=True))
    assert kinds == ["confused", "earned", "earned", "predicts"]


def test_caption_says_what_was_left_out(small: KnowledgeGraph) -> None:
    caption = draw.sketch(small, signatures=1, actions=1).caption

    assert "1 of 4 signatures" in caption
    assert "3 signatures, 4 of 6 type to action edges and 1 of 2 misdetection edges" in caption


def test_every_node_of_the_view_is_drawn_once_with_its_label(small: KnowledgeGraph) -> None:
    svg = inline(small)

    kinds = node_kinds(svg)
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "type": 4,
        "action": 4,  # 'Input Validation' is the fourth best of DoS
        "signature": 4,
    }
    assert {"Benign", "DDoS", "DoS", "Web", "Audit", "No Action", "0", "3"} <= set(texts(svg))


def test_edges_carry_reward_confidence_and_share_of_misdetections(small: KnowledgeGraph) -> None:
    said = texts(inline(small))

    assert "sig 0: 40 %" in said
    assert "B 0.598" in said  # (1 + 60) / (2 + 100)
    assert "+4.60" in said  # No Action under Benign: (960 * 5 - 40 * 5) / 1000
    assert "+1.00" in said
    assert "−5.00" in said


def test_names_are_text_and_never_markup_or_mathematics() -> None:
    odd = "<b>$x^2$ & co"
    classes = tuple(replace(c, name=odd) if c.name == "DoS" else c for c in PAPER.classes)
    graph = graph_of(
        ["DoS"], [(0, "Audit", "DoS", 1)], Catalogue(classes=classes, actions=PAPER.actions)
    )

    svg = inline(graph)

    assert odd in texts(svg)
    assert "<b>" not in svg


def test_inline_svg_takes_its_colours_from_the_page_and_its_ids_from_its_name(
    small: KnowledgeGraph,
) -> None:
    svg = inline(small)

    assert draw.INK not in svg
    assert "currentColor" in svg
    assert svg.startswith('<svg role="img" aria-label="Drawn: ')
    assert all(i.startswith("graph-") for i in re.findall(r'\bid="([^"]*)"', svg))


def boxes_that_overlap(figure: Figure) -> list[tuple[str, str]]:
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    found = [(t.get_text(), t.get_window_extent(renderer)) for t in figure.axes[0].texts]
    return [
        (one, other)
        for i, (one, a) in enumerate(found)
        for other, b in found[i + 1 :]
        if a.overlaps(b)
    ]


def test_no_label_covers_another_in_a_graph_of_all_classes() -> None:
    names = list(PAPER.class_names)
    met: list[Met] = []
    for i, name in enumerate(names):
        met += [(i, action, name, 10 + j) for j, action in enumerate(PAPER.action_names)]
        met.append((i, "Audit", "Benign", i + 1))
    part = draw.sketch(graph_of(names, met))

    assert boxes_that_overlap(draw.figure(part.view, part.caption)) == []


def test_draw_writes_svg_or_png_by_suffix(small: KnowledgeGraph, tmp_path: Path) -> None:
    svg = draw.draw(small, tmp_path / "graph.svg").read_text()
    png = draw.draw(small, tmp_path / "graph.png").read_bytes()

    assert any(text.startswith("Drawn: 4 of 4") for text in texts(svg))
    assert png.startswith(b"\x89PNG")
    with pytest.raises(ValueError, match=r"neither in \.svg nor in \.png"):
        draw.draw(small, tmp_path / "graph.pdf")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["graph.png", "graph.svg"]


def test_the_same_graph_gives_the_same_file(small: KnowledgeGraph, tmp_path: Path) -> None:
    one = draw.draw(small, tmp_path / "graph.svg").read_bytes()

    assert draw.draw(small, tmp_path / "graph.svg").read_bytes() == one
