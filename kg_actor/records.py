"""What the graph answers, as typed records.

:class:`Neighbourhood` and :class:`TypeNeighbourhood` are for people and tools;
:class:`Records` holds the same for all signatures as arrays, for advisors. Whole flows
(``seen``, ``correct``, ``count``, ``reward_sum``) are exact and never fade. Confidence, shares
and mean rewards follow the evidence: the same flows, but faded where forgetting is on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs import BetaPrior, Catalogue, Contexts
from kg_actor.graph import GraphCounts, Numbers, counters_of, experience


@dataclass(frozen=True)
class ActionRecord:
    """A type -> action edge: what an action has earned under a predicted type.

    An edge is on record while it has any evidence or is taught.

    Attributes:
        action: its name.
        count: flows that it was chosen for.
        reward_sum: what they earned.
        evidence: flows' worth of learnt experience that the mean rests on; ``count``, or less
            where forgetting is on.
        mean_reward: average reward per flow, learnt and taught together.
        taught_weight: flows' worth of prior experience.
        taught_reward_sum: what that earned.
        sources: who taught it, in alphabetic order; empty for an edge that is only learnt.
        left_out: whether the filter of section III-C leaves the action out for the signature
            that was asked about; never so in answers about a type.
    """

    action: str
    count: int
    reward_sum: int
    evidence: float
    mean_reward: float
    taught_weight: float = 0.0
    taught_reward_sum: float = 0.0
    sources: tuple[str, ...] = ()
    left_out: bool = False


@dataclass(frozen=True)
class ConfusionRecord:
    """A type -> type edge of one signature: how often its flows were of another type.

    Attributes:
        actual: name of the type that they were.
        count: how many flows.
        evidence: the same, faded where forgetting is on.
        share: of all the signature's flows, by evidence.
        confidence: B of the signature.
        best_action: of best mean reward on record for the actual type, if there is any.
    """

    actual: str
    count: int
    evidence: float
    share: float
    confidence: float
    best_action: str | None


@dataclass(frozen=True)
class Neighbourhood:
    """All that is connected to one signature (paper, section III-C).

    Attributes:
        signature: its id.
        predicted: name of the type it predicts.
        seen: N, flows that matched it.
        correct: C, those of them that were of the predicted type.
        evidence: flows' worth of experience behind confidence and shares; ``seen``, or less
            where forgetting is on.
        confidence: B (eq. 1).
        actions: the type's action records, best mean reward first.
        confusions: the signature's misdetections, largest share first.
        version: of the graph that answered.
    """

    signature: int
    predicted: str
    seen: int
    correct: int
    evidence: float
    confidence: float
    actions: tuple[ActionRecord, ...]
    confusions: tuple[ConfusionRecord, ...]
    version: int


@dataclass(frozen=True)
class SignatureRecord:
    """A signature -> type edge; attributes as in :class:`Neighbourhood`."""

    signature: int
    seen: int
    correct: int
    evidence: float
    confidence: float


@dataclass(frozen=True)
class TypeConfusion:
    """How flows taken for one type were of another, over all signatures together.

    Attributes:
        actual: name of the type that they were.
        count: how many flows.
        evidence: the same, faded where forgetting is on.
        share: of all flows taken for the asked type, by evidence.
        best_action: of best mean reward on record for the actual type, if there is any.
    """

    actual: str
    count: int
    evidence: float
    share: float
    best_action: str | None


@dataclass(frozen=True)
class TypeNeighbourhood:
    """All that is connected to one traffic type.

    Attributes:
        traffic: its name.
        seen: flows taken for it.
        correct: those of them that were of it.
        missed: flows of it that signatures took for another type.
        actions: its action records, best mean reward first.
        signatures: those that predict it, most flows first.
        confusions: what flows taken for it really were, largest share first.
        version: of the graph that answered.
    """

    traffic: str
    seen: int
    correct: int
    missed: int
    actions: tuple[ActionRecord, ...]
    signatures: tuple[SignatureRecord, ...]
    confusions: tuple[TypeConfusion, ...]
    version: int


@dataclass(frozen=True)
class Records:
    """Every context's records at one graph version, as arrays.

    Attributes:
        predicted: int8 [contexts], the class that the context's signature predicts.
        context_actual: [contexts, classes], flows that were met in a context by true class;
            int64, or float64 where forgetting is on.
        confidence: float64 [contexts], B of the context's signature.
        action_weight: float64 [classes, actions], flows of experience with an action under a
            predicted type, learnt and taught. With a second opinion, or where signatures are the
            rules of an IDS, on flows that truly were of a type
            (:attr:`envs.Contexts.recorded_truly`).
        action_reward: float64 [classes, actions], its mean reward there; NaN where there is
            no experience.
        version: of the graph.
        contexts: what the contexts stand for where actions are recorded by true type, ``None``
            otherwise.
    """

    predicted: NDArray[np.int8]
    context_actual: Numbers
    confidence: NDArray[np.float64]
    action_weight: NDArray[np.float64]
    action_reward: NDArray[np.float64]
    version: int
    contexts: Contexts | None = None


def records_of(counts: GraphCounts, catalogue: Catalogue, prior: BetaPrior) -> Records:
    """Derives the records of all contexts from the graph's counts."""
    contexts = counts.contexts
    weight, mean = mean_rewards(counts, catalogue, truly=contexts.recorded_truly)
    return Records(
        counts.contexts.traffic,
        counts.context_evidence,
        counters_of(counts, prior).confidence()[counts.contexts.signature],
        weight,
        mean,
        counts.version,
        contexts if contexts.recorded_truly else None,
    )


def mean_rewards(
    counts: GraphCounts, catalogue: Catalogue, *, truly: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Flows of experience and mean reward of each type -> action edge, learnt and taught.

    Args:
        counts: the graph's.
        catalogue: classes, actions, rewards.
        truly: goes by the types that flows truly were of, rather than by the predicted ones.

    Returns:
        Weight, and mean reward (NaN where there is no experience), each float64
        [classes, actions].
    """
    weight, reward = experience(counts, catalogue, truly=truly)
    mean = np.full(reward.shape, np.nan)
    np.divide(reward, weight, out=mean, where=weight > 0)
    return weight, mean
