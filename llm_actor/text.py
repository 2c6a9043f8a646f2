"""Prompts as text: three chat parts made from a template (paper, section III-C, Table III).

Three placeholders are filled in per prompt:

* ``{attack}``: the predicted type and the signature's confidence.
* ``{records}``: which types the signature's flows truly were of, and in what shares.
* ``{actions}``: one line per candidate action, with its mean reward under the predicted type
  and under every type that the signature was confused with, and its label (the answer).

The paper names the signature, too. Here two signatures with equal records get equal text, so
that they are asked once. Everything before the first placeholder is the same in all prompts.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from envs.errors import InputError
from llm_actor.labels import label

if TYPE_CHECKING:
    from collections.abc import Iterable

    from llm_actor.prompts import Prompts

PLACEHOLDERS = ("{attack}", "{records}", "{actions}")

MOST_CHARACTERS = 8_000
"""A template may be this long, all parts together."""

LONGEST_NAME = 120
"""Names of types and actions may be this long once escaped."""

DEFAULT_TEMPLATE = Path(__file__).with_name("template.toml")

# Delimiters of the lines here, of quoted text, and of the chat formats in use ('<|end|>', '</s>',
# '[INST]', '### Response', '{{ }}'). The backslash is here so that no two names escape alike.
_RESERVED = frozenset("\\\"'`<>[]{}|#:,;%=")


class Message(TypedDict):
    """One part of a chat."""

    role: str
    content: str


@dataclass(frozen=True)
class Template:
    """The constant text around what a prompt tells.

    Attributes:
        system: instructions, the same for all prompts.
        user: the question, with every one of :data:`PLACEHOLDERS` once.
        assistant: how the answer begins; the action's label follows. Often empty.

    Raises:
        InputError: a placeholder is missing, unknown, repeated or in another part, a control
            character, or more than :data:`MOST_CHARACTERS`.
    """

    system: str
    user: str
    assistant: str = ""

    def __post_init__(self) -> None:
        found = re.findall(r"\{\w*\}", self.user)
        if sorted(found) != sorted(PLACEHOLDERS):
            raise _bad("the user part's placeholders are " + (", ".join(found) or "none"))
        if re.search(r"\{\w*\}", self.system + self.assistant):
            raise _bad("a part other than the user's has a placeholder")
        if not all(
            c.isprintable() or c in "\n\t" for c in self.system + self.user + self.assistant
        ):
            raise _bad("a character cannot be printed")
        if len(self.system) + len(self.user) + len(self.assistant) > MOST_CHARACTERS:
            raise _bad("it is too long")

    @classmethod
    def read(cls, path: Path = DEFAULT_TEMPLATE) -> Template:
        """Reads a template from a TOML file with the keys system, user and assistant.

        Blank space around the parts does not count, except before an assistant's answer.

        Raises:
            InputError: no such file, not TOML, another set of keys, or see :class:`Template`.
        """
        try:
            if path.stat().st_size > 8 * MOST_CHARACTERS:
                raise _bad("it is too long", path)
            parts = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise _bad(f"cannot be read ({error.strerror or error})", path) from error
        except ValueError as error:
            raise _bad(f"is not TOML ({error})", path) from error
        if set(parts) != {"system", "user", "assistant"} or not all(
            isinstance(part, str) for part in parts.values()
        ):
            raise _bad("its keys are not system, user and assistant, each with a text", path)
        try:
            return cls(parts["system"].strip(), parts["user"].strip(), parts["assistant"].lstrip())
        except InputError as error:
            raise _bad(error.what, path) from error

    def fill(self, attack: str, records: str, actions: str) -> list[Message]:
        """The system and the user part of one prompt; the answer begins with ``assistant``."""
        texts = dict(zip(PLACEHOLDERS, (attack, records, actions), strict=True))
        # One sweep: a placeholder's name inside of what is filled in is not filled in again.
        user = re.sub(r"\{\w*\}", lambda match: texts[match[0]], self.user)
        return [{"role": "system", "content": self.system}, {"role": "user", "content": user}]


def _bad(what: str, path: Path | None = None) -> InputError:
    return InputError(
        what,
        where=f"prompt template {path}" if path else "prompt template",
        expected="the keys system, user and assistant; in the user part "
        f"{', '.join(PLACEHOLDERS)}, each once, and {MOST_CHARACTERS} characters at most in all",
        mend=f"Start from a copy of {DEFAULT_TEMPLATE.name}, which the package holds",
    )


@lru_cache(maxsize=4096)
def printable(name: str) -> str:
    r"""A name that stays in its place: what could end its line or part is escaped as ``\x..``.

    Two different names never come out alike.

    Raises:
        InputError: it is empty, or longer than :data:`LONGEST_NAME`.
    """
    text = "".join(
        c if c.isprintable() and c not in _RESERVED else f"\\x{ord(c):02x}." for c in name
    )
    if not name.strip() or len(text) > LONGEST_NAME:
        raise InputError(
            "a name that no prompt can hold",
            where=repr(name[:LONGEST_NAME]),
            expected=f"1 to {LONGEST_NAME} characters",
            mend="Shorten the name in the catalogue",
        )
    return text


def printable_names(names: Iterable[str]) -> tuple[str, ...]:
    """All names escaped.

    Raises:
        InputError: see :func:`printable`; also when two are equal, so an answer would be vague.
    """
    escaped = tuple(printable(name) for name in names)
    twice = next((name for name in escaped if escaped.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"two entries are called {twice!r}", where="catalogue", mend="Give each its own name"
        )
    return escaped


def messages(prompts: Prompts, template: Template) -> list[list[Message]]:
    """Every prompt's system and user part, in order.

    Raises:
        InputError: a name of the catalogue that no prompt can hold.
    """
    types = printable_names(prompts.catalogue.class_names)
    actions = printable_names(prompts.catalogue.action_names)
    return [_one(prompts, row, template, types, actions) for row in range(len(prompts))]


def _one(
    prompts: Prompts, row: int, template: Template, types: tuple[str, ...], actions: tuple[str, ...]
) -> list[Message]:
    predicted, shares = int(prompts.predicted[row]), prompts.shares[row]
    order = shown_types(predicted, shares)
    percents = [round(100 * float(shares[i])) for i in order]
    if shares.any():
        records = ", ".join(f"{p} % {types[i]}" for p, i in zip(percents, order, strict=True))
    else:
        records = "none seen"
    attack = f"{types[predicted]}, confidence {float(prompts.confidence[row]):.2f}"
    candidates = np.flatnonzero(prompts.candidates[row])
    rewards = [[_reward(float(prompts.rewards[i, a])) for i in order] for a in candidates]
    # A share behind every reward only where there is more than one to weigh.
    brackets = [f" ({p} %)" for p in percents] if len(order) > 1 else [""]
    lines = [
        f"{actions[a]}: "
        + ", ".join(r + b for r, b in zip(line, brackets, strict=True))
        + f" {label(place)}"
        for place, (a, line) in enumerate(zip(candidates, rewards, strict=True))
    ]
    return template.fill(attack, records, "\n".join(lines))


def shown_types(predicted: int, shares: np.typing.NDArray[np.float32]) -> list[int]:
    """The types that a prompt tells of: the predicted one, then the others by falling share."""
    others = [i for i in np.flatnonzero(shares > 0) if i != predicted]
    return [predicted, *sorted(map(int, others), key=lambda i: (-float(shares[i]), i))]


def _reward(value: float) -> str:
    return "untried" if np.isnan(value) else f"{value:.1f}"
