"""The outcomes that occur among flows: few, however many flows there are.

There is one outcome for every context that is met, and one for every reason why nothing can be
decided. What is written about a flow beside its keys is written once per outcome.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayapp.decisions.decider import Decided
from rayapp.decisions.knowledge import RunKnowledge

Outcome = dict[str, Any]
"""``detection``, ``decision``, and ``explanation`` or ``undecided`` where there is one."""


class Outcomes:
    """Gives every outcome a number when it is met first.

    Args:
        knowledge: of the run.
        explain: whether outcomes say why.
        top: number of mitigations that are ranked; ``None`` for all.

    Attributes:
        told: what is told of each outcome, by number.
        flows: int64 [outcomes], how many flows had it so far.
    """

    def __init__(
        self, knowledge: RunKnowledge, *, explain: bool = False, top: int | None = None
    ) -> None:
        self._knowledge, self._explain, self._top = knowledge, explain, top
        self._of_context = np.full(len(knowledge.contexts), -1, np.int32)
        self._of_reason: dict[str, int] = {}
        self.told: list[Outcome] = []
        self.flows = np.zeros(0, np.int64)

    @property
    def explain(self) -> bool:
        """Whether outcomes say why."""
        return self._explain

    def of(self, rows: Decided) -> NDArray[np.int32]:
        """The outcome of each row, int32 [n]."""
        decided = rows.context >= 0
        whole = bool(decided.all())
        context = rows.context if whole else rows.context[decided]
        met = np.flatnonzero(np.bincount(context, minlength=len(self._of_context)))
        for one in met[self._of_context[met] < 0].tolist():
            self._of_context[one] = self._added(self._in_context(one))
        found = self._of_context[rows.context]
        if not whole and rows.reason is not None:
            codes = [self._because(one) for one in rows.reasons]
            found[~decided] = np.array(codes, np.int32)[rows.reason[~decided]]
        counted = np.bincount(found, minlength=len(self.told))
        counted[: len(self.flows)] += self.flows
        self.flows = counted
        return found

    def totals(self, name: Callable[[Outcome], str | None]) -> dict[str, int]:
        """Flows by something that outcomes have, the most frequent first.

        Args:
            name: what an outcome counts as; ``None`` for nothing.
        """
        found: dict[str, int] = {}
        for told, flows in zip(self.told, self.flows.tolist(), strict=False):
            key = name(told)
            if key is not None:
                found[key] = found.get(key, 0) + flows
        return dict(sorted(found.items(), key=lambda one: (-one[1], one[0])))

    def _added(self, told: Outcome) -> int:
        self.told.append(told)
        return len(self.told) - 1

    def _in_context(self, context: int) -> Outcome:
        known = self._knowledge
        told: Outcome = {
            "detection": known.detection(context),
            "decision": known.decision(context, self._top),
        }
        return told | ({"explanation": known.explanation(context)} if self._explain else {})

    def _because(self, reason: str) -> int:
        if reason not in self._of_reason:
            told = {"detection": None, "decision": None, "undecided": reason}
            self._of_reason[reason] = self._added(told)
        return self._of_reason[reason]
