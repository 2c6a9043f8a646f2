"""The labels of CICIDS2017: their many spellings, and their merging into the paper's classes.

The three web attacks are published with a dash that is byte 0x96 (cp1252). Every tool that
touched a copy since has left its own trace there, so labels are compared with dashes, their
remains, case and spacing set aside.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import Catalogue
from envs.datasets.cicids2017.table import printable
from envs.errors import InputError

_DASHES = re.compile(
    'â€["“”–—]'  # UTF-8 read as cp1252
    "|â\x80[\x93\x94]"  # UTF-8 read as latin-1
    "|ï¿½"  # U+FFFD written as UTF-8, read as cp1252
    "|Â?[\x96\x97]"  # 0x96 read as latin-1, maybe saved as UTF-8 and read as latin-1 again
    "|Â[–—]"  # the same, read as cp1252
    "|[-‐‑‒–—―−\ufffd]"  # the dashes themselves, and what a failed decoding leaves
    r"|(?<=\s)\?(?=\s)"  # what a failed encoding leaves
)

_NO_LABEL = frozenset(("", "nan", "null", "none", "<na>"))


@dataclass(frozen=True)
class LabelIndex:
    """A catalogue's labels, numbered in its order.

    Attributes:
        names: the catalogue's spelling of each label.
        classes: class index of each label, int8 [labels].
        by_key: position in ``names`` by :func:`label_key`.
    """

    names: tuple[str, ...]
    classes: NDArray[np.int8]
    by_key: Mapping[str, int]

    def unknown(self, label: str, where: str | None = None) -> InputError:
        """The error that names ``label`` as unknown and lists the known ones."""
        near = difflib.get_close_matches(label_key(label[:200]), self.by_key, n=1)
        hint = f"Did you mean '{self.names[self.by_key[near[0]]]}'? " if near else ""
        return InputError(
            f"unknown label {printable(label)}",
            where=where,
            expected="one of: " + ", ".join(self.names),
            mend=hint + "Correct the label, or leave these rows out",
        )


def label_key(label: str) -> str:
    """What is compared of a label: lower case, dashes (or their remains) as spaces, no padding."""
    return " ".join(_DASHES.sub(" ", label).split()).casefold()


def is_missing(label: str) -> bool:
    """Whether a label's cell holds nothing, or a library's word for nothing."""
    return label.strip().casefold() in _NO_LABEL


def decode_text(raw: bytes) -> str:
    """Text of a cell in UTF-8, or else in cp1252 as published, or else in latin-1."""
    for encoding in ("utf-8", "cp1252"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")


@lru_cache(maxsize=8)
def label_index(catalogue: Catalogue) -> LabelIndex:
    """Number the catalogue's labels.

    Raises:
        InputError: if two labels of the catalogue cannot be told apart.
    """
    names: list[str] = []
    classes: list[int] = []
    by_key: dict[str, int] = {}
    for class_id, traffic in enumerate(catalogue.classes):
        for label in traffic.labels:
            if label_key(label) in by_key:
                raise InputError(
                    f"label {printable(label)} occurs twice",
                    where=f"catalogue, class {printable(traffic.name)}",
                    expected="labels that differ in more than case, dashes and spacing",
                )
            by_key[label_key(label)] = len(names)
            names.append(label)
            classes.append(class_id)
    return LabelIndex(tuple(names), np.array(classes, dtype=np.int8), by_key)


def merge_label(label: str, catalogue: Catalogue) -> int:
    """Index of the class into which the catalogue merges a published label (paper, Table I).

    Args:
        label: a label in any of its spellings: case, surrounding spaces and the damage
            commonly done to the dash of the web attacks do not matter.
        catalogue: classes and their labels.

    Raises:
        InputError: for a label that the catalogue does not hold.
    """
    index = label_index(catalogue)
    position = index.by_key.get(label_key(label))
    if position is None:
        raise index.unknown(label)
    return int(index.classes[position])


def merged_counts(label_counts: Mapping[str, int], catalogue: Catalogue) -> dict[str, int]:
    """Flows per class from flows per label; with the published counts, the paper's Table I.

    Args:
        label_counts: number of flows by published label, in any spelling.
        catalogue: classes and their labels.

    Returns:
        Number of flows by class name, in the catalogue's order, absent classes as 0.

    Raises:
        InputError: for a label that the catalogue does not hold.
    """
    counts = dict.fromkeys(catalogue.class_names, 0)
    for label, count in label_counts.items():
        counts[catalogue.class_names[merge_label(label, catalogue)]] += count
    return counts
