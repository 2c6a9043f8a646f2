"""The environment runner: its table is what single flows would have given."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from envs import BetaPrior, Counters, InteractionTable, Scenario
from rayapp.rl.env_runner import Assignment, Fragment, InteractionRunner
from rayapp.rl.memory import Knowledge
from rayapp.rl.ppo import KnowledgePPOConfig
from rayapp.rl.stepping import Slice, action_noise, pick_actions, slices
from tests.rayapp.rl.conftest import BuildSmall


@given(start=st.integers(0, 10_000), cut=st.integers(0, 50), count=st.integers(0, 50))
def test_a_places_random_number_does_not_depend_on_who_asks(
    start: int, cut: int, count: int
) -> None:
    whole = action_noise(7, Slice(start, cut + count))

    parts = [action_noise(7, Slice(start, cut)), action_noise(7, Slice(start + cut, count))]

    assert np.array_equal(whole, np.concatenate(parts))


def test_random_numbers_differ_by_seed() -> None:
    assert not np.array_equal(action_noise(1, Slice(0, 5)), action_noise(2, Slice(0, 5)))


def test_actions_are_picked_by_their_probabilities() -> None:
    probabilities = np.array([[0.2, 0.0, 0.8], [0.5, 0.5, 0.0]])
    rows = np.repeat([0, 1], 100_000)
    noise = np.random.default_rng(0).random(200_000)

    actions = pick_actions(probabilities, rows, noise)

    for row in (0, 1):
        shares = np.bincount(actions[rows == row], minlength=3) / 100_000
        assert shares == pytest.approx(probabilities[row], abs=0.01)
        assert set(np.flatnonzero(shares)) == set(np.flatnonzero(probabilities[row]))


@pytest.mark.parametrize("noise", [0.0, 0.5, np.nextafter(1.0, 0.0)])
def test_no_random_number_leads_outside_of_its_row(noise: float) -> None:
    probabilities = np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])

    actions = pick_actions(probabilities, np.arange(3), np.full(3, noise))

    assert actions[0] == 1
    assert actions[1] == 0
    assert actions[2] in (0, 1)


@given(
    start=st.integers(0, 1000),
    count=st.integers(1, 1000),
    parts=st.integers(min_value=1, max_value=9),
)
def test_slices_cover_a_stretch_once_and_evenly(start: int, count: int, parts: int) -> None:
    pieces = slices(start, count, parts)

    places = [place for piece in pieces for place in range(piece.start, piece.start + piece.count)]
    assert places == list(range(start, start + count))
    assert max(p.count for p in pieces) - min(p.count for p in pieces) <= 1 or count < parts


@pytest.fixture
def runner(ray_local: object, scenario: Scenario) -> InteractionRunner:
    config = KnowledgePPOConfig().scenario(scenario.path, infuse=False).debugging(seed=3)
    return InteractionRunner(config=config, worker_index=0)


def sample(runner: InteractionRunner, scenario: Scenario, piece: Slice) -> Fragment:
    knowledge = Knowledge(
        Counters.zeros(len(scenario.signatures), BetaPrior()), None, None, 0, np.zeros(8, int)
    )
    return runner.sample(
        assignment=Assignment(
            piece,
            ray.put(scenario.flow_set()),
            ray.put(knowledge),
            ray.put(runner.module.get_state()),
        )
    )


def test_the_table_is_the_sum_of_single_transitions(
    runner: InteractionRunner, scenario: Scenario
) -> None:
    """The same policy and random numbers, flow by flow through the scalar environment."""
    flows = len(scenario.train[0])
    fragment = sample(runner, scenario, Slice(0, flows))

    env = gym.make("kirl/ThreatMitigation-v0", scenario=scenario.path, seed=3)
    single = []
    knowledge = Knowledge(Counters.zeros(len(scenario.signatures)), None, None, 0, np.zeros(8, int))
    probabilities = runner._policy(knowledge, scenario.flow_set())
    for noise in action_noise(3, Slice(0, flows)):
        _, info = env.reset()
        action = pick_actions(
            probabilities[[info["signature"]]], np.zeros(1, int), np.array([noise])
        )[0]
        _, _, _, _, outcome = env.step(action)
        single.append((info["signature"], action, outcome["actual"]))

    assert fragment.table == InteractionTable.tally(*np.array(single).T)
    assert fragment.table.flows == flows


def test_slices_add_up_to_the_whole_whoever_samples_them(
    runner: InteractionRunner, scenario: Scenario
) -> None:
    whole = sample(runner, scenario, Slice(100, 301))

    pieces = [sample(runner, scenario, piece) for piece in reversed(slices(100, 301, 4))]

    assert InteractionTable.total(piece.table for piece in pieces) == whole.table


def test_a_runner_is_called_after_its_run(build_small: BuildSmall) -> None:
    algorithm = build_small(KnowledgePPOConfig().knowledge(run_name="named"), runners=1)

    names = algorithm.env_runner_group.foreach_env_runner(repr)

    # Ray's dashboard shows this of actors whose class says it.
    assert names == ["runner:named:0", "runner:named:1"]
