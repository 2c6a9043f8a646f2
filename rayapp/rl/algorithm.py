"""The algorithm: RLlib's PPO whose iterations run on interaction tables.

The only place that sees all parts. One iteration: runners step slices of the flow stream
under frozen knowledge; the sum of their tables goes to the knowledge graph and to the
learner; the graph's new records become the next iteration's counters and advice.
"""

from __future__ import annotations

import itertools
import math
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import ray
import torch
from numpy.typing import NDArray
from ray.exceptions import ActorDiedError
from ray.rllib.algorithms.ppo import PPO, PPOConfig
from ray.rllib.core import (
    COMPONENT_ENV_RUNNER,
    COMPONENT_LEARNER,
    COMPONENT_LEARNER_GROUP,
    COMPONENT_RL_MODULE,
    DEFAULT_MODULE_ID,
)
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    ENV_RUNNER_SAMPLING_TIMER,
    LEARNER_RESULTS,
    LEARNER_UPDATE_TIMER,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    TIMERS,
)

from envs import BetaPrior, InputError, InteractionTable, Scenario, observation_space
from envs.bandit import observe
from kg_actor import (
    GraphCounts,
    GraphSpec,
    GraphState,
    Keyed,
    Lesson,
    MergeKey,
    counters_of,
    records_of,
)
from kg_actor import actor as graph_actor
from llm_actor import AdviceDesk, Advisor, GraphReader
from llm_actor import actor as advisor_actor
from llm_actor.selection import AdvisorSpec, build
from rayapp.rl.env_runner import Assignment, Fragment, InteractionRunner, Knowledge, Slice
from rayapp.rl.graph_checkpoint import COMPONENT_GRAPH, GraphCheckpoint
from rayapp.rl.learner import REFERENCE_LOGP, WEIGHTS, Direction, ReferencePPOLearner
from rayapp.rl.module import MitigationModule
from rayapp.rl.networks import EncoderKind, NetworkSpec
from rayapp.rl.saved_policy import SavedPolicy
from rayapp.rl.schedules import Schedule

GRAPH_MERGE_TIMER = "graph_merge"
ADVICE_TIMER = "advice"
KNOWLEDGE_STATE = "knowledge"


class KnowledgePPOConfig(PPOConfig):
    """PPO's configuration plus what knowledge infusion needs.

    ``KnowledgePPOConfig().scenario(path).build_algo()`` is a complete PPO-KG; with
    ``scenario(path, infuse=False)`` it is plain PPO on the same code. Defaults are those of
    ``kirl train``.
    """

    def __init__(self, algo_class: type[PPO] | None = None) -> None:
        super().__init__(algo_class=algo_class or KnowledgePPO)
        self.scenario_path: str = ""
        self.run_name: str | None = None
        self.graph_folder: str | None = None
        self.shared_graph: str | None = None
        self.half_life: float | None = None
        self.lessons: tuple[Lesson, ...] = ()
        self.total_env_steps: int = 1_000_000
        self.prior: BetaPrior = BetaPrior()
        self.infuse: bool = True
        self.advisor: Advisor | AdvisorSpec = GraphReader()
        self.advice_wait: bool = True
        self.advice_max_age: int = 16
        self.require_gpu: bool = False
        self.advisor_replicas: int = 1
        self.kl_direction: Direction = "reference_to_policy"
        self.kl_schedule: Schedule = Schedule()
        self.env_runner_cls = InteractionRunner
        # RLlib's own KL penalty is between successive policies and plays no part in eq. 6.
        self.use_kl_loss = False
        self.train_batch_size_per_learner = 65_536
        self.num_env_runners = 0
        self.minibatch_size = None
        self.num_epochs = 8
        self.lr = 3e-3
        self.vf_clip_param = 100.0
        self.grad_clip = None

    def scenario(
        self,
        path: str | Path,
        *,
        encoder: EncoderKind = "embedding",
        hidden: tuple[int, ...] = (64, 64),
        embedding_dim: int = 16,
        infuse: bool = True,
    ) -> KnowledgePPOConfig:
        """Sets environment, spaces and network for a prepared scenario.

        Args:
            path: folder written by ``kirl prepare``; only the driver reads it.
            encoder: how observations enter the network.
            hidden: layer widths of the policy and value networks.
            embedding_dim: length of a signature's learnt vector.
            infuse: PPO-KG (state augmented by advice, KL term) or plain PPO.
        """
        scenario = Scenario.load(Path(path))
        self.scenario_path = str(path)
        self.infuse = infuse
        catalogue = scenario.catalogue
        network = NetworkSpec(
            signatures=len(scenario.signatures),
            classes=len(catalogue.classes),
            actions=len(catalogue.actions),
            augmented=infuse,
            encoder=encoder,
            embedding_dim=embedding_dim,
            hidden=hidden,
        )
        self.environment(
            "kirl/ThreatMitigation-v0",
            env_config={"scenario": str(path), "augmented": infuse},
            observation_space=observation_space(network.signatures, catalogue, suggestion=infuse),
            action_space=gym.spaces.Discrete(network.actions),
        )
        self.rl_module(
            rl_module_spec=RLModuleSpec(
                module_class=MitigationModule, model_config={"network": network.to_json()}
            )
        )
        return self

    def knowledge(
        self,
        *,
        run_name: str | None = None,
        graph_folder: str | Path | None = None,
        shared_graph: str | None = None,
        half_life: float | None = None,
        lessons: Sequence[Lesson] | None = None,
        total_env_steps: int | None = None,
        prior: BetaPrior | None = None,
        advisor: Advisor | AdvisorSpec | None = None,
        advice_wait: bool | None = None,
        advice_max_age: int | None = None,
        require_gpu: bool | None = None,
        advisor_replicas: int | None = None,
        kl_direction: Direction | None = None,
        kl_schedule: Schedule | None = None,
    ) -> KnowledgePPOConfig:
        """Sets graph, advice and KL term; what is ``None`` stays as it is.

        Args:
            run_name: names the run, and its graph's actor; ``None`` draws a name. A run that
                begins anew drops what a run of its name had merged into the same graph.
            graph_folder: where the graph is kept; by default in RLlib's folder of the trial.
            shared_graph: name of a graph that runs share on purpose; all of them give the
                same name and folder. It needs a ``graph_folder``.
            half_life: flows after which a flow counts half in confidence and rewards.
            lessons: prior experience to teach the graph before the first flow.
            total_env_steps: flows the training is meant to last; schedules refer to it.
            prior: of the signatures' confidence.
            advisor: who turns the graph's records into advice; a language model that is
                described by a spec gets Ray actors of its own.
            advice_wait: whether an iteration waits for all advice on the one before.
            advice_max_age: without it, versions of the graph that advice may lag behind.
            require_gpu: refuse to run a language model without one.
            advisor_replicas: actors that share a language model's prompts.
            kl_direction: of the KL term (eq. 5 is ``policy_to_reference``).
            kl_schedule: lambda over environment steps.
        """
        given = {
            "run_name": run_name,
            "graph_folder": None if graph_folder is None else str(graph_folder),
            "shared_graph": shared_graph,
            "half_life": half_life,
            "lessons": None if lessons is None else tuple(lessons),
            "total_env_steps": total_env_steps,
            "prior": prior,
            "advisor": advisor,
            "advice_wait": advice_wait,
            "advice_max_age": advice_max_age,
            "require_gpu": require_gpu,
            "advisor_replicas": advisor_replicas,
            "kl_direction": kl_direction,
            "kl_schedule": kl_schedule,
        }
        for name, value in given.items():
            if value is not None:
                setattr(self, name, value)
        return self

    def get_default_learner_class(self) -> type[ReferencePPOLearner]:
        """The learner that knows weights and reference policies."""
        return ReferencePPOLearner

    def validate(self) -> None:
        """RLlib's checks, and this algorithm's own.

        Raises:
            ValueError: no scenario, or more learners than the counted batch can be split over.
        """
        super().validate()
        if not self.scenario_path:
            self._value_error("Set a scenario: config.scenario(path).")
        if self.shared_graph and not self.graph_folder:
            self._value_error("A shared graph needs a graph_folder that all runs know.")
        if self.num_learners > 1:
            self._value_error(
                "An iteration's counted batch is a few thousand rows and is standardised as one; "
                "use num_learners=0 or 1."
            )


@dataclass(frozen=True)
class IterationSummary:
    """What one iteration saw, for progress reports.

    Attributes:
        episodes: flows so far, this iteration included.
        average_reward: over this iteration's flows.
        class_reward: per class that occurred, by name.
        graph_version: of the graph after the iteration.
        prompts_asked: prompts the advisor answered after it.
        advice_age: versions of the graph that the oldest advice lags behind.
        results: the learner's metrics (loss terms, entropy, KL, lambda).
    """

    episodes: int
    average_reward: float
    class_reward: dict[str, float]
    graph_version: int
    prompts_asked: int
    advice_age: int
    results: dict[str, float]


class KnowledgePPO(PPO):
    """PPO, PPO-KG and everything between them, on interaction tables."""

    config: KnowledgePPOConfig

    @classmethod
    def get_default_config(cls) -> KnowledgePPOConfig:
        """The configuration class to start from."""
        return KnowledgePPOConfig()

    def setup(self, config: Any) -> None:  # noqa: ANN401
        """Loads the scenario, starts the graph actor, then RLlib's own parts."""
        super().setup(config)
        own = self.config
        # Drawn per algorithm: two that are built from one configuration are two runs.
        self.run_name = own.run_name or f"run-{uuid.uuid4().hex[:8]}"
        self.scenario = Scenario.load(Path(own.scenario_path))
        flows = self.scenario.flow_set("train")
        self._predicted, self._catalogue = flows.predicted, flows.catalogue
        self._flows = ray.put(flows)
        self.episodes = 0
        self._spec = GraphSpec.of(self.scenario, own.prior, own.half_life)
        self._graph_folder = Path(own.graph_folder or Path(self.logdir) / "graph")
        self._unfinished = False
        self.graph = self._start_graph()
        try:
            self._set_up_knowledge()
        except BaseException:
            graph_actor.stop(self.graph, self.run_name)
            raise

    def _set_up_knowledge(self) -> None:
        own = self.config
        if own.lessons:
            graph_actor.ask(self.graph.teach.remote(own.lessons))
        self._graph_checkpoint = GraphCheckpoint(self.run_name, self._spec, lambda: self.graph)
        self._advisor = self._started(own.advisor)
        self._desk = AdviceDesk(
            self._advisor,
            self._catalogue,
            wait=own.advice_wait,
            max_age=own.advice_max_age,
        )
        self._asked = self._advice_age = 0
        self.knowledge = self._learn(graph_actor.ask(self.graph.counts.remote()))
        self.summary: IterationSummary | None = None

    def _started(self, advisor: Advisor | AdvisorSpec) -> Advisor:
        """The advisor itself, or the actors that serve the language model that is described."""
        if not isinstance(advisor, AdvisorSpec):
            return advisor
        if not (advisor.holds_model and self.config.infuse):
            return build(advisor)
        own = self.config
        return advisor_actor.start(
            advisor, require_gpu=own.require_gpu, replicas=own.advisor_replicas
        )

    def training_step(self) -> None:
        """One iteration: sample, then graph and learner on the same tables, then advice."""
        if self._unfinished:
            raise RuntimeError(
                "the last iteration failed half-way: weights and graph are of different ages. "
                "Restore a checkpoint"
            )
        if self.episodes == 0:
            self._begin()
        with self.metrics.log_time((TIMERS, ENV_RUNNER_SAMPLING_TIMER)):
            fragments = self._sample()
        table = InteractionTable.total(fragment.table for fragment in fragments)
        keyed = [
            Keyed(MergeKey(self.run_name, self.training_iteration, number), fragment.table)
            for number, fragment in enumerate(fragments)
        ]
        self._unfinished = True
        # The graph merges while the learner learns.
        merged = self.graph.merge.remote(keyed)
        self.metrics.log_value(
            (ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), table.flows, reduce="lifetime_sum"
        )
        with self.metrics.log_time((TIMERS, LEARNER_UPDATE_TIMER)):
            learner_results = self._update(table)
        with self.metrics.log_time((TIMERS, GRAPH_MERGE_TIMER)):
            counts = self._merged(merged, keyed)
        self.episodes += table.flows
        self._unfinished = False
        with self.metrics.log_time((TIMERS, ADVICE_TIMER)):
            self.knowledge = self._learn(counts)
        self.summary = self._summarise(table, learner_results)
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

    def _begin(self) -> None:
        """Drops what a run that was lost before its first checkpoint left in the graph.

        Raises:
            InputError: the graph holds another run's flows, and is not shared on purpose.
        """
        counts = graph_actor.ask(self.graph.begin.remote(self.run_name))
        if counts.signature_actual.any() and not self.config.shared_graph:
            raise InputError(
                "holds flows of another run",
                where=str(self._graph_folder),
                expected="a graph of this run's own, or a shared one",
                mend="Restore the run's own graph, or remove the folder",
            )
        self.knowledge = self._learn(counts)

    def _merged(self, answer: Any, keyed: list[Keyed]) -> GraphCounts:  # noqa: ANN401
        """The counts after a merge; merged again if its actor was lost for good."""
        try:
            counts: GraphCounts = graph_actor.ask(answer)
        except ActorDiedError:
            self.graph = self._start_graph()
            counts = graph_actor.ask(self.graph.merge.remote(keyed))
        return counts

    def _start_graph(self) -> Any:  # noqa: ANN401
        shared = self.config.shared_graph
        return graph_actor.start(self.run_name, self._spec, self._graph_folder, shared=shared)

    def _learn(self, counts: GraphCounts) -> Knowledge:
        """Counters and advice from the graph's counts."""
        counters = counters_of(counts, self._predicted, self.config.prior)
        if not self.config.infuse:
            return Knowledge(counters, None, None, counts.version)
        records = records_of(counts, self._predicted, self._catalogue, self.config.prior)
        table = self._desk.advise(records)
        self._asked, self._advice_age = table.asked, table.age
        return Knowledge(counters, table.suggestion, table.log_probabilities, counts.version)

    def _sample(self) -> list[Fragment]:
        """Fragments that cover this iteration's stretch of the stream, in stream order."""
        left = self.config.total_env_steps - self.episodes
        count = min(self.config.train_batch_size_per_learner, left if left > 0 else 2**62)
        shared = (self._flows, ray.put(self.knowledge), ray.put(self._weights()))
        runners = self.env_runner_group.healthy_env_runner_ids()
        pieces = slices(self.episodes, count, max(1, len(runners)))
        done: dict[Slice, Fragment] = {}
        while len(done) < len(pieces):
            missing = [Assignment(piece, *shared) for piece in pieces if piece not in done]
            for fragment in self._dispatch(missing):
                done[fragment.slice] = fragment
        return [done[piece] for piece in pieces]

    def _weights(self) -> dict[str, NDArray[np.float32]]:
        state: dict[str, NDArray[np.float32]] = self.learner_group.get_state(
            components=f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}", inference_only=True
        )[COMPONENT_LEARNER][COMPONENT_RL_MODULE][DEFAULT_MODULE_ID]
        return state

    def saved_policy(self) -> SavedPolicy:
        """The policy as it is now, with the knowledge it acts with."""
        prefix = "policy."
        return SavedPolicy(
            spec=NetworkSpec.from_json(self.config.rl_module_spec.model_config["network"]),
            weights={
                name.removeprefix(prefix): torch.from_numpy(np.array(value))
                for name, value in self._weights().items()
                if name.startswith(prefix)
            },
            counters=self.knowledge.counters,
            suggestion=self.knowledge.suggestion,
            fingerprint=self.scenario.fingerprint,
        )

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

    def _update(self, table: InteractionTable) -> dict[str, Any]:
        rows = counted_rows(table, self.knowledge, self._predicted, self._catalogue.rewards)
        minibatch = min(self.config.minibatch_size or len(table), len(table))
        if minibatch < len(table):
            rows = self._shuffled(rows)
        batch = MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(rows)}, env_steps=table.flows)
        results = self.learner_group.update(
            batch=batch,
            timesteps={NUM_ENV_STEPS_SAMPLED_LIFETIME: self.episodes},
            num_epochs=self.config.num_epochs,
            minibatch_size=minibatch,
        )
        self.metrics.aggregate(results, key=LEARNER_RESULTS)
        learnt: dict[str, Any] = results[0][DEFAULT_MODULE_ID]
        return learnt

    def _shuffled(self, rows: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Rows in an order that a resumed run would draw again; RLlib's own shuffle would not."""
        generator = np.random.default_rng([self.config.seed or 0, self.episodes])
        order = generator.permutation(len(rows[WEIGHTS]))
        return {name: column[order] for name, column in rows.items()}

    def _summarise(self, table: InteractionTable, results: dict[str, Any]) -> IterationSummary:
        rewards = table.rewards(self._catalogue) * table.count
        classes = len(self._catalogue.classes)
        total = np.bincount(table.actual, weights=rewards, minlength=classes)
        flows = np.bincount(table.actual, weights=table.count, minlength=classes)
        return IterationSummary(
            episodes=self.episodes,
            average_reward=float(total.sum() / flows.sum()),
            class_reward={
                self._catalogue.class_names[i]: float(total[i] / flows[i])
                for i in np.flatnonzero(flows)
            },
            graph_version=self.knowledge.version,
            prompts_asked=self._asked,
            advice_age=self._advice_age,
            results=_numbers(results),
        )

    def graph_state(self) -> GraphState:
        """Everything the graph holds now."""
        state: GraphState = graph_actor.ask(self.graph.state.remote())
        return state

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
        if self._check_component(COMPONENT_GRAPH, components, not_components):
            state[COMPONENT_GRAPH] = self._graph_checkpoint.get_state()
        state[KNOWLEDGE_STATE] = {
            "episodes": self.episodes,
            "fingerprint": self.scenario.fingerprint,
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
        self.episodes = int(saved["episodes"])
        held = graph.counts.signature_actual.sum()
        if self.config.shared_graph:
            own = (one.flows for key, one in graph.merged.items() if key.run == self.run_name)
            held = sum(own)
        if held != self.episodes:
            raise ValueError("the checkpoint has lost its graph")
        self._unfinished = False
        self.knowledge = self._learn(graph.counts)

    def cleanup(self) -> None:
        """Stops runners and learner, and the graph actor with its last run."""
        super().cleanup()
        self._desk.close()
        if isinstance(self._advisor, advisor_actor.RemoteAdvisor):
            self._advisor.stop()
        graph_actor.stop(self.graph, self.run_name)


def slices(start: int, count: int, parts: int) -> list[Slice]:
    """A stretch of the stream, cut into ``parts`` contiguous slices of nearly equal length."""
    edges = [start + count * part // parts for part in range(parts + 1)]
    return [Slice(a, b - a) for a, b in itertools.pairwise(edges) if b > a]


def counted_rows(
    table: InteractionTable,
    knowledge: Knowledge,
    predicted: NDArray[np.int8],
    rewards: NDArray[np.int8],
) -> dict[str, NDArray[Any]]:
    """The learner's columns for a table: one row per distinct transition, weighted by count.

    Args:
        table: an iteration's interactions.
        knowledge: what they were sampled with.
        predicted: int8 [signatures].
        rewards: int8 [classes, actions], eq. 3.

    Returns:
        Columns ``obs`` float32 [rows, 5 or 7], ``actions`` int64, ``rewards`` float32,
        ``weights`` float32 with mean 1 and, with advice, ``reference_logp`` float32
        [rows, actions].
    """
    rows: dict[str, NDArray[Any]] = {
        Columns.OBS: observe(table.signature, predicted, knowledge.counters, knowledge.suggestion),
        Columns.ACTIONS: table.action.astype(np.int64),
        Columns.REWARDS: rewards[table.actual, table.action].astype(np.float32),
        WEIGHTS: (table.count / table.count.mean()).astype(np.float32),
    }
    if knowledge.reference_logp is not None:
        rows[REFERENCE_LOGP] = knowledge.reference_logp[table.signature]
    return rows


def _numbers(results: dict[str, Any]) -> dict[str, float]:
    numbers = {}
    for name, value in results.items():
        peek = getattr(value, "peek", None)
        number = peek() if callable(peek) else value
        try:
            plain = float(number)
        except (TypeError, ValueError):
            continue
        # RLlib leaves some of its statistics empty (NaN), which JSON cannot hold.
        if math.isfinite(plain):
            numbers[name] = plain
    return numbers
