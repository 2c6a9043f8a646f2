"""A training on three nodes, of whose parts one after the other dies at a given iteration.

A program of its own: a cluster of several nodes wants a process before anything else has
imported Ray. It prints what became of the training as one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from rayapp.cluster.local import LocalCluster, kill

FLOWS, ITERATIONS, SEED = 500, 14, 3


def main(scenario: Path, work: Path) -> None:
    """Trains once unhurt and once hurt, and compares both with each other and with a count."""
    with LocalCluster() as cluster:
        cluster.add_node(cpus=1)
        cluster.add_node(cpus=1)
        import ray

        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        try:
            told = trained(cluster, scenario, work)
        finally:
            ray.shutdown()
    print(json.dumps(told))


def trained(cluster: LocalCluster, scenario: Path, work: Path) -> dict[str, object]:
    """What is to be told."""
    import numpy as np

    from kg_actor.raykit import ask
    from llm_actor import actor as advisor_actor
    from llm_actor.selection import AdvisorSpec
    from rayapp.lab.bench.flow_count import counted_apart, lost_and_doubled
    from rayapp.rl.ppo import KnowledgePPO, KnowledgePPOConfig

    def build(name: str, runners: int) -> KnowledgePPO:
        built: KnowledgePPO = (
            KnowledgePPOConfig()
            .scenario(scenario, hidden=(16,), embedding_dim=4)
            .knowledge(run_name=name, graph_folder=work / name, advisor=advisor, advice_wait=True)
            .training(train_batch_size_per_learner=FLOWS, num_epochs=1)
            .env_runners(num_env_runners=runners)
            .fault_tolerance(restart_failed_env_runners=True)
            .debugging(seed=SEED, log_level="ERROR")
            .build_algo()
        )
        return built

    # Where a language model would be: behind an actor, and asked by both trainings.
    advisor = advisor_actor.start(AdvisorSpec("graph-reader"))
    unhurt, hurt = build("unhurt", 0), build("hurt", 2)

    def healthy() -> int:
        return len(hurt.env_runner_group.healthy_env_runner_ids())

    def wait_for_both() -> None:
        until = time.monotonic() + 60
        while healthy() < 2 and time.monotonic() < until:
            hurt.env_runner_group.probe_unhealthy_env_runners(timeout_seconds=1)

    def lose_node() -> None:
        # The runner that was killed before has come back by now, or does so here.
        wait_for_both()
        cluster.kill_node(0)

    def bring_back() -> None:
        cluster.add_node(cpus=1)
        wait_for_both()

    # From the eighth to the tenth iteration there is one node, and one runner.
    blows: dict[int, Callable[[], None]] = {
        2: lambda: kill(cluster.workers("InteractionRunner")[0]),
        4: lambda: kill(hurt.memory.graph.process()),
        6: lambda: kill(ask(advisor.handles[0].process.remote())),
        8: lose_node,
        11: bring_back,
    }
    runners = []
    for iteration in range(ITERATIONS):
        if iteration in blows:
            blows[iteration]()
        hurt.train()
        unhurt.train()
        runners.append(healthy())
    expected = counted_apart(
        hurt.scenario.flow_set("train", matching="cross-fitted"), SEED, ITERATIONS * FLOWS
    )
    contexts = hurt.scenario.contexts
    lost, doubled = lost_and_doubled(hurt.graph_state().counts, expected, contexts.predicted)
    policies = [one.saved_policy().probabilities(contexts) for one in (hurt, unhurt)]
    told = {
        "lost": lost,
        "doubled": doubled,
        "flows": int(expected.sum()),
        "runners": runners,
        "same_policy": bool(np.array_equal(*policies)),
        "same_graph": hurt.graph_state().counts.equals(unhurt.graph_state().counts),
    }
    for one in (hurt, unhurt):
        one.stop()
    advisor.stop()
    return told


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
