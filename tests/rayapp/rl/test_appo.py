"""Learning from older weights' interactions on a real Ray: how old they are, and exactly so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from envs import Scenario, observe
from rayapp.rl.appo import KnowledgeAPPO, KnowledgeAPPOConfig

PolicyAfter = Callable[[Any], np.ndarray]


@pytest.fixture
def build(build_small: Callable[..., Any]) -> Callable[..., KnowledgeAPPO]:
    def small(**settings: Any) -> KnowledgeAPPO:  # noqa: ANN401
        return build_small(KnowledgeAPPOConfig(), **{"lag": 2, **settings})

    return small


@pytest.mark.slow
def test_the_seed_decides_the_policy_whoever_steps(
    build: Callable[..., KnowledgeAPPO], policy_after: PolicyAfter
) -> None:
    first, again, other = (
        policy_after(build(runners=runners, seed=seed))
        for runners, seed in ((0, 0), (2, 0), (0, 1))
    )

    assert np.array_equal(again, first)
    assert not np.array_equal(other, first)


@pytest.mark.slow
def test_a_resumed_training_is_the_uninterrupted_one(
    build: Callable[..., KnowledgeAPPO], policy_after: PolicyAfter, tmp_path: Path
) -> None:
    """Target network and older weights included: both decide what is learnt next."""
    settings = {"target_network_update_freq": 2}
    whole, first, second = (build(**settings) for _ in range(3))
    for _ in range(3):
        first.train()
    first.save_to_path(str(tmp_path / "checkpoint"))
    second.restore_from_path(str(tmp_path / "checkpoint"))

    assert np.array_equal(policy_after(second), policy_after(whole))


@pytest.mark.parametrize("lag", [0, 1, 2])
def test_the_weights_that_sample_are_as_old_as_configured(
    build: Callable[..., KnowledgeAPPO], lag: int
) -> None:
    algorithm = build(lag=lag)
    seen = []
    for _ in range(4):
        seen.append({name: value.copy() for name, value in algorithm._weights().items()})
        acting = algorithm._acting_weights()
        expected = seen[max(0, len(seen) - 1 - lag)]
        assert all(np.array_equal(acting[name], expected[name]) for name in expected)
        algorithm.train()


def test_the_learner_is_told_what_the_runners_policy_thought(
    build: Callable[..., KnowledgeAPPO], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The behaviour policy is the stale one's; the current one would say otherwise."""
    algorithm = build()
    for _ in range(3):
        algorithm.train()
    stale, known = algorithm._acting_weights(), algorithm.knowledge
    learnt: list[dict[str, np.ndarray]] = []
    steps = algorithm._gradient_steps
    monkeypatch.setattr(
        algorithm,
        "_gradient_steps",
        lambda rows, flows, **how: (learnt.append(rows), steps(rows, flows, **how))[1],
    )
    module = algorithm.env_runner_group.local_env_runner.module
    current = algorithm._weights()

    def logp(weights: dict[str, np.ndarray], observed: np.ndarray) -> np.ndarray:
        module.set_state(weights)
        with torch.no_grad():
            logits = module.forward_exploration({"obs": torch.from_numpy(observed)})
        return torch.log_softmax(logits["action_dist_inputs"], dim=-1).numpy()

    predicted = algorithm.scenario.signatures.predicted
    everything = observe(np.arange(len(predicted)), predicted, known.counters, known.suggestion)
    by_stale, by_current = logp(stale, everything), logp(current, everything)
    algorithm.train()

    signature = learnt[0]["obs"][:, 1].astype(int)
    told = learnt[0]["action_logp"]
    assert np.allclose(told, by_stale[signature, learnt[0]["actions"]], atol=1e-5)
    assert not np.allclose(told, by_current[signature, learnt[0]["actions"]], atol=1e-2)


@pytest.mark.parametrize("infuse", [True, False])
def test_it_learns(
    build: Callable[..., KnowledgeAPPO],
    policy_after: PolicyAfter,
    class_gap: Callable[[np.ndarray], float],
    infuse: bool,
) -> None:
    algorithm = build(infuse=infuse, flows=24_000, num_epochs=8, lag=1)

    assert class_gap(policy_after(algorithm)) < 0.01
    assert algorithm.summary is not None
    assert (algorithm.summary.results["reference_kl"] > 0) == infuse


@pytest.mark.parametrize(
    ("settings", "reason"), [({"lag": -1}, "at least 0"), ({"use_kl_loss": True}, "KL penalty")]
)
def test_what_it_cannot_do_is_refused(
    scenario: Scenario, settings: dict[str, Any], reason: str
) -> None:
    config = KnowledgeAPPOConfig().scenario(scenario.path).training(**settings)

    with pytest.raises(ValueError, match=reason):
        config.validate()
