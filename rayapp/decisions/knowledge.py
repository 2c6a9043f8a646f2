"""What a finished run knows of every context, worked out once: decisions are looked up in it.

Counters, graph and advice are frozen while a run decides, so what it does about a flow depends on
the flow's context alone. Deciding costs a flow the detector's match and one lookup.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from envs import BetaPrior, Catalogue, Contexts, Scenario, Suggestion
from envs.scenario import SPLITS
from kg_actor import KnowledgeGraph, queries, store
from kg_actor.graph import Numbers, counters_of
from kg_actor.neighbourhood import Answers
from llm_actor.shrinking import shrunk
from rayapp import config
from rayapp.decisions.expected import class_shares, expected_rewards
from rayapp.runs.folder import RunFolder

if TYPE_CHECKING:
    # It takes torch, which --help does without.
    from rayapp.rl.saved_policy import Policy

DECIMALS = 6
"""Digits after the point of probabilities and rewards."""


@dataclass(frozen=True)
class Counted:
    """Flows that a run has met, by context.

    Attributes:
        seen: N, int64 [contexts].
        correct: C, int64 [contexts].
        confidence: B, float64 [contexts].
        evidence: [contexts, classes], flows by true class; faded where the graph forgets.
    """

    seen: NDArray[np.int64]
    correct: NDArray[np.int64]
    confidence: NDArray[np.float64]
    evidence: Numbers


@dataclass(frozen=True)
class RunKnowledge:
    """Detections and decisions of a run in all contexts.

    Attributes:
        contexts: that flows are met in.
        rules: [signatures], what a flow meets to match each.
        catalogue: classes and actions.
        counted: N, C and B, and flows by true class.
        probability: float64 [contexts, actions], the policy's; rows sum to 1.
        expected: float64 [contexts, actions], expected reward per flow.
        suggestion: what the policy was advised; ``None`` for one without advice.
        graph: the run's, ``None`` if there is none.
    """

    contexts: Contexts
    rules: tuple[str, ...]
    catalogue: Catalogue
    counted: Counted
    probability: NDArray[np.float64]
    expected: NDArray[np.float64]
    suggestion: Suggestion | None
    graph: KnowledgeGraph | None

    @classmethod
    def of(cls, folder: RunFolder, scenario: Scenario) -> RunKnowledge:
        """What a run knows.

        With a graph, N, C, B and flows by true class are the graph's, as it is now. Where the
        graph is not there (a run that was copied without it), N and C are those that the policy
        was saved with. Of the flows that were detected wrongly it is not saved what they were:
        they are spread over the other classes as the scenario's training flows of that context
        were. A policy that keeps no counters has those of the training flows, as the run met them.
        For alerts they are those of all verdicts, each of which counts once.

        Args:
            folder: of the run.
            scenario: the run's own.

        Raises:
            InputError: training has not finished, or a part is damaged.
        """
        settings = folder.manifest().settings
        policy, contexts = folder.policy(), scenario.contexts
        graph = folder.graph() if store.exists(folder.graph_folder) else None
        if scenario.of_alerts:
            # Every verdict counts once: training meets it over and over, and its graph counts that.
            verdicts = sum(scenario.flow_set(name).counts() for name in SPLITS)
            counted = _of_flows(np.asarray(verdicts), contexts, config.beta_prior(settings.prior))
        elif graph is not None:
            counted = _of_graph(graph)
        else:
            flows = scenario.flow_set("train", matching=settings.matching)
            counted = _of_policy(policy, flows.counts(), contexts, settings)
        prior = graph.prior if graph is not None else config.beta_prior(settings.prior)
        if contexts.has_opinion:
            met = shrunk(counted.evidence, contexts)
            shares = met / met.sum(axis=1, keepdims=True)
        else:
            shares = class_shares(counted.evidence, contexts.traffic, prior)
        return cls(
            contexts,
            scenario.signatures.rule,
            scenario.catalogue,
            counted,
            policy.probabilities(contexts),
            expected_rewards(shares, scenario.catalogue),
            getattr(policy, "suggestion", None),
            graph,
        )

    @cached_property
    def ranking(self) -> NDArray[np.int64]:
        """Actions of each context, the likeliest first, int64 [contexts, actions].

        The first one is what the policy does, and what ``kirl evaluate`` scores.
        """
        ranked: NDArray[np.int64] = np.argsort(-self.probability, axis=1, kind="stable")
        return ranked

    def detection(self, context: int) -> dict[str, Any]:
        """What is detected in a context, JSON-able."""
        signature = int(self.contexts.signature[context])
        detected = {
            "class": self.catalogue.class_names[self.contexts.traffic[context]],
            "signature": signature,
            "rule": self.rules[signature],
            "seen": int(self.counted.seen[context]),
            "correct": int(self.counted.correct[context]),
            "confidence": float(self.counted.confidence[context]),
        }
        return detected | self._second_opinion(context)

    def _second_opinion(self, context: int) -> dict[str, Any]:
        opinion, confidence = self.contexts.opinion, self.contexts.confidence
        if opinion is None or confidence is None:
            return {}
        told = self.catalogue.class_names[opinion[context]]
        sure = round(float(confidence[context]), DECIMALS)
        return {"second_opinion": {"class": told, "confidence": sure}}

    def decision(self, context: int, top: int | None = None) -> dict[str, Any]:
        """What is done about it, JSON-able.

        Args:
            context: its number.
            top: number of mitigations that are ranked; ``None`` for all.
        """
        ranked = [self._mitigation(context, action) for action in self.ranking[context][:top]]
        chosen = self.catalogue.actions[self.ranking[context, 0]]
        return {
            "mitigation": chosen.name,
            "attack_id": chosen.attack_id,
            "probability": ranked[0]["probability"],
            "expected_reward": ranked[0]["expected_reward"],
            "ranked": ranked,
        }

    def explanation(self, context: int) -> dict[str, Any]:
        """Why: the graph's records, what was advised, and what the flows really were.

        Returns:
            ``records``: all that the graph has around the signature (``None`` without a graph),
            as ``kirl graph query --signature`` tells it; ``advised``: mitigation and its historic
            reward (``None`` without advice); ``true_classes``: of the context's flows, most
            frequent first, with flows and share.
        """
        evidence = self.counted.evidence[context]
        classes = [int(one) for one in np.argsort(-evidence, kind="stable") if evidence[one] > 0]
        return {
            "records": self._records(int(self.contexts.signature[context])),
            "advised": self._advised(context),
            "true_classes": [
                {
                    "class": self.catalogue.class_names[one],
                    "flows": round(float(evidence[one]), 3),
                    "share": round(float(evidence[one] / evidence.sum()), DECIMALS),
                }
                for one in classes
            ],
        }

    def _mitigation(self, context: int, action: int) -> dict[str, Any]:
        return {
            "mitigation": self.catalogue.action_names[action],
            "probability": round(float(self.probability[context, action]), DECIMALS),
            "expected_reward": round(float(self.expected[context, action]), DECIMALS),
        }

    def _advised(self, context: int) -> dict[str, Any] | None:
        if self.suggestion is None:
            return None
        return {
            "mitigation": self.catalogue.action_names[self.suggestion.action[context]],
            "historic_reward": round(float(self.suggestion.reward[context]), DECIMALS),
        }

    @cached_property
    def _answers(self) -> Answers | None:
        return None if self.graph is None else Answers(self.graph)

    def _records(self, signature: int) -> object:
        if self._answers is None:
            return None
        # By way of a text: what Python gives has lists where what is written has them.
        return json.loads(json.dumps(queries.to_json(self._answers.around([signature])[0])))


def _of_flows(met: NDArray[np.int64], contexts: Contexts, prior: BetaPrior) -> Counted:
    """Counters of flows that are each counted once, given them by context and true class."""
    of_signature, of = contexts.by_signature(met), contexts.signature
    seen = of_signature.sum(axis=1)
    correct = of_signature[np.arange(len(of_signature)), contexts.predicted]
    return Counted(seen[of], correct[of], prior.confidence(seen, correct)[of], met)


def _of_graph(graph: KnowledgeGraph) -> Counted:
    """Whole flows are exact; confidence and shares follow the evidence, which may fade."""
    counts = graph.counts()
    contexts, exact = counts.contexts, counts.signature_actual
    seen = exact.sum(axis=1)
    correct = exact[np.arange(len(exact)), contexts.predicted]
    confidence = counters_of(counts, graph.prior).confidence()
    of = contexts.signature
    return Counted(seen[of], correct[of], confidence[of], counts.context_evidence)


def _of_policy(
    policy: Policy,
    met: NDArray[np.int64],
    contexts: Contexts,
    settings: config.TrainingSettings,
) -> Counted:
    """Without a graph: the policy's own counters, or else those of the flows it learnt from."""
    rows, traffic = np.arange(len(contexts)), contexts.traffic
    counters = getattr(policy, "counters", None)
    if counters is None:
        return _of_flows(met, contexts, config.beta_prior(settings.prior))
    seen, correct = (
        np.rint(column[contexts.signature]).astype(np.int64)
        for column in (counters.seen, counters.correct)
    )
    wrong = met.astype(np.float64)
    wrong[rows, traffic] = 0.0
    # Where no training flow was wrong: as often as each class occurs.
    unknown = wrong.sum(axis=1) == 0
    wrong[unknown] = met.sum(axis=0)
    wrong[rows, traffic] = 0.0
    total = wrong.sum(axis=1, keepdims=True)
    evidence = np.divide(wrong, total, out=wrong, where=total > 0) * (seen - correct)[:, None]
    evidence[rows, traffic] = correct
    return Counted(seen, correct, counters.confidence()[contexts.signature], evidence)
