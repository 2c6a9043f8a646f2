"""Rows of a counted batch by context, so that the networks see every observation once.

Within an iteration an observation depends on the context alone, while a batch has a row for
each action and true class that the context was met with: some thousand rows of some hundred
contexts while the policy explores.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rayapp.rl.reference_term import REFERENCE_LOGP, WEIGHTS


@dataclass(frozen=True)
class Grouping:
    """Which rows of a batch share a context; those of one context follow each other.

    Attributes:
        first: int64 [contexts], the first row of each.
        of_row: int64 [rows], the context of each row.
    """

    first: Tensor
    of_row: Tensor

    @classmethod
    def of(cls, context: Tensor) -> Grouping:
        """The grouping of rows in the order of an interaction table.

        Args:
            context: int64 [rows], in ascending order.
        """
        new = torch.ones(len(context), dtype=torch.bool, device=context.device)
        new[1:] = context[1:] != context[:-1]
        return cls(new.nonzero().squeeze(1), new.cumsum(0) - 1)

    @classmethod
    def each(cls, rows: int, device: torch.device) -> Grouping:
        """Every row for itself."""
        everything = torch.arange(rows, device=device)
        return cls(everything, everything)

    def spread(self, values: Tensor) -> Tensor:
        """Each row's own of float [contexts]."""
        return values.index_select(0, self.of_row)

    def taken(self, table: Tensor, actions: Tensor) -> Tensor:
        """Each row's own of float [contexts, actions], float [rows].

        Args:
            table: one row per context.
            actions: int64 [rows].
        """
        return table.reshape(-1).index_select(0, self.of_row * table.shape[1] + actions)

    def by_context(self, rows: dict[str, Tensor]) -> dict[str, Tensor]:
        """What holds of contexts: their weights and, where there is one, the reference policy.

        Args:
            rows: columns of counted rows.
        """
        found = {WEIGHTS: self.weights(rows[WEIGHTS])}
        if REFERENCE_LOGP in rows:
            found[REFERENCE_LOGP] = rows[REFERENCE_LOGP][self.first]
        return found

    def weights(self, weights: Tensor) -> Tensor:
        """Weights of contexts, float [contexts]; means over them equal means over rows.

        Args:
            weights: float [rows], with mean 1.
        """
        if len(self.first) == len(weights):
            return weights
        summed = torch.zeros(len(self.first), dtype=weights.dtype, device=weights.device)
        return summed.index_add_(0, self.of_row, weights) * (len(self.first) / len(weights))
