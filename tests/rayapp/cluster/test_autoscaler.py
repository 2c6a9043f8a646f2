"""The documented cloud cluster in small: Ray's own autoscaler, whose machines are processes here.

The head has no processors and nothing else runs, as in cluster.yaml; its file is where ``ray up``
leaves it.
"""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.fake_multi_node.node_provider import (
    FAKE_HEAD_NODE_ID,
    FAKE_HEAD_NODE_TYPE,
)
from ray.autoscaler._private.monitor import BASE_READONLY_CONFIG

from envs import Scenario
from rayapp.runs.folder import RunFolder
from tests.rayapp.cluster.conftest import LocalCluster, free_port, started

pytestmark = pytest.mark.slow  # Two starts of a cluster each, and machines on top.

ASKING = """
import sys
import ray
from envs import InputError
from kg_actor import raykit
from rayapp.cluster import capacity

raykit.SECONDS_BETWEEN_WORDS = 1.0
ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False)
try:
    capacity.ensure(5, print)
except InputError as error:
    print(error)
print("before:", int(ray.cluster_resources().get("CPU", 0)))
capacity.ensure(2, print, [{"language_model": 0.001}])
print("after:", int(ray.cluster_resources()["CPU"]))
"""


def file(port: int) -> dict[str, Any]:
    """A cluster file of the provider that Ray tests its autoscaler with."""
    # What is not said here is empty, and has to be there.
    return copy.deepcopy(BASE_READONLY_CONFIG) | {
        "cluster_name": "kirl",
        "max_workers": 4,
        "idle_timeout_minutes": 5,
        "provider": {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "gcs_address": f"127.0.0.1:{port}",
            "head_node_id": FAKE_HEAD_NODE_ID,
            "launch_multiple": True,
            # Its nodes share one address, and nothing is to be installed on them.
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "head_node_type": FAKE_HEAD_NODE_TYPE,
        "available_node_types": {
            FAKE_HEAD_NODE_TYPE: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "runners": {
                "resources": {"CPU": 1, "object_store_memory": 100_000_000},
                "node_config": {},
                "min_workers": 0,
                "max_workers": 3,
            },
            "language-model": {
                "resources": {"CPU": 0, "language_model": 1, "object_store_memory": 100_000_000},
                "node_config": {},
                "min_workers": 0,
                "max_workers": 1,
            },
        },
    }


# What ray up sets for the newer of Ray's two autoscalers, which is its default.
NEWER = {
    "RAY_enable_autoscaler_v2": "1",
    "RAY_NODE_TYPE_NAME": FAKE_HEAD_NODE_TYPE,
    "RAY_CLOUD_INSTANCE_ID": FAKE_HEAD_NODE_ID,
    "RAY_OVERRIDE_NODE_ID_FOR_TESTING": FAKE_HEAD_NODE_ID,
}


@pytest.fixture(params=[NEWER, {}], ids=["newer", "older"])
def autoscaled(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[LocalCluster, dict[str, str]]]:
    """The cluster, and the environment of its users."""
    port = free_port()
    (tmp_path / "ray_bootstrap_config.yaml").write_text(yaml.safe_dump(file(port)))
    home = {"HOME": str(tmp_path)}
    env = {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", **request.param, **home}
    words = ("--num-cpus", "0", "--autoscaling-config", "~/ray_bootstrap_config.yaml")
    with started(*words, port=port, **env) as cluster:
        yield cluster, cluster.env | home


def test_what_an_autoscaler_may_bring_is_asked_for_and_waited_for(
    autoscaled: tuple[LocalCluster, dict[str, str]],
) -> None:
    cluster, env = autoscaled

    done = subprocess.run(
        [sys.executable, "-c", ASKING, cluster.gcs],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert "5 runners need a processor each, and the cluster has 0, and may grow to 3" in told[0]
    assert told[1] == "before: 0"
    assert "s for 2 free processors, a node with language_model; of " in told[2]
    assert told[2].endswith("the autoscaler is asked for more")
    assert told[-1] == "after: 2"


def test_the_documented_cloud_job_trains_though_nothing_but_the_head_is_there(
    autoscaled: tuple[LocalCluster, dict[str, str]], scenario: Scenario, tmp_path: Path
) -> None:
    cluster, env = autoscaled
    words = ("--scenario", str(scenario.path), "--out", str(tmp_path / "run"), "--runners", "2")
    small = ("--flows", "4000", "--set", "ppo.flows_per_iteration=400")

    done = subprocess.run(
        [sys.executable, "-m", "rayapp", "train", *words, *small, "--address", cluster.gcs],
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert RunFolder(tmp_path / "run").graph().counts().signature_actual.sum() == 4000
