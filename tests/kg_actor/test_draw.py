from __future__ import annotations

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from envs import Catalogue, InputError, InteractionTable
from kg_actor import KnowledgeGraph, MergeKey
from kg_actor.draw import draw
from kg_actor.drawing.files import inline_svg
from kg_actor.drawing.layout import places
from kg_actor.drawing.picture import Picture
from kg_actor.drawing.selection import Sketch, sketch
from kg_actor.drawing.style import INK
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


def drawn(part: Sketch) -> str:
    return inline_svg(Picture(part).figure, "graph", part.caption)


# Which part of a graph is drawn


def test_the_most_misdetected_signatures_lead_and_one_that_matched_nothing_is_left_out(
    small: KnowledgeGraph,
) -> None:
    assert sketch(small).signatures == (0, 1, 2, 3)


def test_signatures_on_which_another_action_would_earn_more_lead_by_their_flows() -> None:
    graph = graph_of(
        ["DoS", "DoS", "DoS", "DoS"],
        [
            (0, "Audit", "DoS", 900),
            (0, "Audit", "Benign", 100),  # the most misdetected flows, yet filtering is right
            (1, "Audit", "Benign", 2),
            (2, "Audit", "DoS", 30),
            (2, "Audit", "Benign", 61),
            (3, "Audit", "DoS", 5000),
        ],
    )

    part = sketch(graph)

    assert part.signatures == (2, 1, 0, 3)
    assert "Acting on the detected type is not the best on 2 of 4 signatures" in part.caption


def test_types_take_turns_where_nothing_was_misdetected() -> None:
    predicted = ["Benign"] * 20 + ["DoS"]
    met: list[Met] = [(i, "Audit", "Benign", 900 - i) for i in range(20)]
    graph = graph_of(predicted, [*met, (20, "Audit", "DoS", 5)])

    part = sketch(graph)

    assert part.signatures == (0, 20, *range(1, 11))
    assert part.caption.startswith("Drawn: 12 of 21 signatures, first those on which")


def test_of_each_type_the_best_actions_are_drawn_and_none_of_a_negative_record_beside_them(
    small: KnowledgeGraph,
) -> None:
    edges = {(a, b) for a, b, data in sketch(small).view.edges(data=True) if "mean_reward" in data}

    # 'Audit' is the third best of DoS and never fits Benign.
    assert edges == {
        ("type:Benign", "action:No Action"),
        ("type:DoS", "action:Filter Network Traffic"),
        ("type:DoS", "action:Network Segmentation"),
    }


def test_a_signature_stands_with_its_type_all_of_its_actions_and_what_its_flows_really_were(
    small: KnowledgeGraph,
) -> None:
    part = sketch(small, signature=0)

    assert sorted(part.view) == [
        "action:Audit",
        "action:No Action",
        "signature:0",
        "type:Benign",
        "type:DDoS",
    ]
    assert part.caption.startswith(
        "Signature 0 predicts Benign. Of its 100 flows, 40 were of another type. 60 % of its flows "
        "were Benign: No Action, the best action for Benign, is expected to earn +1.00 per flow, "
        "no other more."
    )
    assert {"B 0.598", "sig 0: 40 %", "+4.60", "−5.00"} <= set(texts(drawn(part)))


def test_a_caption_says_why_another_action_than_the_detected_types_best_is_better() -> None:
    graph = graph_of(["DoS"], [(0, "Audit", "Benign", 61), (0, "Audit", "DoS", 39)])

    assert (
        "61 % of its flows were Benign: No Action is expected to earn +1.10 per flow, "
        "Filter Network Traffic, the best action for DoS, −1.10."
    ) in sketch(graph, signature=0).caption


def test_a_type_stands_with_its_most_telling_signatures() -> None:
    met: list[Met] = [(i, "No Action", "Benign", 10 + i) for i in range(20)]
    part = sketch(graph_of(["Benign"] * 20, [*met, (3, "Audit", "DoS", 1)]), traffic="Benign")

    assert part.signatures == (3, *range(19, 8, -1))
    assert part.caption.startswith("Around Benign: 12 of the 20 signatures that predict it, first")


def test_what_has_met_no_flow_is_drawn_too(small: KnowledgeGraph) -> None:
    assert "It has matched no flow yet" in sketch(small, signature=4).caption
    assert {"type:Web", "signature:4"} <= set(sketch(small, traffic="Web").view)


def test_a_type_that_was_only_taught_about_is_drawn_with_what_was_taught(
    small: KnowledgeGraph,
) -> None:
    small.teach([Lesson("FTP-Patator", "Password Policies", 5.0, 20.0, "a feed")])

    part = sketch(small, traffic="FTP-Patator")

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

    part = sketch(graph, signature=0)

    assert "action:Filter Network Traffic" in part.view
    assert "action:Password Policies" not in part.view


# How it is drawn


def test_every_node_of_the_view_is_drawn_once_and_every_edge_is_told_in_words(
    small: KnowledgeGraph,
) -> None:
    part = sketch(small)
    result = Picture(part)

    svg = inline_svg(result.figure, "graph", part.caption)
    assert sorted(re.findall(r'id="graph-(n\d+)"', svg)) == sorted(result.ids.values())
    assert {"Benign", "DDoS", "DoS", "Web", "No Action", "0", "3"} <= set(texts(svg))
    ids = result.ids
    told = result.titles[f"{ids['type:Benign']}-{ids['type:DDoS']}"]
    assert told == "Benign → DDoS: share of flows really of the other type, sig 0: 40 %"
    told = result.titles[f"{ids['signature:0']}-{ids['type:Benign']}"]
    assert told == "0 → Benign: confidence 0.5980, 100 flows"  # (1 + 60) / (2 + 100)
    told = result.titles[f"{ids['type:Benign']}-{ids['action:No Action']}"]
    assert told == "Benign → No Action: mean reward +4.60, 1,000 flows"


def test_rewards_are_coloured_by_the_range_of_the_graphs_catalogue() -> None:
    classes = tuple(replace(c, ranking=c.ranking[:1]) for c in PAPER.classes)
    met: list[Met] = [(0, "Filter Network Traffic", "DoS", 9), (0, "Audit", "DoS", 9)]
    graph = graph_of(["DoS"], met, Catalogue(classes=classes, actions=PAPER.actions))
    graph.catalogue.__dict__["rewards"] = np.where(graph.catalogue.rewards > 0, 40, 20)

    svg = drawn(sketch(graph, traffic="DoS"))

    assert {"+20 mean reward", "+40 mean reward", "+20.00", "+40.00"} <= set(texts(svg))
    assert "stroke: #1f78b4" in svg
    assert "stroke: #d55e00" in svg


def test_names_are_text_and_never_markup_or_mathematics() -> None:
    odd = "<b>$x^2$ & co"
    classes = tuple(replace(c, name=odd) if c.name == "DoS" else c for c in PAPER.classes)
    graph = graph_of(
        ["DoS"], [(0, "Audit", "DoS", 1)], Catalogue(classes=classes, actions=PAPER.actions)
    )
    graph.teach([Lesson(odd, "Audit", 4.0, 10.0, f"SOC {odd}")])

    svg = drawn(sketch(graph))

    assert {"<b>$x^2$ &", f"dotted: taught, in part or whole, by SOC {odd}"} <= set(texts(svg))
    assert "<b>" not in svg


def test_inline_svg_takes_its_colours_from_the_page_and_its_ids_from_its_name(
    small: KnowledgeGraph,
) -> None:
    svg = drawn(sketch(small))

    assert INK not in svg
    assert "currentColor" in svg
    assert svg.startswith('<svg role="img" aria-label="Drawn: ')
    assert all(i.startswith("graph-") for i in re.findall(r'\bid="([^"]*)"', svg))


def boxes_that_overlap(figure: Figure) -> list[tuple[str, str]]:
    """Texts that cover each other, and labels of edges that a node covers."""
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    found = [(t.get_text(), t.get_window_extent(renderer)) for t in figure.axes[0].texts]
    for text in figure.axes[0].texts:
        if re.fullmatch(r"n\d+", text.get_gid() or ""):
            outline = text.get_bbox_patch()
            assert outline is not None
            text.update_bbox_position_size(renderer)
            found.append((f"shape of {text.get_text()}", outline.get_window_extent(renderer)))
    return [
        (one, other)
        for i, (one, a) in enumerate(found)
        for other, b in found[i + 1 :]
        if a.overlaps(b) and other != f"shape of {one}"
    ]


def confused_with_all(predicted: str | None) -> KnowledgeGraph:
    """All actions of all types, and misdetections of each type or from one to all others."""
    names = list(PAPER.class_names)
    met: list[Met] = []
    for i, name in enumerate(names):
        met += [(i, action, name, 10 + j) for j, action in enumerate(PAPER.action_names)]
        met.append((CLASS[predicted] if predicted else i, "Audit", predicted or "Benign", i + 1))
        met.append((CLASS[predicted] if predicted else i, "Audit", name, i + 1))
    return graph_of(names, met)


def test_no_label_covers_another_or_stands_under_a_node() -> None:
    assert boxes_that_overlap(Picture(sketch(confused_with_all(None))).figure) == []
    around = sketch(confused_with_all("Benign"), traffic="Benign")
    assert (
        len([edge for edge in around.view.edges(data=True) if edge[2]["kind"] == "confused"]) == 7
    )
    assert boxes_that_overlap(Picture(around, around.caption).figure) == []


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
    part = sketch(refuting, signature=0)

    assert part.refuted == {"action:Audit"}
    assert "Faded (1): actions with a negative record" in part.caption
    svg = drawn(part)
    assert "faded: negative record, left out of the prompt" in texts(svg)
    boxes = re.findall(r'id="graph-n\d+">\s*<g id="[^"]*">\s*<path [^>]*style="([^"]*)"', svg)
    assert sorted("opacity" in style for style in boxes) == [False] * 5 + [True]


def test_an_edge_tells_what_is_expected_on_the_signature_asked_about(
    refuting: KnowledgeGraph,
) -> None:
    told = Picture(sketch(refuting, signature=0)).titles.values()

    # (80 * -5 + 40 * 5) / 120 and (80 * 5 - 40 * 5) / 120
    for action, expected in (("Filter Network Traffic", "−1.67"), ("No Action", "+1.67")):
        end = f"; on this signature's flows, {expected} is expected"
        assert any(t.startswith(f"Benign → {action}: mean") and t.endswith(end) for t in told)


def test_taught_edges_are_dotted_and_the_key_names_who_taught(small: KnowledgeGraph) -> None:
    assert not any("taught" in text for text in texts(drawn(sketch(small, traffic="DoS"))))

    small.teach(Lesson("DoS", "Audit", 4.0, 10.0, source) for source in ("a feed", "SOC <i>"))

    told = "dotted: taught, in part or whole, by SOC <i>, a feed"
    assert told in texts(drawn(sketch(small, traffic="DoS")))
    assert told in texts(drawn(sketch(small)))


def test_every_label_stays_within_the_picture() -> None:
    long = "A name that goes on and on, " * 8
    actions = tuple(replace(a, name=long) if a.name == "Audit" else a for a in PAPER.actions)
    graph = graph_of(
        ["DoS"], [(0, "Audit", "DoS", 1)], Catalogue(classes=PAPER.classes, actions=actions)
    )
    graph.teach([Lesson("DoS", long, 4.0, 10.0, "W " * 49 + "W")])
    part = sketch(graph, signature=0)

    figure = Picture(part, part.caption).figure

    figure.canvas.draw()
    legend = figure.axes[0].get_legend()
    assert legend is not None
    for text in (*figure.axes[0].texts, *legend.get_texts()):
        box = text.get_window_extent()
        assert box.x0 >= 0, text.get_text()
        assert box.x1 <= figure.bbox.width, text.get_text()
        assert box.y0 >= 0, text.get_text()


# Files


@pytest.mark.parametrize("wish", [{}, {"signature": 0}, {"traffic": "DoS"}])
def test_draw_writes_a_picture_by_suffix_the_same_for_the_same_graph(
    small: KnowledgeGraph, tmp_path: Path, wish: dict[str, Any]
) -> None:
    svg = draw(small, tmp_path / "graph.svg", note="Synthetic.", **wish).read_bytes()
    png = draw(small, tmp_path / "graph.PNG", **wish).read_bytes()

    assert draw(small, tmp_path / "graph.svg", note="Synthetic.", **wish).read_bytes() == svg
    assert any(text.startswith("Synthetic. ") for text in texts(svg.decode()))
    assert png.startswith(b"\x89PNG")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["graph.PNG", "graph.svg"]


def test_the_layout_does_not_depend_on_the_hashes_of_names() -> None:
    code = "from tests.kg_actor.test_draw import *; print(places(sketch(confused_with_all(None))))"
    here = f"{places(sketch(confused_with_all(None)))}\n"

    for seed in ("1", "2"):
        env = os.environ | {"PYTHONHASHSEED": seed}
        assert subprocess.check_output([sys.executable, "-c", code], env=env, text=True) == here


def test_what_cannot_be_drawn_is_refused_before_anything_is_written(
    small: KnowledgeGraph, tmp_path: Path
) -> None:
    for name, wish, complaint in (
        ("a.svg", {"signature": 5}, r"no signature 5\. Expected an id from 0 to 4"),
        ("a.png", {"signature": -1}, r"no signature -1"),
        ("a.html", {"traffic": "Dos"}, r"no traffic type 'Dos'\. Expected one of PortScan, DoS"),
        ("a.svg", {"traffic": "FTP-Patator"}, "nothing is known of traffic type 'FTP-Patator'"),
        ("a.svg", {"signature": 0, "traffic": "DoS"}, "are both given"),
        ("a.pdf", {"signature": 0}, r"neither \.html, \.svg nor \.png"),
    ):
        with pytest.raises(InputError, match=complaint):
            draw(small, tmp_path / name, **wish)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the graph is empty"):
        draw(KnowledgeGraph(small.predicted, PAPER), tmp_path / "a.svg")
    with pytest.raises(ValueError, match="5 signatures need as many rules, not 1"):
        draw(small, tmp_path / "a.html", rules=["any flow"])
    assert not list(tmp_path.iterdir())
