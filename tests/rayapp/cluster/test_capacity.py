"""What a cluster lacks is said at the start; what it will have is waited for, and that is said."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from envs import InputError
from kg_actor import client, raykit
from kg_actor.raykit import Growth
from llm_actor import actor as advisor_actor
from llm_actor.placement import Need
from llm_actor.selection import AdvisorSpec
from rayapp import config
from rayapp.cluster import capacity


def test_more_runners_than_processors_are_refused_at_once(ray_local: Any) -> None:  # noqa: ANN401
    with pytest.raises(InputError, match=r"3 runners need a processor each, and the cluster has 2"):
        capacity.ensure(3, lambda line: None)


def test_busy_processors_are_waited_for_and_it_is_said(
    ray_local: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(raykit, "SECONDS_BETWEEN_WORDS", 0.2)

    @ray_local.remote(num_cpus=2)
    class Busy:
        def ready(self) -> bool:
            return True

    busy, said = Busy.remote(), list[str]()
    ray_local.get(busy.ready.remote())
    threading.Timer(1.0, ray_local.kill, (busy,)).start()
    begun = time.monotonic()
    capacity.ensure(2, said.append)

    assert time.monotonic() - begun >= 0.9
    assert "for 2 free processors; of 2 processors in the cluster 0 are free" in said[0]


def test_without_an_autoscaler_nothing_grows(ray_local: Any) -> None:  # noqa: ANN401
    assert raykit.growth() == Growth()

    for asked in (Need(require_gpu=True), Need(resource="language_model")):
        with pytest.raises(InputError, match=r"the cluster has no GPU|no node of the cluster has"):
            advisor_actor.start(AdvisorSpec("embedded"), asked)


def test_what_a_training_needs_beside_runners_is_asked_for_at_once() -> None:
    far = ("graph.resource=graph", "advice.advisor=embedded", "advice.replicas=2")
    gpus = ("advice.require_gpu=true", "advice.resource=language_model")

    def needed(algo: str, *assignments: str) -> list[capacity.Bundle]:
        return capacity.beside_runners(config.load(None, assignments, {"algo": algo}))

    model = {"GPU": 1.0, "language_model": 0.001}
    assert needed("ppo-kg", *far, *gpus) == [{"graph": 0.001}, model, model]
    assert needed("ppo", *far, *gpus) == [{"graph": 0.001}]
    assert needed("ppo-kg", *far) == [{"graph": 0.001}]
    assert needed("ppo-kg", *far, "advice.gpus=1") == [{"graph": 0.001}, *[{"GPU": 1.0}] * 2]
    assert needed("ppo-kg") == []


def test_what_can_never_come_is_not_waited_for(ray_local: Any) -> None:  # noqa: ANN401
    # Whoever needs it says what is missing, and how to mend it.
    capacity.ensure(0, pytest.fail, [{"language_model": 0.001}])


def test_a_graph_goes_where_its_resource_is_or_says_that_there_is_none(
    ray_local: Any,  # noqa: ANN401
) -> None:
    with pytest.raises(InputError, match=r"no node of the cluster has the resource 'graph'"):
        client._where("graph")

    assert client._where("CPU") == {"resources": {"CPU": 0.001}}
    assert list(client._where(None)) == ["scheduling_strategy"]
