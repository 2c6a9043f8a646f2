"""What Prometheus scrapes from a real Ray, and what Grafana's dashboard asks of it."""

from __future__ import annotations

import json
import re
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import rayapp
from envs import PAPER, Scenario
from kg_actor.raykit import ask
from llm_actor import actor as advisor_actor
from llm_actor.prompts import Prompts
from llm_actor.selection import AdvisorSpec
from rayapp.rl.ppo import KnowledgePPOConfig

sys.path.insert(0, str(Path(__file__).parents[2] / "llm_actor"))
from scripted import Request, Response, chosen, serving

pytest.importorskip("opentelemetry", reason="ray[default] exports metrics")
pytest.importorskip("aiohttp", reason="ray[default] exports metrics")

DASHBOARD = Path(rayapp.__file__).with_name("grafana.json")

Samples = dict[tuple[str, str], float]
"""Values by metric and by run, graph or advisor."""


def scraped(ray: ModuleType, advisor: int) -> Samples:
    """What the node's Prometheus endpoint tells of kirl, of advisors only that process."""
    port = ray.nodes()[0]["MetricsExportPort"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found: Samples = {}
    for line in text.splitlines():
        sample = re.fullmatch(r"(ray_kirl_\w+)\{(.*)\} (\S+)", line)
        process = re.search(r'\bprocess="(\d+)"', sample[2]) if sample else None
        if sample and (process is None or int(process[1]) == advisor):
            whose = re.search(r'\b(?:run|graph|advisor)="([^"]*)"', sample[2])
            found[sample[1], whose[1] if whose else ""] = float(sample[3])
    return found


@pytest.fixture(scope="module")
def endpoint() -> Iterator[AdvisorSpec]:
    """A server that answers once, and is overloaded from then on."""
    answered: list[Request] = []

    def script(request: Request) -> Response:
        answered.append(request)
        return chosen("[A]") if len(answered) == 1 else Response(503)

    with serving(script) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield AdvisorSpec(
            "endpoint", model="phi", url=server.url, retries=0, concurrency=1, circuit_failures=1
        )


@pytest.fixture(scope="module")
def samples(
    ray_local: ModuleType,
    scenario: Scenario,
    endpoint: AdvisorSpec,
    tmp_path_factory: pytest.TempPathFactory,
) -> Samples:
    """Scraped after two iterations of 300 flows, and two equal questions to an advisor."""
    algorithm = (
        KnowledgePPOConfig()
        .scenario(scenario.path, hidden=(16,))
        .knowledge(
            total_env_steps=600,
            run_name="watched",
            advisor=endpoint,
            graph_folder=tmp_path_factory.mktemp("watched") / "graph",
        )
        .training(train_batch_size_per_learner=300)
        .build_algo()
    )
    advisor = advisor_actor.start(AdvisorSpec(kind="graph-reader"))
    try:
        asked = 0
        for _ in range(2):
            algorithm.train()
            advisor.log_probabilities(question())
            summary = algorithm.summary
            assert summary is not None
            asked += summary.prompts_asked
        size = algorithm.memory.graph.counts().version
        process = ask(advisor.handles[0].process.remote())
        deadline = time.monotonic() + 60
        while not complete(found := scraped(ray_local, process), summary.average_reward):
            assert time.monotonic() < deadline, f"only {sorted(found)}"
            time.sleep(0.5)
        assert found["ray_kirl_graph_version", "graph:watched"] == size
        # Records change with every iteration, and with them prompts.
        assert found["ray_kirl_prompts_asked_total", "watched"] == asked > 0
        assert found["ray_kirl_lambda", "watched"] == pytest.approx(summary.results["lambda"])
        assert found["ray_kirl_entropy_nats", "watched"] == pytest.approx(
            summary.results["entropy"]
        )
        return found
    finally:
        algorithm.stop()
        advisor.stop()


def complete(found: Samples, reward: float) -> bool:
    """Whether all processes have told their last."""
    return (
        found.get(("ray_kirl_reward", "watched")) == pytest.approx(reward)
        and found.get(("ray_kirl_graph_merged_flows_total", "graph:watched")) == 600
        and found.get(("ray_kirl_advisor_cached_total", "graph-reader")) == len(PAPER.classes)
        and ("ray_kirl_advisor_prompts_per_second", "graph-reader") in found
    )


def question() -> Prompts:
    classes, actions = len(PAPER.classes), len(PAPER.actions)
    return Prompts(
        np.arange(classes, dtype=np.int8),
        np.full(classes, 0.5, np.float32),
        np.zeros((classes, classes), np.float32),
        np.full((classes, actions), np.nan, np.float32),
        np.ones((classes, actions), np.bool_),
        PAPER,
    )


def asked_for() -> set[str]:
    """Metrics in the dashboard's queries and variables."""
    dashboard = json.loads(DASHBOARD.read_text())
    queries = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    queries += [v["definition"] for v in dashboard["templating"]["list"] if "definition" in v]
    assert all("ray_kirl_" in query for query in queries)
    return {name for query in queries for name in re.findall(r"ray_\w+", query)}


def test_the_dashboard_asks_for_metrics_that_there_are(samples: Samples) -> None:
    assert asked_for() - {name for name, _ in samples} == set()


def test_the_dashboard_shows_all_that_runs_and_graphs_tell(samples: Samples) -> None:
    told = {name for name, whose in samples if whose in ("watched", "graph:watched")}

    assert told - asked_for() == set()
    assert len(told) >= 14


def test_figures_are_those_of_the_training(samples: Samples) -> None:
    assert samples["ray_kirl_flows_total", "watched"] == 600
    assert samples["ray_kirl_flows_per_second", "watched"] > 0
    assert samples["ray_kirl_graph_nodes", "graph:watched"] > 3
    assert samples["ray_kirl_graph_edges", "graph:watched"] > 3
    assert samples["ray_kirl_graph_merge_seconds_count", "graph:watched"] == 2
    assert samples["ray_kirl_reference_kl_nats", "watched"] >= 0
    assert -5 <= samples["ray_kirl_class_reward", "watched"] <= 5


def test_an_endpoint_that_does_not_answer_is_told_of(samples: Samples) -> None:
    asked = samples["ray_kirl_prompts_asked_total", "watched"]

    assert samples["ray_kirl_circuit_open", "watched"] == 1
    assert 0 < samples["ray_kirl_fallbacks_total", "watched"] <= asked


def test_equal_prompts_count_as_cached(samples: Samples) -> None:
    came = samples["ray_kirl_advisor_prompts_total", "graph-reader"]
    cached = samples["ray_kirl_advisor_cached_total", "graph-reader"]

    assert (came, cached) == (2 * len(PAPER.classes), len(PAPER.classes))


def test_panels_have_ids_of_their_own_and_units() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["fieldConfig"]["defaults"]["unit"] for panel in panels)
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    assert all(query.count("(") == query.count(")") for query in queries)
