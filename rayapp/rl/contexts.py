"""Rows of a counted batch that share an observation, which the networks need to see once.

Within an iteration an observation depends on the signature alone, while a batch has a row for
each action and true class that the signature was met with: some thousand rows of some hundred
signatures while the policy explores.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rayapp.rl.reference_term import REFERENCE_LOGP, WEIGHTS


@dataclass(frozen=True)
class Contexts:
    """Distinct observations of a batch whose equal observations follow each other.

    Attributes:
        first: int64 [contexts], the first row of each.
        of_row: int64 [rows], the context of each row.
    """

    first: Tensor
    of_row: Tensor

    @classmethod
    def of(cls, observations: Tensor) -> Contexts:
        """Finds them.

        Args:
            observations: float32 [rows, features]; equal ones that are apart count as two.
        """
        new = torch.ones(len(observations), dtype=torch.bool, device=observations.device)
        new[1:] = (observations[1:] != observations[:-1]).any(dim=1)
        return cls(new.nonzero().squeeze(1), new.cumsum(0) - 1)

    @classmethod
    def each(cls, rows: int, device: torch.device) -> Contexts:
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

    def situations(self, rows: dict[str, Tensor]) -> dict[str, Tensor]:
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
