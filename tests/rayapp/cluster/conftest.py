"""Real clusters of Ray on this machine, with authentication, for tests that submit jobs."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from rayapp.cluster.local import descendants, kill

REPOSITORY = Path(__file__).parents[3]
RAY = Path(sys.executable).with_name("ray")


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass(frozen=True)
class LocalCluster:
    """A head that ``ray start`` started.

    Attributes:
        dashboard: its URL.
        gcs: ``HOST:PORT`` that drivers and nodes connect to.
        token: without which nobody gets in.
        process: of ``ray start --block``.
    """

    dashboard: str
    gcs: str
    token: str
    process: int

    @property
    def env(self) -> dict[str, str]:
        """Environment of somebody who has the token."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
        kept.pop("PYTHONPATH", None)
        return kept | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_API_SERVER_ADDRESS": self.dashboard,
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "PATH": f"{RAY.parent}{os.pathsep}{os.environ['PATH']}",
        }

    def ray(self, *words: str, **changed: str) -> subprocess.Popen[str]:
        """Starts ``ray ...`` in the repository's root; both its outputs are one."""
        return subprocess.Popen(
            [str(RAY), *words],
            cwd=REPOSITORY,
            env=self.env | changed,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def submit(self, entrypoint: str) -> int:
        """HTTP status of submitting a command with the token, and nothing else."""
        url, headers = f"{self.dashboard}/api/jobs/", {"Authorization": f"Bearer {self.token}"}
        job = {"entrypoint": entrypoint}
        return int(httpx2.post(url, json=job, headers=headers, trust_env=False).status_code)

    def status(self, path: str, token: str | None = None) -> int:
        """HTTP status of asking the dashboard for a path."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = httpx2.get(self.dashboard + path, headers=headers, timeout=30, trust_env=False)
        return int(answer.status_code)


@pytest.fixture(scope="session")
def local_cluster() -> Iterator[LocalCluster]:
    """A head with two processors that was started as docs/cluster.md says."""
    with started("--num-cpus", "2") as cluster:
        yield cluster


@contextlib.contextmanager
def started(*words: str, port: int | None = None, **changed: str) -> Iterator[LocalCluster]:
    """A head on ports of its own, which takes jobs; with further options and environment."""
    # Ray keeps sockets there, whose paths must be short.
    folder = Path(tempfile.mkdtemp(prefix="kirl-"))
    port, dashboard = port or free_port(), free_port()
    cluster = LocalCluster(
        f"http://127.0.0.1:{dashboard}", f"127.0.0.1:{port}", secrets.token_hex(32), 0
    )
    head = [
        *(str(RAY), "start", "--head", "--block", "--disable-usage-stats", *words),
        *("--port", str(port), "--dashboard-port", str(dashboard), "--temp-dir", str(folder)),
        *("--ray-client-server-port", str(free_port()), "--object-store-memory", "200000000"),
        *("--dashboard-agent-listen-port", str(free_port()), "--min-worker-port", "0"),
        *("--max-worker-port", "0"),
    ]
    log = (folder / "start.log").open("w")
    process = subprocess.Popen(
        head, env=cluster.env | changed, stdout=log, stderr=log, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 120
        while not _answers(cluster):
            assert process.poll() is None, (folder / "start.log").read_text()
            assert time.monotonic() < deadline, "no job taken within two minutes"
            time.sleep(0.3)
        yield LocalCluster(cluster.dashboard, cluster.gcs, cluster.token, process.pid)
    finally:
        born = descendants(process.pid)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        finally:
            # Nodes that an autoscaler started do not end with the head.
            for one in born:
                kill(one.pid)
            log.close()
            shutil.rmtree(folder, ignore_errors=True)


def _answers(cluster: LocalCluster) -> bool:
    """Whether it takes jobs: the agent that starts them comes some time after the dashboard."""
    try:
        return cluster.submit("true") == 200
    except httpx2.TransportError:
        return False
