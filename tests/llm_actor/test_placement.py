from __future__ import annotations

from typing import Any

import pytest

from envs import InputError
from llm_actor.placement import SHARE, Need, Placement, placed
from llm_actor.selection import AdvisorSpec

MODEL = AdvisorSpec("transformers", model="org/phi")
NONE = {"CPU": 2.0}
FOUR = {"CPU": 64.0, "GPU": 4.0, "accelerator_type:H100": 1.0}


@pytest.mark.parametrize(
    ("need", "free", "gpus"),
    [
        (Need(), 4, 1),
        (Need(replicas=4), 4, 1),
        (Need(resource="accelerator_type:H100"), 1, 1),
        (Need(gpus=0.5, replicas=2), 1, 0.5),
        (Need(gpus=2), 1, 2),
        (Need(), 0, 0),
        (Need(gpus=0), 4, 0),
    ],
)
def test_replicas_get_gpus_where_they_are_free_or_waited_for(
    need: Need, free: float, gpus: float
) -> None:
    place = placed(MODEL, need, FOUR, FOUR | {"GPU": free})

    assert place.gpus == gpus


@pytest.mark.parametrize(
    ("need", "free", "message"),
    [
        (Need(gpus=5), 4, "5 GPUs were asked for, but the cluster has 4"),
        (Need(gpus=2, replicas=3), 4, "6 GPUs were asked for, but the cluster has 4"),
        (
            Need(resource="accelerator_type:A100"),
            4,
            "Expected one of accelerator_type:H100",
        ),
        (Need(replicas=3), 2, "suffice for 2 of 3 replicas"),
    ],
)
def test_what_cannot_be_had_is_refused(need: Need, free: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        placed(MODEL, need, FOUR, FOUR | {"GPU": free})


def test_a_cluster_without_a_gpu_says_why_it_is_slow() -> None:
    assert placed(MODEL, Need(), NONE, NONE) == Placement(0, "the cluster has no GPU")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (AdvisorSpec(), "graph-reader needs none"),
        (AdvisorSpec("endpoint", model="phi", url="http://localhost"), "phi needs none"),
        (AdvisorSpec("embedded", device="cpu"), "its device is cpu"),
    ],
)
def test_an_advisor_without_use_for_a_gpu_takes_none(spec: AdvisorSpec, reason: str) -> None:
    assert placed(spec, Need(), FOUR, FOUR) == Placement(0, reason)
    with pytest.raises(InputError, match=reason):
        placed(spec, Need(gpus=1), FOUR, FOUR)


@pytest.mark.parametrize("bad", [{"replicas": 0}, {"gpus": -1.0}, {"gpus": float("nan")}])
def test_numbers_that_make_no_sense_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="were asked for"):
        Need(**bad)


def test_replicas_run_where_a_custom_resource_is() -> None:
    need = Need(resource="llm_node")

    for total in (FOUR | {"llm_node": 1.0}, NONE | {"llm_node": 2.0}):
        place = placed(MODEL, need, total, total)
        assert place.resource == "llm_node"
        # Next to nothing: as many replicas as one likes fit on a node that has one of it.
        assert place.resources == {"llm_node": SHARE}
    assert placed(MODEL, Need(), FOUR, FOUR).resources == {}


def test_a_custom_resource_that_no_node_has_is_refused_at_once() -> None:
    other = NONE | {"node:10.0.0.1": 1.0, "rack": 1.0, "memory": 9.0}

    with pytest.raises(
        InputError, match=r"no node .* 'llm_node'\. Expected one of rack"
    ) as refusal:
        placed(MODEL, Need(resource="llm_node"), other, other)

    assert """ray start --resources='{"llm_node": 1}'""" in str(refusal.value)
    with pytest.raises(InputError, match="Expected a node started with it"):
        placed(MODEL, Need(resource="llm_node"), NONE, NONE)
