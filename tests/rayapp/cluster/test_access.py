"""Who has no token gets nothing from a cluster started as documented, and nobody from outside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from tests.rayapp.cluster.conftest import LocalCluster
from tests.rayapp.commands.test_console import children, listeners

LOOPBACK = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}

CONNECT = "import ray, sys; ray.init(address=sys.argv[1], logging_level='ERROR'); print('inside')"


@pytest.mark.parametrize(
    "path", ["/api/jobs/", "/api/version", "/nodes?view=summary", "/api/v0/actors", "/logs/"]
)
def test_dashboard_and_job_api_refuse_whoever_has_no_token(
    local_cluster: LocalCluster, path: str
) -> None:
    assert local_cluster.status(path) == 401
    assert local_cluster.status(path, "f" * 64) == 403
    assert local_cluster.status(path, local_cluster.token) in {200, 404}


def test_a_job_without_the_token_is_not_run(local_cluster: LocalCluster, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    job = {"entrypoint": f"touch {trace}", "submission_id": "uninvited"}

    refused = httpx2.post(f"{local_cluster.dashboard}/api/jobs/", json=job, trust_env=False)

    assert refused.status_code == 401
    assert local_cluster.status("/api/jobs/uninvited", local_cluster.token) == 404
    assert not trace.exists()


@pytest.mark.slow  # Ray tries for twenty seconds before it gives up
@pytest.mark.parametrize(
    "changed",
    [{"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": ""}, {"RAY_AUTH_TOKEN": "f" * 64}],
    ids=["none", "wrong"],
)
def test_a_driver_without_the_token_is_kept_out(
    local_cluster: LocalCluster, changed: dict[str, str]
) -> None:
    tried = subprocess.run(
        [sys.executable, "-c", CONNECT, local_cluster.gcs],
        env=local_cluster.env | changed,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert tried.returncode != 0
    assert "inside" not in tried.stdout
    assert "unauthenticated" in tried.stderr.lower()


def test_a_driver_with_the_token_gets_in(local_cluster: LocalCluster) -> None:
    connected = subprocess.run(
        [sys.executable, "-c", CONNECT, local_cluster.gcs],
        env=local_cluster.env,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )

    assert "inside" in connected.stdout


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc")
def test_the_documented_head_listens_on_the_loopback_interface_alone(
    local_cluster: LocalCluster,
) -> None:
    found = listeners(children(local_cluster.process))

    assert found
    assert found <= LOOPBACK
