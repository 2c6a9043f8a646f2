"""cluster.yaml and the manifest under docs: what Ray and KubeRay take, with the doors closed."""

from __future__ import annotations

import copy
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray.autoscaler
import yaml

# Ray validates a cluster file with these when it starts one, and has no public name for them.
from ray.autoscaler._private.util import prepare_config, validate_config

import rayapp
from rayapp.commands import train

REPOSITORY = Path(rayapp.__file__).parents[1]
CLUSTER = REPOSITORY / "cluster.yaml"
RAYJOB = REPOSITORY / "docs" / "rayjob.yaml"
KINDS: dict[str, type | tuple[type, ...]] = {
    "text": str,
    "whole": int,
    "number": (int, float),
    "flag": bool,
}


@pytest.fixture
def cluster() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(CLUSTER.read_text())
    return loaded


@pytest.fixture
def rayjob() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(RAYJOB.read_text())
    return loaded


def test_ray_takes_the_cluster_file(cluster: dict[str, Any]) -> None:
    schema = json.loads((Path(ray.autoscaler.__file__).parent / "ray-schema.json").read_text())

    jsonschema.validate(cluster, schema)
    validate_config(prepare_config(copy.deepcopy(cluster)))

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(cluster | {"max_worker": 3}, schema)


def test_the_groups_fit_their_limit_and_the_head_is_no_spot_machine(
    cluster: dict[str, Any],
) -> None:
    groups = dict(cluster["available_node_types"])
    head = groups.pop(cluster["head_node_type"])

    assert sum(group["max_workers"] for group in groups.values()) <= cluster["max_workers"]
    assert all(group["min_workers"] == 0 for group in groups.values())
    assert "InstanceMarketOptions" not in head["node_config"]
    markets = [group["node_config"]["InstanceMarketOptions"] for group in groups.values()]
    assert markets == [{"MarketType": "spot"}] * len(groups)
    assert sum(bool(group["resources"].get("GPU")) for group in groups.values()) == 1


def test_every_start_of_ray_wants_the_token_and_the_dashboard_stays_inside(
    cluster: dict[str, Any],
) -> None:
    starts = [
        shlex.split(command)
        for command in cluster["head_start_ray_commands"] + cluster["worker_start_ray_commands"]
        if "ray start" in command
    ]

    assert len(starts) == 2
    assert all(words[:3] == ["RAY_AUTH_MODE=token", "ray", "start"] for words in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert "/home/ray/.ray/auth_token" in cluster["file_mounts"]


def test_every_field_of_the_cluster_file_is_explained_where_it_first_occurs() -> None:
    lines = CLUSTER.read_text().splitlines()
    # Fields of Ray's are in lower case, Amazon's own are not.
    found = [
        (re.match(r' *"?([a-z/][^ "]*)"?:', line), number) for number, line in enumerate(lines)
    ]
    first = {name[1]: number for name, number in reversed(found) if name}

    assert len(first) > 30
    comments = {number for number, line in enumerate(lines) if line.lstrip().startswith("#")}
    # A block's comment may be its first line.
    bare = [name for name, number in first.items() if not {number - 1, number + 1} & comments]
    assert not bare


def test_kuberay_has_every_field_of_the_manifest(rayjob: dict[str, Any]) -> None:
    fields = json.loads((Path(__file__).parent / "rayjob-fields.json").read_text())

    assert list(_unknown(rayjob, "RayJob", fields)) == []

    rayjob["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["maxReplica"] = 3
    rayjob["spec"]["backoffLimit"] = "3"
    assert sorted(_unknown(rayjob, "RayJob", fields)) == [
        "RayJobSpec.backoffLimit",
        "WorkerGroupSpec.maxReplica",
    ]


def _unknown(given: dict[str, Any], kind: str, fields: dict[str, Any]) -> Iterator[str]:
    """Places where an object has a field that its kind lacks, or a value of another type."""
    for name, value in given.items():
        place = f"{kind}.{name}"
        expected = fields[kind].get(name)
        if expected is None:
            yield place
        elif isinstance(expected, list):
            for one in value:
                yield from _unknown(one, expected[0], fields)
        elif expected in KINDS:
            right = isinstance(value, KINDS[expected])
            if not right or (isinstance(value, bool) and expected != "flag"):
                yield place
        elif expected == "texts":
            if not all(isinstance(one, str) for one in value.values()):
                yield place
        elif expected != "*":
            yield from _unknown(value, expected, fields)


def test_the_manifest_wants_the_token_and_its_command_is_one_of_kirl(
    rayjob: dict[str, Any],
) -> None:
    spec = rayjob["spec"]["rayClusterSpec"]
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert (
        "RAY_JOB_STOP_WAIT_TIME_S" in yaml.safe_load(rayjob["spec"]["runtimeEnvYAML"])["env_vars"]
    )

    words = shlex.split(rayjob["spec"]["entrypoint"])
    assert words[:4] == ["python", "-m", "rayapp", "train"]
    options = {word.removeprefix("--") for word in words if word.startswith("--")}
    assert options - {"set"} <= set(train.train.__annotations__)


def test_gpu_nodes_of_both_are_called_what_the_commands_say(
    cluster: dict[str, Any], rayjob: dict[str, Any]
) -> None:
    asked = re.search(r"advice\.resource=(\w+)", rayjob["spec"]["entrypoint"])
    assert asked is not None
    name = asked[1]

    groups = rayjob["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    having = [one for one in groups if name in one["rayStartParams"].get("resources", "")]
    assert [one["groupName"] for one in having] == ["language-model"]
    assert name in cluster["available_node_types"]["language-model"]["resources"]
