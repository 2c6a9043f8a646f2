"""Labels: their many spellings, and their merging into a catalogue's classes.

Three of CICIDS2017's labels are published with a dash that is byte 0x96 (cp1252). Every tool
that touched a copy since has left its own trace there, and people write 'DoS Hulk', 'DoS_Hulk'
and 'doshulk'. So labels are compared by their letters and digits alone. What changes the meaning
is never guessed: 'Attack', '0' and '1' mean no class unless somebody says so.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from envs.catalogue import Catalogue
from envs.errors import InputError, printable, quoted
from envs.spelling import label_key

Attempted = Literal["benign", "attack", "drop"]
"""What an attack that was tried without effect counts as."""

DROP = "drop"
"""Stands in a file of labels for 'leave these flows out'."""

NO_LABEL = -1
UNKNOWN = -2
LEFT_OUT = -3

_NO_LABEL = frozenset(("", "nan", "null", "none", "<na>", "-", "(empty)"))

_ATTEMPTED = "attempted"

_LISTED = 40
"""Unknown labels that a message lists; a column of identifiers would fill the screen."""


def is_missing(label: str) -> bool:
    """Whether a label's cell holds nothing, or a tool's word for nothing."""
    return label.strip().casefold() in _NO_LABEL


def decode_text(raw: bytes) -> str:
    """Text of a cell in UTF-8, or else in cp1252 as published, or else in latin-1."""
    for encoding in ("utf-8", "cp1252"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")


@dataclass(frozen=True)
class Labelling:
    """What labels mean; it travels to where files are read.

    Attributes:
        catalogue: the classes.
        classes: class name, or :data:`DROP`, by label; beside and before the catalogue's own.
        attempted: what labels that end in 'Attempted' count as: the attack did not succeed.

    Raises:
        InputError: two labels of the catalogue cannot be told apart, or a label is given a class
            that the catalogue does not have.
    """

    catalogue: Catalogue
    classes: Mapping[str, str] = field(default_factory=dict)
    attempted: Attempted = "benign"

    def __post_init__(self) -> None:
        known = self.catalogue.class_names
        for label, name in self.classes.items():
            if name != DROP and name not in known:
                raise InputError(
                    f"the label {quoted(label)} is given the class {quoted(name)}, which the "
                    f"catalogue {self.catalogue.name} does not have",
                    expected=f"one of {', '.join(known)}, or {DROP}",
                    mend="Correct the file of labels, or choose another --catalogue",
                )
        _ = self._by_key

    @cached_property
    def _by_key(self) -> dict[str, tuple[int, str]]:
        """Class index and spelling by key."""
        found: dict[str, tuple[int, str]] = {}
        for number, traffic in enumerate(self.catalogue.classes):
            for label in traffic.labels:
                key = label_key(label)
                if key in found:
                    raise InputError(
                        f"label {quoted(label)} occurs twice",
                        where=f"catalogue, class {quoted(traffic.name)}",
                        expected="labels that differ in more than case, signs and spacing",
                    )
                found[key] = number, label
        for number, traffic in enumerate(self.catalogue.classes):
            # A label of the data set comes first: it may be called as another class is.
            for label in (*traffic.also, traffic.name):
                found.setdefault(label_key(label), (number, label))
        names = self.catalogue.class_names
        for label, name in self.classes.items():
            number = LEFT_OUT if name == DROP else names.index(name)
            found[label_key(label)] = number, label
        return found

    def resolve(self, text: str) -> tuple[int, str]:
        """Class index of a label, and the label's usual spelling.

        The index is :data:`NO_LABEL` for an empty cell, :data:`LEFT_OUT` for flows that are to be
        left out, and :data:`UNKNOWN` for a label that means no class.
        """
        if is_missing(text):
            return NO_LABEL, ""
        key = label_key(text)
        if key in self._by_key:
            return self._by_key[key]
        if key.endswith(_ATTEMPTED):
            return self._tried(text, key.removesuffix(_ATTEMPTED))
        return UNKNOWN, text

    def _tried(self, text: str, attack: str) -> tuple[int, str]:
        if self.attempted == "drop":
            return LEFT_OUT, text
        if self.attempted == "benign" and self.catalogue.benign_class is not None:
            return self.catalogue.benign, text
        return self._by_key.get(attack, (UNKNOWN, text))[0], text

    def check_known(self, unknown: Mapping[str, int], where: str) -> None:
        """Raises :class:`InputError` that lists all labels which mean no class.

        Args:
            unknown: flows by label.
            where: the files.
        """
        if not unknown:
            return
        listed = sorted(unknown.items(), key=lambda one: (-one[1], one[0]))
        several = len(listed) > 1
        named = ", ".join(
            f"{quoted(text, 60)} ({count:,} flows)" for text, count in listed[:_LISTED]
        )
        if len(listed) > _LISTED:
            named += f" and {len(listed) - _LISTED:,} more"
        raise InputError(
            f"{'these labels mean' if several else 'this label means'} no class of the catalogue "
            f"{self.catalogue.name}: {named}",
            where=where,
            expected="labels that mean one of " + ", ".join(self.catalogue.class_names),
            mend="Say what they mean in a file labels.yaml, and give it with --labels labels.yaml; "
            f"'{DROP}' leaves flows out. The file begins: {{"
            + ", ".join(f"{_yaml(text)}: {self._suggestion(text)}" for text, _ in listed[:_LISTED])
            + "}",
        )

    def _suggestion(self, text: str) -> str:
        near = difflib.get_close_matches(label_key(text[:200]), self._by_key, n=1, cutoff=0.75)
        if not near or self._by_key[near[0]][0] < 0:
            return "?"
        return _yaml(self.catalogue.class_names[self._by_key[near[0]][0]]) + "?"


def labels_of(catalogue: Catalogue) -> Iterator[tuple[int, str]]:
    """Class index and spelling of each label of a catalogue, in its order."""
    for number, traffic in enumerate(catalogue.classes):
        for label in traffic.labels:
            yield number, label


def _yaml(text: str) -> str:
    """A text as YAML takes it within braces."""
    plain = printable(text[:200])
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9 _.-]*(?<! )", plain):
        return plain
    return "'" + plain.replace("'", "''") + "'"
