"""What an advisor is told about each signature: the graph's records, rounded and filtered.

Numbers are rounded (:data:`REWARD_STEP`, :data:`SHARE_STEP`) so that a prompt changes only
when its meaning does, and signatures with the same records share one prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs import Catalogue
from kg_actor import Records
from kg_actor.filtering import open_actions

REWARD_STEP = 0.1
"""Mean rewards are told to this precision."""

SHARE_STEP = 0.01
"""Shares of true classes and confidences are told to this precision."""


@dataclass(frozen=True)
class Prompts:
    """A batch of questions, one per row (paper, section III-C: attack, records, actions).

    Attributes:
        predicted: int8 [prompts], index of the predicted class.
        confidence: float32 [prompts], B of the signature.
        shares: float32 [prompts, classes], share of each true class among the signature's
            flows so far; all 0 when it has met none.
        rewards: float32 [classes, actions], mean reward of each action under each predicted
            class, shared by all prompts; NaN where there is no record.
        candidates: bool [prompts, actions], the actions that may be chosen
            (:func:`kg_actor.filtering.open_actions` over the rounded records).
        catalogue: names of classes and actions.
    """

    predicted: NDArray[np.int8]
    confidence: NDArray[np.float32]
    shares: NDArray[np.float32]
    rewards: NDArray[np.float32]
    candidates: NDArray[np.bool_]
    catalogue: Catalogue

    def __len__(self) -> int:
        return len(self.predicted)

    def keys(self) -> list[bytes]:
        """One key per prompt; equal keys are equal questions.

        Only the reward records that the prompt shows count: those of its candidates, for the
        predicted class and for the classes the signature is confused with.
        """
        told = np.zeros((len(self), len(self.catalogue.classes)), dtype=np.bool_)
        told[np.arange(len(self)), self.predicted] = True
        told |= self.shares > 0
        own = np.concatenate(
            [self.predicted[:, None].astype(np.float32), self.confidence[:, None], self.shares],
            axis=1,
        )
        rewards: dict[bytes, bytes] = {}
        keys = []
        # Few combinations of types and candidates occur, and each tells the same rewards.
        for row, chosen, kind in zip(
            _bytes(own),
            _bytes(self.candidates),
            _bytes(np.concatenate([told, self.candidates], axis=1)),
            strict=True,
        ):
            shown = rewards.get(kind)
            if shown is None:
                types, actions = np.split(np.frombuffer(kind, np.bool_), [told.shape[1]])
                shown = rewards[kind] = self.rewards[np.ix_(types, actions)].tobytes()
            keys.append(row + chosen + shown)
        return keys

    def take(self, rows: Sequence[int] | NDArray[np.integer]) -> Prompts:
        """Some of the prompts."""
        return Prompts(
            self.predicted[rows],
            self.confidence[rows],
            self.shares[rows],
            self.rewards,
            self.candidates[rows],
            self.catalogue,
        )


def _bytes(rows: NDArray[np.float32] | NDArray[np.bool_]) -> list[bytes]:
    """Each row as bytes."""
    data, width = rows.tobytes(), rows.shape[1] * rows.itemsize
    return [data[start : start + width] for start in range(0, len(data), width)]


def compose(records: Records, catalogue: Catalogue) -> Prompts:
    """One prompt for every signature, from the graph's records."""
    met = records.context_actual.astype(np.float64)
    # Faded flows may weigh less than one; where there are none, every share is 0.
    seen = met.sum(axis=1, keepdims=True)
    shares = np.divide(met, seen, out=np.zeros_like(met), where=seen > 0)
    rounded = _rounded(shares, SHARE_STEP)
    # A confusion that rounding hides from the prompt must not decide over its candidates.
    rewards = _rounded(records.action_reward, REWARD_STEP)
    return Prompts(
        records.predicted,
        _rounded(records.confidence, SHARE_STEP),
        rounded,
        rewards,
        open_actions(records.predicted, rounded, rewards),
        catalogue,
    )


def _rounded(values: NDArray[np.float64], step: float) -> NDArray[np.float32]:
    # Adding 0 turns -0.0 into 0.0, which would be another key.
    rounded: NDArray[np.float32] = (np.round(values / step) * step + 0.0).astype(np.float32)
    return rounded
