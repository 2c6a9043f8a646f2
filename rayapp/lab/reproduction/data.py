"""Numbers of a table or plot as a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from envs.files import replacing
from rayapp.lab.statistics import Estimate

Value = str | int | float | None

ESTIMATE = ("mean", "low", "high", "trials")
"""Columns of an estimate."""


@dataclass(frozen=True)
class Data:
    """Rows of numbers under a name; what is missing is ``None``, an empty field."""

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]

    def write(self, folder: Path) -> Path:
        """Writes ``folder/<name>.csv`` and returns its path.

        Raises:
            InputError: the file cannot be written.
        """
        path = folder / f"{self.name}.csv"
        with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out, lineterminator="\n")
            writer.writerows([self.columns, *self.rows])
        return path


def estimated(estimate: Estimate | None) -> Sequence[Value]:
    """An estimate's fields, in the order of :data:`ESTIMATE`."""
    if estimate is None:
        return (None, None, None, 0)
    return (estimate.mean, estimate.low, estimate.high, len(estimate.values))
