"""Labels: their many spellings, and their merging into a catalogue's classes.

Three of CICIDS2017's labels are published with a dash that is byte 0x96 (cp1252). Every tool
that touched a copy since has left its own trace there, so labels are compared with dashes, their
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
from envs.errors import InputError, quoted

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
            f"unknown label {quoted(label)}",
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
                    f"label {quoted(label)} occurs twice",
                    where=f"catalogue, class {quoted(traffic.name)}",
                    expected="labels that differ in more than case, dashes and spacing",
                )
            by_key[label_key(label)] = len(names)
            names.append(label)
            classes.append(class_id)
    return LabelIndex(tuple(names), np.array(classes, dtype=np.int8), by_key)
