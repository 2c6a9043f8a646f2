from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from envs import Catalogue, InputError, InteractionTable
from kg_actor import KnowledgeGraph, MergeKey, draw
from kg_actor.lessons import Lesson

PAPER = Catalogue.named("paper")

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


# What is connected to one signature, or to one type


def drawn(part: draw.Sketch) -> str:
    return draw.inline_svg(draw.picture(part), "graph", part.caption)


def test_a_signature_stands_with_its_type_all_of_its_actions_and_what_its_flows_really_were(
    small: KnowledgeGraph,
) -> None:
    part = draw.around(small, signature=0)

    assert sorted(part.view) == [
        "action:Audit",
        "action:No Action",
        "signature:0",
        "type:Benign",
        "type:DDoS",
    ]
    assert part.caption.startswith(
        "Around signature 0, which predicts Benign: of 100 flows, 40 flows of another type."
    )
    said = texts(drawn(part))
    assert {"B 0.598", "sig 0: 40 %", "+4.60", "−5.00"} <= set(said)


def test_a_type_stands_with_the_most_misdetected_of_its_signatures(small: KnowledgeGraph) -> None:
    part = draw.around(small, traffic="Benign", signatures=1)

    assert [name for name in part.view if name.startswith("signature")] == ["signature:0"]
    assert "1 of the 2 signatures that predict it, those with the most misdetected" in part.caption


def test_what_has_met_no_flow_is_drawn_too(small: KnowledgeGraph) -> None:
    assert "it has matched no flow yet" in draw.around(small, signature=4).caption
    assert {"type:Web", "signature:4"} <= set(draw.around(small, traffic="Web").view)


def test_a_type_that_was_only_taught_about_is_drawn_with_what_was_taught(
    small: KnowledgeGraph,
) -> None:
    small.teach([Lesson("FTP-Patator", "Password Policies", 5.0, 20.0, "a feed")])

    part = draw.around(small, traffic="FTP-Patator")

    assert set(part.view) == {"type:FTP-Patator", "action:Password Policies"}
    assert "+5.00" in texts(drawn(part))


def test_the_best_action_of_the_other_type_is_drawn_and_what_supports_nothing_is_not() -> None:
    graph = graph_of(
        ["Benign", "DDoS"],
        [
            (0, "No Action", "Benign", 9),
            (0, "No Action", "DDoS", 1),
            (1, "Filter Network Traffic", "DDoS", 5),
            (1, "Password Policies", "DDoS", 5),
        ],
    )

    part = draw.around(graph, signature=0)

    assert "action:Filter Network Traffic" in part.view
    assert "action:Password Policies" not in part.view


@pytest.fixture
def refuting() -> KnowledgeGraph:
    """Under Benign two actions failed; 'Filter Network Traffic' is right for DDoS, though."""
    return graph_of(
        ["Benign", "DDoS"],
        [
            (0, "No Action", "Benign", 60),
            (0, "No Action", "DDoS", 40),
            (0, "Filter Network Traffic", "Benign", 10),
            (0, "Audit", "Benign", 10),
            (1, "Filter Network Traffic", "DDoS", 10),
        ],
    )


def test_actions_that_the_filter_leaves_out_are_faded(refuting: KnowledgeGraph) -> None:
    part = draw.around(refuting, signature=0)

    assert part.refuted == {"action:Audit"}
    assert "1 action has a negative record" in part.caption
    svg = drawn(part)
    assert "faded: negative record, left out of the prompt" in texts(svg)
    boxes = re.findall(r'id="graph-node-action-\d+">\s*<path [^>]*style="([^"]*)"', svg)
    assert sorted("opacity" in style for style in boxes) == [False, False, True]


def test_taught_edges_are_dotted_and_the_key_names_who_taught(small: KnowledgeGraph) -> None:
    assert not any("taught" in text for text in texts(drawn(draw.around(small, traffic="DoS"))))

    small.teach(
        Lesson("DoS", "Audit", 4.0, 10.0, source) for source in ("a feed", "SOC <i>", "x" * 90, "y")
    )

    said = texts(drawn(draw.around(small, traffic="DoS")))
    cut = "x" * 29 + "…"
    assert f"dotted: taught, in part or whole (by SOC <i>, a feed, {cut} and 1 more)" in said
    whole = draw.sketch(small)
    assert any("dotted: taught" in text for text in texts(drawn(whole)))


def test_no_label_covers_another_around_a_type_that_is_confused_with_all_others() -> None:
    names = list(PAPER.class_names)
    met: list[Met] = []
    for i, name in enumerate(names):
        met += [(i, action, name, 10 + j) for j, action in enumerate(PAPER.action_names)]
        met.append((CLASS["Benign"], "Audit", name, i + 1))
    part = draw.around(graph_of(names, met), traffic="Benign")

    assert boxes_that_overlap(draw.picture(part)) == []


def test_every_label_stays_within_the_picture() -> None:
    long = "A name that goes on and on, " * 8
    actions = tuple(replace(a, name=long) if a.name == "Audit" else a for a in PAPER.actions)
    graph = graph_of(
        ["DoS"], [(0, "Audit", "DoS", 1)], Catalogue(classes=PAPER.classes, actions=actions)
    )

    figure = draw.picture(draw.around(graph, signature=0))

    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    for text in figure.axes[0].texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0, text.get_text()
        assert box.x1 <= figure.bbox.width, text.get_text()


def test_draw_neighbourhood_writes_svg_or_png_the_same_for_the_same_graph(
    small: KnowledgeGraph, tmp_path: Path
) -> None:
    one = draw.draw_neighbourhood(small, tmp_path / "a.svg", signature=0).read_bytes()

    assert draw.draw_neighbourhood(small, tmp_path / "a.svg", signature=0).read_bytes() == one
    assert any(text.startswith("Around signature 0") for text in texts(one.decode()))
    png = draw.draw_neighbourhood(small, tmp_path / "b.PNG", traffic="DoS").read_bytes()
    assert png.startswith(b"\x89PNG")


def test_what_cannot_be_drawn_is_refused_before_anything_is_written(
    small: KnowledgeGraph, tmp_path: Path
) -> None:
    path = tmp_path / "a.svg"
    with pytest.raises(InputError, match=r"no signature 5\. Expected an id from 0 to 4"):
        draw.draw_neighbourhood(small, path, signature=5)
    with pytest.raises(InputError, match=r"no signature -1"):
        draw.draw_neighbourhood(small, path, signature=-1)
    with pytest.raises(InputError, match=r"no traffic type 'Dos'\. Expected one of PortScan, DoS"):
        draw.draw_neighbourhood(small, path, traffic="Dos")
    with pytest.raises(InputError, match="nothing is known of traffic type 'FTP-Patator'"):
        draw.draw_neighbourhood(small, path, traffic="FTP-Patator")
    with pytest.raises(InputError, match=r"neither in \.svg nor in \.png"):
        draw.draw_neighbourhood(small, tmp_path / "a.pdf", signature=0)
    for both_or_none in ({}, {"signature": 0, "traffic": "DoS"}):
        with pytest.raises(ValueError, match="one of them"):
            draw.draw_neighbourhood(small, path, **both_or_none)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
