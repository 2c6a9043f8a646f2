"""Colours and number formats that the graph's picture and all charts share."""

from __future__ import annotations

INK, BACKGROUND = "#1b1f25", "#fdfefe"
"""Text and background. An inlined SVG takes them from its page instead, light or dark."""


def signed(reward: float) -> str:
    """A mean reward with its sign, such as ``+4.63`` or ``−5.00``."""
    return f"{reward:+.2f}".replace("-", "−")


def percent(share: float) -> str:
    """A share of 0 to 1 with two digits, such as ``61 %`` or ``1.6 %``."""
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * share:.2g} %"
