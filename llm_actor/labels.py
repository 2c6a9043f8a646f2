"""Labels of the actions in a prompt: [A], [B], ... [Z], [AA], ...; the answer is one of them.

A label says in one token (of the embedded model's; in two or three of others') what a name says
in many. The bracket closes it, so that no label is the beginning of another one, and no name of a
catalogue can hold one: brackets are escaped there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

_FOUND = re.compile(r"\[\s*([A-Za-z]{1,3})\s*\]")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@lru_cache(maxsize=4096)
def label(place: int) -> str:
    """The label of the action on line ``place``, counted from 0."""
    letters, rest = "", place
    while rest >= 0:
        letters = _LETTERS[rest % 26] + letters
        rest = rest // 26 - 1
    return f"[{letters}]"


def labels(count: int) -> list[str]:
    """The first ``count`` labels, in order."""
    return [label(place) for place in range(count)]


def labelled(answer: str, count: int) -> int | None:
    """The line that an answer's first label stands for, if there is one in it.

    A label without its brackets counts where it is all there is.

    Args:
        answer: what a language model wrote.
        count: lines in its prompt.
    """
    known: Sequence[str] = labels(count)
    letters_found = [match.upper() for match in _FOUND.findall(answer)]
    letters_found += re.findall(r"[A-Z]{1,3}", answer.strip().strip(".:)")) if _bare(answer) else []
    places = [known.index(f"[{letters}]") for letters in letters_found if f"[{letters}]" in known]
    return places[0] if places else None


def _bare(answer: str) -> bool:
    return re.fullmatch(r"\s*[A-Z]{1,3}[.:)]?\s*", answer) is not None
