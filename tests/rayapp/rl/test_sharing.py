"""Algorithms beside each other: one scenario, one set of flows, one language model; own graphs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from envs import Scenario
from kg_actor.raykit import ask
from llm_actor import actor as advisor_actor
from llm_actor.selection import AdvisorSpec
from rayapp.rl import sharing
from rayapp.rl.algorithm import KnowledgeInfused
from rayapp.rl.ppo import KnowledgePPOConfig
from rayapp.rl.sharing import Shared, offered


def test_what_is_offered_is_taken_and_graphs_stay_apart(
    ray_local: ModuleType, scenario: Scenario, build_small: Callable[..., KnowledgeInfused]
) -> None:
    flows = ray_local.put(scenario.flow_set("train", matching="cross-fitted"))

    with offered(Shared(scenario, {"cross-fitted": flows})):
        first, second = (build_small(KnowledgePPOConfig()) for _ in range(2))
    alone = build_small(KnowledgePPOConfig())

    assert first._sampler._flows == second._sampler._flows == flows != alone._sampler._flows
    assert first.scenario is second.scenario is scenario
    assert alone.scenario is not scenario
    first.train()
    counts = [one.memory.graph.counts() for one in (first, second)]
    assert [int(one.signature_actual.sum()) for one in counts] == [600, 0]


def test_another_path_or_matching_takes_nothing(scenario: Scenario, tmp_path: Path) -> None:
    scenario.copy_to(tmp_path / "copy")

    with offered(Shared(scenario)):
        assert sharing.scenario_at(scenario.path) is scenario
        copy = sharing.scenario_at(tmp_path / "copy")
        assert copy is not scenario
        assert sharing.training_flows(copy, "fitted") is None
        assert sharing.training_flows(scenario, "fitted") is None


def test_a_shared_language_model_outlives_those_who_ask_it(
    ray_local: ModuleType, scenario: Scenario, build_small: Callable[..., KnowledgeInfused]
) -> None:
    spec = AdvisorSpec(kind="embedded")
    advisor = advisor_actor.start(spec)
    try:
        with offered(Shared(scenario, {}, ((spec, advisor),))):
            algorithm = build_small(KnowledgePPOConfig().knowledge(advisor=spec, advice_wait=False))
        assert algorithm.memory.advisor is advisor

        algorithm.stop()

        assert ask(advisor.handles[0].process.remote()) > 0
        assert sharing.advisor(spec) is None
    finally:
        advisor.stop()
