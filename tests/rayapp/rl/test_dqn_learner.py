"""The DQN learner: counted rows equal single rows, and targets are rewards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import TD_ERROR_KEY

from envs import Scenario
from rayapp.rl.dqn import KnowledgeDQNConfig
from rayapp.rl.dqn_learner import ReferenceDQNLearner
from rayapp.rl.reference_term import REFERENCE_LOGP, WEIGHTS, Direction, reference_kl
from rayapp.rl.schedules import Schedule

Rows = dict[str, np.ndarray]


@pytest.fixture
def config(scenario: Scenario) -> KnowledgeDQNConfig:
    return (
        KnowledgeDQNConfig()
        .scenario(scenario.path)
        .knowledge(kl_schedule=Schedule("constant", start=0.5))
        .training(temperature=0.5)
        .debugging(seed=0)
    )


def learner_of(config: KnowledgeDQNConfig) -> ReferenceDQNLearner:
    spaces = {DEFAULT_MODULE_ID: (config.observation_space, config.action_space)}
    learner = config.build_learner(spaces=spaces)
    learner.build()
    # The head starts so small that gradients of everything below it would be nearly zero.
    for name, parameter in learner.module[DEFAULT_MODULE_ID].named_parameters():
        torch.manual_seed(len(name))
        parameter.data = 0.3 * torch.randn_like(parameter)
    return learner


def batch_of(rows: Rows) -> MultiAgentBatch:
    columns = {name: column.copy() for name, column in rows.items()}
    return MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, env_steps=500)


def loss_and_gradient(learner: ReferenceDQNLearner, rows: Rows) -> tuple[float, torch.Tensor]:
    module = learner.module[DEFAULT_MODULE_ID]
    columns = {name: torch.as_tensor(column) for name, column in rows.items()}
    learner.before_gradient_based_update(timesteps={})
    module.zero_grad()
    loss = learner.compute_loss_for_module(
        module_id=DEFAULT_MODULE_ID,
        config=learner.config,
        batch=columns,
        fwd_out=module.forward_train(columns),
    )
    loss.backward()
    return loss.item(), torch.cat([p.grad.ravel() for p in module.parameters()])


@pytest.mark.parametrize("direction", ["reference_to_policy", "policy_to_reference"])
@pytest.mark.parametrize("td_loss", ["huber", "mse"])
def test_loss_and_gradient_on_counted_rows_equal_those_on_single_rows(
    config: KnowledgeDQNConfig, rows: Rows, single_rows: Rows, direction: Direction, td_loss: str
) -> None:
    config.knowledge(kl_direction=direction).training(td_error_loss_fn=td_loss)
    learner = learner_of(config)

    counted_loss, counted_gradient = loss_and_gradient(learner, rows)
    single_loss, single_gradient = loss_and_gradient(learner, single_rows)

    assert len(single_rows[WEIGHTS]) == 500
    assert len(rows[WEIGHTS]) < 100
    assert counted_loss == pytest.approx(single_loss, rel=1e-6)
    difference = (counted_gradient - single_gradient).norm() / single_gradient.norm()
    assert difference < 1e-6


def test_the_target_of_every_flow_is_its_reward(
    config: KnowledgeDQNConfig, single_rows: Rows
) -> None:
    learner = learner_of(config.training(td_error_loss_fn="mse"))
    module = learner.module[DEFAULT_MODULE_ID]
    observed = {Columns.OBS: torch.as_tensor(single_rows[Columns.OBS])}
    values = module.q(observed[Columns.OBS]).detach().numpy()
    taken = values[np.arange(500), single_rows[Columns.ACTIONS]]
    logits = torch.as_tensor(values / 0.5)
    kl = reference_kl(logits, torch.as_tensor(single_rows[REFERENCE_LOGP]), "reference_to_policy")

    loss, _ = loss_and_gradient(learner, single_rows)

    expected = np.mean((taken - single_rows[Columns.REWARDS]) ** 2) + 0.5 * kl.mean().item()
    assert loss == pytest.approx(expected, rel=1e-5)


def test_without_a_reference_the_loss_is_rllibs_own(
    config: KnowledgeDQNConfig, single_rows: Rows
) -> None:
    """Whatever the next state's values: flows end their episode."""
    learner = learner_of(config)
    plain = {name: column for name, column in single_rows.items() if name != REFERENCE_LOGP}
    columns = {name: torch.as_tensor(column) for name, column in plain.items()}
    forwarded = learner.module[DEFAULT_MODULE_ID].forward_train(columns)

    rllibs = DQNTorchLearner.compute_loss_for_module(
        learner,
        module_id=DEFAULT_MODULE_ID,
        config=learner.config,
        batch=columns | {Columns.TERMINATEDS: torch.ones(500), "n_step": torch.ones(500)},
        fwd_out=forwarded | {"qf_target_next_preds": torch.randn(500, 15)},
    )

    assert loss_and_gradient(learner, plain)[0] == pytest.approx(rllibs.item(), rel=1e-6)


def test_an_update_learns_and_returns_no_error_of_every_row(
    config: KnowledgeDQNConfig, rows: Rows
) -> None:
    learner = learner_of(config)

    first = learner.update(batch=batch_of(rows), num_epochs=1)
    last = learner.update(batch=batch_of(rows), num_epochs=50)

    losses = [float(result[DEFAULT_MODULE_ID]["qf_loss"].peek()) for result in (first, last)]
    assert losses[1] < losses[0]
    assert TD_ERROR_KEY not in last[DEFAULT_MODULE_ID]


def test_the_reference_can_be_cloned(config: KnowledgeDQNConfig, rows: Rows) -> None:
    learner = learner_of(config)
    cloned = {name: rows[name] for name in (Columns.OBS, WEIGHTS, REFERENCE_LOGP)}

    first = learner.update(batch=batch_of(cloned), num_epochs=1)
    last = learner.update(batch=batch_of(cloned), num_epochs=200)

    losses = [float(result[DEFAULT_MODULE_ID]["reference_kl"].peek()) for result in (first, last)]
    assert losses[1] < 0.5 * losses[0]
