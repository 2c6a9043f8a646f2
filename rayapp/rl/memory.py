"""What a run knows: interactions go into its graph, and counters and advice come out.

The memory learns nothing by gradient. It merges tables into the knowledge graph, asks the advisor
about the graph's records, and hands both to runners and learner as one :class:`Knowledge`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from ray.exceptions import ActorDiedError

from envs import Counters, InputError, InteractionTable, Scenario, Suggestion
from kg_actor import (
    GraphCounts,
    GraphSpec,
    GraphState,
    Keyed,
    counters_of,
    records_of,
)
from kg_actor import client as graph_client
from kg_actor.client import GraphClient, Merging
from kg_actor.graph import check_table
from kg_actor.raykit import told_while_waiting
from llm_actor import AdviceDesk, AdviceTable, Advisor
from llm_actor import actor as advisor_actor
from llm_actor.circuit import CircuitState
from llm_actor.selection import AdvisorSpec, build
from rayapp.rl import sharing
from rayapp.rl.balance import balance
from rayapp.rl.graph_checkpoint import GraphCheckpoint

if TYPE_CHECKING:
    from rayapp.rl.config import KnowledgeConfig

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Knowledge:
    """What flows are decided with, frozen for an iteration.

    Attributes:
        counters: N and C of every signature.
        suggestion: A_LLM and R_LLM of every context; ``None`` for plain PPO.
        reference_logp: float32 [contexts, actions], the reference policy; ``None`` likewise.
        version: of the graph all this came from.
        met: [classes], flows that the graph has counted by true class, faded where it forgets.
    """

    counters: Counters
    suggestion: Suggestion | None
    reference_logp: NDArray[np.float32] | None
    version: int
    met: NDArray[np.int64] | NDArray[np.float64]


class Memory:
    """A run's knowledge graph and its advisor.

    Args:
        config: the algorithm's.
        scenario: what is learnt on.
        run: the run's name.
        folder: of the graph.

    Raises:
        InputError: the graph or the advisor cannot be used.
    """

    def __init__(self, config: KnowledgeConfig, scenario: Scenario, run: str, folder: Path) -> None:
        self._config, self._scenario, self._run, self._folder = config, scenario, run, folder
        self._spec = GraphSpec.of(scenario, config.prior, config.half_life)
        self._own_actors: advisor_actor.RemoteAdvisor | None = None
        self.advised: AdviceTable | None = None
        self.graph = self._start_graph()
        try:
            if config.lessons:
                self.graph.teach(config.lessons)
            self.checkpoint = GraphCheckpoint(run, lambda: self.graph)
            self._desk = self._open_desk()
        except BaseException:
            self.graph.stop(run)
            raise

    def _start_graph(self) -> GraphClient:
        return graph_client.start(
            self._run,
            self._spec,
            self._folder,
            shared=self._config.shared_graph,
            resource=self._config.graph_resource,
        )

    def _open_desk(self) -> AdviceDesk:
        own = self._config
        self.advisor = self._started(own.advisor)
        return AdviceDesk(
            self.advisor,
            self._scenario.catalogue,
            wait=own.advice_wait,
            max_age=own.advice_max_age,
        )

    def _started(self, advisor: Advisor | AdvisorSpec) -> Advisor:
        """The advisor itself, or the actors that serve the language model that is described."""
        if not isinstance(advisor, AdvisorSpec):
            return advisor
        if not (advisor.holds_model and self._config.infuse):
            return build(advisor)
        if (offered := sharing.advisor(advisor)) is not None:
            return offered
        own = self._config
        self._own_actors = advisor_actor.start(advisor, own.advisor_need)
        return self._own_actors

    @property
    def circuit(self) -> CircuitState | None:
        """Whether an endpoint is being asked; ``None`` for other advisors."""
        return self._desk.circuit if self.advised else None

    def begin(self) -> Knowledge:
        """Drops what a run that was lost before its first checkpoint left in the graph.

        Raises:
            InputError: the graph holds another run's flows, and is not shared on purpose.
        """
        counts = self.graph.begin(self._run)
        if counts.context_actual.any() and not self._config.shared_graph:
            raise InputError(
                "holds flows of another run",
                where=str(self._folder),
                expected="a graph of this run's own, or a shared one",
                mend="Restore the run's own graph, or remove the folder",
            )
        return self.recall(counts)

    def merge(self, tables: Sequence[Keyed]) -> Merging:
        """Begins to merge tables into the graph; :meth:`merged` waits for the end.

        Raises:
            ValueError: a table names a context, action or class that there is not.
        """
        return self.graph.merge(tables)

    def check(self, table: InteractionTable) -> None:
        """Refuses a table that the graph cannot count.

        Raises:
            ValueError: it names a context, action or class that there is not.
        """
        check_table(table, len(self._scenario.contexts), self._scenario.catalogue)

    def merged(self, merging: Merging, tables: Sequence[Keyed]) -> GraphCounts:
        """The graph's counts after a merge; merged again if the actor was lost for good."""
        try:
            return merging.counts()
        except ActorDiedError:
            self.graph = self._start_graph()
            return self.graph.merge(tables).counts()

    def recall(self, counts: GraphCounts | None = None) -> Knowledge:
        """Counters and advice from the graph's counts, by default from those of now."""
        own = self._config
        counts = self.graph.counts() if counts is None else counts
        counters = counters_of(counts, own.prior)
        met = counts.context_actual.sum(axis=0)
        if not own.infuse:
            return Knowledge(counters, None, None, counts.version, met)
        records = records_of(counts, self._scenario.catalogue, own.prior)
        with told_while_waiting(self._advisor_in_words, _log.warning):
            self.advised = self._desk.advise(records, self._class_weights(met))
        reference = own.reference.policy(self.advised.log_probabilities)
        return Knowledge(counters, self.advised.suggestion, reference, counts.version, met)

    def _class_weights(
        self, met: NDArray[np.int64] | NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """What a flow of each true class counts for the advisor: as much as for the learner.

        Advice that takes all flows for alike would hold a policy on contexts back from what it is
        to learn. Without a second opinion advice is what it always was.
        """
        own = self._config
        learns = own.reference_flows < own.total_env_steps and own.class_balance
        if not (self._scenario.has_opinion and learns):
            return None
        return balance(met, own.class_balance, own.class_weight_limit)

    @property
    def _advisor_in_words(self) -> str:
        # By the description: actors that are still being started could not be asked.
        advisor = self._config.advisor
        described = isinstance(advisor, AdvisorSpec)
        return f"the language model {advisor.name}" if described else "the advisor"

    def flows_of(self, state: GraphState) -> int:
        """Flows of this run that a graph's state holds."""
        if self._config.shared_graph:
            return sum(one.flows for key, one in state.merged.items() if key.run == self._run)
        return int(state.counts.context_actual.sum())

    def close(self) -> None:
        """Ends the use of graph and advisor; the graph's actor ends with its last run."""
        self._desk.close()
        # Those that were given are somebody else's.
        if self._own_actors is not None:
            self._own_actors.stop()
        self.graph.stop(self._run)
