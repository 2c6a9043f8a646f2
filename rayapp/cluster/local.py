"""A Ray cluster of several nodes on this machine, for experiments with failures.

It listens on the loopback interface only, and its token is known to this process and its children
only.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Process:
    """A process of this machine.

    Attributes:
        pid: its id.
        parent: its parent's id.
        title: its command line; Ray writes there what a worker is, such as ``ray::GraphServer``.
    """

    pid: int
    parent: int
    title: str


def processes() -> list[Process]:
    """All processes of this machine."""
    listed = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="],  # noqa: S607 (wherever the system has it)
        capture_output=True,
        text=True,
        check=True,
    )
    words = [line.split(None, 2) for line in listed.stdout.splitlines()]
    return [Process(int(one[0]), int(one[1]), one[2]) for one in words if len(one) == 3]


def descendants(pid: int) -> list[Process]:
    """The processes that a process started, those that they started, and so on."""
    known = processes()
    found, queue = list[Process](), [pid]
    while queue:
        parent = queue.pop()
        born = [one for one in known if one.parent == parent]
        found += born
        queue += [one.pid for one in born]
    return found


class LocalCluster:
    """A head without processors, and nodes that can be added and killed; a context manager.

    A process can have one, and must make it before anything imports Ray.
    """

    def __init__(self) -> None:
        # Ray keeps sockets there, whose paths must be short.
        self._folder = Path(tempfile.mkdtemp(prefix="kirl-"))
        os.environ.pop("RAY_ADDRESS", None)
        os.environ.update(
            RAY_AUTH_MODE="token",
            RAY_AUTH_TOKEN=secrets.token_hex(32),
            # Despite its name this keeps Ray to the loopback interface, on every system.
            RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
            RAY_USAGE_STATS_ENABLED="0",
            # Where Ray notes the last cluster that was started; a user's own stays noted.
            RAY_TMPDIR=str(self._folder),
        )
        self._nodes: list[Any] = []

    def __enter__(self) -> LocalCluster:
        # ray start lets no second node be on a machine that keeps to itself.
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        return self

    def __exit__(self, *exception: object) -> None:
        self._cluster.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def address(self) -> str:
        """The ``HOST:PORT`` that drivers connect to."""
        return str(self._cluster.address)

    @property
    def nodes(self) -> int:
        """Number of nodes beside the head."""
        return len(self._nodes)

    def add_node(self, cpus: int, resources: Mapping[str, float] | None = None) -> None:
        """Starts a node and waits for it."""
        added = self._cluster.add_node(num_cpus=cpus, resources=dict(resources or {}))
        self._nodes.append(added)

    def kill_node(self, number: int) -> None:
        """Ends all processes of a node at once, as when a machine loses power."""
        self._cluster.remove_node(self._nodes.pop(number), allow_graceful=False)

    def workers(self, title: str) -> list[int]:
        """Process ids of all actors of a class, on all nodes."""
        # An actor that has a name of its own, or is at a call, has more in its title.
        of_ray = [one for one in descendants(os.getpid()) if one.title.startswith("ray::")]
        return [one.pid for one in of_ray if title in one.title]


def kill(pid: int) -> None:
    """Ends a process at once, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
