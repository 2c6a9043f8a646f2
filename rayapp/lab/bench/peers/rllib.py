"""RLlib's own PPO on its new API stack, on the scalar and on the vector environment.

Nothing of kirl's is in it but environment and network: RLlib's own environment runners,
connectors, episodes and learner.
"""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from envs import FlowSet, Scenario
from envs.bandit import ThreatMitigationEnv, ThreatMitigationVectorEnv
from envs.state import Observations
from envs.stream import FlowStream
from rayapp.cluster.session import ray_session
from rayapp.lab.bench.peers.contender import (
    LEARNING_RATE,
    Peer,
    Stretch,
    Work,
    flows_of,
    network_of,
    use_one_thread,
)

SETTINGS = (
    {"stepping": "one by one", "runners": 2, "envs": 32, "batch": 4_096, "minibatch": 1_024},
    {"stepping": "one by one", "runners": 0, "envs": 64, "batch": 4_096, "minibatch": 1_024},
    {"stepping": "vector", "runners": 0, "envs": 256, "batch": 4_096, "minibatch": 4_096},
    {"stepping": "vector", "runners": 1, "envs": 256, "batch": 4_096, "minibatch": 4_096},
    {"stepping": "vector", "runners": 2, "envs": 256, "batch": 4_096, "minibatch": 1_024},
    {"stepping": "vector", "runners": 2, "envs": 1_024, "batch": 16_384, "minibatch": 4_096},
    {"stepping": "vector", "runners": 1, "envs": 1_024, "batch": 16_384, "minibatch": 16_384},
)

EPOCHS = 4

_MODES = {"one by one": "sync", "vector": "vector_entry_point"}
"""RLlib's names."""


@cache
def _flows(scenario: str) -> FlowSet:
    # Each runner holds many environments, which share what never changes.
    return flows_of(Scenario.load(Path(scenario)))


@cache
def _stream(flows: int, seed: int) -> FlowStream:
    return FlowStream(flows, seed)


_numbers = itertools.count()


class OneOfMany(ThreatMitigationEnv):
    """A scalar environment that shares the stream of flows with its runner's others.

    On its own each would shuffle all flows anew, seconds and gigabytes with two million of them.
    """

    def __init__(self, flows: FlowSet, seed: int, number: int, of: int) -> None:
        super().__init__(flows, seed=seed, worker_index=number, num_workers=of)
        self.situation.stream = _stream(len(flows), seed)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Goes to its next flow, whatever the seed: RLlib gives each environment another."""
        return super().reset(options=options)


class Alternating(VectorEnv[Any, Any, Any]):
    """kirl's vector environment, resetting when RLlib expects it to.

    kirl's steps and resets at once. RLlib's environment runner takes the call after an
    episode's end for a reset and learns nothing from it, so here that call decides nothing.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, flows: FlowSet, envs: int) -> None:
        inner = self._inner = ThreatMitigationVectorEnv(flows, envs)
        self.num_envs = envs
        self.single_observation_space = inner.single_observation_space
        self.single_action_space = inner.single_action_space
        self.observation_space, self.action_space = inner.observation_space, inner.action_space
        self._nothing, self._no = np.zeros(envs), np.zeros(envs, np.bool_)
        self._decided = False

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Goes to the next flows; with a runner's seed, to the first ones of its stream."""
        self._decided = False
        return self._inner.reset(seed=seed)[0], {}

    def step(self, actions: NDArray[np.int64]) -> tuple[Any, ...]:
        """Decides flows, or goes to the next ones."""
        self._decided = not self._decided
        if not self._decided:
            return self._next(), self._nothing, self._no, self._no, {}
        decided = self._inner.decide(actions)
        observed = self._inner.situation.observe(decided.context)
        return observed, decided.reward, ~self._no, self._no, {}

    def _next(self) -> Observations:
        return self._inner.situation.observe(self._inner.meet())


def _environment(config: Any) -> OneOfMany | Alternating:  # noqa: ANN401 (RLlib's)
    flows, envs = _flows(config["scenario"]), int(config["envs"])
    # RLlib says how many it wants where it wants a vector.
    if "num_envs" in config:
        return Alternating(flows, config["num_envs"])
    return OneOfMany(flows, config.worker_index, next(_numbers) % envs, envs)


class StockPPO(Peer):
    """RLlib's PPO."""

    def __init__(self, work: Work) -> None:
        use_one_thread()
        self._session = ray_session()
        self._session.__enter__()
        from ray.rllib.algorithms.ppo import PPOConfig
        from ray.rllib.core.rl_module.rl_module import RLModuleSpec
        from ray.tune.registry import register_env

        from rayapp.rl.module import MitigationModule

        setting, scenario = work.setting, str(work.scenario.absolute())
        register_env("kirl-bench", _environment)
        network = network_of(_flows(scenario)).to_json()
        self._algorithm: Any = (
            PPOConfig()
            .environment("kirl-bench", env_config={"scenario": scenario, "envs": setting["envs"]})
            .env_runners(
                num_env_runners=setting["runners"],
                num_envs_per_env_runner=setting["envs"],
                gym_env_vectorize_mode=_MODES[str(setting["stepping"])],
                # A driver's share of two processors is the learner's.
                num_cpus_per_env_runner=0.5,
            )
            .rl_module(
                rl_module_spec=RLModuleSpec(
                    module_class=MitigationModule, model_config={"network": network}
                )
            )
            .training(
                train_batch_size_per_learner=setting["batch"],
                minibatch_size=setting["minibatch"],
                num_epochs=EPOCHS,
                lr=LEARNING_RATE,
                gamma=0.0,
                use_kl_loss=False,
                vf_clip_param=100.0,
                grad_clip=None,
            )
            .reporting(metrics_num_episodes_for_smoothing=setting["batch"])
            .debugging(seed=0, log_level="ERROR")
            .build_algo()
        )
        self._flows_before = 0

    def train(self) -> Stretch:
        """One iteration of RLlib's."""
        met = self._algorithm.train()["env_runners"]
        flows = int(met["num_env_steps_sampled_lifetime"])
        stretch = Stretch(flows - self._flows_before, float(met["episode_return_mean"]))
        self._flows_before = flows
        return stretch

    def stop(self) -> None:
        """Ends algorithm and Ray."""
        self._algorithm.stop()
        self._session.__exit__(None, None, None)
