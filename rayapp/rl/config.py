"""Configuration of knowledge-infused algorithms: RLlib's own, and what the infusion needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import gymnasium as gym
from ray.rllib.algorithms.algorithm import Algorithm
from ray.rllib.algorithms.algorithm_config import AlgorithmConfig
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch import TorchRLModule

from envs import BetaPrior, observation_space
from envs.drift import Drift
from envs.scenario import Matching
from kg_actor import Lesson
from llm_actor import Advisor, GraphReader
from llm_actor.placement import Need
from llm_actor.selection import AdvisorSpec
from rayapp.rl import rllib_private
from rayapp.rl.env_runner import InteractionRunner
from rayapp.rl.module import MitigationModule
from rayapp.rl.networks import EncoderKind, NetworkSpec
from rayapp.rl.reference import Reference
from rayapp.rl.reference_term import Direction
from rayapp.rl.schedules import Schedule
from rayapp.rl.sharing import scenario_at


class KnowledgeConfig(AlgorithmConfig):
    """What knowledge infusion needs; mix it in before an RLlib algorithm's configuration.

    Attributes:
        module_class: networks of the algorithm, built from a :class:`NetworkSpec`.
    """

    module_class: ClassVar[type[TorchRLModule]] = MitigationModule

    def __init__(self, algo_class: type[Algorithm] | None = None) -> None:
        super().__init__(algo_class=algo_class)
        self.scenario_path: str = ""
        self.network: dict[str, Any] = {}
        self.run_name: str | None = None
        self.graph_folder: str | None = None
        self.shared_graph: str | None = None
        self.graph_resource: str | None = None
        self.half_life: float | None = None
        self.lessons: tuple[Lesson, ...] = ()
        self.total_env_steps: int = 1_000_000
        self.prior: BetaPrior = BetaPrior()
        self.infuse: bool = True
        self.matching: Matching = "cross-fitted"
        self.advisor: Advisor | AdvisorSpec = GraphReader()
        self.advice_wait: bool = True
        self.advice_max_age: int = 16
        self.advisor_need: Need = Need()
        self.kl_direction: Direction = "reference_to_policy"
        self.kl_schedule: Schedule = Schedule()
        self.reference: Reference = Reference("hard")
        self.reference_flows: int = 0
        self.cloning_steps: int = 0
        self.class_balance: float = 0.7
        self.class_weight_limit: float = 20.0
        self.feedback_delay: int = 0
        self.drift: Drift | None = None
        self.env_runner_cls = InteractionRunner
        self.train_batch_size_per_learner = 65_536
        self.num_env_runners = 0
        # One training step is one iteration; RLlib repeats short ones for some algorithms.
        self.min_time_s_per_iteration = None
        self.min_sample_timesteps_per_iteration = 0

    def scenario(
        self,
        path: str | Path,
        *,
        encoder: EncoderKind = "embedding",
        hidden: tuple[int, ...] = (64, 64),
        embedding_dim: int = 16,
        infuse: bool = True,
        matching: Matching = "cross-fitted",
    ) -> Self:
        """Sets environment, spaces and network for a prepared scenario.

        Args:
            path: folder written by ``kirl prepare``; only the driver reads it.
            encoder: how observations enter the network.
            hidden: layer widths of the policy and value networks.
            embedding_dim: length of a signature's learnt vector.
            infuse: PPO-KG (state augmented by advice, KL term) or plain PPO.
            matching: how training flows are matched (:meth:`envs.Scenario.flow_set`).
        """
        scenario = scenario_at(Path(path))
        self.scenario_path = str(path)
        self.infuse = infuse
        self.matching = matching
        catalogue = scenario.catalogue
        network = NetworkSpec(
            signatures=len(scenario.signatures),
            classes=len(catalogue.classes),
            actions=len(catalogue.actions),
            augmented=infuse,
            reward_scale=catalogue.reward_scale,
            encoder=encoder,
            embedding_dim=embedding_dim,
            hidden=hidden,
            opinion=scenario.has_opinion,
        )
        self.environment(
            "kirl/ThreatMitigation-v0",
            env_config={"scenario": str(path), "augmented": infuse},
            observation_space=observation_space(
                network.signatures, catalogue, suggestion=infuse, opinion=network.opinion
            ),
            action_space=gym.spaces.Discrete(network.actions),
        )
        self.network = network.to_json()
        return self

    def get_default_rl_module_spec(self) -> RLModuleSpec:
        """The algorithm's networks for the scenario."""
        return RLModuleSpec(
            module_class=self.module_class, model_config={"network": dict(self.network)}
        )

    def knowledge(
        self,
        *,
        run_name: str | None = None,
        graph_folder: str | Path | None = None,
        shared_graph: str | None = None,
        graph_resource: str | None = None,
        half_life: float | None = None,
        lessons: Sequence[Lesson] | None = None,
        total_env_steps: int | None = None,
        prior: BetaPrior | None = None,
        advisor: Advisor | AdvisorSpec | None = None,
        advice_wait: bool | None = None,
        advice_max_age: int | None = None,
        advisor_need: Need | None = None,
        kl_direction: Direction | None = None,
        kl_schedule: Schedule | None = None,
        reference: Reference | None = None,
        reference_flows: int | None = None,
        cloning_steps: int | None = None,
        class_balance: float | None = None,
        class_weight_limit: float | None = None,
    ) -> Self:
        """Sets graph, advice and KL term; what is ``None`` stays as it is.

        Args:
            run_name: names the run, and its graph's actor; ``None`` draws a name. A run that
                begins anew drops what a run of its name had merged into the same graph.
            graph_folder: where the graph is kept; by default in RLlib's folder of the trial.
            shared_graph: name of a graph that runs share on purpose; all of them give the
                same name and folder. It needs a ``graph_folder``.
            graph_resource: custom resource of Ray's; its actor runs on a node that has it, and
                sees ``graph_folder`` there. By default it stays on the driver's node.
            half_life: flows after which a flow counts half in confidence and rewards.
            lessons: prior experience to teach the graph before the first flow.
            total_env_steps: flows the training is meant to last; schedules refer to it.
            prior: of the signatures' confidence.
            advisor: who turns the graph's records into advice; a language model that is
                described by a spec gets Ray actors of its own.
            advice_wait: whether an iteration waits for all advice on the one before.
            advice_max_age: without it, versions of the graph that advice may lag behind.
            advisor_need: where a language model's actors run, and how many there are.
            kl_direction: of the KL term (eq. 5 is ``policy_to_reference``).
            kl_schedule: lambda over environment steps.
            reference: how advice becomes the reference policy.
            reference_flows: flows at the beginning that the reference policy acts on while
                the graph fills; the policy learns nothing from their rewards. With all flows
                of the training, the language model acts alone (the paper's LLM-KG).
            cloning_steps: gradient steps after those flows in which the policy clones the
                reference (the paper's PPO-KG-PT).
            class_balance: 0 lets every flow count alike in the loss, 1 every true class.
            class_weight_limit: what a flow of a rare class counts at the most, in flows of the
                most frequent one.
        """
        given = {
            "run_name": run_name,
            "graph_folder": None if graph_folder is None else str(graph_folder),
            "shared_graph": shared_graph,
            "graph_resource": graph_resource,
            "half_life": half_life,
            "lessons": None if lessons is None else tuple(lessons),
            "total_env_steps": total_env_steps,
            "prior": prior,
            "advisor": advisor,
            "advice_wait": advice_wait,
            "advice_max_age": advice_max_age,
            "advisor_need": advisor_need,
            "kl_direction": kl_direction,
            "kl_schedule": kl_schedule,
            "reference": reference,
            "reference_flows": reference_flows,
            "cloning_steps": cloning_steps,
            "class_balance": class_balance,
            "class_weight_limit": class_weight_limit,
        }
        for name, value in given.items():
            if value is not None:
                setattr(self, name, value)
        return self

    def online(self, *, feedback_delay: int = 0, drift: Drift | None = None) -> Self:
        """Sets how the stream of flows differs from a fixed set with instant feedback.

        Args:
            feedback_delay: flows that are decided before a flow's feedback comes.
            drift: a change of traffic.
        """
        self.feedback_delay, self.drift = feedback_delay, drift
        return self

    def validate(self) -> None:
        """RLlib's checks, and this algorithm's own.

        Raises:
            ValueError: no scenario, or more learners than the counted batch can be split over.
        """
        super().validate()
        if not self.scenario_path:
            rllib_private.refuse(self, "Set a scenario: config.scenario(path).")
        if self.shared_graph and not self.graph_folder:
            rllib_private.refuse(self, "A shared graph needs a graph_folder that all runs know.")
        if (self.reference_flows or self.cloning_steps) and not self.infuse:
            rllib_private.refuse(self, "Without knowledge infusion there is no reference policy.")
        if self.evaluation_num_env_runners or self.evaluation_parallel_to_training:
            rllib_private.refuse(
                self,
                "Evaluation is exact and steps no environment; leave evaluation_num_env_runners "
                "and evaluation_parallel_to_training out.",
            )
        if self.num_learners > 1:
            rllib_private.refuse(
                self,
                "An iteration's counted batch is a few thousand rows and is standardised as one; "
                "use num_learners=0 or 1.",
            )
