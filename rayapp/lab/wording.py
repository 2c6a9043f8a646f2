"""Numbers and lists as the pages write them."""

from __future__ import annotations

from collections.abc import Sequence


def joined(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def reward_text(value: float, digits: int = 4) -> str:
    """A reward, with a true minus sign."""
    text = f"{value:,.{digits}f}"
    # A loss too small to show is not a negative zero.
    return text.lstrip("-") if float(text.replace(",", "")) == 0 else text.replace("-", "−")


def signed(value: float, digits: int = 4) -> str:
    """A difference: always with its sign, unless it is too small to show."""
    text = reward_text(value, digits)
    return f"+{text}" if value > 0 and text != reward_text(0, digits) else text


def percent(share: float, digits: int = 2) -> str:
    """A share of 1 in percent."""
    return f"{100 * share:.{digits}f} %"


def times(number: int, one: str, many: str | None = None) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"
