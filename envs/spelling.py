"""What is compared of texts that people and tools spell in many ways."""

from __future__ import annotations

import re

DASHES = re.compile(
    'â€["“”–—]'  # UTF-8 read as cp1252
    "|â\x80[\x93\x94]"  # UTF-8 read as latin-1
    "|ï¿½"  # U+FFFD written as UTF-8, read as cp1252
    "|Â?[\x96\x97]"  # 0x96 read as latin-1, maybe saved as UTF-8 and read as latin-1 again
    "|Â[–—]"  # the same, read as cp1252
    "|[-‐‑‒–—―−\ufffd]"  # the dashes themselves, and what a failed decoding leaves
    r"|(?<=\s)\?(?=\s)"  # what a failed encoding leaves
)
"""A dash in a text, or what is left of one."""


def label_key(label: str) -> str:
    """What is compared of a label: letters and digits, whatever their case."""
    key = "".join(c for c in DASHES.sub(" ", label).casefold() if c.isalnum())
    # A label of signs alone is told from others by its signs.
    return key or label.strip()
