"""A library that knows only gymnasium trains on the environments as they are."""

from __future__ import annotations

from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import pytest

from envs import PAPER, Contexts, FlowSet

reason = "stable-baselines3 comes with the extra 'bench'"
stable_baselines3 = pytest.importorskip("stable_baselines3", reason=reason)
evaluation = pytest.importorskip("stable_baselines3.common.evaluation", reason=reason)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small only lose by sharing a busy machine's processors."""
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def two_signatures() -> FlowSet:
    """One signature finds benign traffic and one 'DoS', and both are always right."""
    benign, dos = PAPER.class_index("Benign"), PAPER.class_index("DoS")
    return FlowSet(
        context=np.tile([0, 1], 500).astype(np.int32),
        actual=np.tile([benign, dos], 500).astype(np.int8),
        contexts=Contexts.of_signatures(np.array([benign, dos], np.int8)),
        catalogue=PAPER,
    )


@pytest.mark.parametrize("augmented", [False, True])
def test_ppo_trains_on_the_environment_as_it_is(two_signatures: FlowSet, augmented: bool) -> None:
    env = gym.make("kirl/ThreatMitigation-v0", scenario=two_signatures, augmented=augmented)
    model = stable_baselines3.PPO("MlpPolicy", env, n_steps=128, seed=0, device="cpu")

    model.learn(256)

    assert model.num_timesteps == 256
    assert env.action_space.contains(model.predict(env.reset()[0])[0])


def test_ppo_learns_which_signature_needs_which_action(two_signatures: FlowSet) -> None:
    env = gym.make("kirl/ThreatMitigation-v0", scenario=two_signatures)
    # N and C grow without end, which a plain network cannot take.
    env = gym.wrappers.NormalizeObservation(env)
    model = stable_baselines3.PPO(
        "MlpPolicy",
        env,
        n_steps=512,
        batch_size=128,
        learning_rate=3e-3,
        gamma=0.0,
        ent_coef=0.5,
        seed=0,
        device="cpu",
    )
    of_random_actions = PAPER.rewards[two_signatures.actual].mean()

    model.learn(3072)
    learnt, _ = evaluation.evaluate_policy(model, env, 100, warn=False)

    assert of_random_actions < -2
    assert learnt > 3.5
