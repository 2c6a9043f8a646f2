"""README's commands from nothing to a job, pasted in one go: default ports, default token file."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayapp.cluster.local import kill
from rayapp.runs.folder import RunFolder
from tests.rayapp.cluster.conftest import RAY, REPOSITORY

HEADINGS = {"README.md": "## On a cluster", "docs/cluster.md": "## From nothing to a job on this"}
PORTS = (6379, 8265)


def documented(page: str) -> list[str]:
    """The lines of the first code block below the page's heading."""
    below = (REPOSITORY / page).read_text().split(HEADINGS[page])[1]
    block = re.search(r"^```\n(.*?)^```", below, re.DOTALL | re.MULTILINE)
    assert block
    return block[1].splitlines()


def taken(port: int) -> bool:
    with socket.socket() as wire:
        return wire.connect_ex(("127.0.0.1", port)) == 0


def of_home(home: Path) -> Iterator[int]:
    """Processes whose home it is; a head that ``ray start`` leaves has no other mark."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={home}\0".encode() in (process / "environ").read_bytes():
                yield int(process.name)
        except OSError:
            continue


def test_both_pages_show_the_same_lines() -> None:
    lines = documented("README.md")

    assert lines == documented("docs/cluster.md")
    assert len(lines) == 5
    # What comes before the job waits until the head takes one.
    assert lines[3].startswith("ray start --head")
    assert "until ray job submit" in lines[3]


@pytest.mark.slow  # flows and flows as documented
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux's /proc")
@pytest.mark.skipif(any(map(taken, PORTS)), reason="the documented ports are taken")
def test_the_documented_lines_lead_to_a_run() -> None:
    # Ray keeps sockets there, whose paths must be short.
    home = Path(tempfile.mkdtemp(prefix="kirl-"))
    _copied(home / "kirl")
    setup, *lines = documented("README.md")
    assert setup == "make setup && . .venv/bin/activate"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    # Another Ray of this machine stays the one that its user finds.
    env = kept | {"HOME": str(home), "RAY_TMPDIR": str(home / "ray")}
    # What the first line does, by the environment that these tests run in.
    env["PATH"] = f"{RAY.parent}{os.pathsep}{env['PATH']}"
    try:
        done = subprocess.run(
            ["bash", "-e"],
            input="\n".join(lines),
            cwd=home / "kirl",
            env=env,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Job 'kirl-run-1' succeeded" in done.stdout
        assert (home / ".ray" / "auth_token").is_file()
        run = RunFolder(home / "kirl-run")
        assert run.graph().counts().signature_actual.sum() == 4_000_000
    finally:
        for process in of_home(home):
            kill(process)
        shutil.rmtree(home, ignore_errors=True)


def _copied(folder: Path) -> None:
    """The repository as a fresh clone has it."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / name, folder / name)
