"""What an environment and a learner know of flows: detections, counters, suggestions, observations.

The vocabulary of eq. 1, 2 and 4, without an environment: runner, learner, graph and saved policy
build the same observation from the same parts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from envs.catalogue import Catalogue
from envs.signatures import BetaPrior

Observations = NDArray[np.float32]

Count = TypeVar("Count", np.int64, np.float64)


@dataclass(frozen=True)
class Contexts:
    """What decisions depend on: the contexts that occur, and the signature of each.

    A context is a signature together with a second opinion on the flow. Where there is no second
    opinion, contexts and signatures are the same, number by number.

    Attributes:
        signature: int32 [contexts], the signature of each context.
        predicted: int8 [signatures], the class that each signature predicts.
        opinion: int8 [contexts], the class that the second opinion finds the likeliest in each
            context; ``None`` where there is no second opinion.
        confidence: float32 [contexts], how sure it is of that (:mod:`envs.detector.opinion`);
            ``None`` likewise.
        distinct: number of training flows. Training meets them over and over, and what was counted
            a hundred times is no more certain for that. ``None`` where nobody counted.
        of_rules: whether signatures are rules of an IDS, which are often wrong.
    """

    signature: NDArray[np.int32]
    predicted: NDArray[np.int8]
    opinion: NDArray[np.int8] | None = None
    confidence: NDArray[np.float32] | None = None
    distinct: int | None = None
    of_rules: bool = False

    @classmethod
    def of_signatures(cls, predicted: NDArray[np.int8], *, of_rules: bool = False) -> Contexts:
        """One context per signature: there is no second opinion."""
        return cls(np.arange(len(predicted), dtype=np.int32), predicted, of_rules=of_rules)

    def __len__(self) -> int:
        return len(self.signature)

    @cached_property
    def are_signatures(self) -> bool:
        """Whether contexts and signatures are the same, number by number."""
        return not self.has_opinion and np.array_equal(
            self.signature, np.arange(len(self.predicted))
        )

    @property
    def has_opinion(self) -> bool:
        """Whether contexts hold a second opinion."""
        return self.opinion is not None

    @property
    def recorded_truly(self) -> bool:
        """Whether what an action earned is recorded by the class that flows truly were of.

        Under the class that is predicted, rewards tell little of an action where a second opinion
        decides with it, or where what is predicted is wrong as often as it is right.
        """
        return self.has_opinion or self.of_rules

    @cached_property
    def kind(self) -> NDArray[np.int32]:
        """A number for what both detectors say in each context, int32 [contexts].

        Contexts have the same number exactly where signatures predict the same class and the
        second opinion is the same and as sure. Without one, only the class counts.
        """
        if self.opinion is None or self.confidence is None:
            said = self.traffic[:, None].astype(np.float64)
        else:
            said = np.stack([self.traffic, self.opinion, self.confidence], axis=1)
        _, number = np.unique(said, axis=0, return_inverse=True)
        return number.reshape(-1).astype(np.int32)

    @cached_property
    def traffic(self) -> NDArray[np.int8]:
        """The class that each context's signature predicts, int8 [contexts]."""
        return self.predicted[self.signature]

    def by_signature(self, values: NDArray[Count]) -> NDArray[Count]:
        """Sums over the contexts of each signature.

        Args:
            values: [contexts, ...].

        Returns:
            [signatures, ...], of the same type.
        """
        summed = np.zeros((len(self.predicted), *values.shape[1:]), values.dtype)
        np.add.at(summed, self.signature, values)
        return summed


@dataclass(frozen=True)
class FlowSet:
    """All that the environment needs to know of a set of flows.

    Attributes:
        context: int32 [flows], the context that each flow is met in.
        actual: int8 [flows], its true class, never shown to the agent before it acts.
        contexts: what the contexts stand for.
        catalogue: classes, actions, rewards.
    """

    context: NDArray[np.int32]
    actual: NDArray[np.int8]
    contexts: Contexts
    catalogue: Catalogue

    def __len__(self) -> int:
        return len(self.context)

    @property
    def signature(self) -> NDArray[np.int32]:
        """The signature that each flow matches, int32 [flows]."""
        return self.contexts.signature[self.context]

    def counts(self) -> NDArray[np.int64]:
        """Flows by context and true class, int64 [contexts, classes]."""
        shape = (len(self.contexts), len(self.catalogue.classes))
        cells = self.context.astype(np.int64) * shape[1] + self.actual
        return np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)


@dataclass(frozen=True)
class Decided:
    """Flows that were decided, and what that earned.

    Attributes:
        flow: int32 [n], their indices.
        context: int32 [n], what they were met in.
        actual: int8 [n], their true classes.
        reward: float64 [n], eq. 3.
    """

    flow: NDArray[np.int32]
    context: NDArray[np.int32]
    actual: NDArray[np.int8]
    reward: NDArray[np.float64]


@dataclass
class Counters:
    """N and C of every signature, and the prior that turns them into B (eq. 1).

    Attributes:
        seen: N, int64 [signatures]; float64 where old flows count for less than one.
        correct: C, of the same kind.
    """

    seen: NDArray[np.int64] | NDArray[np.float64]
    correct: NDArray[np.int64] | NDArray[np.float64]
    prior: BetaPrior = field(default_factory=BetaPrior)

    @classmethod
    def zeros(cls, signatures: int, prior: BetaPrior | None = None) -> Counters:
        """Counters of a database that has met no flow yet (B = 0.5 with the uniform prior)."""
        return cls(
            np.zeros(signatures, np.int64), np.zeros(signatures, np.int64), prior or BetaPrior()
        )

    def add(self, signature: NDArray[np.int32], correct: NDArray[np.bool_]) -> None:
        """Counts flows by signature, and those of them that were detected correctly."""
        size = len(self.seen)
        self.seen += np.bincount(signature, minlength=size)
        self.correct += np.bincount(signature[correct], minlength=size)

    def confidence(self) -> NDArray[np.float64]:
        """B of every signature, float64 [signatures]."""
        return self.prior.confidence(self.seen, self.correct)


@dataclass(frozen=True)
class Suggestion:
    """What the state is augmented with (eq. 4), per context.

    Attributes:
        action: A_LLM, int16 [contexts], index of the suggested action.
        reward: R_LLM, float32 [contexts], its historic reward for the predicted class.
    """

    action: NDArray[np.int16]
    reward: NDArray[np.float32]


def observe(
    context: NDArray[np.integer[Any]],
    contexts: Contexts,
    counters: Counters,
    suggestion: Suggestion | None = None,
) -> Observations:
    """Observation vectors by eq. 2, or by eq. 4 when there is a suggestion.

    Args:
        context: [n], the contexts that flows are met in.
        contexts: what they stand for.
        counters: the state of N and C.
        suggestion: adds the columns A_LLM and R_LLM.

    Returns:
        float32 [n, 5] with columns y, ID(sig), N, C, B, or [n, 7] with A_LLM, R_LLM behind
        them; with a second opinion, its class and confidence are two more behind these. Counts
        above 2**24 are rounded to the nearest float32.
    """
    columns = (5 if suggestion is None else 7) + 2 * contexts.has_opinion
    table = np.empty((len(context), columns), dtype=np.float32)
    signature = contexts.signature[context]
    seen, correct = counters.seen[signature], counters.correct[signature]
    table[:, 0] = contexts.predicted[signature]
    table[:, 1] = signature
    table[:, 2] = seen
    table[:, 3] = correct
    table[:, 4] = counters.prior.confidence(seen, correct)
    if suggestion is not None:
        table[:, 5] = suggestion.action[context]
        table[:, 6] = suggestion.reward[context]
    if contexts.opinion is not None and contexts.confidence is not None:
        table[:, -2] = contexts.opinion[context]
        table[:, -1] = contexts.confidence[context]
    return table


def observation_space(
    signatures: int, catalogue: Catalogue, *, suggestion: bool, opinion: bool = False
) -> gym.spaces.Box:
    """The space of :func:`observe`'s rows."""
    classes, actions = len(catalogue.classes), len(catalogue.actions)
    high = [classes - 1, signatures - 1, np.inf, np.inf, 1.0]
    low = [0.0, 0.0, 0.0, 0.0, 0.0]
    if suggestion:
        high += [actions - 1, catalogue.highest_reward]
        low += [0.0, catalogue.lowest_reward]
    if opinion:
        high += [classes - 1, 1.0]
        low += [0.0, 0.0]
    return gym.spaces.Box(np.array(low, np.float32), np.array(high, np.float32), dtype=np.float32)
