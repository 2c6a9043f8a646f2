"""Waits are told of, and a cluster file says what the cluster may grow to."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from kg_actor import raykit
from kg_actor.raykit import Growth, limits_of

FILE = Path(__file__).parents[2] / "cluster.yaml"


def test_groups_add_up_to_their_limits_and_the_clusters() -> None:
    file: dict[str, Any] = {
        "max_workers": 5,
        "head_node_type": "head",
        "available_node_types": {
            "head": {"resources": {"CPU": 2, "graph": 1}},
            "small": {"resources": {"CPU": 4}, "max_workers": 10},
            "large": {"resources": {"CPU": 16, "GPU": 1}, "max_workers": 3},
        },
    }

    # The large ones first: what is asked for is the most of this resource.
    assert limits_of(file) == {"CPU": 2 + 3 * 16 + 2 * 4, "GPU": 3, "graph": 1}

    del file["max_workers"]
    assert limits_of(file)["CPU"] == 2 + 3 * 16 + 10 * 4


def test_the_cluster_file_has_room_for_the_documented_job() -> None:
    most = Growth(runs=True, limits=limits_of(yaml.safe_load(FILE.read_text()))).most

    assert most("CPU") >= 16
    assert (most("GPU"), most("language_model"), most("graph")) == (2, 2, 1)
    assert most("anything else") == 0


def test_limits_that_nobody_tells_are_none_and_without_an_autoscaler_there_is_nothing() -> None:
    assert Growth(runs=True, limits=None).most("GPU") == math.inf
    assert Growth().most("CPU") == 0

    with pytest.raises(KeyError):
        limits_of({})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raykit, "SECONDS_BETWEEN_WORDS", 0.1)


def test_a_wait_is_told_of_until_it_is_over() -> None:
    said, left = list[str](), iter([False, False, True])

    raykit.wait(lambda seconds: next(left), lambda: "a node", said.append)

    assert said == ["Waiting since 0 s for a node"] * 2


def test_what_is_waited_for_is_told_as_it_stands() -> None:
    said, nodes = list[str](), iter([3, 2])

    raykit.wait(lambda seconds: len(said) == 2, lambda: f"{next(nodes)} nodes", said.append)

    assert [line.split(" for ")[1] for line in said] == ["3 nodes", "2 nodes"]


def test_a_slow_block_is_told_of_while_it_lasts() -> None:
    said = list[str]()

    with raykit.told_while_waiting("the disk", said.append):
        time.sleep(0.35)
    heard = len(said)
    time.sleep(0.2)

    assert len(said) == heard >= 1
    assert set(said) == {"Waiting since 0 s for the disk"}


def test_nothing_is_said_of_what_is_quick_or_over() -> None:
    said = list[str]()

    with pytest.raises(ZeroDivisionError), raykit.told_while_waiting("nothing", said.append):
        _ = 1 / 0
    time.sleep(0.3)

    assert not said
