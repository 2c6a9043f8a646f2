"""No page shows how to start a Ray that is open: every documented start wants the token."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import rayapp

REPOSITORY = Path(rayapp.__file__).parents[1]
PAGES = sorted(
    page
    for pattern in ("README.md", "docs/*.md", "*.yaml", "docs/*.yaml")
    for page in REPOSITORY.glob(pattern)
)
WANTED = "RAY_AUTH_MODE=token"


def starts(page: str, suffix: str = ".md") -> list[str]:
    """What is typed up to each start of a head or node: the code block or span, until there."""
    blocks = re.findall(r"^```.*?^```", page, re.DOTALL | re.MULTILINE)
    rest = re.sub(r"^```.*?^```", "", page, flags=re.DOTALL | re.MULTILINE)
    # In yaml files a command is an item of a list.
    spans = re.findall(r"`[^`]+`", rest) if suffix == ".md" else re.split(r"\n *- ", rest)
    return [
        code[: found.end()]
        for code in (*blocks, *spans)
        for found in re.finditer(r"ray start [^\n`]*(--head|--address)", code)
    ]


def test_starts_are_found_wherever_they_are() -> None:
    block = "```\nexport A=1\nray start --block --head\n```\n"
    assert len(starts(block)) == 1
    assert len(starts("Then `ray start --address=HEAD:6379` joins.")) == 1
    assert len(starts("commands:\n  - ray stop\n  - ray start --head\n", ".yaml")) == 1
    # An option that is spoken of starts nothing.
    assert starts("It is an option of `ray start`: `--head`.") == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_start_wants_the_token(page: Path) -> None:
    for start in starts(page.read_text(), page.suffix):
        assert WANTED in start, f"{page.name}: {start[-200:]}"


def test_the_pages_show_some() -> None:
    found = [page.name for page in PAGES if starts(page.read_text(), page.suffix)]

    assert {"README.md", "cluster.md", "monitoring.md", "cluster.yaml"} <= set(found)
