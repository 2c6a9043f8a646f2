from __future__ import annotations

import warnings
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from envs import (
    PAPER,
    BetaPrior,
    Counters,
    FlowSet,
    InteractionTable,
    Scenario,
    Suggestion,
    ThreatMitigationEnv,
    ThreatMitigationVectorEnv,
    observe,
    register,
)

ENV_ID = "kirl/ThreatMitigation-v0"
DOS, BENIGN, WEB = (PAPER.class_index(name) for name in ("DoS", "Benign", "Web"))
FILTER, NOTHING, VALIDATE = (
    PAPER.action_names.index(name)
    for name in ("Filter Network Traffic", "No Action", "Input Validation")
)

augmented_or_not = pytest.mark.parametrize("augmented", [False, True])


def suggestion() -> Suggestion:
    return Suggestion(
        np.array([FILTER, NOTHING, VALIDATE], np.int16), np.array([5.0, 2.5, -1.25], np.float32)
    )


# One flow at a time.


@augmented_or_not
def test_scalar_environment_passes_gymnasiums_checker(flow_set: FlowSet, augmented: bool) -> None:
    env = gym.make(ENV_ID, scenario=flow_set, augmented=augmented)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # N and C have no upper bound, and the checker wants one.
        warnings.filterwarnings("ignore", ".*maximum value is infinity.*")
        check_env(env.unwrapped, skip_render_check=True)


def test_environment_takes_the_path_of_a_scenario(scenario: Scenario) -> None:
    env = gym.make(ENV_ID, scenario=str(scenario.path), split="test")

    flows = {env.reset(seed=0 if i == 0 else None)[1]["flow"] for i in range(90)}

    assert flows == set(range(90))


def test_observation_is_equation_2_in_its_order(flow_set: FlowSet) -> None:
    counters = Counters(np.array([10, 4, 3]), np.array([10, 3, 1]))

    rows = observe(np.array([2, 0]), flow_set.contexts, counters)

    assert rows.dtype == np.float32
    assert rows.tolist() == [
        pytest.approx([WEB, 2, 3, 1, (1 + 1) / (1 + 1 + 3)]),
        pytest.approx([DOS, 0, 10, 10, (1 + 10) / (1 + 1 + 10)]),
    ]


def test_observation_with_a_suggestion_is_equation_4_in_its_order(flow_set: FlowSet) -> None:
    counters = Counters(np.array([10, 4, 3]), np.array([10, 3, 1]))

    rows = observe(np.array([2]), flow_set.contexts, counters, suggestion())

    assert rows.tolist() == [pytest.approx([WEB, 2, 3, 1, 0.4, VALIDATE, -1.25])]


def test_confidence_in_the_observation_follows_the_given_prior(flow_set: FlowSet) -> None:
    env = ThreatMitigationEnv(flow_set, prior=BetaPrior(alpha=3, beta=1))

    observation, _ = env.reset(seed=0)

    assert observation[2:].tolist() == [0, 0, 0.75]


@pytest.mark.parametrize("action", range(15))
def test_reward_is_equation_3_of_the_actual_class(flow_set: FlowSet, action: int) -> None:
    env = ThreatMitigationEnv(flow_set)

    for _ in range(len(flow_set)):
        env.reset()
        _, reward, _, _, info = env.step(action)

        ranking = PAPER.classes[info["actual"]].ranking
        k = ranking.index(action) + 1 if action in ranking else None
        assert reward == (-5 if k is None else 6 - k)
        assert info["actual"] == flow_set.actual[info["flow"]]


def test_episode_is_one_step_and_its_last_observation_has_counted_the_flow(
    flow_set: FlowSet,
) -> None:
    env = ThreatMitigationEnv(flow_set)
    before, info = env.reset(seed=0)

    after, _, terminated, truncated, last = env.step(FILTER)

    right = flow_set.contexts.predicted[info["signature"]] == last["actual"]
    assert (terminated, truncated) == (True, False)
    assert before[:2].tolist() == after[:2].tolist() == [info["predicted"], info["signature"]]
    assert before[2:].tolist() == [0, 0, 0.5]
    assert after[2:].tolist() == pytest.approx([1, int(right), (1 + right) / 3])
    assert info == {name: last[name] for name in ("flow", "context", "signature", "predicted")}


def test_truth_is_not_told_before_the_step(flow_set: FlowSet) -> None:
    env = ThreatMitigationEnv(flow_set)

    _, info = env.reset(seed=0)

    assert "actual" not in info


def test_reset_goes_on_and_reset_with_a_seed_begins_again(flow_set: FlowSet) -> None:
    env = ThreatMitigationEnv(flow_set)

    first = play(env, seed=5, steps=10)
    going_on = play(env, seed=None, steps=10)
    again = play(env, seed=5, steps=10)

    assert sorted(info["flow"] for _, info in first) == list(range(10))
    assert sorted(info["flow"] for _, info in going_on) == list(range(10))
    assert [info["flow"] for _, info in first] != [info["flow"] for _, info in going_on]
    assert data_equivalence(first, again)
    assert sum(row[2] for row, _ in first) < sum(row[2] for row, _ in going_on)


def play(env: gym.Env[Any, Any], seed: int | None, steps: int) -> list[tuple[Any, dict[str, Any]]]:
    seen = []
    for step in range(steps):
        seen.append(env.reset(seed=seed if step == 0 else None))
        env.step(0)
    return seen


@pytest.mark.parametrize("action", [-1, 15, 1.5, None, np.array([0, 1])])
def test_action_outside_of_the_space_is_refused_and_the_episode_goes_on(
    flow_set: FlowSet, action: object
) -> None:
    env = ThreatMitigationEnv(flow_set)
    env.reset(seed=0)

    with pytest.raises(gym.error.InvalidAction):
        env.step(action)  # type: ignore[arg-type]

    env.step(0)
    assert env.situation.counters.seen.sum() == 1


def test_step_needs_a_reset_first(flow_set: FlowSet) -> None:
    env = ThreatMitigationEnv(flow_set)

    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)

    env.reset()
    env.step(0)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(0)


def test_suggestion_is_seen_from_the_next_observation_on(flow_set: FlowSet) -> None:
    env = ThreatMitigationEnv(flow_set, augmented=True)

    before, _ = env.reset(seed=0)
    env.set_suggestion(suggestion())
    after, info = env.reset()

    assert before[5:].tolist() == [0, 0]
    assert after[5:].tolist() == [
        suggestion().action[info["signature"]],
        suggestion().reward[info["signature"]],
    ]


def test_suggestion_needs_an_augmented_environment(flow_set: FlowSet) -> None:
    for env in (ThreatMitigationEnv(flow_set), ThreatMitigationVectorEnv(flow_set, 2)):
        with pytest.raises(ValueError, match="augmented=True"):
            env.set_suggestion(suggestion())


def test_registering_again_changes_nothing() -> None:
    spec = gym.registry[ENV_ID]

    register()

    assert gym.registry[ENV_ID] is spec


# n flows at a time.


@augmented_or_not
def test_made_vector_environment_is_the_vectorised_one(flow_set: FlowSet, augmented: bool) -> None:
    env = gym.make_vec(
        ENV_ID,
        num_envs=4,
        vectorization_mode="vector_entry_point",
        scenario=flow_set,
        augmented=augmented,
    )

    assert isinstance(env.unwrapped, ThreatMitigationVectorEnv)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert env.single_action_space == gym.spaces.Discrete(15)
    assert env.action_space == gym.spaces.MultiDiscrete([15] * 4)
    assert env.single_observation_space.shape == (7 if augmented else 5,)
    assert env.observation_space.shape == (4, 7 if augmented else 5)
    assert_steps_stay_in_the_spaces(env)


def test_scalar_environment_can_be_vectorised_by_gymnasium(flow_set: FlowSet) -> None:
    env = gym.make_vec(ENV_ID, num_envs=3, vectorization_mode="sync", scenario=flow_set)

    assert isinstance(env.unwrapped, SyncVectorEnv)
    assert_steps_stay_in_the_spaces(env)


def assert_steps_stay_in_the_spaces(env: VectorEnv[Any, Any, Any]) -> None:
    n = env.num_envs
    observation, _ = env.reset(seed=1)
    assert observation in env.observation_space
    env.action_space.seed(1)
    for _ in range(8):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert observation in env.observation_space
        assert observation.dtype == np.float32
        assert (reward.shape, reward.dtype) == ((n,), np.float64)
        assert (terminated.shape, terminated.dtype) == ((n,), np.bool_)
        assert (truncated.shape, truncated.dtype) == ((n,), np.bool_)
        assert not truncated.any()


def roll(env: VectorEnv[Any, Any, Any], seed: int | None, steps: int = 6) -> list[Any]:
    """All that a vector environment returns for the same random actions."""
    env.action_space.seed(0)
    seen: list[Any] = [env.reset(seed=seed)]
    seen += [env.step(env.action_space.sample()) for _ in range(steps)]
    return seen


def test_vector_environments_of_one_seed_do_the_same(flow_set: FlowSet) -> None:
    first = ThreatMitigationVectorEnv(flow_set, 4)
    second = ThreatMitigationVectorEnv(flow_set, 4)

    assert data_equivalence(roll(first, seed=3), roll(second, seed=3))
    assert data_equivalence(roll(first, seed=3), roll(second, seed=3))
    assert data_equivalence(roll(first, seed=None), roll(second, seed=None))
    assert not data_equivalence(roll(first, seed=3), roll(second, seed=4))
    assert data_equivalence(first.reset(seed=[3, 9, 9, 9]), second.reset(seed=3))


def test_what_a_vector_step_returned_is_not_changed_by_later_steps(flow_set: FlowSet) -> None:
    env = ThreatMitigationVectorEnv(flow_set, 4)
    observation, info = env.reset(seed=0)
    kept = observation.copy(), info["flow"].copy()

    env.step(np.zeros(4, np.int64))
    env.step(np.zeros(4, np.int64))

    assert np.array_equal(observation, kept[0])
    assert np.array_equal(info["flow"], kept[1])


def test_every_vector_step_ends_all_episodes_and_begins_new_ones(flow_set: FlowSet) -> None:
    env = ThreatMitigationVectorEnv(flow_set, 5)
    first, info = env.reset(seed=0)

    second, _, terminated, truncated, infos = env.step(np.zeros(5, np.int64))

    assert terminated.all()
    assert not truncated.any()
    assert infos["final_obs"].dtype == np.float32
    assert np.array_equal(infos["final_obs"][:, :2], first[:, :2])
    assert np.array_equal(infos["final_info"]["flow"], info["flow"])
    assert np.array_equal(infos["final_info"]["actual"], flow_set.actual[info["flow"]])
    assert np.array_equal(second[:, 1], infos["signature"])
    assert np.array_equal(second[:, 0], infos["predicted"])
    assert sorted([*info["flow"], *infos["flow"]]) == list(range(10))
    for told in (info, infos, infos["final_info"]):
        for name in told:
            assert name.startswith("_") or told[f"_{name}"].tolist() == [True] * 5


def test_counters_are_frozen_within_a_step_and_grow_by_all_flows_at_once(
    flow_set: FlowSet,
) -> None:
    env = ThreatMitigationVectorEnv(flow_set, 10)

    first, _ = env.reset(seed=0)
    second, *_, infos = env.step(np.zeros(10, np.int64))

    n, c = {0: 3, 1: 4, 2: 3}, {0: 3, 1: 3, 2: 1}
    expected = [[n[s], c[s], np.float32((1 + c[s]) / (2 + n[s]))] for s in second[:, 1]]
    assert first[:, 2:].tolist() == [[0, 0, 0.5]] * 10
    assert second[:, 2:].tolist() == expected
    assert np.array_equal(np.sort(infos["final_obs"], axis=0), np.sort(second, axis=0))


@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 2**31), st.booleans())
def test_vector_step_is_n_scalar_steps_and_the_table_is_their_sum(
    flow_set: FlowSet, n: int, steps: int, seed: int, augmented: bool
) -> None:
    vector = ThreatMitigationVectorEnv(flow_set, n, augmented=augmented)
    scalar = ThreatMitigationEnv(flow_set, augmented=augmented)
    actions = np.random.default_rng(seed).integers(0, 15, (steps, n))

    by_vector, earned = vector_transitions(vector, actions, seed)
    by_scalar, rewards = scalar_transitions(scalar, actions.ravel(), seed)

    table = InteractionTable.tally(*by_vector.T)
    assert np.array_equal(by_vector, by_scalar)
    assert np.array_equal(earned, rewards)
    assert table == InteractionTable.tally(*by_scalar.T)
    assert table.flows == n * steps
    assert (table.rewards(PAPER) * table.count).sum() == earned.sum() == rewards.sum()
    assert np.array_equal(vector.situation.counters.seen, scalar.situation.counters.seen)
    assert np.array_equal(vector.situation.counters.correct, scalar.situation.counters.correct)


def vector_transitions(
    env: ThreatMitigationVectorEnv, actions: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Signature, action and actual class of each flow in order, and the rewards."""
    rows, rewards = [], []
    _, info = env.reset(seed=seed)
    for chosen in actions:
        signature = info["signature"]
        _, reward, _, _, info = env.step(chosen)
        rows.append(np.column_stack([signature, chosen, info["final_info"]["actual"]]))
        rewards.append(reward)
    return np.concatenate(rows), np.concatenate(rewards)


def scalar_transitions(
    env: ThreatMitigationEnv, actions: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rows, rewards = [], []
    for step, action in enumerate(actions):
        env.reset(seed=seed if step == 0 else None)
        _, reward, _, _, info = env.step(action)
        rows.append([info["signature"], action, info["actual"]])
        rewards.append(reward)
    return np.array(rows), np.array(rewards)


def test_vector_of_one_observes_what_the_scalar_environment_observes(flow_set: FlowSet) -> None:
    vector = ThreatMitigationVectorEnv(flow_set, 1)
    scalar = ThreatMitigationEnv(flow_set)
    one, _ = vector.reset(seed=2)

    for step in range(15):
        observation, _ = scalar.reset(seed=2 if step == 0 else None)
        last, *_ = scalar.step(0)
        assert np.array_equal(one[0], observation)

        one, *_, infos = vector.step(np.array([0]))
        assert np.array_equal(infos["final_obs"][0], last)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_workers_share_a_pass_without_overlap(flow_set: FlowSet, n: int) -> None:
    steps = 10 // (2 * n)
    flows: list[int] = []

    for worker in range(2):
        env = ThreatMitigationVectorEnv(flow_set, n, worker_index=worker, num_workers=2)
        _, info = env.reset(seed=4)
        for _ in range(steps):
            flows += info["flow"].tolist()
            *_, info = env.step(np.zeros(n, np.int64))

    assert len(flows) == len(set(flows)) == 2 * steps * n


def test_scalar_workers_share_a_pass_without_overlap(flow_set: FlowSet) -> None:
    flows = []

    for worker in range(2):
        env = ThreatMitigationEnv(flow_set, worker_index=worker, num_workers=2)
        flows += [info["flow"] for _, info in play(env, seed=4, steps=5)]

    assert sorted(flows) == list(range(10))


def test_seek_continues_where_another_run_stopped(flow_set: FlowSet) -> None:
    whole = ThreatMitigationVectorEnv(flow_set, 2, seed=1)
    resumed = ThreatMitigationVectorEnv(flow_set, 2, seed=1)
    whole.reset()
    *_, expected = whole.step(np.zeros(2, np.int64))

    resumed.seek(2)
    _, info = resumed.reset()

    assert info["flow"].tolist() == expected["flow"].tolist()


def test_set_counters_replaces_what_is_observed_and_keeps_its_own_copy(flow_set: FlowSet) -> None:
    env = ThreatMitigationVectorEnv(flow_set, 10)
    given = Counters(np.array([100, 100, 100]), np.array([90, 50, 10]))

    env.set_counters(given)
    observation, _ = env.reset()
    env.step(np.zeros(10, np.int64))

    assert observation[:, 2].tolist() == [100] * 10
    assert [row[3] for row in observation] == [[90, 50, 10][int(row[1])] for row in observation]
    assert given.seen.tolist() == [100, 100, 100]


def test_set_counters_replaces_n_and_c_and_nothing_else(flow_set: FlowSet) -> None:
    env = ThreatMitigationVectorEnv(flow_set, 1, prior=BetaPrior(alpha=3, beta=1))

    env.set_counters(Counters(np.array([4, 4, 4]), np.array([2, 2, 2])))
    observation, _ = env.reset()

    assert observation[0, 4] == pytest.approx((3 + 2) / (3 + 1 + 4))


@pytest.mark.parametrize(
    "actions",
    [[0, 15], [-1, 0], [0], [0, 0, 0], [[0, 0]], [0.5, 1.0], [np.nan, 0.0]],
    ids=["too-high", "negative", "too-few", "too-many", "nested", "fractions", "nan"],
)
def test_vector_actions_outside_of_the_space_are_refused_and_nothing_is_counted(
    flow_set: FlowSet, actions: list[Any]
) -> None:
    env = ThreatMitigationVectorEnv(flow_set, 2)
    env.reset(seed=0)

    with pytest.raises(gym.error.InvalidAction):
        env.step(np.array(actions))

    assert env.situation.counters.seen.sum() == 0


def test_vector_step_needs_a_reset_first(flow_set: FlowSet) -> None:
    env = ThreatMitigationVectorEnv(flow_set, 2)

    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.array([0, 0]))


def test_vector_suggestion_is_seen_from_the_next_observation_on(flow_set: FlowSet) -> None:
    env = ThreatMitigationVectorEnv(flow_set, 5, augmented=True)

    before, _ = env.reset(seed=0)
    env.set_suggestion(suggestion())
    after, *_, infos = env.step(np.zeros(5, np.int64))

    assert before[:, 5:].tolist() == [[0, 0]] * 5
    assert np.array_equal(after[:, 5], suggestion().action[infos["signature"]])
    assert np.array_equal(after[:, 6], suggestion().reward[infos["signature"]])


@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=30))
def test_counters_count_flows_and_right_detections(events: list[tuple[int, bool]]) -> None:
    counters = Counters.zeros(3)

    counters.add(
        np.array([signature for signature, _ in events], np.int32),
        np.array([right for _, right in events], np.bool_),
    )

    for signature in range(3):
        outcomes = [right for met, right in events if met == signature]
        assert counters.seen[signature] == len(outcomes)
        assert counters.correct[signature] == sum(outcomes)
        assert counters.confidence()[signature] == pytest.approx(
            (1 + sum(outcomes)) / (2 + len(outcomes))
        )
