from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from envs import Catalogue, InteractionTable
from kg_actor import KnowledgeGraph, MergeKey
from kg_actor.draw import draw

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Route

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

    def node(self, title: str) -> Locator:
        """A node in the drawing, by what it is called there."""
        named = self.page.locator("#graph g[role=button]")
        return named.filter(has=self.page.locator("title", has_text=re.compile(f"^{title}$")))

    def smallest_text(self) -> float:
        """Height of the smallest letters in the drawing, in pixels of the screen."""
        size: float = self.page.evaluate(
            """Math.min(...[...document.querySelectorAll('#graph text')].map((text) =>
                parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a))"""
        )
        return size

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
    return draw(
        graph,
        tmp_path_factory.mktemp("page") / "graph.html",
        signature=0,
        rules=[f"Flow Duration > 5 {HOSTILE}", "any flow"],
        title=f"Graph {HOSTILE}",
        note="Synthetic flows: generated, not recorded from a network",
        command="kirl graph show run",
    )


@pytest.fixture
def opened(browser: Browser, file: Path) -> Iterator[Opened]:
    opened = Opened(browser, file)
    yield opened
    assert opened.complaints == []
    assert opened.requests == [file.as_uri()]
    assert opened.page.evaluate("window.hacked === undefined")
    opened.page.context.close()


def test_a_click_on_a_node_shows_its_record(opened: Opened) -> None:
    assert "Choose a node" in opened.record()

    opened.node("signature 0").click()

    record = opened.record()
    assert record.startswith("Signature 0")
    assert "N, flows matched\n109" in record
    assert f"Flow Duration > 5 {SHOWN}" in record

    opened.node("mitigation action Audit").click()

    assert "https://attack.mitre.org/mitigations/M1047/" in opened.record()


def test_links_in_a_record_lead_to_other_records(opened: Opened) -> None:
    opened.node("signature 0").click()
    opened.page.locator("#record a", has_text="No Action").first.click()

    assert opened.record().startswith("No Action")


def test_search_finds_nodes_and_enter_opens_the_first(opened: Opened) -> None:
    opened.page.locator("#search").fill("aud")

    assert opened.page.locator("#results button").all_inner_texts() == ["mitigation action\nAudit"]
    assert opened.page.locator("#found").inner_text() == "1 of 25 nodes"
    opened.page.keyboard.press("Enter")
    assert opened.record().startswith("Audit")
    opened.page.locator("#search").fill("no such name")
    assert opened.page.locator("#found").inner_text() == "0 of 25 nodes"


def test_search_finds_what_is_not_drawn_and_tells_how_to_draw_it(opened: Opened) -> None:
    opened.page.locator("#search").fill("1")
    opened.page.keyboard.press("Enter")

    assert opened.record().startswith("Signature 1")
    assert "kirl graph show run --signature 1 --out other.html" in opened.record()
    first = opened.page.locator("#results button").first.inner_text()
    assert first == "signature, not drawn\nSignature 1"


def test_pointing_at_an_edge_tells_it_in_words_and_fades_the_rest(opened: Opened) -> None:
    opened.page.get_by_text("B 0.631").hover()

    said = opened.page.locator("#said")
    assert said.inner_text().startswith("0 → Benign: confidence 0.6306")
    faded = "g => g.classList.contains('aside')"
    assert opened.node("mitigation action Audit").evaluate(faded)
    assert not opened.node("signature 0").evaluate(faded)
    opened.page.locator("h1").hover()
    assert said.inner_text() == ""
    assert not opened.node("mitigation action Audit").evaluate(faded)


def test_keyboard_alone_is_enough(opened: Opened) -> None:
    width = "document.querySelector('#graph svg').clientWidth"
    opened.page.locator("#graph").focus()
    before = opened.page.evaluate(width)
    opened.page.keyboard.press("+")
    opened.page.keyboard.press("+")
    assert opened.page.evaluate(width) > before
    opened.page.keyboard.press("ArrowRight")
    opened.page.wait_for_function("document.querySelector('#graph').scrollLeft > 0")
    opened.page.keyboard.press("0")
    fits = "(g => g.scrollWidth <= g.clientWidth && g.scrollHeight <= g.clientHeight)"
    assert opened.page.evaluate(f"{fits}(document.querySelector('#graph'))")

    opened.page.keyboard.press("Tab")  # the first node of the drawing
    assert opened.page.locator("#said").inner_text() != ""
    opened.page.keyboard.press("Enter")
    assert "Choose a node" not in opened.record()
    opened.page.keyboard.press("Escape")
    assert "Choose a node" in opened.record()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 500, 1400])
def test_labels_can_be_read_on_narrow_and_wide_screens_in_light_and_dark(
    browser: Browser, file: Path, width: int, scheme: str
) -> None:
    opened = Opened(browser, file, viewport={"width": width, "height": 640}, color_scheme=scheme)

    assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.smallest_text() >= 9.5
    opened.page.locator("#search").fill("multi-factor")
    opened.page.keyboard.press("Enter")
    assert "not drawn" in opened.page.locator("#results button").first.inner_text()
    opened.page.locator("#search").fill("audit")
    opened.page.keyboard.press("Enter")
    inside = """(node) => { const [a, b] = [node, document.querySelector('#graph')].map(
        (e) => e.getBoundingClientRect()); return a.left >= b.left && a.right <= b.right + 1; }"""
    assert opened.node("mitigation action Audit").evaluate(inside)
    ink = opened.page.get_by_text("B 0.631").evaluate("text => getComputedStyle(text).fill")
    assert ink == {"light": "rgb(27, 31, 37)", "dark": "rgb(231, 234, 238)"}[scheme]
    assert opened.complaints == []
    opened.page.context.close()


def test_without_scripts_picture_and_tables_tell_all(browser: Browser, file: Path) -> None:
    opened = Opened(browser, file, java_script_enabled=False)

    assert opened.page.locator("aside").is_hidden()
    assert opened.page.locator("#graph svg").is_visible()
    assert opened.page.locator("article").filter(has_text="Signature 0").first.is_visible()
    assert opened.page.get_by_text("Without scripts there is no search").is_visible()
    opened.page.context.close()
