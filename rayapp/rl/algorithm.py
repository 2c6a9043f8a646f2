"""Knowledge infusion: the iteration that every knowledge-infused algorithm shares.

Runners step flows under frozen knowledge (:mod:`rayapp.rl.sampling`); graph and learner take in
what happened; the graph's new records become the next iteration's knowledge
(:mod:`rayapp.rl.memory`).
"""

from __future__ import annotations

import functools
import hashlib
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.core import (
    COMPONENT_ENV_RUNNER,
    COMPONENT_LEARNER_GROUP,
    DEFAULT_MODULE_ID,
)
from ray.rllib.core.columns import Columns
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    EPISODE_RETURN_MEAN,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    TIMERS,
)
from ray.tune import Trainable
from torch import Tensor

from envs import InteractionTable
from envs.score import evaluate, score
from kg_actor import GraphCounts, GraphState, Keyed, MergeKey
from rayapp.rl import rllib_private, sharing
from rayapp.rl.balance import balance
from rayapp.rl.config import KnowledgeConfig
from rayapp.rl.counted import cloning_rows, counted_rows
from rayapp.rl.graph_checkpoint import COMPONENT_GRAPH
from rayapp.rl.memory import Knowledge, Memory
from rayapp.rl.monitor import IterationMetrics
from rayapp.rl.networks import NetworkSpec
from rayapp.rl.sampling import Sampler
from rayapp.rl.saved_policy import Policy, SavedPolicy, TablePolicy
from rayapp.rl.summary import IterationSummary, numbers
from rayapp.rl.updates import Updater

GRAPH_MERGE_TIMER = "graph_merge"
ADVICE_TIMER = "advice"
KNOWLEDGE_STATE = "knowledge"

_OUTSIDE = -1
"""The number, in merge keys, of the runner that absorbed interactions come from: there is none."""


@dataclass(frozen=True)
class Experience:
    """Interactions that graph and learner take in together.

    Attributes:
        table: all of them.
        keyed: the same in parts, as the graph merges them.
        knowledge: what they were decided with.
        until: flows of the stream that were decided when they were.
        learns: whether the policy learns from them.
        behaviour: log-probabilities of the policy that decided, float32 [contexts, actions];
            ``None`` where that is still the learner's own.
    """

    table: InteractionTable
    keyed: tuple[Keyed, ...]
    knowledge: Knowledge
    until: int
    learns: bool
    behaviour: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Absorbed:
    """What is remembered of interactions that were absorbed.

    Attributes:
        flows: how many there were.
        digest: of the table; another one under the same key is refused.
    """

    flows: int
    digest: bytes


class KnowledgeInfused(Algorithm):
    """An algorithm on interaction tables; mix it in before RLlib's own algorithm class.

    An algorithm's own are what it learns from (:meth:`_learnt_from`) and which logits its policy
    network has (:meth:`_policy_network`).
    """

    config: KnowledgeConfig

    def setup(self, config: Any) -> None:  # noqa: ANN401 (RLlib's signature)
        """Sets up RLlib's own parts, then loads the scenario, starts graph and advisor."""
        super().setup(config)
        own = self.config
        # Drawn per algorithm: two that are built from one configuration are two runs.
        self.run_name = own.run_name or f"run-{uuid.uuid4().hex[:8]}"
        self.scenario = sharing.scenario_at(Path(own.scenario_path))
        self.flows = 0
        self.summary: IterationSummary | None = None
        self._sampler = Sampler(own, self.scenario, self.env_runner_group)
        self._updater = Updater(own, self.learner_group, self.metrics)
        self._waiting: list[Experience] = []
        self._absorbed: dict[str, Absorbed] = {}
        self._begun = self._unfinished = False
        self._exporter = IterationMetrics(self.run_name)
        folder = Path(own.graph_folder or Path(self.logdir) / "graph")
        self.memory = Memory(own, self.scenario, self.run_name, folder)
        self.knowledge = self.memory.recall()

    def training_step(self) -> None:
        """One iteration: sample, then graph and learner on the same tables, then advice."""
        self._begin()
        with self.metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            sampled = self._sampled()
        self._unfinished = True
        self._waiting.append(sampled)
        learner_results: dict[str, Any] = {}
        counts: GraphCounts | None = None
        heard = sampled.until - self.config.feedback_delay
        while self._waiting and self._waiting[0].until <= heard:
            learner_results, counts = self._take_in(self._waiting.pop(0))
        self.flows = sampled.until
        self._unfinished = False
        if counts is not None:
            with self.metrics.log_time((TIMERS, ADVICE_TIMER)):
                self.knowledge = self.memory.recall(counts)
        if self.flows == self.config.reference_flows and self.config.cloning_steps:
            learner_results = self._clone()
        self._report(sampled.table, learner_results)

    def absorb(self, table: InteractionTable, key: str) -> bool:
        """Lets graph and learner take in interactions that did not come from the stream.

        A service learns from verdicts in this way. The same key counts once, whatever dies
        meanwhile: what a checkpoint does not hold is rolled back with it, and may be given again.
        The interactions count as decided by the policy as it is now.

        Args:
            table: the interactions.
            key: names them within the run.

        Returns:
            Whether they were new.

        Raises:
            ValueError: other interactions were absorbed under this key, or the table names a
                context, action or class that there is not; nothing was taken in then.
            RuntimeError: the last iteration failed half-way.
        """
        self._begin()
        number = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=7).digest())
        keyed = Keyed(MergeKey(self.run_name, number, _OUTSIDE), table)
        known = self._absorbed.get(key)
        if known is not None and known.digest != keyed.digest:
            raise ValueError(f"other interactions were absorbed under the key {key!r}")
        if known is not None or not len(table):
            return False
        self.memory.check(table)
        self._unfinished = True
        learns = not self.by_reference
        _, counts = self._take_in(
            Experience(table, (keyed,), self.knowledge, self.flows, learns=learns)
        )
        self._absorbed[key] = Absorbed(table.flows, keyed.digest)
        self._unfinished = False
        self.knowledge = self.memory.recall(counts)
        return True

    @property
    def by_reference(self) -> bool:
        """Whether the reference policy acts on the next flows, and the policy does not learn."""
        return self._sampler.by_reference(self.flows)

    def graph_state(self) -> GraphState:
        """Everything the graph holds now."""
        return self.memory.graph.state()

    def _begin(self) -> None:
        """Before the first iteration: the graph begins empty, or as the shared one it is."""
        if self._unfinished:
            raise RuntimeError(
                "the last iteration failed half-way: weights and graph are of different ages. "
                "Restore a checkpoint"
            )
        if not self._begun:
            self.knowledge = self.memory.begin()
            self._begun = True

    def _sampled(self) -> Experience:
        """This iteration's flows, decided."""
        fragments = self._sampler.sample(self.flows, self.knowledge, self._updater.weights())
        keyed = tuple(
            Keyed(MergeKey(self.run_name, self.training_iteration, number), fragment.table)
            for number, fragment in enumerate(fragments)
        )
        table = InteractionTable.total(fragment.table for fragment in fragments)
        return Experience(
            table,
            keyed,
            self.knowledge,
            self.flows + table.flows,
            learns=not self.by_reference,
            # By the time late feedback comes, the policy is another one.
            behaviour=self._behaviour() if self.config.feedback_delay else None,
        )

    def _behaviour(self) -> NDArray[np.float32]:
        """Log-probabilities of the acting policy, float32 [contexts, actions]."""
        acting = self.saved_policy().probabilities(self.scenario.contexts)
        logarithms: NDArray[np.float32] = np.log(acting + 1e-30).astype(np.float32)
        return logarithms

    def _take_in(self, experience: Experience) -> tuple[dict[str, Any], GraphCounts]:
        """Lets graph and learner take in the same flows; the learner's metrics, the counts."""
        # The graph merges while the learner learns.
        merging = self.memory.merge(experience.keyed)
        with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
            learner_results = self._update(experience) if experience.learns else {}
        with self.metrics.log_time((TIMERS, GRAPH_MERGE_TIMER)):
            counts = self.memory.merged(merging, experience.keyed)
        return learner_results, counts

    def _learnt_from(self, table: InteractionTable) -> InteractionTable:
        """What an update learns from; off-policy, that is more than the latest interactions."""
        return table

    def _update(self, experience: Experience) -> dict[str, Any]:
        """Updates the policy; returns the learner's metrics."""
        own, catalogue = self.config, self.scenario.catalogue
        table = self._learnt_from(experience.table)
        met = self.knowledge.met + experience.table.flows_by_class(len(catalogue.classes))
        rows = counted_rows(
            table,
            experience.knowledge,
            self.scenario.contexts,
            catalogue.rewards,
            balance(met, own.class_balance, own.class_weight_limit) if own.class_balance else None,
        )
        if experience.behaviour is not None:
            decided = experience.behaviour[table.context, table.action]
            rows[Columns.ACTION_LOGP] = decided.astype(np.float32)
        return self._updater.steps(
            rows,
            at=self.flows,
            flows=experience.table.flows,
            epochs=own.num_epochs,
            minibatch=own.minibatch_size,
        )

    def _clone(self) -> dict[str, Any]:
        """Clones the reference policy in the contexts met so far (section IV-C)."""
        rows = cloning_rows(self.knowledge, self.scenario.contexts)
        return self._updater.steps(rows, at=self.flows, flows=0, epochs=self.config.cloning_steps)

    def saved_policy(self) -> Policy:
        """The policy as it is now, with the knowledge it acts with.

        A training in which the reference policy alone acts leaves that one.
        """
        if self.config.reference_flows >= self.config.total_env_steps:
            return self._saved_reference()
        return SavedPolicy(
            spec=NetworkSpec.from_json(self.config.network),
            weights=self._policy_network(self._updater.weights()),
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

    def get_module(self, module_id: str = DEFAULT_MODULE_ID) -> Any:  # noqa: ANN401 (RLlib's)
        """The networks as they are now, whoever samples; ``None`` for another id.

        How a flow is observed depends on counters and advice, too: to act on flows, take
        :meth:`saved_policy`.
        """
        if module_id != DEFAULT_MODULE_ID:
            return None
        module = self.env_runner_group.local_env_runner.module
        module.set_state(self._updater.weights())
        return module

    def evaluate(self, parallel_train_future: object = None) -> dict[str, Any]:
        """Scores the policy's likeliest actions on the scenario's test flows.

        The score is exact: no environment is stepped. ``evaluation(evaluation_interval=1)`` puts
        it into every result.

        Args:
            parallel_train_future: RLlib's; configurations that would need it are refused.

        Returns:
            RLlib's form of results, with ``episode_return_mean`` (the average reward per flow),
            ``class_mean_reward`` (the mean over true classes) and ``reward_per_class``.
        """
        flows = self.scenario.flow_set("test")
        earned = evaluate(self.saved_policy().actions(flows.contexts), flows).score
        return {
            ENV_RUNNER_RESULTS: {
                EPISODE_RETURN_MEAN: earned.average_reward,
                "class_mean_reward": earned.class_mean_reward,
                "reward_per_class": earned.per_class,
            }
        }

    def _report(self, table: InteractionTable, results: dict[str, Any]) -> None:
        """Tells RLlib's metrics and Ray's how the iteration went."""
        earned, advised = score(table, self.scenario.catalogue), self.memory.advised
        self.summary = IterationSummary(
            flows=self.flows,
            average_reward=earned.average_reward,
            class_reward=earned.per_class,
            graph_version=self.knowledge.version,
            prompts_asked=advised.asked if advised else 0,
            advice_age=advised.age if advised else 0,
            fallbacks=advised.fallbacks if advised else 0,
            circuit=self.memory.circuit,
            results=numbers(results),
        )
        self._exporter.tell(self.summary, table.flows)
        self.metrics.log_value(
            (ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME),
            table.flows,
            reduce="lifetime_sum",
        )
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

    @functools.cached_property
    def _config_in_results(self) -> dict[str, Any]:
        """RLlib's configuration as results have it. It is frozen, and copying it takes a while."""
        copied: dict[str, Any] = self.config.to_dict()
        return copied

    def get_auto_filled_metrics(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # noqa: ANN401
        """What Tune adds to every result; RLlib would convert the configuration anew each time."""
        filled: dict[str, Any] = Trainable.get_auto_filled_metrics(self, *args, **kwargs)
        if "config" in filled:
            filled["config"] = self._config_in_results
        return filled

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
            state[COMPONENT_GRAPH] = self.memory.checkpoint.get_state()
        state[KNOWLEDGE_STATE] = {
            "flows": self.flows,
            "fingerprint": self.scenario.fingerprint,
            "waiting": list(self._waiting),
            "absorbed": dict(self._absorbed),
        }
        return state

    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """Learner and graph; runners are stateless."""
        return [
            (COMPONENT_LEARNER_GROUP, self.learner_group),
            (COMPONENT_GRAPH, self.memory.checkpoint),
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
            self.memory.checkpoint.set_state(state[COMPONENT_GRAPH])
        graph = self.graph_state()
        self.flows = int(saved["flows"])
        self._waiting, self._absorbed = list(saved["waiting"]), dict(saved["absorbed"])
        heard = self.flows - sum(experience.table.flows for experience in self._waiting)
        if self.memory.flows_of(graph) != heard + sum(
            absorbed.flows for absorbed in self._absorbed.values()
        ):
            raise ValueError("the checkpoint has lost its graph")
        self._begun, self._unfinished = True, False
        self.knowledge = self.memory.recall(graph.counts)

    def cleanup(self) -> None:
        """Stops runners and learner, and the graph actor with its last run."""
        super().cleanup()
        self.memory.close()
