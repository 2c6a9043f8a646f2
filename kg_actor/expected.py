"""What every action is expected to earn on a signature's flows, and why.

A signature's records say which classes its flows really were; the catalogue says what each
action earns on a flow of each class. Together they tell where the best action for the
detected type is not the best action for the signature.
"""

from __future__ import annotations

import numpy as np

from kg_actor.drawing.style import percent, signed
from kg_actor.graph import KnowledgeGraph


class Expected:
    """Expected rewards at one version of a graph; what it learns later does not show.

    Attributes:
        flows: [signatures], flows on record, faded where forgetting is on.
        share: float64 [signatures, classes], of a signature's flows by true class; 0 where
            it has matched none.
        reward: float64 [signatures, actions], expected per flow of the signature.
        usual: int [signatures], the catalogue's best action for the predicted class.
        best: int [signatures], the action of highest expected reward; ``usual`` unless
            another one is better.
    """

    def __init__(self, graph: KnowledgeGraph) -> None:
        self._predicted, self._catalogue = graph.predicted, graph.catalogue
        evidence = graph.counts().signature_evidence
        self.flows = evidence.sum(axis=1)
        self.share = evidence / np.where(self.flows > 0, self.flows, 1)[:, None]
        self.reward = self.share @ graph.catalogue.rewards.astype(np.float64)
        self.usual = graph.catalogue.best_actions[graph.predicted]
        gain = self.reward - np.take_along_axis(self.reward, self.usual[:, None].astype(int), 1)
        self.best = np.where(gain.max(axis=1) > 1e-9, gain.argmax(axis=1), self.usual)

    def reason(self, signature: int) -> str:
        """One sentence on which action is the best for a signature, and why.

        For example: '61 % of its flows were Benign: No Action is expected to earn +1.14 per
        flow, Filter Network Traffic, the best action for DoS, −1.10.'
        """
        if not self.flows[signature]:
            return "It has matched no flow yet, so nothing is known of what acting on it earns."
        catalogue, rewards = self._catalogue, self._catalogue.rewards.astype(float)
        best, usual = self.best[signature], self.usual[signature]
        share, predicted = self.share[signature], self._predicted[signature]
        # The class that speaks the most for the better action.
        gain = share * (rewards[:, best] - rewards[:, usual])
        actual = predicted if best == usual else gain.argmax()
        earns = [signed(self.reward[signature, action]) for action in (best, usual)]
        detected = f"{catalogue.action_names[usual]}, the best action for "
        detected += catalogue.class_names[predicted]
        why = f"{percent(share[actual])} of its flows were {catalogue.class_names[actual]}: "
        if best == usual:
            return f"{why}{detected}, is expected to earn {earns[0]} per flow, no other more."
        better = catalogue.action_names[best]
        return f"{why}{better} is expected to earn {earns[0]} per flow, {detected}, {earns[1]}."
