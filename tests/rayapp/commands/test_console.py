"""Nothing that a command starts can be reached from another machine."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envs import Scenario
from llm_actor.selection import AdvisorSpec
from rayapp.commands import console
from rayapp.runs.folder import RunFolder

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
            *("--flows", "100000000", "--runners", "1", "--out", str(tmp_path / "run")),
            *("--set", "learning.flows_per_iteration=1000"),
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


def test_what_language_models_say_comes_once_and_on_stderr(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(2):
        console.hear_advisors()

    logging.getLogger("llm_actor.actor").info("%s runs on CPU: %s", "phi", "the cluster has no GPU")

    said = capsys.readouterr()
    assert said.err == "phi runs on CPU: the cluster has no GPU\n"
    assert not said.out


@pytest.mark.parametrize(
    ("device", "line"),
    [("auto", "embedded runs on CPU: this machine has no GPU"),
     ("cpu", "embedded runs on CPU: its device is cpu")],
)  # fmt: skip
def test_a_model_that_is_loaded_here_says_where_it_computes(
    device: str, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)

    console.loaded(AdvisorSpec("embedded", device=device))

    assert capsys.readouterr().err.splitlines()[-1] == line
