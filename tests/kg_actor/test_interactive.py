from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs import Catalogue, InteractionTable
from envs.errors import printable
from kg_actor import KnowledgeGraph, MergeKey
from kg_actor.draw import draw
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
            if self._record is not None and data.strip():
                self._record.append(data.strip())

    def record(self, title: str) -> list[str]:
        """The texts of one record."""
        (found,) = [record for record in self.records.values() if record[0] == title]
        return found

    @property
    def nodes(self) -> set[str]:
        """The ids of the nodes that are drawn."""
        ids = (str(attrs.get("id", "")) for _, attrs in self.tags)
        return {i.removeprefix("graph-") for i in ids if re.fullmatch(r"graph-n\d+", i)}

    def values(self, attribute: str) -> Iterable[str]:
        return [str(attrs[attribute]) for _, attrs in self.tags if attribute in attrs]


def page_of(graph: KnowledgeGraph, folder: Path, **wish: Any) -> Page:  # noqa: ANN401
    return Page(draw(graph, folder / "graph.html", **wish).read_text(encoding="utf-8"))


def test_a_page_draws_the_neighbourhood_asked_for_and_has_the_records_of_all_nodes(
    tmp_path: Path,
) -> None:
    page = page_of(graph_of(), tmp_path, signature=1)

    assert {page.records[node][0] for node in page.nodes} == {
        "Signature 1",
        "DDoS",
        "Filter Network Traffic",
    }
    titles = [record[0] for record in page.records.values()]
    assert len(titles) == len(set(titles)) == 2 + len(PAPER.classes) + len(PAPER.actions)
    assert titles[:2] == ["Signature 1", "Signature 0"]  # what is drawn comes first


def test_a_record_of_what_is_not_drawn_says_so_and_tells_the_command_that_draws_it(
    tmp_path: Path,
) -> None:
    page = page_of(graph_of(), tmp_path, signature=1, command="kirl graph show 'my run'")

    assert "Not drawn here. This draws it:" in page.record("Signature 0")
    told = {
        "Signature 0": "kirl graph show 'my run' --signature 0 --out other.html",
        "Benign": "kirl graph show 'my run' --traffic Benign --out other.html",
        "Audit": "kirl graph show 'my run' --traffic Benign --out other.html",
    }
    assert all(command in page.record(title) for title, command in told.items())
    assert "Not drawn here." in page.record("Web")  # nothing is known of it that could be
    assert not any("Not drawn" in text for text in page.record("Signature 1"))


def test_a_signatures_record_tells_its_rule_counters_and_confusions(tmp_path: Path) -> None:
    record = page_of(graph_of(), tmp_path, signature=0, rules=RULES).record("Signature 0")

    assert dict(zip(record[2:14:2], record[3:14:2], strict=True)) == {
        "Predicts": "Benign",
        "Best action": "96 % of its flows were Benign: No Action, the best action for Benign, is "
        "expected to earn +4.64 per flow, no other more.",  # (1060 - 40) * 5 / 1100
        "N, flows matched": "1,100",
        "C, of them right": "1,060",
        "B, confidence": "0.9628",  # 1061 / 1102
        "Rule": RULES[0],
    }
    place = record.index("What its flows really were")
    assert record[place + 5 : place + 9] == ["DDoS", "40", "3.6 %", "Filter Network Traffic"]
    # Audit fits 4 % of these flows, which were DDoS, as the fifth best: 40 * 1 - 1060 * 5.
    place = record.index("Audit")
    assert record[place : place + 6] == ["Audit", "−4.78", "−5.00", "1,000", "–", "left out"]


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


def test_a_note_is_shown_where_it_is_given(tmp_path: Path) -> None:
    note = "Synthetic flows: generated, not recorded"

    assert note in page_of(graph_of(), tmp_path, note=note).said
    assert note not in page_of(graph_of(), tmp_path).said


def test_nothing_is_fetched_and_links_lead_to_attack_or_within_the_page(tmp_path: Path) -> None:
    page = page_of(graph_of(), tmp_path)

    assert not list(page.values("src"))
    links = [link for link in page.values("href") if not link.startswith("#")]
    assert all(link == "data:," or link.startswith("https://attack.mitre.org/") for link in links)
    targets = {link.removeprefix("#") for link in page.values("href") if link.startswith("#n")}
    assert targets <= page.records.keys()
    (policy,) = (attrs["content"] for _, attrs in page.tags if "http-equiv" in attrs)
    assert str(policy).startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in str(policy)


def test_the_same_graph_gives_the_same_file(tmp_path: Path) -> None:
    one = draw(graph_of(), tmp_path / "a.html", traffic="Benign").read_bytes()

    assert draw(graph_of(), tmp_path / "b.html", traffic="Benign").read_bytes() == one


def renamed(name: str, attack_id: str | None = "M1047") -> Catalogue:
    """The paper's catalogue with one class and one action called otherwise."""
    return Catalogue(
        classes=tuple(replace(c, name=name) if c.name == "Benign" else c for c in PAPER.classes),
        actions=tuple(
            replace(a, name=f"{name}!", attack_id=attack_id) if a.name == "Audit" else a
            for a in PAPER.actions
        ),
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Page:
    """A page whose names are harmless."""
    return page_of(graph_of(), tmp_path_factory.mktemp("plain"), signature=0, rules=RULES)


@given(
    name=st.one_of(
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
    tmp_path_factory: pytest.TempPathFactory, plain: Page, name: str
) -> None:
    folder = tmp_path_factory.mktemp("page")
    odd = page_of(
        graph_of(renamed(name)), folder, signature=0, rules=[name, name], title=name, note=None
    )

    def markup(page: Page) -> list[tuple[str, list[str]]]:
        # Names in the picture take more or fewer lines; that is all that may change.
        return [
            (tag, sorted(attrs)) for tag, attrs in page.tags if tag not in {"text", "g", "path"}
        ]

    assert {tag for tag, _ in odd.tags} == {tag for tag, _ in plain.tags}
    assert markup(odd) == markup(plain)
    assert odd.scripts == plain.scripts
    titles = {record[0] for record in odd.records.values() if record}
    assert {printable(name).strip(), printable(f"{name}!").strip()} <= titles | {""}


@pytest.mark.parametrize(
    "attack_id", ["../../x", "M1047/../..", 'M1"onclick="x', "javascript:x", ""]
)
def test_an_id_that_is_not_attacks_makes_no_link(tmp_path: Path, attack_id: str) -> None:
    page = page_of(graph_of(renamed("Odd", attack_id)), tmp_path, traffic="Odd")

    links = {link for link in page.values("href") if not re.fullmatch(r"#n\d+|data:,", link)}
    known = {a.url for a in PAPER.actions if a.attack_id} - {PAPER.actions[ACTION["Audit"]].url}
    assert links == known
    assert attack_id == "" or attack_id in page.record("Odd!")
