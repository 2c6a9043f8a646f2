from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from matplotlib.image import imread

from envs import Catalogue, InteractionTable
from kg_actor import KnowledgeGraph, MergeKey
from kg_actor.drawing.selection import sketch
from kg_actor.interactive import write_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

PAPER = Catalogue.named("paper")

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on this machine")

HOSTILE = "</script><img src=x onerror=window.hacked=1>\u2028'\"<script>window.hacked=1</script>"
SHOWN = HOSTILE.replace("\u2028", r"\u2028")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    quiet = ["--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    rooted = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=[*quiet, *rooted])
        yield running
        running.close()


class Opened:
    """A page in a browser that reaches no network, and what went wrong in it."""

    def __init__(self, browser: Browser, file: Path, **how: Any) -> None:  # noqa: ANN401
        self.complaints: list[str] = []
        self.requests: list[str] = []
        context = browser.new_context(**({"viewport": {"width": 1200, "height": 800}} | how))
        context.set_default_timeout(20_000)
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        context.route("**/*", self._only_the_file)
        self.page.goto(file.as_uri())

    def _only_the_file(self, route: Route) -> None:
        self.requests.append(route.request.url)
        if len(self.requests) == 1 and route.request.url.startswith("file://"):
            route.continue_()
        else:
            route.abort()

    def nodes(self) -> list[str]:
        found: list[str] = self.page.evaluate("graph.nodes().map(node => node.data('name'))")
        return found

    def place(self, name: str) -> tuple[float, float]:
        """Where a node is drawn, in the window."""
        at = self.page.evaluate(
            "name => graph.nodes().filter(n => n.data('name') === name).renderedPosition()", name
        )
        box = self.page.locator("#graph").bounding_box()
        assert box is not None
        return box["x"] + at["x"], box["y"] + at["y"]

    def colours(self) -> int:
        """How many colours the drawing shows, apart from its border."""
        self.page.wait_for_timeout(200)  # cytoscape draws in the next animation frame
        shot = imread(io.BytesIO(self.page.locator("#graph").screenshot()))[5:-5, 5:-5]
        return len(np.unique(shot.reshape(-1, shot.shape[-1]), axis=0))

    def record(self) -> str:
        return self.page.locator("#record").inner_text()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of signature 0: it predicts Benign, and 40 of its flows were of a hostile name."""
    classes = tuple(replace(c, name=HOSTILE) if c.name == "DDoS" else c for c in PAPER.classes)
    benign, ddos = PAPER.class_index("Benign"), PAPER.class_index("DDoS")
    none, audit = PAPER.action_names.index("No Action"), PAPER.action_names.index("Audit")
    graph = KnowledgeGraph(
        np.array([benign, ddos], np.int8), Catalogue(classes=classes, actions=PAPER.actions)
    )
    rows = ((0, none, benign, 60), (0, none, ddos, 40), (0, audit, benign, 9), (1, audit, ddos, 9))
    graph.merge(InteractionTable.tally(*zip(*rows, strict=True)), MergeKey("run", 1, 0))
    return write_page(
        graph,
        tmp_path_factory.mktemp("page") / "graph.html",
        signature=0,
        rules=[f"Flow Duration > 5 {HOSTILE}", "any flow"],
        title=f"Graph {HOSTILE}",
        note="Synthetic flows: generated, not recorded from a network",
    )


@pytest.fixture
def opened(browser: Browser, file: Path) -> Iterator[Opened]:
    opened = Opened(browser, file)
    yield opened
    assert opened.complaints == []
    assert opened.requests == [file.as_uri()]
    assert opened.page.evaluate("window.hacked === undefined")
    opened.page.context.close()


def test_nodes_are_drawn(opened: Opened) -> None:
    assert sorted(opened.nodes()) == sorted(["0", "Benign", SHOWN, "No Action", "Audit"])
    assert opened.colours() > 20
    opened.page.evaluate("void graph.elements().remove()")
    assert opened.colours() == 1


def test_a_click_on_a_node_shows_its_record(opened: Opened) -> None:
    assert "Choose a node" in opened.record()

    opened.page.mouse.click(*opened.place("0"))

    record = opened.record()
    assert record.startswith("Signature 0")
    assert "N, flows matched\n109" in record
    assert f"Flow Duration > 5 {SHOWN}" in record

    opened.page.mouse.click(*opened.place("Audit"))

    assert "https://attack.mitre.org/mitigations/M1047/" in opened.record()


def test_links_in_a_record_lead_to_other_records(opened: Opened) -> None:
    opened.page.mouse.click(*opened.place("0"))
    opened.page.locator("#record a", has_text="No Action").first.click()

    assert opened.record().startswith("No Action")


def test_search_finds_nodes_and_enter_opens_the_first(opened: Opened) -> None:
    opened.page.locator("#search").fill("aud")

    assert opened.page.locator("#results button").all_inner_texts() == ["mitigation action\nAudit"]
    assert opened.page.locator("#found").inner_text() == "1 of 5 nodes"
    opened.page.keyboard.press("Enter")
    assert opened.record().startswith("Audit")
    opened.page.locator("#search").fill("no such name")
    assert opened.page.locator("#found").inner_text() == "0 of 5 nodes"


def test_hover_tells_an_edge_in_words(opened: Opened) -> None:
    (x, y), (to_x, to_y) = opened.place("0"), opened.place("Benign")

    opened.page.mouse.move(x + (to_x - x) * 0.6, y + (to_y - y) * 0.6)

    opened.page.wait_for_function("document.querySelector('#said').textContent !== ''")
    assert opened.page.locator("#said").inner_text().startswith("0 → Benign: confidence 0.6306")


def test_keyboard_alone_is_enough(opened: Opened) -> None:
    opened.page.locator("#graph").focus()
    before = opened.page.evaluate("[graph.zoom(), graph.pan().x]")
    opened.page.keyboard.press("+")
    opened.page.keyboard.press("ArrowRight")
    after = opened.page.evaluate("[graph.zoom(), graph.pan().x]")
    assert after[0] > before[0]
    opened.page.keyboard.press("0")
    assert opened.page.evaluate("[graph.zoom(), graph.pan().x]") == pytest.approx(before)

    for _ in range(3):  # the search box, the first result, the second
        opened.page.keyboard.press("Tab")
    opened.page.keyboard.press("Enter")
    assert opened.record().startswith("</script>")
    opened.page.locator("#graph").focus()
    opened.page.keyboard.press("Escape")
    assert "Choose a node" in opened.record()


def test_a_whole_graph_opens_too(browser: Browser, tmp_path: Path) -> None:
    predicted = np.arange(len(PAPER.classes), dtype=np.int8)
    graph = KnowledgeGraph(predicted, PAPER)
    signature, action = (grid.ravel() for grid in np.indices((len(predicted), 15)))
    actual = (signature + (action > 12)) % len(predicted)
    table = InteractionTable.tally(signature, action, actual, action + 1)
    graph.merge(table, MergeKey("run", 1, 0))

    opened = Opened(browser, write_page(graph, tmp_path / "graph.html"))

    view = sketch(graph).view
    assert sorted(opened.nodes()) == sorted(data["label"] for _, data in view.nodes(data=True))
    assert opened.colours() > 20
    assert opened.complaints == []
    opened.page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_narrow_screen_in_light_and_dark(
    browser: Browser, file: Path, scheme: str
) -> None:
    opened = Opened(browser, file, viewport={"width": 360, "height": 640}, color_scheme=scheme)

    assert opened.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert opened.colours() > 20
    assert opened.complaints == []
    ink = opened.page.evaluate("graph.edges()[0].style('color')")
    assert ink == {"light": "rgb(27,31,37)", "dark": "rgb(231,234,238)"}[scheme]
    opened.page.context.close()


def test_without_scripts_the_tables_tell_all(browser: Browser, file: Path) -> None:
    opened = Opened(browser, file, java_script_enabled=False)

    assert opened.page.locator("#explorer").is_hidden()
    assert opened.page.locator("article").filter(has_text="Signature 0").first.is_visible()
    assert opened.page.get_by_text("Without scripts there is no drawing").is_visible()
    opened.page.context.close()
