"""The scorecard: a policy on a whole split, exactly, beside the bounds of what is possible.

A policy's decision depends on the context alone (counters and advice are frozen), so
every metric follows from how often each (context, true class) occurs in the split.
Nothing is sampled.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs import Catalogue, Contexts, FlowSet, InteractionTable


@dataclass(frozen=True)
class Score:
    """Rewards of one way to act.

    Attributes:
        average_reward: per flow.
        class_mean_reward: mean over the classes that occur of their average reward.
        per_class: average reward by name of the true class.
    """

    average_reward: float
    class_mean_reward: float
    per_class: dict[str, float]


@dataclass(frozen=True)
class CorrectAction:
    """Share of flows whose action was the top-ranked one of their true class (paper, Fig. 5).

    ``None`` where there are no such flows.
    """

    all: float | None
    detected_correctly: float | None
    misdetected: float | None


@dataclass(frozen=True)
class Part:
    """A policy's results on some of the flows.

    Attributes:
        flows: number of flows.
        average_reward: per flow; ``None`` where there are none.
        correct_action: share of flows whose action was the top-ranked one of their true class;
            ``None`` likewise.
    """

    flows: int
    average_reward: float | None
    correct_action: float | None


@dataclass(frozen=True)
class TwoOpinions:
    """A policy's results by what tree and second opinion say, and further bounds.

    Attributes:
        tree_wrong: flows whose class the decision tree got wrong.
        opinion_wrong: those whose class the second opinion got wrong.
        differ: those of which the two say different classes.
        wrong_alike: those of which both say the same wrong class.
        opinion_class: bound 'best action for the class that the second opinion predicts'.
        likeliest_class: bound 'best action for the likeliest class by both': the commonest among
            training flows of which both said the same; the second opinion's where there are none.
        context_oracle: bound 'best action per context, knowing these flows' labels'.
    """

    tree_wrong: Part
    opinion_wrong: Part
    differ: Part
    wrong_alike: Part
    opinion_class: Score
    likeliest_class: Score
    context_oracle: Score

    def to_json(self) -> dict[str, Any]:
        """What the scorecard's JSON has under ``second_opinion``."""
        return asdict(self)


@dataclass(frozen=True)
class Scorecard:
    """A policy's results on a set of flows.

    Attributes:
        score: of the policy.
        correct_action: share of top-ranked actions, overall and by whether detection was right.
        predicted_class: bound 'best action for the class that the detector predicts'.
        signature_oracle: bound 'best action per signature, knowing these flows' labels'.
        flows: number of flows.
        misdetected: those of them whose class the detector got wrong.
        flows_per_class: number of flows by true class.
        opinions: results by what both detectors say; ``None`` without a second opinion.
    """

    score: Score
    correct_action: CorrectAction
    predicted_class: Score
    signature_oracle: Score
    flows: int
    misdetected: int
    flows_per_class: dict[str, int]
    opinions: TwoOpinions | None = None

    def to_json(self) -> dict[str, Any]:
        """The object that ``kirl evaluate --json`` prints."""
        second = {"second_opinion": self.opinions.to_json()} if self.opinions else {}
        return (
            asdict(self.score)
            | {
                "correct_action": asdict(self.correct_action),
                "bounds": {
                    "predicted_class": asdict(self.predicted_class),
                    "signature_oracle": asdict(self.signature_oracle),
                },
                "flows": self.flows,
                "misdetected": self.misdetected,
                "flows_per_class": self.flows_per_class,
            }
            | second
        )


def evaluate(
    actions: NDArray[np.integer[Any]],
    flows: FlowSet,
    training: NDArray[np.int64] | None = None,
) -> Scorecard:
    """Scores a policy on all flows of a set.

    Args:
        actions: [contexts], the action the policy takes in each context.
        flows: the flows, with their true classes.
        training: int64 [contexts, classes], training flows, from which the likeliest class by
            both detectors is known; used with a second opinion alone.

    Raises:
        ValueError: there are no flows.
    """
    if not len(flows):
        raise ValueError("a scorecard needs at least one flow")
    counts = flows.counts()
    catalogue, contexts = flows.catalogue, flows.contexts
    table = _interactions(actions, counts)
    right = contexts.traffic[table.context] == table.actual
    oracle = best_actions(contexts.by_signature(counts), catalogue)[contexts.signature]
    return Scorecard(
        score=score(table, catalogue),
        correct_action=_correct_action(table, right, catalogue),
        predicted_class=_acting(catalogue.best_actions[contexts.traffic], counts, catalogue),
        signature_oracle=_acting(oracle, counts, catalogue),
        flows=table.flows,
        misdetected=int(table.count[~right].sum()),
        flows_per_class={
            catalogue.class_names[i]: int(n) for i, n in enumerate(counts.sum(axis=0)) if n
        },
        opinions=_two_opinions(table, counts, flows, training),
    )


def likeliest_classes(training: NDArray[np.int64], contexts: Contexts) -> NDArray[np.int8]:
    """The commonest true class where both detectors say what they say in a context.

    Args:
        training: int64 [contexts, classes], training flows.
        contexts: with a second opinion.

    Returns:
        int8 [contexts]; the second opinion's class where no training flow tells.
    """
    kinds = np.zeros((int(contexts.kind.max()) + 1, training.shape[1]), np.int64)
    np.add.at(kinds, contexts.kind, training)
    known = kinds[contexts.kind]
    likeliest: NDArray[np.int8] = known.argmax(axis=1).astype(np.int8)
    if contexts.opinion is not None:
        untold = ~known.any(axis=1)
        likeliest[untold] = contexts.opinion[untold]
    return likeliest


def _two_opinions(
    table: InteractionTable,
    counts: NDArray[np.int64],
    flows: FlowSet,
    training: NDArray[np.int64] | None,
) -> TwoOpinions | None:
    contexts, catalogue = flows.contexts, flows.catalogue
    if contexts.opinion is None:
        return None
    tree, opinion = contexts.traffic[table.context], contexts.opinion[table.context]
    tree_wrong, opinion_wrong = tree != table.actual, opinion != table.actual
    known = np.zeros_like(counts) if training is None else training
    best = catalogue.best_actions
    return TwoOpinions(
        tree_wrong=_part(table, tree_wrong, catalogue),
        opinion_wrong=_part(table, opinion_wrong, catalogue),
        differ=_part(table, tree != opinion, catalogue),
        wrong_alike=_part(table, tree_wrong & (tree == opinion), catalogue),
        opinion_class=_acting(best[contexts.opinion], counts, catalogue),
        likeliest_class=_acting(best[likeliest_classes(known, contexts)], counts, catalogue),
        context_oracle=_acting(best_actions(counts, catalogue), counts, catalogue),
    )


def _part(table: InteractionTable, rows: NDArray[np.bool_], catalogue: Catalogue) -> Part:
    count = table.count[rows]
    flows = int(count.sum())
    if not flows:
        return Part(0, None, None)
    top = catalogue.best_actions[table.actual] == table.action
    earned = int((table.rewards(catalogue)[rows].astype(np.int64) * count).sum())
    return Part(flows, earned / flows, int(count[top[rows]].sum()) / flows)


def score(table: InteractionTable, catalogue: Catalogue) -> Score:
    """Average rewards of the interactions in a table."""
    size = len(catalogue.classes)
    flows = np.bincount(table.actual, weights=table.count, minlength=size)
    earned = np.bincount(
        table.actual, weights=table.rewards(catalogue) * table.count, minlength=size
    )
    present = np.flatnonzero(flows)
    per_class = earned[present] / flows[present]
    return Score(
        float(earned.sum() / flows.sum()),
        float(per_class.mean()),
        {catalogue.class_names[i]: float(r) for i, r in zip(present, per_class, strict=True)},
    )


def best_actions(counts: NDArray[np.int64], catalogue: Catalogue) -> NDArray[np.int64]:
    """The action of highest total reward in each row, int64 [rows].

    Args:
        counts: int64 [rows, classes], flows by true class: a row per context or per signature.
        catalogue: rewards.
    """
    best: NDArray[np.int64] = (counts @ catalogue.rewards.astype(np.int64)).argmax(axis=1)
    return best


def _acting(
    actions: NDArray[np.integer[Any]], counts: NDArray[np.int64], catalogue: Catalogue
) -> Score:
    return score(_interactions(actions, counts), catalogue)


def _interactions(actions: NDArray[np.integer[Any]], counts: NDArray[np.int64]) -> InteractionTable:
    contexts, classes = np.nonzero(counts)
    return InteractionTable.tally(contexts, actions[contexts], classes, counts[contexts, classes])


def _correct_action(
    table: InteractionTable, right: NDArray[np.bool_], catalogue: Catalogue
) -> CorrectAction:
    top = catalogue.best_actions[table.actual] == table.action

    def share(rows: NDArray[np.bool_]) -> float | None:
        total = int(table.count[rows].sum())
        return int(table.count[rows & top].sum()) / total if total else None

    return CorrectAction(share(np.ones_like(right)), share(right), share(~right))
