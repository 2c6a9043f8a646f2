"""Batches of rows within a number of tokens, which shrinks where the memory does not suffice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

_log = logging.getLogger(__name__)


class Budget:
    """The limit of tokens in a batch. It is halved where a batch does not fit into memory.

    A row that is longer than the budget goes alone; where even that does not fit, nothing helps.

    Args:
        tokens: most tokens of a batch, padding included, at least 1.
        whose: the model's name, for the one warning about a smaller budget.

    Attributes:
        tokens: most tokens of a batch now.
    """

    def __init__(self, tokens: int, whose: str = "the language model") -> None:
        self.tokens = tokens
        self._whose = whose
        self._warned = False

    def spend(self, lengths: Sequence[int], work: Callable[[list[int]], None]) -> None:
        """Works at all rows, batch by batch.

        Args:
            lengths: tokens of each row.
            work: is given a batch's row numbers; it is called again for a part of those rows
                where it ran out of memory.

        Raises:
            Exception: what ``work`` raises; that it is out of memory only for a single row.
        """
        rest = list(range(len(lengths)))
        while rest:
            done: set[int] = set()
            for batch in batches([lengths[row] for row in rest], self.tokens):
                rows = [rest[place] for place in batch]
                if not _fits(work, rows):
                    self._shrink(max(lengths[row] for row in rows) * len(rows))
                    break
                done.update(rows)
            rest = [row for row in rest if row not in done]

    def _shrink(self, tried: int) -> None:
        """Half of what was too much, which may have been far below the budget."""
        self.tokens = max(1, min(self.tokens, tried) // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if not self._warned:
            self._warned = True
            _log.warning(
                "Warning: %s ran out of memory with %d tokens in a batch and goes on with fewer; "
                "advice.token_budget=%d would begin so.",
                self._whose,
                tried,
                self.tokens,
            )


def batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Groups indices of similar length so that longest times count stays within the budget."""
    batch: list[int] = []
    for row in np.argsort(lengths, kind="stable"):
        if batch and int(lengths[row]) * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(int(row))
    if batch:
        yield batch


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on a GPU or elsewhere."""
    # On a CPU PyTorch raises a plain RuntimeError.
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )


def _fits(work: Callable[[list[int]], None], rows: list[int]) -> bool:
    """Whether the memory sufficed for these rows; for one row alone it has to."""
    try:
        work(rows)
    except Exception as error:
        if len(rows) == 1 or not out_of_memory(error):
            raise
        # The error holds what was computed so far, and is gone once this returns.
        return False
    return True
