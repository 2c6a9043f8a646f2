"""Nothing that a command starts can be reached from another machine."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from envs import Scenario
from rayapp.experiments.runs import RunFolder

LISTENING = "0A"


def children(pid: int) -> set[int]:
    """A process and all its descendants."""
    found, queue = {pid}, [pid]
    while queue:
        tasks = Path(f"/proc/{queue.pop()}/task")
        for file in tasks.glob("*/children"):
            new = {int(word) for word in file.read_text().split()} - found
            found |= new
            queue += new
    return found


def listeners(pids: set[int]) -> set[str]:
    """Local addresses (hexadecimal, as the kernel has them) that processes listen on."""
    sockets: set[str] = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                target = str(link.readlink())
            except OSError:
                continue
            if target.startswith("socket:["):
                sockets.add(target[8:-1])
    addresses = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == LISTENING and words[9] in sockets:
                addresses.add(words[1].rpartition(":")[0])
    return addresses


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc")
def test_a_local_run_listens_on_the_loopback_interface_alone(
    scenario: Scenario, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "rayapp", "train", "--scenario", str(scenario.path)),
            *("--episodes", "100000000", "--runners", "1", "--out", str(tmp_path / "run")),
            *("--set", "ppo.flows_per_iteration=1000"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 120
        while not RunFolder(tmp_path / "run").progress_file.is_file():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        found = listeners(children(process.pid))
    finally:
        process.terminate()
        process.wait(timeout=60)

    loopback = {"0100007F", "0000000000000000FFFF00000100007F", "00000000000000000000000001000000"}
    assert found, "a running Ray listens somewhere"
    assert found <= loopback
