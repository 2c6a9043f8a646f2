"""The question to an advisor about each signature: the graph's records, rounded and filtered.

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
from llm_actor.shrinking import shrunk

REWARD_STEP = 0.1
"""Mean rewards are rounded to a multiple of this."""

SHARE_STEP = 0.01
"""Shares of true classes and confidences are rounded to a multiple of this."""


WEIGHT_STEP = 0.1
"""Weights of classes are rounded to a multiple of this."""


@dataclass(frozen=True)
class Prompts:
    """A batch of questions, one per row (paper, section III-C: attack, records, actions).

    Attributes:
        predicted: int8 [prompts], index of the predicted class.
        confidence: float32 [prompts], B of the signature.
        shares: float32 [prompts, classes], share of each true class among the context's
            flows so far; all 0 when it has met none. With a second opinion, drawn towards those
            of its kind (:mod:`llm_actor.shrinking`).
        rewards: float32 [classes, actions], mean reward of each action under each predicted
            class, or on flows of each true class where there is a second opinion, shared by all
            prompts; NaN where there is no record.
        candidates: bool [prompts, actions], the actions that may be chosen
            (:func:`kg_actor.filtering.open_actions` over the rounded records).
        catalogue: names of classes and actions.
        weights: float32 [classes], what a flow of each true class counts; ``None`` where all count
            alike.
    """

    predicted: NDArray[np.int8]
    confidence: NDArray[np.float32]
    shares: NDArray[np.float32]
    rewards: NDArray[np.float32]
    candidates: NDArray[np.bool_]
    catalogue: Catalogue
    weights: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.predicted)

    def keys(self) -> list[bytes]:
        """One key per prompt; equal keys are equal questions.

        Only the reward records that the prompt shows count: those of its candidates, for the
        predicted class and for the classes the signature is confused with.
        """
        shown_types = np.zeros((len(self), len(self.catalogue.classes)), dtype=np.bool_)
        shown_types[np.arange(len(self)), self.predicted] = True
        shown_types |= self.shares > 0
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
            _bytes(np.concatenate([shown_types, self.candidates], axis=1)),
            strict=True,
        ):
            shown = rewards.get(kind)
            if shown is None:
                types, actions = np.split(np.frombuffer(kind, np.bool_), [shown_types.shape[1]])
                shown = rewards[kind] = self.rewards[np.ix_(types, actions)].tobytes()
            keys.append(row + chosen + shown)
        if self.weights is not None:
            common = self.weights.tobytes()
            keys = [key + common for key in keys]
        return keys

    def take(self, rows: Sequence[int] | NDArray[np.integer]) -> Prompts:
        """The prompts of these rows."""
        return Prompts(
            self.predicted[rows],
            self.confidence[rows],
            self.shares[rows],
            self.rewards,
            self.candidates[rows],
            self.catalogue,
            self.weights,
        )


def _bytes(rows: NDArray[np.float32] | NDArray[np.bool_]) -> list[bytes]:
    """Each row as bytes."""
    data, width = rows.tobytes(), rows.shape[1] * rows.itemsize
    return [data[start : start + width] for start in range(0, len(data), width)]


def compose(
    records: Records, catalogue: Catalogue, weights: NDArray[np.float64] | None = None
) -> Prompts:
    """One prompt for every context, from the graph's records.

    Args:
        records: of all contexts.
        catalogue: names of classes and actions.
        weights: float64 [classes], what a flow of each true class counts, rounded to a multiple
            of :data:`WEIGHT_STEP`; by default all count alike.
    """
    shares = _shares(records)
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
        None if weights is None else _rounded(weights, WEIGHT_STEP),
    )


def recorded_rewards(records: Records, action: NDArray[np.integer]) -> NDArray[np.float64]:
    """R_LLM (eq. 4): what an action has earned by the records, 0 where there are none.

    Args:
        records: of all contexts.
        action: [contexts], one for each.

    Returns:
        float64 [contexts]: the action's mean reward under the predicted class; with a second
        opinion, its mean reward over the classes that flows of the context are of.
    """
    rewards = np.nan_to_num(records.action_reward, nan=0.0)
    mean: NDArray[np.float64] = rewards[records.predicted, action]
    if records.contexts is not None:
        mean = np.einsum("ct,tc->c", _shares(records), rewards[:, action])
    return mean


def _shares(records: Records) -> NDArray[np.float64]:
    """Share of each true class among each context's flows, 0 where there are none."""
    met = records.context_actual.astype(np.float64)
    if records.contexts is not None and records.contexts.has_opinion:
        met = shrunk(met, records.contexts)
    # Faded flows may weigh less than one; where there are none, every share is 0.
    seen = met.sum(axis=1, keepdims=True)
    shares: NDArray[np.float64] = np.divide(met, seen, out=np.zeros_like(met), where=seen > 0)
    return shares


def _rounded(values: NDArray[np.float64], step: float) -> NDArray[np.float32]:
    # Adding 0 turns -0.0 into 0.0, which would be another key.
    rounded: NDArray[np.float32] = (np.round(values / step) * step + 0.0).astype(np.float32)
    return rounded
