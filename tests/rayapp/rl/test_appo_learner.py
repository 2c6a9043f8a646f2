"""The APPO learner: counted rows equal single rows, and V-trace is that of one-step flows."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from torch import Tensor

from envs import Scenario
from rayapp.rl.appo import KnowledgeAPPOConfig
from rayapp.rl.appo_learner import ReferenceAPPOLearner
from rayapp.rl.reference_term import REFERENCE_LOGP, WEIGHTS, Direction, reference_kl
from rayapp.rl.schedules import Schedule

Rows = dict[str, np.ndarray]


@pytest.fixture
def config(scenario: Scenario) -> KnowledgeAPPOConfig:
    return (
        KnowledgeAPPOConfig()
        .scenario(scenario.path)
        .knowledge(kl_schedule=Schedule("constant", start=0.5))
        .training(entropy_coeff=0.01, vf_loss_coeff=0.5, clip_param=0.2)
        .debugging(seed=0)
    )


def learner_of(config: KnowledgeAPPOConfig) -> ReferenceAPPOLearner:
    spaces = {DEFAULT_MODULE_ID: (config.observation_space, config.action_space)}
    learner = config.build_learner(spaces=spaces)
    learner.build()
    # The heads start so small that gradients of everything below them would be nearly zero. And
    # the target network becomes another policy, so that ratios differ from 1 and clipping bites.
    for name, parameter in learner.module[DEFAULT_MODULE_ID].named_parameters():
        torch.manual_seed(len(name))
        parameter.data = 0.3 * torch.randn_like(parameter)
    return learner


def with_behaviour(rows: Rows) -> Rows:
    """Rows with a made-up behaviour policy, the same for equal rows."""
    logp = -2.0 + np.sin(rows[Columns.ACTIONS] + rows[Columns.OBS][:, 1])
    return rows | {Columns.ACTION_LOGP: logp.astype(np.float32)}


def batch_of(rows: Rows) -> MultiAgentBatch:
    columns = {name: column.copy() for name, column in rows.items()}
    return MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(columns)}, env_steps=500)


def loss_and_gradient(learner: ReferenceAPPOLearner, rows: Rows) -> tuple[float, Tensor]:
    module = learner.module[DEFAULT_MODULE_ID]
    columns = {name: torch.as_tensor(column) for name, column in with_behaviour(rows).items()}
    learner.before_gradient_based_update(timesteps={})
    module.zero_grad()
    loss = learner.compute_loss_for_module(
        module_id=DEFAULT_MODULE_ID,
        config=learner.config,
        batch=columns,
        fwd_out=module.forward_train(columns),
    )
    loss.backward()
    trained = [p.grad.ravel() for p in module.parameters() if p.requires_grad]
    return loss.item(), torch.cat(trained)


@pytest.mark.parametrize("direction", ["reference_to_policy", "policy_to_reference"])
def test_loss_and_gradient_on_counted_rows_equal_those_on_single_rows(
    config: KnowledgeAPPOConfig, rows: Rows, single_rows: Rows, direction: Direction
) -> None:
    learner = learner_of(config.knowledge(kl_direction=direction))

    counted_loss, counted_gradient = loss_and_gradient(learner, rows)
    single_loss, single_gradient = loss_and_gradient(learner, single_rows)

    assert len(single_rows[WEIGHTS]) == 500
    assert len(rows[WEIGHTS]) < 100
    assert counted_loss == pytest.approx(single_loss, rel=1e-6)
    difference = (counted_gradient - single_gradient).norm() / single_gradient.norm()
    assert difference < 1e-6


def test_v_trace_has_one_term(config: KnowledgeAPPOConfig, single_rows: Rows) -> None:
    """The loss written out for episodes of one step (IMPACT, with V-trace of the IMPALA paper)."""
    learner = learner_of(config)
    module = learner.module[DEFAULT_MODULE_ID]
    columns = {name: torch.as_tensor(v) for name, v in with_behaviour(single_rows).items()}
    flows = torch.arange(500)
    with torch.no_grad():
        log_policy = torch.log_softmax(module.policy(columns[Columns.OBS]), dim=-1)
        old_policy = torch.log_softmax(module.old_policy(columns[Columns.OBS]), dim=-1)
        values = module.compute_values(columns)
    now, old = (logp[flows, columns[Columns.ACTIONS]] for logp in (log_policy, old_policy))
    behaviour = columns[Columns.ACTION_LOGP]
    rho = torch.clamp(torch.exp(old - behaviour), max=1.0)
    advantage = rho * (columns[Columns.REWARDS] - values)
    ratio = torch.clamp(torch.exp(behaviour - old), max=2.0) * torch.exp(now - behaviour)
    surrogate = torch.minimum(advantage * ratio, advantage * torch.clamp(ratio, 0.8, 1.2))
    entropy = -(log_policy.exp() * log_policy).sum(-1)
    kl = reference_kl(log_policy, columns[REFERENCE_LOGP], "reference_to_policy")
    expected = -surrogate + 0.5 * 0.5 * advantage**2 - 0.01 * entropy + 0.5 * kl

    assert loss_and_gradient(learner, single_rows)[0] == pytest.approx(
        expected.mean().item(), rel=1e-5
    )


def test_an_update_is_over_when_it_returns(config: KnowledgeAPPOConfig, rows: Rows) -> None:
    first, second = learner_of(config), learner_of(config)
    before = loss_and_gradient(first, rows)[0]

    results = first.update(batch=batch_of(with_behaviour(rows)), num_epochs=30)
    second.update(batch=batch_of(with_behaviour(rows)), num_epochs=30)

    assert float(results[DEFAULT_MODULE_ID]["total_loss"].peek()) < before
    ours, theirs = (x.module[DEFAULT_MODULE_ID].policy.state_dict() for x in (first, second))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    first.shutdown()
    second.shutdown()


def test_the_target_network_moves_on_by_the_iteration(
    config: KnowledgeAPPOConfig, rows: Rows
) -> None:
    config.training(target_network_update_freq=2, train_batch_size_per_learner=500)
    learner = learner_of(config)
    module = learner.module[DEFAULT_MODULE_ID]
    followed = []

    for iteration in range(1, 5):
        learner.update(
            batch=batch_of(with_behaviour(rows)),
            timesteps={"num_env_steps_trained_lifetime": 500 * iteration},
        )
        pairs = zip(module.policy.parameters(), module.old_policy.parameters(), strict=True)
        followed.append(all(torch.equal(new, old) for new, old in pairs))

    assert followed == [False, True, False, True]
    other = learner_of(config)
    other.set_state(learner.get_state())
    assert other._last_update_ts_by_mid == {DEFAULT_MODULE_ID: 2_000}


def test_the_reference_can_be_cloned(config: KnowledgeAPPOConfig, rows: Rows) -> None:
    learner = learner_of(config)
    cloned = {name: rows[name] for name in (Columns.OBS, WEIGHTS, REFERENCE_LOGP)}

    first = learner.update(batch=batch_of(cloned), num_epochs=1)
    last = learner.update(batch=batch_of(cloned), num_epochs=200)

    losses = [float(result[DEFAULT_MODULE_ID]["reference_kl"].peek()) for result in (first, last)]
    assert losses[1] < 0.5 * losses[0]
