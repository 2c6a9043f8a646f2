"""The learner: counted rows equal single rows, and the KL term is the paper's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ray.rllib.algorithms.ppo.torch.ppo_torch_learner import PPOTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.evaluation.postprocessing import Postprocessing
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch

from envs import Scenario
from rayapp.rl.grouping import Grouping
from rayapp.rl.learner import ReferencePPOLearner
from rayapp.rl.ppo import KnowledgePPOConfig
from rayapp.rl.reference_term import CONTEXT, REFERENCE_LOGP, WEIGHTS, Direction, reference_kl
from rayapp.rl.schedules import Schedule


@pytest.fixture
def config(scenario: Scenario) -> KnowledgePPOConfig:
    return (
        KnowledgePPOConfig()
        .scenario(scenario.path)
        .knowledge(kl_schedule=Schedule("constant", start=0.5))
        .training(lr=1e-3, entropy_coeff=0.01, vf_clip_param=100.0)
        .debugging(seed=0)
    )


def learner_of(config: KnowledgePPOConfig) -> ReferencePPOLearner:
    spaces = {DEFAULT_MODULE_ID: (config.observation_space, config.action_space)}
    learner = config.build_learner(spaces=spaces)
    learner.build()
    # The heads start so small that gradients of everything below them would be nearly zero.
    for name, parameter in learner.module[DEFAULT_MODULE_ID].named_parameters():
        torch.manual_seed(len(name))
        parameter.data = 0.3 * torch.randn_like(parameter)
    return learner


def weights_of(learner: ReferencePPOLearner) -> torch.Tensor:
    parameters = learner.module[DEFAULT_MODULE_ID].parameters()
    return torch.cat([parameter.detach().ravel() for parameter in parameters])


def batch_of(rows: dict[str, np.ndarray]) -> MultiAgentBatch:
    columns = {name: column.copy() for name, column in rows.items()}
    return MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, env_steps=500)


def loss_and_gradient(
    learner: ReferencePPOLearner, rows: dict[str, np.ndarray]
) -> tuple[float, torch.Tensor]:
    batch = batch_of(rows)
    module = learner.module[DEFAULT_MODULE_ID]
    learner.complete(module, batch.policy_batches[DEFAULT_MODULE_ID])
    # An older policy than the current one, so that ratios differ from 1 and clipping bites.
    columns = {
        name: torch.as_tensor(value)
        for name, value in batch.policy_batches[DEFAULT_MODULE_ID].items()
    }
    columns[Columns.ACTION_LOGP] = columns[Columns.ACTION_LOGP] + 0.3 * torch.sin(
        columns[Columns.ACTIONS].float()
    )
    learner.before_gradient_based_update(timesteps={})
    module.zero_grad()
    loss = learner.compute_loss_for_module(
        module_id=DEFAULT_MODULE_ID,
        config=learner.config,
        batch=columns,
        fwd_out=module.forward_train(columns),
    )
    loss.backward()
    gradient = torch.cat([parameter.grad.ravel() for parameter in module.parameters()])
    return loss.item(), gradient


@pytest.mark.parametrize("direction", ["reference_to_policy", "policy_to_reference"])
def test_loss_and_gradient_on_counted_rows_equal_those_on_single_rows(
    config: KnowledgePPOConfig,
    rows: dict[str, np.ndarray],
    direction: Direction,
    single_rows: dict[str, np.ndarray],
) -> None:
    learner = learner_of(config.knowledge(kl_direction=direction))

    counted_loss, counted_gradient = loss_and_gradient(learner, rows)
    single_loss, single_gradient = loss_and_gradient(learner, single_rows)

    assert len(single_rows[WEIGHTS]) == 500
    assert counted_gradient.norm() > 1
    assert counted_loss == pytest.approx(single_loss, rel=1e-6)
    difference = (counted_gradient - single_gradient).norm() / single_gradient.norm()
    assert difference < 1e-6


def test_a_whole_update_moves_the_weights_alike(
    config: KnowledgePPOConfig, rows: dict[str, np.ndarray], single_rows: dict[str, np.ndarray]
) -> None:
    counted, one_by_one = learner_of(config), learner_of(config)

    for learner, columns in ((counted, rows), (one_by_one, single_rows)):
        everything = len(columns[WEIGHTS])
        learner.update(batch=batch_of(columns), num_epochs=3, minibatch_size=everything)

    start, end, other = (weights_of(x) for x in (learner_of(config), counted, one_by_one))
    assert (end - start).norm() > 0.1
    # Adam divides by the gradient's own size, so rounding shows where a gradient is nearly 0.
    assert (end - other).norm() < 1e-3 * (end - start).norm()


def test_without_weights_and_reference_the_loss_is_rllibs_own(
    config: KnowledgePPOConfig, single_rows: dict[str, np.ndarray]
) -> None:
    learner = learner_of(config)
    module = learner.module[DEFAULT_MODULE_ID]
    plain = batch_of(single_rows).policy_batches[DEFAULT_MODULE_ID]
    learner.complete(module, plain)
    columns = {
        name: torch.as_tensor(value)
        for name, value in plain.items()
        if name not in (WEIGHTS, REFERENCE_LOGP)
    }
    arguments = {
        "module_id": DEFAULT_MODULE_ID,
        "config": learner.config,
        "batch": columns,
        "fwd_out": module.forward_train(columns),
    }

    ours = learner.compute_loss_for_module(**arguments)
    rllibs = PPOTorchLearner.compute_loss_for_module(learner, **arguments)

    assert ours.item() == pytest.approx(rllibs.item(), rel=1e-5)


def test_advantages_are_standardised_over_single_flows(
    config: KnowledgePPOConfig, rows: dict[str, np.ndarray]
) -> None:
    learner, batch = learner_of(config), batch_of(rows)
    counted = batch.policy_batches[DEFAULT_MODULE_ID]

    learner.complete(learner.module[DEFAULT_MODULE_ID], counted)

    advantages = np.asarray(counted[Postprocessing.ADVANTAGES])
    assert np.average(advantages, weights=rows[WEIGHTS]) == pytest.approx(0, abs=1e-5)
    assert np.average(advantages**2, weights=rows[WEIGHTS]) == pytest.approx(1, abs=1e-4)


def test_lambda_follows_its_schedule_and_zero_switches_the_term_off(
    config: KnowledgePPOConfig, rows: dict[str, np.ndarray]
) -> None:
    without = {name: column for name, column in rows.items() if name != REFERENCE_LOGP}
    config.knowledge(kl_schedule=Schedule("linear", 1.0, 0.0, length=100))
    learner = learner_of(config)

    learner.before_gradient_based_update(timesteps={"num_env_steps_sampled_lifetime": 25})
    assert learner.current_lambda == pytest.approx(0.75)

    ended = learner_of(config.knowledge(kl_schedule=Schedule("constant", start=0.0)))
    assert loss_and_gradient(ended, rows)[0] == pytest.approx(loss_and_gradient(ended, without)[0])


def test_policy_to_reference_is_equation_5() -> None:
    policy, reference = torch.tensor([[0.5, 0.25, 0.25]]), torch.tensor([[0.8, 0.1, 0.1]])

    kl = reference_kl(policy.log(), reference.log(), "policy_to_reference")

    expected = sum(
        p * np.log(p / r) for p, r in zip([0.5, 0.25, 0.25], [0.8, 0.1, 0.1], strict=True)
    )
    assert kl.item() == pytest.approx(expected, rel=1e-6)


def test_the_reverse_direction_keeps_its_gradient_when_the_policy_has_saturated() -> None:
    """Why 'reference_to_policy' is the default: eq. 5's gradient carries the factor pi(a)."""
    reference = torch.tensor([[0.001, 0.999]]).log()

    def gradient(direction: Direction) -> float:
        logits = torch.tensor([[20.0, -20.0]], requires_grad=True)
        reference_kl(logits, reference, direction).sum().backward()
        assert logits.grad is not None
        return logits.grad.abs().max().item()

    assert gradient("policy_to_reference") < 1e-10
    assert gradient("reference_to_policy") > 0.9


def test_masked_timesteps_of_ordinary_batches_do_not_count(
    config: KnowledgePPOConfig, single_rows: dict[str, np.ndarray]
) -> None:
    learner = learner_of(config)
    module = learner.module[DEFAULT_MODULE_ID]
    plain = batch_of(single_rows).policy_batches[DEFAULT_MODULE_ID]
    learner.complete(module, plain)
    kept = {name: torch.as_tensor(v) for name, v in plain.items() if name != WEIGHTS}
    padded = {name: torch.cat([v, v[:7]]) for name, v in kept.items()}
    padded[Columns.LOSS_MASK] = torch.arange(507) < 500

    def loss(columns: dict[str, torch.Tensor]) -> float:
        return learner.compute_loss_for_module(
            module_id=DEFAULT_MODULE_ID,
            config=learner.config,
            batch=columns,
            fwd_out=module.forward_train(columns),
        ).item()

    assert loss(padded) == pytest.approx(loss(kept), rel=1e-5)


def test_rllibs_own_updates_and_whole_batches_learn_alike(
    config: KnowledgePPOConfig, rows: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick, plain = learner_of(config), learner_of(config)
    monkeypatch.setattr(plain, "takes_whole", lambda batch, options: False)
    assert quick.takes_whole(batch_of(rows), {"num_epochs": 2})
    assert len(Grouping.of(torch.as_tensor(rows[CONTEXT])).first) < len(rows[WEIGHTS]) / 2

    curves = [
        [
            learner.update(batch=batch_of(rows), num_epochs=2, minibatch_size=len(rows[WEIGHTS]))
            for _ in range(8)
        ]
        for learner in (quick, plain)
    ]

    for ours, rllibs in zip(*curves, strict=True):
        told, known = (
            {name: stats.peek() for name, stats in found[DEFAULT_MODULE_ID].items()}
            for found in (ours, rllibs)
        )
        for name in ("total_loss", "policy_loss", "vf_loss", "entropy", "reference_kl", "lambda"):
            assert float(told[name]) == pytest.approx(float(known[name]), rel=1e-3, abs=1e-5)
    start, end, other = (weights_of(x) for x in (learner_of(config), quick, plain))
    assert (end - start).norm() > 0.3
    assert (end - other).norm() < 1e-3 * (end - start).norm()


def test_an_adaptive_lambda_follows_the_kl_and_its_place_is_restored(
    config: KnowledgePPOConfig, rows: dict[str, np.ndarray]
) -> None:
    config.knowledge(kl_schedule=Schedule("adaptive", start=0.5, target=1e-6))
    learner, fresh, later = (learner_of(config) for _ in range(3))
    begun = fresh.get_state()

    def lambdas(of: ReferencePPOLearner, updates: int) -> list[float]:
        told = [
            of.update(batch=batch_of(rows), num_epochs=1, minibatch_size=len(rows[WEIGHTS]))
            for _ in range(updates)
        ]
        return [float(found[DEFAULT_MODULE_ID]["lambda"].peek()) for found in told]

    # The KL stays far above such a target, so lambda rises by a half per update.
    assert lambdas(learner, 3) == pytest.approx([0.5, 0.75, 1.125])

    later.set_state(learner.get_state())
    assert lambdas(later, 1) == pytest.approx([1.6875])
    # Back at the beginning, nothing is left of where it was.
    later.set_state(begun)
    assert lambdas(later, 1) == pytest.approx([0.5])
