"""Knowledge infusion: the iteration that every knowledge-infused algorithm shares.

The only place that sees all parts: runners, graph, advice, learner.
"""

from __future__ import annotations

import functools
import logging
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.exceptions import ActorDiedError
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import (
    COMPONENT_ENV_RUNNER,
    COMPONENT_LEARNER,
    COMPONENT_LEARNER_GROUP,
    COMPONENT_RL_MODULE,
    DEFAULT_MODULE_ID,
)
from ray.rllib.core.columns import Columns
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    NUM_ENV_STEPS_TRAINED_LIFETIME,
    TIMERS,
)
from ray.tune import Trainable
from torch import Tensor

from envs import InputError, InteractionTable
from kg_actor import (
    GraphCounts,
    GraphSpec,
    GraphState,
    Keyed,
    MergeKey,
    counters_of,
    patience,
    records_of,
)
from kg_actor import client as graph_client
from kg_actor.client import GraphClient, Merging
from llm_actor import AdviceDesk, AdviceTable, Advisor
from llm_actor import actor as advisor_actor
from llm_actor.selection import AdvisorSpec, build
from rayapp.rl import rllib_private, sharing
from rayapp.rl.config import KnowledgeConfig
from rayapp.rl.counted import balance, cloning_rows, counted_rows
from rayapp.rl.env_runner import Assignment, Fragment, Knowledge, Slice, slices
from rayapp.rl.graph_checkpoint import COMPONENT_GRAPH, GraphCheckpoint
from rayapp.rl.monitor import IterationMetrics
from rayapp.rl.networks import NetworkSpec
from rayapp.rl.reference_term import WEIGHTS
from rayapp.rl.saved_policy import Policy, SavedPolicy, TablePolicy
from rayapp.rl.summary import IterationSummary, numbers

GRAPH_MERGE_TIMER = "graph_merge"
ADVICE_TIMER = "advice"
KNOWLEDGE_STATE = "knowledge"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sampled:
    """Flows that were decided, until their feedback is taken in.

    Attributes:
        table: all of them.
        keyed: the same by slice, as the graph merges them.
        knowledge: what they were decided with.
        until: flows decided when they were.
        learns: whether the policy learns from them.
        behaviour: log-probabilities of the policy that decided, float32 [signatures, actions];
            ``None`` where that is still the learner's own.
    """

    table: InteractionTable
    keyed: tuple[Keyed, ...]
    knowledge: Knowledge
    until: int
    learns: bool
    behaviour: NDArray[np.float32] | None


class KnowledgeInfused(Algorithm):
    """An algorithm on interaction tables; mix it in before RLlib's own algorithm class.

    One iteration: runners step slices of the flow stream under frozen knowledge; the sum of
    their tables goes to the knowledge graph and to the learner; the graph's new records
    become the next iteration's counters and advice. An algorithm's own are what it learns from
    (:meth:`_experience`), with which weights it samples (:meth:`_acting_weights`), and what a
    learner must be told beside the rows (:meth:`_learn_from`).
    """

    config: KnowledgeConfig

    def _learn_from(self, rows: dict[str, NDArray[Any]], flows: int) -> dict[str, Any]:
        """Updates the policy on an iteration's counted rows; returns the learner's metrics."""
        size = len(rows[WEIGHTS])
        minibatch = min(self.config.minibatch_size or size, size)
        return self._gradient_steps(rows, flows, epochs=self.config.num_epochs, minibatch=minibatch)

    def _experience(self, table: InteractionTable) -> InteractionTable:
        """What an iteration learns from; off-policy, that is more than its own interactions."""
        return table

    def _acting_weights(self) -> dict[str, NDArray[np.float32]]:
        """The weights that the next interactions are sampled with."""
        return self._weights()

    def setup(self, config: Any) -> None:  # noqa: ANN401
        """Sets up RLlib's own parts, then loads the scenario, starts graph and advisor."""
        super().setup(config)
        own = self.config
        # Drawn per algorithm: two that are built from one configuration are two runs.
        self.run_name = own.run_name or f"run-{uuid.uuid4().hex[:8]}"
        self.scenario = sharing.scenario_at(Path(own.scenario_path))
        self._predicted = self.scenario.signatures.predicted
        self._catalogue = self.scenario.catalogue
        self._put_flows()
        self._waiting: list[Sampled] = []
        self._exporter = IterationMetrics(self.run_name)
        self.flows = 0
        self._spec = GraphSpec.of(self.scenario, own.prior, own.half_life)
        self._graph_folder = Path(own.graph_folder or Path(self.logdir) / "graph")
        self._unfinished = False
        self._own_actors: advisor_actor.RemoteAdvisor | None = None
        self.graph = self._start_graph()
        try:
            self._set_up_knowledge()
        except BaseException:
            self.graph.stop(self.run_name)
            raise

    def _put_flows(self) -> None:
        matching, drift = self.config.matching, self.config.drift
        there = sharing.training_flows(self.scenario, matching)
        flows = self.scenario.flow_set("train", matching=matching) if drift or not there else None
        self._flows = there or ray.put(flows)
        self._drifted_flows = ray.put(drift.applied(flows)) if drift and flows else None

    def _set_up_knowledge(self) -> None:
        own = self.config
        if own.lessons:
            self.graph.teach(own.lessons)
        self._graph_checkpoint = GraphCheckpoint(self.run_name, lambda: self.graph)
        # By the description: actors that are still being started could not be asked.
        described = isinstance(own.advisor, AdvisorSpec)
        self._whom_to_wait_for = (
            f"the language model {own.advisor.name}" if described else "the advisor"
        )
        self._advisor = self._started(own.advisor)
        self._desk = AdviceDesk(
            self._advisor,
            self._catalogue,
            wait=own.advice_wait,
            max_age=own.advice_max_age,
        )
        self.advised: AdviceTable | None = None
        self.knowledge = self._learn(self.graph.counts())
        self.summary: IterationSummary | None = None

    def _started(self, advisor: Advisor | AdvisorSpec) -> Advisor:
        """The advisor itself, or the actors that serve the language model that is described."""
        if not isinstance(advisor, AdvisorSpec):
            return advisor
        if not (advisor.holds_model and self.config.infuse):
            return build(advisor)
        if (there := sharing.advisor(advisor)) is not None:
            return there
        own = self.config
        self._own_actors = advisor_actor.start(advisor, own.advisor_need)
        return self._own_actors

    def training_step(self) -> None:
        """One iteration: sample, then graph and learner on the same tables, then advice."""
        if self._unfinished:
            raise RuntimeError(
                "the last iteration failed half-way: weights and graph are of different ages. "
                "Restore a checkpoint"
            )
        if self.flows == 0:
            self._begin()
        with self.metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            sampled = self._sampled()
        self._unfinished = True
        self.metrics.log_value(
            (ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME),
            sampled.table.flows,
            reduce="lifetime_sum",
        )
        self._waiting.append(sampled)
        learner_results: dict[str, Any] = {}
        counts: GraphCounts | None = None
        told = sampled.until - self.config.feedback_delay
        while self._waiting and self._waiting[0].until <= told:
            learner_results, counts = self._take_in(self._waiting.pop(0))
        self.flows = sampled.until
        self._unfinished = False
        if counts is not None:
            with self.metrics.log_time((TIMERS, ADVICE_TIMER)):
                self.knowledge = self._learn(counts)
        if self.flows == self.config.reference_flows and self.config.cloning_steps:
            learner_results = self._clone()
        self.summary = self._summarise(sampled.table, learner_results)
        self._exporter.tell(self.summary, sampled.table.flows)
        self.metrics.log_dict(
            {
                "reward_mean": self.summary.average_reward,
                "reward_per_class": self.summary.class_reward,
                "graph_version": self.summary.graph_version,
                "prompts_asked": self.summary.prompts_asked,
                "advice_age": self.summary.advice_age,
            },
            key=ENV_RUNNER_RESULTS,
            window=1,
        )

    def _sampled(self) -> Sampled:
        """This iteration's flows, decided."""
        fragments = self._sample()
        keyed = tuple(
            Keyed(MergeKey(self.run_name, self.training_iteration, number), fragment.table)
            for number, fragment in enumerate(fragments)
        )
        table = InteractionTable.total(fragment.table for fragment in fragments)
        return Sampled(
            table,
            keyed,
            self.knowledge,
            self.flows + table.flows,
            learns=not self.by_reference,
            # By the time late feedback comes, the policy is another one.
            behaviour=self._behaviour() if self.config.feedback_delay else None,
        )

    def _take_in(self, sampled: Sampled) -> tuple[dict[str, Any], GraphCounts]:
        """Lets graph and learner take in the same flows; the learner's metrics, the counts."""
        # The graph merges while the learner learns.
        merging = self.graph.merge(sampled.keyed)
        with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
            learner_results = self._update(sampled) if sampled.learns else {}
        with self.metrics.log_time((TIMERS, GRAPH_MERGE_TIMER)):
            counts = self._merged(merging, sampled.keyed)
        return learner_results, counts

    def _behaviour(self) -> NDArray[np.float32]:
        """Log-probabilities of the acting policy, float32 [signatures, actions]."""
        acting = self.saved_policy().probabilities(self._predicted)
        logarithms: NDArray[np.float32] = np.log(acting + 1e-30).astype(np.float32)
        return logarithms

    def _begin(self) -> None:
        """Drops what a run that was lost before its first checkpoint left in the graph.

        Raises:
            InputError: the graph holds another run's flows, and is not shared on purpose.
        """
        counts = self.graph.begin(self.run_name)
        if counts.signature_actual.any() and not self.config.shared_graph:
            raise InputError(
                "holds flows of another run",
                where=str(self._graph_folder),
                expected="a graph of this run's own, or a shared one",
                mend="Restore the run's own graph, or remove the folder",
            )
        self.knowledge = self._learn(counts)

    def _merged(self, merging: Merging, keyed: tuple[Keyed, ...]) -> GraphCounts:
        """The counts after a merge; merged again if one of its actors was lost for good."""
        try:
            return merging.counts()
        except ActorDiedError:
            self.graph = self._start_graph()
            return self.graph.merge(keyed).counts()

    def _start_graph(self) -> GraphClient:
        return graph_client.start(
            self.run_name,
            self._spec,
            self._graph_folder,
            shards=self.config.graph_shards,
            shared=self.config.shared_graph,
            resource=self.config.graph_resource,
        )

    def _learn(self, counts: GraphCounts) -> Knowledge:
        """Counters and advice from the graph's counts."""
        self._flows_met = counts.signature_actual.sum(axis=0)
        counters = counters_of(counts, self._predicted, self.config.prior)
        if not self.config.infuse:
            return Knowledge(counters, None, None, counts.version)
        records = records_of(counts, self._predicted, self._catalogue, self.config.prior)
        with patience.told_while_waiting(self._whom_to_wait_for, _log.warning):
            self.advised = table = self._desk.advise(records)
        reference = self.config.reference.policy(table.log_probabilities)
        return Knowledge(counters, table.suggestion, reference, counts.version)

    def _sample(self) -> list[Fragment]:
        """Fragments that cover this iteration's stretch of the stream, in stream order."""
        left = self.config.total_env_steps - self.flows
        if self.by_reference:
            left = min(left, self.config.reference_flows - self.flows)
        drift, met = self.config.drift, self._flows
        if drift and self.flows < drift.at:
            left = min(left, drift.at - self.flows)
        elif drift:
            met = self._drifted_flows
        count = min(self.config.train_batch_size_per_learner, left if left > 0 else 2**62)
        runners = self.env_runner_group.healthy_env_runner_ids()
        knowledge, weights = self.knowledge, self._acting_weights()
        # Without remote runners nothing leaves this process.
        shared = (
            met,
            ray.put(knowledge) if runners else knowledge,
            ray.put(weights) if runners else weights,
        )
        pieces = slices(self.flows, count, max(1, len(runners)))
        done: dict[Slice, Fragment] = {}
        while len(done) < len(pieces):
            missing = [
                Assignment(piece, *shared, by_reference=self.by_reference)
                for piece in pieces
                if piece not in done
            ]
            for fragment in self._dispatch(missing):
                done[fragment.slice] = fragment
        return [done[piece] for piece in pieces]

    @property
    def by_reference(self) -> bool:
        """Whether the reference policy acts on the next flows, and the policy does not learn."""
        return self.flows < self.config.reference_flows

    def _weights(self) -> dict[str, NDArray[np.float32]]:
        state: dict[str, NDArray[np.float32]] = self.learner_group.get_state(
            components=f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}", inference_only=True
        )[COMPONENT_LEARNER][COMPONENT_RL_MODULE][DEFAULT_MODULE_ID]
        return state

    def saved_policy(self) -> Policy:
        """The policy as it is now, with the knowledge it acts with.

        A training in which the reference policy alone acts leaves that one.
        """
        if self.config.reference_flows >= self.config.total_env_steps:
            return self._saved_reference()
        return SavedPolicy(
            spec=NetworkSpec.from_json(self.config.network),
            weights=self._policy_network(self._weights()),
            counters=self.knowledge.counters,
            suggestion=self.knowledge.suggestion,
            fingerprint=self.scenario.fingerprint,
        )

    def _policy_network(self, weights: dict[str, NDArray[np.float32]]) -> dict[str, Tensor]:
        """Parameters of the network whose outputs are the policy's logits, out of a module's."""
        prefix = "policy."
        return {
            name.removeprefix(prefix): torch.from_numpy(np.array(value))
            for name, value in weights.items()
            if name.startswith(prefix)
        }

    def _saved_reference(self) -> TablePolicy:
        if self.knowledge.reference_logp is None:
            raise RuntimeError("without knowledge infusion there is no reference policy")
        return TablePolicy(np.exp(self.knowledge.reference_logp), self.scenario.fingerprint)

    def _dispatch(self, work: list[Assignment]) -> list[Fragment]:
        """Gives each healthy runner one assignment; the driver's own steps in for none."""
        group = self.env_runner_group
        runners = group.healthy_env_runner_ids()[: len(work)]
        if not runners:
            return [group.local_env_runner.sample(assignment=item) for item in work]
        fragments: list[Fragment] = group.foreach_env_runner(
            "sample",
            kwargs=[{"assignment": item} for item in work[: len(runners)]],
            remote_worker_ids=runners,
            local_env_runner=False,
        )
        return fragments

    def _update(self, sampled: Sampled) -> dict[str, Any]:
        table = sampled.table
        power = self.config.class_balance
        balanced = balance(
            self._flows_met + table.flows_by_class(len(self._flows_met)),
            power,
            self.config.class_weight_limit,
        )
        experience = self._experience(table)
        rows = counted_rows(
            experience,
            sampled.knowledge,
            self._predicted,
            self._catalogue.rewards,
            balanced if power else None,
        )
        if sampled.behaviour is not None:
            behaviour = sampled.behaviour[experience.signature, experience.action]
            rows[Columns.ACTION_LOGP] = behaviour.astype(np.float32)
        return self._learn_from(rows, table.flows)

    def _clone(self) -> dict[str, Any]:
        """Clones the reference policy in the situations met so far (section IV-C)."""
        rows = cloning_rows(self.knowledge, self._predicted)
        return self._gradient_steps(
            rows, 0, epochs=self.config.cloning_steps, minibatch=len(rows[WEIGHTS])
        )

    def _gradient_steps(
        self, rows: dict[str, NDArray[Any]], flows: int, *, epochs: int, minibatch: int
    ) -> dict[str, Any]:
        """Lets the learner pass over rows; returns its metrics."""
        if minibatch < len(rows[WEIGHTS]):
            rows = self._shuffled(rows)
        batch = MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(rows)}, env_steps=flows)
        results = self.learner_group.update(
            batch=batch,
            timesteps={
                NUM_ENV_STEPS_SAMPLED_LIFETIME: self.flows,
                NUM_ENV_STEPS_TRAINED_LIFETIME: self.flows + flows,
            },
            num_epochs=epochs,
            minibatch_size=minibatch,
        )
        self.metrics.aggregate(results, key=LEARNER_RESULTS)
        learnt: dict[str, Any] = results[0][DEFAULT_MODULE_ID]
        return learnt

    def _shuffled(self, rows: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Rows in an order that a resumed run would draw again; RLlib's own shuffle would not."""
        generator = np.random.default_rng([self.config.seed or 0, self.flows])
        order = generator.permutation(len(rows[WEIGHTS]))
        return {name: column[order] for name, column in rows.items()}

    def _summarise(self, table: InteractionTable, results: dict[str, Any]) -> IterationSummary:
        rewards = table.rewards(self._catalogue) * table.count
        classes = len(self._catalogue.classes)
        total = np.bincount(table.actual, weights=rewards, minlength=classes)
        flows = np.bincount(table.actual, weights=table.count, minlength=classes)
        return IterationSummary(
            flows=self.flows,
            average_reward=float(total.sum() / flows.sum()),
            class_reward={
                self._catalogue.class_names[i]: float(total[i] / flows[i])
                for i in np.flatnonzero(flows)
            },
            graph_version=self.knowledge.version,
            prompts_asked=self.advised.asked if self.advised else 0,
            advice_age=self.advised.age if self.advised else 0,
            fallbacks=self.advised.fallbacks if self.advised else 0,
            circuit=self._desk.circuit if self.advised else None,
            results=numbers(results),
        )

    @functools.cached_property
    def _told_config(self) -> dict[str, Any]:
        """RLlib's configuration as results have it. It is frozen, and copying it takes a while."""
        told: dict[str, Any] = self.config.to_dict()
        return told

    def get_auto_filled_metrics(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        """What Tune adds to every result; RLlib would convert the configuration anew each time."""
        filled: dict[str, Any] = Trainable.get_auto_filled_metrics(self, *args, **kwargs)
        if "config" in filled:
            filled["config"] = self._told_config
        return filled

    def graph_state(self) -> GraphState:
        """Everything the graph holds now."""
        return self.graph.state()

    def get_state(
        self,
        components: str | Collection[str] | None = None,
        *,
        not_components: str | Collection[str] | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> dict[str, Any]:
        """RLlib's state, the graph's, and the position in the flow stream."""
        state: dict[str, Any] = super().get_state(
            components, not_components=not_components, **kwargs
        )
        # Runners keep nothing between calls.
        state.pop(COMPONENT_ENV_RUNNER, None)
        if rllib_private.is_wanted(self, COMPONENT_GRAPH, components, not_components):
            state[COMPONENT_GRAPH] = self._graph_checkpoint.get_state()
        state[KNOWLEDGE_STATE] = {
            "flows": self.flows,
            "fingerprint": self.scenario.fingerprint,
            "waiting": list(self._waiting),
        }
        return state

    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """Learner and graph; runners are stateless."""
        return [
            (COMPONENT_LEARNER_GROUP, self.learner_group),
            (COMPONENT_GRAPH, self._graph_checkpoint),
        ]

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores algorithm and graph together; merges later than the checkpoint are dropped.

        Raises:
            ValueError: the checkpoint belongs to another scenario.
        """
        super().set_state(state)
        saved = state.get(KNOWLEDGE_STATE)
        if saved is None:
            return
        if saved["fingerprint"] != self.scenario.fingerprint:
            raise ValueError(
                f"the checkpoint belongs to scenario {saved['fingerprint'][:12]}, this is "
                f"{self.scenario.fingerprint[:12]}"
            )
        if COMPONENT_GRAPH in state:
            self._graph_checkpoint.set_state(state[COMPONENT_GRAPH])
        graph = self.graph_state()
        self.flows = int(saved["flows"])
        self._waiting = list(saved["waiting"])
        held = graph.counts.signature_actual.sum()
        if self.config.shared_graph:
            own = (one.flows for key, one in graph.merged.items() if key.run == self.run_name)
            held = sum(own)
        if held + sum(sampled.table.flows for sampled in self._waiting) != self.flows:
            raise ValueError("the checkpoint has lost its graph")
        self._unfinished = False
        self.knowledge = self._learn(graph.counts)

    def cleanup(self) -> None:
        """Stops runners and learner, and the graph actor with its last run."""
        super().cleanup()
        self._desk.close()
        # Those that were given are somebody else's.
        if self._own_actors is not None:
            self._own_actors.stop()
        self.graph.stop(self.run_name)
