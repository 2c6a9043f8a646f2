"""RLlib's own PPO on its new API stack, on the scalar environment as gymnasium knows it.

Nothing of kirl's is in it but environment and network: RLlib's own environment runners,
connectors, episodes and learner.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from envs import FlowSet, Scenario
from envs.bandit import ThreatMitigationEnv
from rayapp.bench.peers.contender import LEARNING_RATE, Stretch, Work, flows_of, network_of
from rayapp.commands import console

SETTINGS = (
    {"runners": 2, "envs": 32, "batch": 4_096, "minibatch": 1_024, "epochs": 4},
    {"runners": 1, "envs": 64, "batch": 4_096, "minibatch": 4_096, "epochs": 4},
    {"runners": 0, "envs": 64, "batch": 4_096, "minibatch": 1_024, "epochs": 4},
)


@cache
def _flows(scenario: str) -> FlowSet:
    # Each runner holds many environments, which share what never changes.
    return flows_of(Scenario.load(Path(scenario)))


def _environment(config: Any) -> ThreatMitigationEnv:  # noqa: ANN401 (RLlib's)
    seed = 1_000 * config.worker_index + (config.vector_index or 0)
    return ThreatMitigationEnv(_flows(config["scenario"]), seed=seed)


class StockPPO:
    """RLlib's PPO."""

    def __init__(self, work: Work) -> None:
        self._session = console.ray_session()
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
            .environment("kirl-bench", env_config={"scenario": scenario})
            .env_runners(
                num_env_runners=setting["runners"],
                num_envs_per_env_runner=setting["envs"],
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
                num_epochs=setting["epochs"],
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
