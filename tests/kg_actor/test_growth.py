"""What a cluster file lets a cluster grow to."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from kg_actor.growth import Growth, limits_of

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
