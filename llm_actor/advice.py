"""The advice table: for each signature an action, its historic reward and a distribution.

One table per graph version. Only signatures whose prompt changed are asked again, and
equal prompts are asked once.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from envs import Catalogue, Suggestion
from kg_actor import Records
from llm_actor.advisor import Advisor
from llm_actor.prompts import compose

CACHE_SIZE = 65_536
"""Answers kept; the least recently used go first."""


@dataclass(frozen=True)
class AdviceTable:
    """Advice on every signature at one graph version.

    Attributes:
        suggestion: A_LLM and R_LLM (eq. 4). R_LLM is the mean reward on record for the
            predicted type and A_LLM, 0 where there is none.
        log_probabilities: float32 [signatures, actions], the reference policy pi_LLM (eq. 5).
        version: of the graph that the prompts were made from.
        asked: prompts that the advisor had to answer for this table.
    """

    suggestion: Suggestion
    log_probabilities: NDArray[np.float32]
    version: int
    asked: int


class AdviceDesk:
    """Turns a graph's records into advice tables and remembers answers.

    Args:
        advisor: who answers.
        catalogue: classes and actions.
    """

    def __init__(self, advisor: Advisor, catalogue: Catalogue) -> None:
        self.advisor = advisor
        self._catalogue = catalogue
        self._answers: OrderedDict[bytes, NDArray[np.float32]] = OrderedDict()

    def advise(self, records: Records) -> AdviceTable:
        """The advice table for these records."""
        prompts = compose(records, self._catalogue)
        keys = prompts.keys()
        first: dict[bytes, int] = {}
        for row, key in enumerate(keys):
            first.setdefault(key, row)
        missing = [key for key in first if key not in self._answers]
        if missing:
            rows = [first[key] for key in missing]
            answers = self.advisor.log_probabilities(prompts.take(rows))
            self._answers.update((k, a.copy()) for k, a in zip(missing, answers, strict=True))
        for key in first:
            self._answers.move_to_end(key)
        table = np.stack([self._answers[key] for key in keys])
        while len(self._answers) > max(CACHE_SIZE, len(first)):
            self._answers.popitem(last=False)
        action = table.argmax(axis=1).astype(np.int16)
        # The exact record rather than the rounded one that the prompt tells (eq. 4).
        reward = np.nan_to_num(records.action_reward[records.predicted, action], nan=0.0)
        return AdviceTable(
            Suggestion(action, reward.astype(np.float32)), table, records.version, len(missing)
        )
