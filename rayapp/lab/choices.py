"""What a policy would do: each detected class's mitigation, and where it departs from that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs import Scenario
from kg_actor import KnowledgeGraph
from rayapp.rl.saved_policy import Policy

MOST_DEPARTURES = 3
"""Contexts shown per class: those with most flows."""


@dataclass(frozen=True)
class Departure:
    """A context whose flows get another mitigation than their detected class asks for.

    Attributes:
        signature: of the context.
        flows: test flows that were met in it.
        mitigation: what they get.
        sure: the policy's probability of it.
        records: training flows of the context by true class, as the graph holds them; most first.
        earns: mean reward of the mitigation on these records; ``None`` without records.
        usual_earns: the same of the mitigation that the detected class asks for.
    """

    signature: int
    flows: int
    mitigation: str
    sure: float
    records: tuple[tuple[str, int], ...]
    earns: float | None
    usual_earns: float | None


@dataclass(frozen=True)
class Choice:
    """What flows of one detected class get.

    Attributes:
        detected: name of the class.
        flows: test flows that the detector puts into it.
        usual: the mitigation that is best for the class.
        mitigation: the one that most of these flows get.
        share: of these flows that get the usual mitigation.
        sure: mean probability of the chosen mitigations, by flows.
        departures: the contexts with most flows among those that get another mitigation.
    """

    detected: str
    flows: int
    usual: str
    mitigation: str
    share: float
    sure: float
    departures: tuple[Departure, ...]


def choices(policy: Policy, scenario: Scenario, graph: KnowledgeGraph) -> list[Choice]:
    """What a policy would do on the test flows, by detected class in the catalogue's order.

    Args:
        policy: trained on the scenario.
        scenario: its test flows are counted.
        graph: what the run has met; it explains departures.
    """
    contexts, catalogue = scenario.contexts, scenario.catalogue
    probabilities = policy.probabilities(contexts)
    action, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    flows = np.bincount(scenario.flow_set("test").context, minlength=len(contexts))
    records = graph.counts().context_actual
    made = []
    for number, name in enumerate(catalogue.class_names):
        own = np.flatnonzero((contexts.traffic == number) & (flows > 0))
        if not len(own):
            continue
        usual = int(catalogue.best_actions[number])
        weight = flows[own]
        others = own[action[own] != usual]
        taken = np.bincount(action[own], weights=weight)
        made.append(
            Choice(
                name,
                int(weight.sum()),
                catalogue.action_names[usual],
                catalogue.action_names[int(taken.argmax())],
                float(weight[action[own] == usual].sum() / weight.sum()),
                float(np.average(sure[own], weights=weight)),
                tuple(
                    Departure(
                        int(contexts.signature[context]),
                        int(flows[context]),
                        catalogue.action_names[action[context]],
                        float(sure[context]),
                        _by_class(records[context], catalogue.class_names),
                        _earned(records[context], catalogue.rewards[:, action[context]]),
                        _earned(records[context], catalogue.rewards[:, usual]),
                    )
                    for context in others[np.argsort(-flows[others], kind="stable")][
                        :MOST_DEPARTURES
                    ]
                ),
            )
        )
    return made


def _by_class(counts: NDArray[np.int64], names: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    order = np.argsort(-counts, kind="stable")
    return tuple((names[each], int(counts[each])) for each in order if counts[each])


def _earned(counts: NDArray[np.int64], rewards: NDArray[np.int8]) -> float | None:
    return float(np.average(rewards, weights=counts)) if counts.any() else None
