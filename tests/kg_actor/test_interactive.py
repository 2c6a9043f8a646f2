from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import Catalogue, InputError, InteractionTable
from envs.errors import printable
from kg_actor import KnowledgeGraph, MergeKey
from kg_actor.interactive import write_page
from kg_actor.lessons import Lesson

PAPER = Catalogue.named("paper")

CLASS = {name: PAPER.class_index(name) for name in PAPER.class_names}
ACTION = {name: i for i, name in enumerate(PAPER.action_names)}
RULES = ["Flow Duration > 5 and Total Fwd Packets <= 3", "any flow"]


def graph_of(catalogue: Catalogue = PAPER) -> KnowledgeGraph:
    """Signature 0 takes 100 flows for Benign, 40 of which are DDoS; signature 1 is right."""
    predicted = np.array([CLASS["Benign"], CLASS["DDoS"]], np.int8)
    graph = KnowledgeGraph(predicted, catalogue)
    met = [
        (0, "No Action", "Benign", 60),
        (0, "No Action", "DDoS", 40),
        (0, "Audit", "Benign", 1000),
        (1, "Filter Network Traffic", "DDoS", 70),
    ]
    rows = [(s, ACTION[action], CLASS[actual], n) for s, action, actual, n in met]
    graph.merge(InteractionTable.tally(*zip(*rows, strict=True)), MergeKey("run", 1, 0))
    return graph


class Page(HTMLParser):
    """What a browser makes of a page: its elements, and the text within each record."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.records: dict[str, list[str]] = {}
        self.scripts: list[str] = []
        self.said: list[str] = []
        self._record: list[str] | None = None
        self._script = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "article":
            self._record = self.records.setdefault(str(dict(attrs)["id"]), [])
        if tag == "script":
            self.scripts.append("")
            self._script = True

    def handle_endtag(self, tag: str) -> None:
        self._record = None if tag == "article" else self._record
        self._script = self._script and tag != "script"

    def handle_data(self, data: str) -> None:
        if self._script:
            self.scripts[-1] += data
        else:
            self.said.append(data)
            if self._record is not None:
                self._record.append(data)

    @property
    def elements(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = json.loads(self.scripts[0])
        return found

    def record(self, name: str) -> list[str]:
        (node,) = (node["id"] for node in self.elements["nodes"] if node["name"] == name)
        return self.records[node]

    def values(self, attribute: str) -> Iterable[str]:
        return [str(attrs[attribute]) for _, attrs in self.tags if attribute in attrs]


def page_of(graph: KnowledgeGraph, folder: Path, **wish: Any) -> Page:  # noqa: ANN401
    return Page(write_page(graph, folder / "graph.html", **wish).read_text(encoding="utf-8"))


def test_a_page_draws_the_neighbourhood_asked_for(tmp_path: Path) -> None:
    drawn = page_of(graph_of(), tmp_path, signature=1).elements

    assert {node["name"] for node in drawn["nodes"]} == {"1", "DDoS", "Filter Network Traffic"}
    assert sorted(edge["kind"] for edge in drawn["edges"]) == ["earned", "predicts"]
    ids = {node["id"] for node in drawn["nodes"]}
    assert all({edge["source"], edge["target"]} <= ids for edge in drawn["edges"])


def test_without_a_wish_it_draws_what_tells_most_of_the_whole_graph(tmp_path: Path) -> None:
    page = page_of(graph_of(), tmp_path)

    assert len(page.elements["nodes"]) == 7
    assert any("2 of 2 signatures" in text for text in page.said)


def test_a_signatures_record_tells_its_rule_counters_and_confusions(tmp_path: Path) -> None:
    record = page_of(graph_of(), tmp_path, signature=0, rules=RULES).record("0")

    facts = dict(zip(record[2:12:2], record[3:12:2], strict=True))
    assert facts == {
        "Predicts": "Benign",
        "Rule": RULES[0],
        "N, flows matched": "1,100",
        "C, of them right": "1,060",
        "B, confidence": "0.9628",  # 1061 / 1102
    }
    place = record.index("What its flows really were")
    assert record[place + 5 : place + 9] == ["DDoS", "40", "3.6 %", "Filter Network Traffic"]


def test_a_types_record_ranks_its_actions_and_says_who_taught(tmp_path: Path) -> None:
    graph = graph_of()
    graph.teach([Lesson("Benign", "No Action", 5.0, 25.0, "SOC & co")])

    record = page_of(graph, tmp_path, traffic="Benign").record("Benign")

    # No Action: (60 * 5 - 40 * 5 + 25 * 5) / 125 = 1.8; Audit never fits Benign.
    place = record.index("No Action")
    assert record[place : place + 8] == [
        *("No Action", "+1.80", "100", "25 flows by SOC & co"),
        *("Audit", "−5.00", "1,000", "–"),
    ]


def test_an_actions_record_links_to_attack_and_tells_what_it_earned(tmp_path: Path) -> None:
    page = page_of(graph_of(), tmp_path, signature=0)

    record = page.record("Filter Network Traffic")
    assert "M1037" in record
    assert record[-4:] == ["DDoS", "+5.00", "70", "–"]
    assert "https://attack.mitre.org/mitigations/M1037/" in page.values("href")


def test_faded_are_the_actions_that_the_filter_leaves_out(tmp_path: Path) -> None:
    page = page_of(graph_of(), tmp_path, signature=0)

    assert [n["name"] for n in page.elements["nodes"] if n["faded"]] == ["Audit"]
    assert page.record("0")[-5:] == ["Audit", "−5.00", "1,000", "–", "left out"]


def test_a_note_is_shown_where_it_is_given(tmp_path: Path) -> None:
    note = "Synthetic flows: generated, not recorded"

    assert note in page_of(graph_of(), tmp_path, note=note).said
    assert note not in page_of(graph_of(), tmp_path).said


def test_nothing_is_fetched_and_links_lead_to_attack_or_within_the_page(tmp_path: Path) -> None:
    page = page_of(graph_of(), tmp_path)

    assert not list(page.values("src"))
    links = [link for link in page.values("href") if not link.startswith("#")]
    assert all(link == "data:," or link.startswith("https://attack.mitre.org/") for link in links)
    (policy,) = (attrs["content"] for _, attrs in page.tags if "http-equiv" in attrs)
    assert str(policy).startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in str(policy)


def test_the_bundled_library_is_the_one_that_its_readme_names() -> None:
    folder = resources.files("kg_actor").joinpath("vendor/cytoscape")

    library = hashlib.sha256(folder.joinpath("cytoscape.min.js").read_bytes()).hexdigest()
    assert library in folder.joinpath("README.md").read_text(encoding="utf-8")
    assert folder.joinpath("LICENSE").is_file()


def test_the_page_carries_the_licence_of_the_library(tmp_path: Path) -> None:
    page_text = write_page(graph_of(), tmp_path / "graph.html").read_text(encoding="utf-8")

    assert "Copyright (c) 2016-2026, The Cytoscape Consortium." in page_text


def test_the_same_graph_gives_the_same_file(tmp_path: Path) -> None:
    one = write_page(graph_of(), tmp_path / "a.html", traffic="Benign").read_bytes()

    assert write_page(graph_of(), tmp_path / "b.html", traffic="Benign").read_bytes() == one


def renamed(name: str, attack_id: str | None = "M1047") -> Catalogue:
    """The paper's catalogue with one class and one action called otherwise."""
    return Catalogue(
        classes=tuple(replace(c, name=name) if c.name == "Benign" else c for c in PAPER.classes),
        actions=tuple(
            replace(a, name=f"{name}!", attack_id=attack_id) if a.name == "Audit" else a
            for a in PAPER.actions
        ),
    )


@given(
    st.one_of(
        st.text(min_size=1, max_size=30),
        st.lists(
            st.sampled_from(
                ["</script>", "<!--", "<script>", "]]>", '"', "'", "&lt;", "\u2028", "\u202e", "\\"]
            ),
            min_size=1,
        ).map("".join),
    )
)
def test_hostile_names_change_no_markup(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    folder = tmp_path_factory.mktemp("page")
    plain = page_of(graph_of(), folder, signature=0, rules=RULES)
    odd = page_of(
        graph_of(renamed(name)), folder, signature=0, rules=[name, name], title=name, note=None
    )

    def markup(page: Page) -> list[tuple[str, list[str]]]:
        # An action's name may be shortened, but only ever as text; the rest must not change.
        return [(tag, sorted(attrs)) for tag, attrs in page.tags]

    assert markup(odd) == markup(plain)
    assert odd.scripts[1:] == plain.scripts[1:]
    assert {printable(name), printable(f"{name}!")} <= {
        node["name"] for node in odd.elements["nodes"]
    }


@pytest.mark.parametrize(
    "attack_id", ["../../x", "M1047/../..", 'M1"onclick="x', "javascript:x", ""]
)
def test_an_id_that_is_not_attacks_makes_no_link(tmp_path: Path, attack_id: str) -> None:
    page = page_of(graph_of(renamed("Odd", attack_id)), tmp_path, traffic="Odd")

    links = {link for link in page.values("href") if not re.fullmatch(r"#n\d+|data:,", link)}
    assert links == {"https://attack.mitre.org/mitigations/M1037/"}  # the other action's
    assert attack_id == "" or attack_id in page.record("Odd!")


def test_bad_input_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "graph.html"

    with pytest.raises(InputError, match="no signature 7"):
        write_page(graph_of(), path, signature=7)
    with pytest.raises(InputError, match="no traffic type 'Telnet'"):
        write_page(graph_of(), path, traffic="Telnet")
    with pytest.raises(ValueError, match="one of them"):
        write_page(graph_of(), path, signature=0, traffic="DDoS")
    with pytest.raises(ValueError, match="2 signatures need as many rules, not 1"):
        write_page(graph_of(), path, rules=["any flow"])
    assert not list(tmp_path.iterdir())
