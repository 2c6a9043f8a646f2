"""Stable-Baselines3's PPO on the vector environment, with kirl's values of PPO and fused Adam."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor, nn

from envs import FlowSet, Scenario, ThreatMitigationVectorEnv
from rayapp.lab.bench.peers.contender import (
    HIDDEN,
    LEARNING_RATE,
    Peer,
    Stretch,
    Work,
    flows_of,
    network_of,
    use_one_thread,
)
from rayapp.rl.networks import EmbeddingEncoder, NetworkSpec

SETTINGS = (
    {"envs": 64, "steps": 128, "minibatch": 2_048, "epochs": 4},
    {"envs": 512, "steps": 16, "minibatch": 4_096, "epochs": 4},
    {"envs": 2_048, "steps": 8, "minibatch": 4_096, "epochs": 4},
)


class Flows(VecEnv):
    """The vector environment in the form that Stable-Baselines3 steps."""

    def __init__(self, flows: FlowSet, envs: int) -> None:
        self._inner = ThreatMitigationVectorEnv(flows, envs)
        super().__init__(
            envs, self._inner.single_observation_space, self._inner.single_action_space
        )
        # Nothing that PPO reads is in them, so all steps share one list.
        self._infos: list[dict[str, Any]] = [{} for _ in range(envs)]
        self._actions: NDArray[np.int64] = np.zeros(envs, np.int64)

    def reset(self) -> NDArray[np.float32]:
        """The first flows."""
        return self._inner.reset()[0]

    def step_async(self, actions: NDArray[np.int64]) -> None:
        """Remembers the actions."""
        self._actions = actions

    def step_wait(self) -> tuple[Any, ...]:
        """Steps all environments."""
        observed, rewards, done, _, _ = self._inner.step(self._actions)
        return observed, rewards.astype(np.float32), done, self._infos

    def close(self) -> None:
        """There is nothing to free."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:  # noqa: ANN401
        """An attribute, repeated for each environment asked for."""
        return [getattr(self._inner, attr_name, None)] * len(self._chosen(indices))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:  # noqa: ANN401
        """Sets an attribute of the one vector environment."""
        setattr(self._inner, attr_name, value)

    def env_method(
        self,
        method_name: str,
        *arguments: Any,  # noqa: ANN401
        indices: Any = None,  # noqa: ANN401
        **named: Any,  # noqa: ANN401
    ) -> list[Any]:
        """Calls a method of the one vector environment once."""
        answer = getattr(self._inner, method_name)(*arguments, **named)
        return [answer] * len(self._chosen(indices))

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:  # noqa: ANN401
        """There are no wrappers."""
        return [False] * len(self._chosen(indices))

    def _chosen(self, indices: Any) -> Sequence[int]:  # noqa: ANN401
        chosen: Sequence[int] = list(self._get_indices(indices))
        return chosen


class Encoder(BaseFeaturesExtractor):
    """kirl's encoder of observations, so that both learn with the same network."""

    def __init__(self, space: gym.Space[Any], spec: NetworkSpec) -> None:
        encoder = EmbeddingEncoder(spec)
        super().__init__(space, encoder.width)
        self._encoder = encoder

    def forward(self, observations: Tensor) -> Tensor:
        """Features of observations."""
        features: Tensor = self._encoder(observations)
        return features


class StableBaselines(Peer):
    """Stable-Baselines3's PPO; no Ray."""

    def __init__(self, work: Work) -> None:
        use_one_thread()
        flows = flows_of(Scenario.load(work.scenario))
        setting = {name: int(value) for name, value in work.setting.items()}
        self._stretch = setting["envs"] * setting["steps"]
        self._model = PPO(
            "MlpPolicy",
            Flows(flows, setting["envs"]),
            n_steps=setting["steps"],
            batch_size=setting["minibatch"],
            n_epochs=setting["epochs"],
            learning_rate=LEARNING_RATE,
            gamma=0.0,
            # kirl's values; Stable-Baselines3's own are 0.2, 0.5 and 0.5.
            clip_range=0.3,
            vf_coef=1.0,
            max_grad_norm=math.inf,
            seed=0,
            device="cpu",
            policy_kwargs={
                "optimizer_kwargs": {"fused": True},
                "features_extractor_class": Encoder,
                "features_extractor_kwargs": {"spec": network_of(flows)},
                "share_features_extractor": False,
                "net_arch": list(HIDDEN),
                "activation_fn": nn.Tanh,
            },
        )
        # Its own would make a folder in /tmp per training.
        self._model.set_logger(Logger(folder=None, output_formats=[]))

    def train(self) -> Stretch:
        """One rollout, and learning from it."""
        self._model.learn(self._stretch, reset_num_timesteps=False)
        return Stretch(self._stretch, float(self._model.rollout_buffer.rewards.mean()))
