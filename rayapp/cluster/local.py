"""A cluster of several nodes on this machine alone: to try things, and to break them.

Started by ``ray start``, as people start clusters, with the loopback interface as the only
network and a token that only this process and its children know.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 120.0
"""Longest that a node may take to start."""


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
    told = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="],  # noqa: S607 (wherever the system has it)
        capture_output=True,
        text=True,
        check=True,
    )
    words = [line.split(None, 2) for line in told.stdout.splitlines()]
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
    """A head without processors, and nodes that come and go; a context manager.

    Attributes:
        address: ``HOST:PORT`` that drivers connect to.
    """

    def __init__(self) -> None:
        # Ray keeps sockets there, whose paths must be short.
        self._folder = Path(tempfile.mkdtemp(prefix="kirl-"))
        self._token = secrets.token_hex(32)
        port = _free_port()
        self.address = f"127.0.0.1:{port}"
        self._nodes: list[subprocess.Popen[bytes]] = []
        self._head_words = [
            *("--head", "--port", str(port), "--num-cpus", "0", "--include-dashboard=false"),
            *("--temp-dir", str(self._folder)),
        ]

    @property
    def env(self) -> dict[str, str]:
        """Environment of whoever is to connect."""
        kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        return kept | {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self._token,
            # Despite its name this keeps Ray to the loopback interface, on every system.
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_USAGE_STATS_ENABLED": "0",
        }

    def __enter__(self) -> LocalCluster:
        try:
            self._start(self._head_words)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def nodes(self) -> list[int]:
        """Process ids of the nodes beside the head."""
        return [node.pid for node in self._nodes[1:]]

    def add_node(self, cpus: int, resources: Mapping[str, float] | None = None) -> int:
        """Starts a node and waits for it; returns the id of its first process."""
        given = json.dumps(dict(resources or {}))
        words = ["--address", self.address, "--num-cpus", str(cpus), "--resources", given]
        return self._start(words).pid

    def kill_node(self, pid: int) -> None:
        """Ends a node as a machine ends that loses power: all its processes, at once."""
        node = next(one for one in self._nodes if one.pid == pid)
        # The first one would note the others' deaths and end them in order.
        for one in [pid, *(each.pid for each in descendants(pid))]:
            kill(one)
        node.wait()
        self._nodes.remove(node)

    def workers(self, title: str) -> list[int]:
        """Ids of the processes on all nodes that Ray calls so."""
        return [
            one.pid
            for node in self._nodes
            for one in descendants(node.pid)
            if one.title.startswith(f"ray::{title}")
        ]

    def close(self) -> None:
        """Ends all nodes, the head last, and removes what they left."""
        for node in reversed(self._nodes):
            left = descendants(node.pid)
            node.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.wait(timeout=20)
            for one in [node.pid, *(each.pid for each in left)]:
                kill(one)
            node.wait()
        self._nodes.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, words: list[str]) -> subprocess.Popen[bytes]:
        ray = str(Path(sys.executable).with_name("ray"))
        log = self._folder / f"node-{time.monotonic_ns()}.log"
        with log.open("wb") as file:
            node = subprocess.Popen(  # noqa: S603 (our own words)
                [
                    *(ray, "start", "--block", "--disable-usage-stats"),
                    *("--object-store-memory", str(100 * 2**20)),
                    *("--min-worker-port", "0", "--max-worker-port", "0"),
                    *("--dashboard-agent-listen-port", str(_free_port())),
                    *words,
                ],
                env=self.env,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._nodes.append(node)
        deadline = time.monotonic() + START_SECONDS
        while b"Ray runtime started" not in (told := log.read_bytes()):
            if node.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"a node did not start: {told.decode()[-2000:]}")
            time.sleep(0.1)
        return node


def kill(pid: int) -> None:
    """Ends a process at once, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
