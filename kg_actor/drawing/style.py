"""Colours, sizes and wording that every picture of a graph shares."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from envs.catalogue import EQUATION_3
from kg_actor.view import ACTION, SIGNATURE, TYPE

INK, PAPER = "#1b1f25", "#fdfefe"
"""Text and background. Inlined SVG takes them from the page instead, light or dark."""

WIDTH = 1100
"""Of every picture, in pixels."""

FILL = {TYPE: "#f4e36b", ACTION: "#bfe6d9", SIGNATURE: "#eecbdf"}
LINE = {TYPE: "#8a7a00", ACTION: "#00795a", SIGNATURE: "#a34c80"}
WORST, BEST = EQUATION_3.miss, EQUATION_3.top
"""Ends of the scale of colours: the rewards of eq. 3."""

NODE_INK, CONFUSED_LINE = "#15181c", "#8b64b8"
"""Text within nodes, and the line of a type to actual type edge."""

TYPE_RADIUS, SIGNATURE_RADIUS = 41.0, 23.0
FADED = 0.38
"""Opacity of what the filter of section III-C leaves out."""

_LINES_PER_LABEL = 3
_REWARD_STOPS = ((0xD5, 0x5E, 0x00), (0x9A, 0x9A, 0x9A), (0x1F, 0x78, 0xB4))


def reward_colour(reward: float) -> str:
    """From orange (an unfit action) over grey to blue (the best one), in 256 steps."""
    share = (reward - WORST) / (BEST - WORST)
    place = 2 * min(max(int(256 * share), 0), 255) / 255
    low, high = _REWARD_STOPS[:2] if place < 1 else _REWARD_STOPS[1:]
    within = place - (place >= 1)
    mixed = (round(a + (b - a) * within) for a, b in zip(low, high, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def thickness(count: float) -> float:
    """Width of an edge that so many flows made, in points."""
    return 0.7 + 0.4 * math.log10(max(count, 1))


def signed(reward: float) -> str:
    """A mean reward, with its sign."""
    return f"{reward:+.2f}".replace("-", "−")


def percent(share: float) -> str:
    """A share, to two digits."""
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.2g} %"


def shares(met: Iterable[dict[str, Any]]) -> list[str]:
    """What type -> actual type edges between the same two types say, most flows first."""
    ordered = sorted(met, key=lambda data: -data["count"])
    return [f"sig {data['signature']}: {percent(data['share'])}" for data in ordered]


def shares_label(met: Iterable[dict[str, Any]]) -> str:
    """The same in three lines at most."""
    lines = shares(met)
    if len(lines) > _LINES_PER_LABEL:
        more = len(lines) - _LINES_PER_LABEL + 1
        lines[_LINES_PER_LABEL - 1 :] = [f"and {more} more"]
    return "\n".join(lines)


def wrap(text: str, width: int) -> list[str]:
    """Text in lines of about ``width`` characters, broken between words."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def shorten(text: str, width: int) -> str:
    """Text of at most ``width`` characters, cut with an ellipsis."""
    return text if len(text) <= width else f"{text[: width - 1].rstrip()}…"


def sources_of(edges: Iterable[dict[str, Any]]) -> list[str]:
    """Who taught type -> action edges, each source once, in alphabetical order."""
    return sorted({str(source) for data in edges for source in data.get("sources") or ()})
