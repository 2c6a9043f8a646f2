"""Flows that are there twice: equal rows, and files of equal content under two names.

A flow stands for itself by a hash of 64 bits, so whoever reads flows in batches finds duplicates
as one who holds them in memory does. The hash is strongly universal (two multilinear ones of 32
bits each: Lemire and Kaser 2014, arXiv 1202.4961): two different rows have equal hashes with
probability 2^-64. Among ten million different rows the odds of one such pair are 1 in 370,000.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from envs.division import Division
from envs.files import sha256
from envs.stratified import Rows

Hashes = NDArray[np.uint64]

_ROWS_AT_ONCE = 4_096
"""So many rows and what is made of them fit into a processor's cache."""


def row_hashes(features: NDArray[np.float32], actual: NDArray[np.int8]) -> Hashes:
    """A hash of each flow's features and class, uint64 [n]; 0 and -0 are one number.

    Args:
        features: float32 [n, features], finite.
        actual: int8 [n], class indices.
    """
    width = features.shape[1]
    # The generator's raw numbers are the same on every machine and in every version of numpy.
    keys = np.random.PCG64(0).random_raw(2 * width + 4).reshape(2, width + 2)
    hashes = np.empty(len(features), np.uint64)
    for start in range(0, len(features), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        chunk = np.ascontiguousarray(features[rows], np.float32) + np.float32(0)
        words = chunk.view(np.uint32).astype(np.uint64)
        classes = actual[rows].astype(np.uint8).astype(np.uint64)
        upper, lower = (
            np.einsum("ij,j->i", words, key[2:]) + classes * key[1] + key[0] for key in keys
        )
        # Of each product the upper half is universal, the lower one is not.
        hashes[rows] = (upper >> np.uint64(32) << np.uint64(32)) | (lower >> np.uint64(32))
    return hashes


@dataclass(frozen=True, eq=False)
class Duplicates:
    """Which flows are there more than once.

    Attributes:
        hashes: uint64 [flows], of :func:`row_hashes`.
    """

    hashes: Hashes

    @cached_property
    def _groups(self) -> tuple[Rows, Rows]:
        """Row numbers with equal flows side by side, ascending; and where each group starts."""
        order = np.argsort(self.hashes, kind="stable")
        ascending = self.hashes[order]
        starts = np.flatnonzero(np.r_[True, ascending[1:] != ascending[:-1]][: len(order)])
        return order, starts

    def counted(self, division: Division) -> dict[str, int]:
        """What a manifest tells of them.

        Args:
            division: of the flows.

        Returns:
            ``rows``, flows that equal an earlier one; ``removed``, those of them that were left
            out of the scenario; ``test_rows_in_train``, test flows that equal one from which
            detector or agent learn.
        """
        order, starts = self._groups
        tested, learnt = (np.zeros(len(order), np.bool_) for _ in range(2))
        tested[division.test] = True
        learnt[division.rows] = ~tested[division.rows]
        taught = np.logical_or.reduceat(learnt[order], starts)
        return {
            "rows": len(order) - len(starts),
            "removed": len(order) - len(division.rows),
            "test_rows_in_train": int(
                np.add.reduceat(tested[order], starts, dtype=int)[taught].sum()
            ),
        }

    def kept(self) -> Rows:
        """Row numbers of the flows without those that equal an earlier one, int64, ascending."""
        order, starts = self._groups
        return np.sort(order[starts])


def equal_files(files: Sequence[Path]) -> list[tuple[Path, ...]]:
    """Groups of files that hold the same bytes under different names, in the given order."""
    by_size: dict[int, list[Path]] = {}
    for file in files:
        by_size.setdefault(file.stat().st_size, []).append(file)
    by_content: dict[str, list[Path]] = {}
    for alike in by_size.values():
        if len(alike) > 1:
            for file in alike:
                by_content.setdefault(sha256(file), []).append(file)
    return [tuple(alike) for alike in by_content.values() if len(alike) > 1]
