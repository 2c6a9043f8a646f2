"""Decides on flows: from what is read of a file to one outcome per row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from envs import Scenario
from envs.datasets.source import FlowBatch
from envs.detector import UNKNOWN
from rayapp.decisions.knowledge import RunKnowledge
from rayapp.runs.folder import RunFolder

UNDECIDED = UNKNOWN
"""In the place of a context: nothing can be decided."""


@dataclass(frozen=True)
class Decided:
    """Rows of a file in their order, and the context that each is decided in.

    Attributes:
        keys: n rows: ``file``, ``row``, and what else tells one flow from another
            (:data:`envs.datasets.tables.form.KEYS`), as far as it is known.
        context: int32 [n], :data:`UNDECIDED` where nothing can be decided.
        reasons: why not.
        reason: int32 [n], index into ``reasons``; of no meaning for rows that are decided.
    """

    keys: pa.Table
    context: NDArray[np.int32]
    reasons: Sequence[str] = ()
    reason: NDArray[np.int32] | None = None

    def __len__(self) -> int:
        return len(self.context)


class Decider:
    """Decides with a finished run's detectors, policy and knowledge.

    Args:
        matched: gives the contexts of flows or alerts (:meth:`envs.Scenario.matcher`).
        knowledge: of the run.
    """

    def __init__(
        self, matched: Callable[[Any], NDArray[np.int32]], knowledge: RunKnowledge
    ) -> None:
        self._matched, self.knowledge = matched, knowledge

    @classmethod
    def of(cls, folder: RunFolder, scenario: Scenario) -> Decider:
        """The decider of a run.

        Args:
            folder: of the run.
            scenario: the run's own.

        Raises:
            InputError: the run has not finished, or is damaged.
        """
        return cls(scenario.matcher(), RunKnowledge.of(folder, scenario))

    def contexts(self, met: NDArray[np.float32] | Sequence[str]) -> NDArray[np.int32]:
        """The context that each flow or alert is met in, int32 [n].

        Args:
            met: float32 [n, features], of the scenario's schema; or the ids of n rules.

        Returns:
            Numbers of contexts; :data:`UNDECIDED` for a rule that the run does not know.
        """
        # scikit-learn's trees take no empty matrix.
        return self._matched(met) if len(met) else np.zeros(0, np.int32)

    def actions(self, features: NDArray[np.float32]) -> NDArray[np.int64]:
        """What the policy does about each flow, int64 [n]: indices of the catalogue's actions.

        Args:
            features: float32 [n, features], of the scenario's schema.
        """
        chosen: NDArray[np.int64] = self.knowledge.ranking[self.contexts(features), 0]
        return chosen

    def decide(self, batch: FlowBatch) -> Decided:
        """Decides on flows that were read with keys; refused rows stand between the others.

        Raises:
            ValueError: they were read without keys.
        """
        if batch.keys is None:
            raise ValueError("flows were read without keys")
        context = self.contexts(batch.features)
        if batch.refused is None:
            return Decided(batch.keys, context)
        return _with_refused(batch.keys, context, batch.refused)


def _with_refused(keys: pa.Table, context: NDArray[np.int32], refused: pa.Table) -> Decided:
    """All rows in the order of the file."""
    why = refused.column("why").combine_chunks()
    joined = pa.concat_tables([keys, refused.drop_columns("why")])
    order = np.argsort(joined.column("row").to_numpy(), kind="stable")
    nothing = np.full(len(refused), UNDECIDED, np.int32)
    reason = np.concatenate([np.zeros(len(keys), np.int32), why.indices.to_numpy()])
    return Decided(
        joined.unify_dictionaries().combine_chunks().take(order),
        np.concatenate([context, nothing])[order],
        why.dictionary.to_pylist(),
        reason[order],
    )
