"""Genuine files that some tests read; they stand beside a checkout, or are absent."""

from __future__ import annotations

from pathlib import Path

_SHARED = next(
    (
        folder / "shared"
        for folder in Path(__file__).parents[1:]
        if (folder / "shared" / "traffic").is_dir()
    ),
    Path(__file__).parents[2] / "shared",
)

TRAFFIC = _SHARED / "traffic"
"""Files of nine kinds, as users have them."""

SAMPLE = _SHARED / "cicids2017-sample" / "cicids2017-sample.csv.gz"
"""Flows of CICIDS2017."""
