"""Runs whose home is a bucket: real processes, and a server that speaks S3's language."""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest

from envs import InputError, Scenario
from envs.storage import Remote, cache_folder, fetch
from rayapp.commands.evaluate import scorecard
from rayapp.commands.places import check_vacant
from rayapp.runs import mirrors
from rayapp.runs.folder import RunFolder
from rayapp.runs.mirrors import Mirror, claim, mirrored, shown
from tests.kirl import COMMAND, kirl, kirl_alone

PPO = (
    *("--flows", "12000", "--seed", "5", "--set", "learning.flows_per_iteration=500"),
    *("--set", "learning.epochs=2", "--set", "network.hidden=[16]"),
)


class Store(Protocol):
    def lock(self, *, locked: bool) -> None: ...


@pytest.fixture
def remote(object_store: Store) -> Remote:
    return Remote("s3", f"kirl/{uuid.uuid4().hex}/run")


def run_file(folder: Path, state: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"state": state}))
    (folder / "progress.jsonl").write_text(state)


def test_what_has_changed_is_copied_and_what_is_gone_is_removed(remote: Remote) -> None:
    folder = claim(remote)
    (folder / "checkpoints" / "500").mkdir(parents=True)
    (folder / "checkpoints" / "500" / "weights").write_text("light")
    run_file(folder, "training")
    (folder / "graph").mkdir()
    (folder / "graph" / "live.db").write_text("in use")
    (folder / ".half.tmp").write_text("not yet")
    mirror = Mirror.of(folder)
    assert mirror
    mirror.push()
    expected = ["checkpoints/500/weights", "progress.jsonl", "run.json", "worker"]
    assert remote.names() == expected

    shutil.rmtree(folder / "checkpoints" / "500")
    run_file(folder, "complete")
    mirror.push()

    assert remote.names() == ["graph/live.db", "progress.jsonl", "run.json", "worker"]
    assert remote.read("progress.jsonl") == b"complete"


def test_who_began_first_stops_when_another_begins(remote: Remote) -> None:
    first = Mirror.of(claim(remote))
    assert first
    run_file(first.folder, "training")
    first.push()
    shutil.move(first.folder, first.folder.with_name("elsewhere"))
    first.folder = first.folder.with_name("elsewhere")

    second = Mirror.of(claim(remote))

    assert second
    assert (second.folder / "run.json").is_file()
    run_file(first.folder, "complete")
    for push in (first.push, first.try_push):
        with pytest.raises(InputError, match="another process has begun"):
            push()
    second.push()
    assert remote.read("progress.jsonl") == b"training"


def test_a_folder_left_here_goes_on_and_one_left_behind_is_fetched(remote: Remote) -> None:
    folder = claim(remote)
    run_file(folder, "training")
    (folder / "further.txt").write_text("than the bucket")
    assert (claim(remote) / "further.txt").is_file()

    remote.write("worker", b"another machine's")
    remote.write("run.json", b'{"state": "training", "by": "another"}')

    assert not (claim(remote) / "further.txt").exists()
    assert "another" in (folder / "run.json").read_text()


def test_a_store_that_fails_costs_a_warning_and_is_tried_again(
    remote: Remote, object_store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    folder = claim(remote)
    mirror = Mirror.of(folder)
    assert mirror
    run_file(folder, "training")
    object_store.lock(locked=True)
    try:
        with caplog.at_level(logging.WARNING):
            mirror.try_push()
    finally:
        object_store.lock(locked=False)
    assert "access is refused" in caplog.text
    assert "the-secret" not in caplog.text

    mirror.try_push()

    assert remote.read("progress.jsonl") == b"training"


def test_a_run_that_could_not_be_copied_when_it_ended_is_copied_later(remote: Remote) -> None:
    mirror = Mirror.of(claim(remote))
    assert mirror
    run_file(mirror.folder, "complete")
    mirror.settle()
    assert remote.read("progress.jsonl") == b"complete"

    remote.remove(["progress.jsonl"])
    mirror.settle()

    assert remote.read("progress.jsonl") is None


def test_of_several_runs_those_that_have_ended_are_copied(remote: Remote) -> None:
    folder = claim(remote)

    def work() -> None:
        run_file(folder / "runs" / "one", "complete")
        run_file(folder / "runs" / "two", "training")
        (folder / "page.html").write_text("figures")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), mirrored(folder):
        work()

    names = remote.names()

    assert names == ["page.html", "runs/one/progress.jsonl", "runs/one/run.json", "worker"]
    assert shown(folder) == remote.uri


def test_a_folder_that_is_taken_over_meanwhile_stops_whoever_works_on_it(
    remote: Remote, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "_SECONDS_BETWEEN", 0.05)
    folder = claim(remote)

    def work_on() -> None:
        run_file(folder / "runs" / "one", "complete")
        remote.write("worker", b"another machine's")
        time.sleep(10)

    # As of a shell's background job: what Ctrl-C does is ignored.
    before, begun = signal.signal(signal.SIGINT, signal.SIG_IGN), time.monotonic()
    try:
        with pytest.raises(InputError, match="another process has begun"), mirrored(folder):
            work_on()
    finally:
        signal.signal(signal.SIGINT, before)

    assert time.monotonic() - begun < 8
    assert remote.read("worker") == b"another machine's"


def test_a_local_folder_is_left_alone(tmp_path: Path) -> None:
    with mirrored(tmp_path):
        run_file(tmp_path, "complete")
    assert Mirror.of(tmp_path) is None
    assert shown(tmp_path) == str(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["progress.jsonl", "run.json"]


def killed_once_mirrored(train: Sequence[str], out: Remote, flows: int) -> None:
    """Starts a training and kills it when the bucket holds a checkpoint after so many flows."""
    process = subprocess.Popen(
        [*COMMAND, *train],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 200
    while json.loads(out.read("run.json") or b"{}").get("flows", 0) < flows:
        assert process.poll() is None, "the run ended before it could be stopped"
        assert time.monotonic() < deadline, "nothing mirrored in time"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(timeout=60)


@pytest.fixture(scope="module")
def stored(object_store: Store) -> Remote:
    """A scenario that a process has put into the bucket."""
    stored = Remote("s3", f"kirl/{uuid.uuid4().hex}/scenario")
    done = kirl_alone("prepare", "--synthetic", "2000", "--seed", "1", "--out", stored.uri)
    assert done.returncode == 0, done.stderr
    assert stored.uri in " ".join(done.stdout.split())
    return stored


def test_a_scenario_in_a_bucket_is_replaced_only_if_wished(stored: Remote) -> None:
    with pytest.raises(InputError, match="holds a scenario already"):
        check_vacant(stored, overwrite=False)
    check_vacant(stored, overwrite=True)
    with pytest.raises(InputError, match="more than a scenario"):
        check_vacant(Remote(stored.scheme, stored.root.rpartition("/")[0]), overwrite=True)


# The first trains without Ray, in seconds; the second keeps a graph.
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(("--algo", "linucb", "--flows", "2000000"), id="linucb"),
        pytest.param(PPO, id="ppo-kg", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_lost_its_machine_goes_on_from_the_bucket_to_the_same_end(
    remote: Remote, stored: Remote, tmp_path: Path, settings: tuple[str, ...]
) -> None:
    out, graph = remote.at("out"), "learning.epochs=2" in settings
    train = ("train", *settings, "--set", "checkpoint_seconds=0.1", "--out")
    remotely = (*train, out.uri, "--scenario", stored.uri)
    killed_once_mirrored(remotely, out, 1)
    shutil.rmtree(cache_folder(out, "work"))

    done = kirl_alone(*remotely, "--json")

    assert done.returncode == 0, done.stderr
    assert "Resuming after" in done.stderr
    assert json.loads(done.stdout)["run"] == out.uri
    shutil.rmtree(cache_folder(out, "work"))
    copy, whole = RunFolder(fetch(out, "run.json")), RunFolder(tmp_path / "whole")
    prepared = fetch(stored, "manifest.json")
    local = (kirl_alone if graph else kirl)(*train, whole.path, "--scenario", prepared)
    assert local.returncode == 0, local.stderr
    assert copy.has_results()
    contexts = copy.scenario().contexts
    assert np.array_equal(*(run.policy().probabilities(contexts) for run in (copy, whole)))
    assert not graph or copy.graph().counts().equals(whole.graph().counts())
    card = kirl("evaluate", "--run", out.uri, "--json")
    assert json.loads(card.stdout) == scorecard(whole).to_json()


# The command's own process, with trainings that are short even for --quick.
TINY = """
from rayapp.lab.reproduction import reproduction
from rayapp.lab.reproduction.plan import Scale
reproduction.QUICK = Scale(most=12_000, least=12_000, figure_3=40_000, supervised=2)
from rayapp.__main__ import main
main()
"""


@pytest.mark.slow
def test_a_reproduction_leaves_page_and_runs_in_the_bucket(remote: Remote, stored: Remote) -> None:
    out = remote.at("reproduction")
    words = ("--settings", "paper", "--seeds", "1", "--quick", "--advisor", "graph-reader")
    command = ("reproduce", "--scenario", stored.uri, "--out", out.uri, *words, "--json")

    def reproduce() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", TINY, *command],
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    done = reproduce()

    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert json.loads(out.read("results.json") or b"") == figures
    names = out.names()
    assert {"index.html", "figures/figure_5_paper.png", "data/table_4_paper.csv"} <= set(names)
    runs = [name for name in names if name.endswith("run.json")]
    assert len(runs) >= 5
    assert all(json.loads(out.read(name) or b"")["state"] == "complete" for name in runs)
    # On another machine everything is there already.
    shutil.rmtree(cache_folder(out, "work"))
    again = reproduce()
    assert again.returncode == 0, again.stderr
    rewards = [one["average_reward"] for one in json.loads(again.stdout)["systems"]]
    assert rewards == [one["average_reward"] for one in figures["systems"]]


def test_a_shared_graph_cannot_be_in_a_bucket(remote: Remote, scenario: Scenario) -> None:
    done = kirl("train", "--scenario", scenario.path, "--out", "run", "--graph", remote.uri)

    assert done.returncode == 2
    assert "local disk only" in done.stderr
