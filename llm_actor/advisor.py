"""The interface of advisors, which turn prompts into log-probabilities of actions.

Its first implementation reads the graph's records without any language model.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from llm_actor.prompts import Prompts

FLOOR = 1e-4
"""Probability that an action filtered out of a prompt keeps in an answer."""

Answers = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Log-probabilities [prompts, actions], and which rows are the advisor's own."""


class Advisor(Protocol):
    """Anything that can weigh actions given a prompt."""

    @property
    def name(self) -> str:
        """A short name that reports show."""
        ...

    def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
        """Natural log-probabilities of all actions, float32 [prompts, actions].

        Each row is normalised; actions outside of ``prompts.candidates`` keep :data:`FLOOR`.
        """
        ...


@runtime_checkable
class Fallible(Protocol):
    """An advisor that has a fallback for prompts that it cannot answer itself."""

    def answers(self, prompts: Prompts) -> Answers:
        """Log-probabilities float32 [prompts, actions]; bool [prompts], the advisor's own."""
        ...


def ask(advisor: Advisor, prompts: Prompts) -> Answers:
    """Asks an advisor, and says which answers are its own and which its fallback's.

    Raises:
        ValueError: its answer is not a finite number for each action of each prompt.
    """
    if isinstance(advisor, Fallible):
        answer, own = advisor.answers(prompts)
    else:
        answer, own = advisor.log_probabilities(prompts), np.ones(len(prompts), np.bool_)
    if answer.shape != prompts.candidates.shape or not np.isfinite(answer).all():
        raise ValueError(
            f"advisor {advisor.name} gave {list(answer.shape)} log-probabilities, or some that "
            f"are not finite; expected {list(prompts.candidates.shape)}"
        )
    return answer, own


def tokens_read(advisor: Advisor) -> int:
    """Tokens of all prompts that an advisor's language model has read; 0 if it doesn't count."""
    return int(getattr(advisor, "tokens_read", 0))


class GraphReader:
    """Weighs actions by the reward that the records promise, without a language model.

    A signature's flows are of the predicted type, or of the types it was confused with, in
    the shares on record. Each type's action records say what an action earns there, so the
    promise is their average by share. An action without a record promises 0, midway between
    the best and the worst reward; a signature without flows counts as never wrong. Where rare
    classes count more (:attr:`Prompts.weights`), so do their shares.

    Args:
        temperature: of the softmax over promised rewards, in reward units. Small values
            advise one action; large values say 'any of the good ones'.
    """

    def __init__(self, temperature: float = 0.25) -> None:
        if temperature <= 0:
            raise ValueError("temperature must be above 0")
        self._temperature = temperature

    @property
    def name(self) -> str:
        """``graph-reader``."""
        return "graph-reader"

    def promised(self, prompts: Prompts) -> NDArray[np.float32]:
        """Expected reward of every action by the records, float32 [prompts, actions]."""
        shares = prompts.shares.copy()
        unseen = shares.sum(axis=1) == 0
        shares[unseen, prompts.predicted[unseen]] = 1.0
        if prompts.weights is not None:
            shares *= prompts.weights
        shares /= shares.sum(axis=1, keepdims=True)
        rewards = np.nan_to_num(prompts.rewards, nan=0.0)
        promised = np.zeros(prompts.candidates.shape, dtype=np.float32)
        # Class by class: a matrix product rounds a row differently depending on its batch,
        # and a resumed run asks in other batches than one that was never stopped.
        for traffic, earned in enumerate(rewards):
            promised += shares[:, traffic, None] * earned
        return promised

    def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
        """See :class:`Advisor`."""
        return with_floor(self.promised(prompts) / self._temperature, prompts.candidates)


def with_floor(scores: NDArray[np.floating], candidates: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Softmax over each row's candidates; every other action gets :data:`FLOOR`.

    Args:
        scores: [prompts, actions], unnormalised log-probabilities.
        candidates: bool [prompts, actions], at least one per row.

    Returns:
        Normalised log-probabilities, float32 [prompts, actions].
    """
    # A fifth of a second to import, which --help does without.
    from scipy.special import log_softmax

    left_out = np.count_nonzero(~candidates, axis=1, keepdims=True)
    inside = log_softmax(np.where(candidates, scores, -np.inf), axis=1)
    total = np.log1p(-FLOOR * left_out)
    # Candidates keep at least the floor, too: a reference policy must not forbid anything.
    result = np.where(candidates, np.maximum(inside + total, np.log(FLOOR)), np.log(FLOOR))
    normalised: NDArray[np.float32] = log_softmax(result, axis=1).astype(np.float32)
    return normalised
