"""The algorithm on a real Ray: graph and learner see the same flows, whoever sampled them."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray

from envs import BetaPrior, Catalogue, InputError, InteractionTable, Scenario
from kg_actor import GraphCounts, GraphState, Lesson, records_of, snapshot
from llm_actor import GraphReader, Prompts, compose
from llm_actor.selection import AdvisorSpec
from rayapp.rl.algorithm import Experience
from rayapp.rl.ppo import KnowledgePPO, KnowledgePPOConfig
from rayapp.rl.saved_policy import SavedPolicy
from rayapp.rl.schedules import Schedule
from rayapp.rl.stepping import slices

PAPER = Catalogue.named("paper")

Build = Callable[..., KnowledgePPO]


@dataclass(frozen=True)
class Outcome:
    """What a training leaves."""

    policy: np.ndarray
    counts: GraphCounts


@contextlib.contextmanager
def building(scenario: Scenario) -> Iterator[Build]:
    """Builds algorithms, and stops them in the end."""
    with contextlib.ExitStack() as stack:

        def build(  # noqa: ANN202
            *,
            runners: int = 0,
            seed: int = 0,
            infuse: bool = True,
            lr: float = 3e-3,
            epochs: int = 2,
            minibatch: int | None = None,
            **knowledge: Any,  # noqa: ANN401
        ):
            config = (
                KnowledgePPOConfig()
                .scenario(scenario.path, infuse=infuse, hidden=(16,), embedding_dim=4)
                .knowledge(total_env_steps=2_000, **knowledge)
                .training(
                    train_batch_size_per_learner=600,
                    num_epochs=epochs,
                    lr=lr,
                    minibatch_size=minibatch,
                )
                # Several algorithms share two processors here.
                .env_runners(num_env_runners=runners, num_cpus_per_env_runner=0.1)
                .fault_tolerance(restart_failed_env_runners=True)
                .debugging(seed=seed, log_level="ERROR")
            )
            algorithm: KnowledgePPO = config.build_algo()
            stack.callback(algorithm.stop)
            return algorithm

        yield build


@pytest.fixture
def build(ray_local: Any, scenario: Scenario) -> Iterator[Build]:  # noqa: ANN401
    with building(scenario) as built:
        yield built


def run(algorithm: KnowledgePPO) -> KnowledgePPO:
    while algorithm.flows < algorithm.config.total_env_steps:
        algorithm.train()
    return algorithm


def outcome_of(algorithm: KnowledgePPO) -> Outcome:
    contexts = algorithm.scenario.contexts
    policy = algorithm.saved_policy().probabilities(contexts)
    return Outcome(policy, counts_of(algorithm))


def weights_of(algorithm: KnowledgePPO) -> np.ndarray:
    policy = algorithm.saved_policy()
    assert isinstance(policy, SavedPolicy)
    return np.concatenate([weight.numpy().ravel() for weight in policy.weights.values()])


def counts_of(algorithm: KnowledgePPO) -> GraphCounts:
    return algorithm.graph_state().counts


# Every graph and every runner is a process that takes seconds to start: tests share trainings
# that they only read.


@dataclass(frozen=True)
class Whole:
    """A training of seed 0, stepped in the driver, at its end, and what its learner was given."""

    algorithm: KnowledgePPO
    learnt: list[InteractionTable]


@pytest.fixture(scope="module")
def whole(ray_local: Any, scenario: Scenario) -> Iterator[Whole]:  # noqa: ANN401
    with building(scenario) as build, pytest.MonkeyPatch.context() as patch:
        whole = Whole(build(), [])
        update = whole.algorithm._update
        patch.setattr(
            whole.algorithm,
            "_update",
            lambda experience: (whole.learnt.append(experience.table), update(experience))[1],
        )
        run(whole.algorithm)
        yield whole


@pytest.fixture(scope="module")
def baseline(whole: Whole) -> Outcome:
    return outcome_of(whole.algorithm)


@dataclass(frozen=True)
class Saved:
    """A checkpoint after 1,200 flows; its graph; what else is as it was after 2,000 flows."""

    checkpoint: Path
    graph: GraphState
    algorithm: KnowledgePPO
    outcome: Outcome


def saved(algorithm: KnowledgePPO, checkpoint: Path) -> Saved:
    algorithm.train()
    algorithm.train()
    algorithm.save_to_path(str(checkpoint))
    graph = algorithm.graph_state()
    return Saved(checkpoint, graph, algorithm, outcome_of(run(algorithm)))


@pytest.fixture(scope="module")
def checkpointed(
    ray_local: Any,  # noqa: ANN401
    scenario: Scenario,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Saved]:
    """Stepped in the driver."""
    with building(scenario) as build:
        yield saved(build(), tmp_path_factory.mktemp("saved") / "checkpoint")


@pytest.fixture(scope="module")
def with_runners(
    ray_local: Any,  # noqa: ANN401
    scenario: Scenario,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Saved]:
    """Stepped by two runners."""
    with building(scenario) as build:
        yield saved(build(runners=2), tmp_path_factory.mktemp("runners") / "checkpoint")


def test_two_runners_give_the_same_policy_and_graph(with_runners: Saved, baseline: Outcome) -> None:
    assert np.array_equal(with_runners.outcome.policy, baseline.policy)
    assert with_runners.outcome.counts.equals(baseline.counts)


@pytest.mark.slow
def test_one_runner_gives_the_same_policy_and_graph(build: Build, baseline: Outcome) -> None:
    outcome = outcome_of(run(build(runners=1)))

    assert np.array_equal(outcome.policy, baseline.policy)
    assert outcome.counts.equals(baseline.counts)


def test_the_seed_decides_the_policy(build: Build, baseline: Outcome) -> None:
    again, other = (outcome_of(run(build(seed=seed))) for seed in (0, 1))

    assert np.array_equal(again.policy, baseline.policy)
    assert not np.array_equal(other.policy, baseline.policy)


def test_a_training_ends_exactly_at_its_budget(whole: Whole) -> None:
    algorithm = whole.algorithm

    assert algorithm.flows == 2_000
    assert counts_of(algorithm).signature_actual.sum() == 2_000
    assert counts_of(algorithm).type_action.sum() == 2_000
    assert algorithm.knowledge.counters.seen.sum() == 2_000


def test_the_graph_holds_every_pass_of_the_training_flows(whole: Whole) -> None:
    """Independent of how anything was sampled: N by signature and class is known beforehand."""
    algorithm = whole.algorithm
    met = algorithm.scenario.flow_set(matching=algorithm.config.matching)
    passes, rest = divmod(2_000, len(met))

    expected = np.zeros_like(counts_of(algorithm).signature_actual)
    np.add.at(expected, (met.signature, met.actual), passes)

    extra = counts_of(algorithm).signature_actual - expected
    assert extra.sum() == rest
    assert extra.min() >= 0


def test_learner_and_graph_are_given_the_same_interactions(whole: Whole) -> None:
    algorithm = whole.algorithm

    table = InteractionTable.total(whole.learnt)
    predicted = algorithm.scenario.contexts.traffic
    by_type = np.zeros_like(counts_of(algorithm).type_action)
    np.add.at(by_type, (predicted[table.context], table.action, table.actual), table.count)
    assert np.array_equal(by_type, counts_of(algorithm).type_action)


def test_a_restored_checkpoint_goes_on_as_if_nothing_had_happened(
    build: Build, checkpointed: Saved, baseline: Outcome
) -> None:
    second = build()
    second.restore_from_path(str(checkpointed.checkpoint))

    assert second.flows == 1_200
    assert counts_of(second).type_action.sum() == 1_200
    resumed = outcome_of(run(second))
    assert np.array_equal(resumed.policy, baseline.policy)
    assert resumed.counts.equals(baseline.counts)


def test_a_killed_runner_costs_no_flow_and_changes_nothing(
    with_runners: Saved, baseline: Outcome
) -> None:
    hurt = with_runners.algorithm
    hurt.restore_from_path(str(with_runners.checkpoint))
    assert hurt.flows == 1_200
    victim = hurt.env_runner_group.healthy_env_runner_ids()[0]
    ray.kill(hurt.env_runner_group._worker_manager.actors()[victim], no_restart=False)

    outcome = outcome_of(run(hurt))

    assert np.array_equal(outcome.policy, baseline.policy)
    assert outcome.counts.equals(baseline.counts)


def test_two_algorithms_of_one_configuration_have_a_graph_each(
    ray_local: Any,  # noqa: ANN401
    scenario: Scenario,
) -> None:
    config = KnowledgePPOConfig().scenario(scenario.path).training(train_batch_size_per_learner=50)
    first, second = config.build_algo(), config.build_algo()
    try:
        first.train()
        second.train()
        assert counts_of(first).type_action.sum() == counts_of(second).type_action.sum() == 50
    finally:
        first.stop()
        second.stop()


def test_a_checkpoint_holds_its_graph_as_tables(checkpointed: Saved) -> None:
    state, spec = snapshot.load(checkpointed.checkpoint / "graph")

    assert state.equals(checkpointed.graph)
    assert spec.fingerprint == checkpointed.algorithm.scenario.fingerprint


def test_a_checkpoint_without_its_graph_is_refused(
    build: Build, checkpointed: Saved, tmp_path: Path
) -> None:
    shutil.copytree(checkpointed.checkpoint, tmp_path / "checkpoint")
    shutil.rmtree(tmp_path / "checkpoint" / "graph")

    with pytest.raises(ValueError, match="has lost its graph"):
        build().restore_from_path(str(tmp_path / "checkpoint"))


def test_a_run_that_begins_again_begins_its_graph_again(
    build: Build, baseline: Outcome, tmp_path: Path
) -> None:
    """As after a crash before the first checkpoint: its merges are there, its weights are not."""
    lost = build(run_name="lost", graph_folder=tmp_path / "graph")
    lost.train()
    lost.train()
    lost.stop()

    again = outcome_of(run(build(run_name="lost", graph_folder=tmp_path / "graph")))

    assert np.array_equal(again.policy, baseline.policy)
    assert again.counts.equals(baseline.counts)


def test_another_runs_graph_in_its_place_is_refused(build: Build, tmp_path: Path) -> None:
    other = build(run_name="other", graph_folder=tmp_path / "graph")
    other.train()
    other.stop()

    mine = build(run_name="mine", graph_folder=tmp_path / "graph")

    with pytest.raises(InputError, match="holds flows of another run"):
        mine.train()


def test_an_iteration_that_failed_half_way_is_not_gone_on_with(
    build: Build, baseline: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm = build()
    algorithm.train()
    algorithm.save_to_path(str(tmp_path / "checkpoint"))
    update = algorithm._update

    def fail(experience: Experience) -> None:
        update(experience)
        raise OSError("the learner is gone")

    with monkeypatch.context() as patch:
        patch.setattr(algorithm, "_update", fail)
        with pytest.raises(OSError, match="the learner is gone"):
            algorithm.train()
    with pytest.raises(RuntimeError, match="Restore a checkpoint"):
        algorithm.train()

    algorithm.restore_from_path(str(tmp_path / "checkpoint"))

    again = outcome_of(run(algorithm))
    assert np.array_equal(again.policy, baseline.policy)
    assert again.counts.equals(baseline.counts)


def test_a_graph_actor_that_is_gone_for_good_is_started_again(
    build: Build, baseline: Outcome
) -> None:
    hurt = build()
    hurt.train()
    ray.kill(hurt.memory.graph.handle, no_restart=True)

    outcome = outcome_of(run(hurt))

    assert np.array_equal(outcome.policy, baseline.policy)
    assert outcome.counts.equals(baseline.counts)


def test_runs_share_a_graph_on_purpose(build: Build, tmp_path: Path) -> None:
    where = {"graph_folder": tmp_path / "team", "shared_graph": f"team-{tmp_path.name}"}
    first, second = build(run_name="first", **where), build(run_name="second", seed=1, **where)
    run(first)
    first.save_to_path(str(tmp_path / "checkpoint"))
    run(second)

    first.restore_from_path(str(tmp_path / "checkpoint"))

    for algorithm in (first, second):
        assert counts_of(algorithm).type_action.sum() == 4_000
    # What one run has learnt, the other knows when it begins.
    assert second.knowledge.counters.seen.sum() == 4_000
    runs = {key.run for key in first.graph_state().merged}
    assert runs == {"first", "second"}


def test_a_shared_graph_needs_a_folder(scenario: Scenario) -> None:
    config = KnowledgePPOConfig().scenario(scenario.path).knowledge(shared_graph="team")

    with pytest.raises(ValueError, match="needs a graph_folder"):
        config.validate()


def test_what_was_taught_is_advice_before_the_first_flow(build: Build) -> None:
    taught = Lesson("DoS", "Audit", 5.0, 1000.0, "red-team")
    algorithm = build(lessons=[taught])
    suggestion = algorithm.knowledge.suggestion
    assert suggestion is not None

    dos = algorithm.scenario.signatures.predicted == PAPER.class_index("DoS")
    assert {PAPER.action_names[i] for i in suggestion.action[dos]} == {"Audit"}
    assert set(suggestion.reward[dos]) == {5.0}
    assert algorithm.knowledge.counters.seen.sum() == 0


def test_a_forgetful_graph_counts_every_flow_and_believes_the_recent_ones(build: Build) -> None:
    algorithm = run(build(half_life=500.0))

    counts = counts_of(algorithm)
    assert counts.type_action.sum() == 2_000
    # 600, 600, 600 and 200 flows, each halved by every 500 flows after it.
    expected = sum(n * 2 ** (-later / 500) for n, later in ((600, 1400), (600, 800), (600, 200)))
    assert counts.type_evidence.sum() == pytest.approx(expected + 200)
    assert algorithm.knowledge.counters.seen.sum() == pytest.approx(expected + 200)


@pytest.mark.slow
def test_a_forgetful_run_resumes_as_exactly_as_any_other(build: Build, tmp_path: Path) -> None:
    whole, first, second = (build(half_life=500.0) for _ in range(3))
    first.train()
    first.save_to_path(str(tmp_path / "checkpoint"))
    second.restore_from_path(str(tmp_path / "checkpoint"))

    assert np.array_equal(outcome_of(run(second)).policy, outcome_of(run(whole)).policy)


@pytest.mark.slow
def test_minibatches_resume_as_exactly_as_whole_batches(build: Build, tmp_path: Path) -> None:
    whole, first, second = (build(minibatch=16) for _ in range(3))
    first.train()
    first.save_to_path(str(tmp_path / "checkpoint"))
    second.restore_from_path(str(tmp_path / "checkpoint"))

    assert np.array_equal(outcome_of(run(second)).policy, outcome_of(run(whole)).policy)


def test_plain_ppo_sees_no_advice_and_has_no_kl_term(build: Build) -> None:
    algorithm = build(infuse=False)
    algorithm.train()

    assert algorithm.knowledge.suggestion is None
    assert algorithm.config.observation_space.shape == (5,)
    assert algorithm.summary is not None
    assert algorithm.summary.results["reference_kl"] == 0


class Stubborn:
    """Advises to audit, whatever the prompt."""

    name = "stubborn"
    advised = PAPER.action_names.index("Audit")

    def log_probabilities(self, prompts: Prompts) -> np.ndarray:
        certain = np.full((len(prompts), 15), -20.0, np.float32)
        certain[:, self.advised] = 0.0
        return certain


def test_a_heavy_kl_term_pulls_the_policy_to_its_reference(build: Build) -> None:
    """Auditing earns next to nothing, so only the KL term can bring a policy to it."""

    def share_of_audits(start: float) -> float:
        schedule = Schedule("constant", start=start)
        algorithm = build(epochs=10, lr=0.03, advisor=Stubborn(), kl_schedule=schedule)
        return outcome_of(run(algorithm)).policy[:, Stubborn.advised].mean()

    assert share_of_audits(start=0.0) < 0.1
    assert share_of_audits(start=10.0) > 0.8


def test_the_language_model_that_ships_advises_a_training(build: Build) -> None:
    algorithm = run(build(advisor=AdvisorSpec("embedded")))

    summary, knowledge = algorithm.summary, algorithm.knowledge
    assert summary is not None
    assert knowledge.suggestion is not None
    assert summary.advice_age == 0
    # It has been taught to act on the records, as the graph reader does by construction.
    records = records_of(counts_of(algorithm), PAPER, BetaPrior())
    prompts = compose(records, PAPER)
    promised = np.where(prompts.candidates, GraphReader().promised(prompts), -np.inf)
    best, second = np.sort(promised, axis=1)[:, [-1, -2]].T
    clear = best - second >= 0.1
    agrees = promised.argmax(axis=1) == knowledge.suggestion.action
    assert clear.any()
    assert agrees[clear].mean() >= 0.95


def test_training_does_not_wait_for_a_slow_advisor(build: Build) -> None:
    algorithm = build(advisor=Slow(), advice_wait=False, advice_max_age=2)
    ages = []
    for _ in range(4):
        algorithm.train()
        assert algorithm.summary is not None
        ages.append(algorithm.summary.advice_age)

    assert max(ages) in (1, 2)
    assert counts_of(algorithm).type_action.sum() == 2_000


class Slow(GraphReader):
    """The graph reader, taking its time."""

    def log_probabilities(self, prompts: Prompts) -> np.ndarray:
        time.sleep(0.5)
        return super().log_probabilities(prompts)


def test_any_advisor_takes_the_graph_readers_place(build: Build) -> None:
    """A language model must need no change here."""
    algorithm = build(advisor=Stubborn())
    algorithm.train()

    assert set(algorithm.knowledge.suggestion.action) == {Stubborn.advised}  # type: ignore[union-attr]


def test_lambda_and_rewards_are_reported(build: Build) -> None:
    algorithm = build(kl_schedule=Schedule("linear", 1.0, 0.0), advisor=GraphReader())

    first = algorithm.train()
    algorithm.train()

    assert algorithm.summary is not None
    assert algorithm.summary.results["lambda"] == pytest.approx(1 - 600 / 2000)
    reported = first["env_runners"]["reward_mean"]
    assert -5 <= reported <= 5
    assert first["env_runners"]["num_env_steps_sampled_lifetime"] == 600


def test_more_than_one_learner_is_refused(scenario: Scenario) -> None:
    config = KnowledgePPOConfig().scenario(scenario.path).learners(num_learners=2)

    with pytest.raises(ValueError, match="num_learners=0 or 1"):
        config.validate()


def test_one_runner_more_than_flows_gets_nothing_to_do() -> None:
    assert [piece.count for piece in slices(0, 2, 3)] == [1, 1]


def test_before_cloning_the_advisor_acts_and_then_the_policy_is_its_likeness(
    build: Build, tmp_path: Path
) -> None:
    def begin() -> KnowledgePPO:
        return build(reference_flows=1_000, cloning_steps=200, kl_schedule=Schedule("constant", 0))

    algorithm = begin()
    untouched = weights_of(algorithm)
    algorithm.train()
    # 600 flows of the advisor's: the graph has them, and the policy has learnt nothing.
    assert algorithm.by_reference
    assert counts_of(algorithm).signature_actual.sum() == 600
    assert np.array_equal(weights_of(algorithm), untouched)
    path = algorithm.save_to_path(str(tmp_path / "checkpoint"))
    algorithm.train()

    assert algorithm.flows == 1_000
    assert not algorithm.by_reference
    seen = counts_of(algorithm).signature_actual.sum(axis=1) > 0
    contexts = algorithm.scenario.contexts
    cloned = algorithm.saved_policy().probabilities(contexts)[seen]
    advised = np.exp(algorithm.knowledge.reference_logp[seen])
    assert (cloned.argmax(axis=1) == advised.argmax(axis=1)).mean() > 0.95

    resumed = begin()
    resumed.restore_from_path(path)
    resumed.train()
    again = resumed.saved_policy().probabilities(contexts)[seen]
    assert np.array_equal(again, cloned)


def test_the_advisor_alone_is_a_policy_that_no_network_learns(build: Build) -> None:
    algorithm = run(build(reference_flows=2_000))

    contexts = algorithm.scenario.contexts
    acting = algorithm.saved_policy().probabilities(contexts)
    assert np.allclose(acting, np.exp(algorithm.knowledge.reference_logp))
    assert counts_of(algorithm).signature_actual.sum() == 2_000


def test_a_limit_on_the_weights_of_rare_classes_reaches_the_learner(build: Build) -> None:
    unbalanced, limited, balanced = (
        outcome_of(run(build(class_balance=balance, class_weight_limit=limit))).policy
        for balance, limit in ((0.0, 20.0), (1.0, 1.0), (1.0, 20.0))
    )

    # A limit of 1 leaves no flow more weight than another.
    assert np.array_equal(unbalanced, limited)
    assert not np.array_equal(unbalanced, balanced)
