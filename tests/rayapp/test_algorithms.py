"""The registry of algorithms: what is built in, and what installed packages add."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import rayapp
from envs import InputError, Scenario
from rayapp import algorithms
from tests.kirl import kirl, kirl_alone

EXAMPLES = Path(rayapp.__file__).parents[1] / "examples"

Install = Callable[[str, str], tuple[Path, ...]]


def installed(folder: Path, name: str, value: str) -> Path:
    """A folder for Python's path with the metadata of a package that adds an algorithm."""
    metadata = folder / "added-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: added\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[kirl.algorithms]\n{name} = {value}\n")
    return folder


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Adds a package to this process; returns the folders that would add it to another one."""

    def begin(name: str, value: str) -> tuple[Path, ...]:
        path = (installed(tmp_path / "site", name, value), EXAMPLES)
        for folder in path:
            monkeypatch.syspath_prepend(folder)
        return path

    yield begin
    algorithms._added.cache_clear()


def test_the_baselines_come_in_by_kirls_own_entry_points() -> None:
    assert algorithms.names()[:6] == ("ppo", "ppo-kg", "ppo-kg-pt", "llm-kg", "dqn", "dqn-kg")
    assert {"dl", "linucb", "thompson"} <= {*algorithms.names()} - algorithms.BUILT_IN.keys()
    for name in algorithms.names():
        algorithm = algorithms.find(name)
        assert algorithm.name == name
        assert algorithm.about[0].isupper()
        assert algorithm.about.endswith(".")


def test_an_unknown_algorithm_is_refused_with_the_known_ones() -> None:
    with pytest.raises(
        InputError, match=r"no algorithm is called 'sac'\. Expected one of ppo, .*linucb"
    ):
        algorithms.find("sac")


def test_someone_elses_bandit_is_trained_and_evaluated_like_any_other(
    scenario: Scenario, install: Install, tmp_path: Path
) -> None:
    """In under 60 lines, and without a change to kirl."""
    example = EXAMPLES / "epsilon_greedy.py"
    assert len(example.read_text().splitlines()) < 60
    path = install("epsilon-greedy", "epsilon_greedy:ENTRY")
    train = ("train", "--scenario", scenario.path, "--algo", "epsilon-greedy", "--flows", 20_000)
    small = ("--set", "learning.flows_per_update=64", "--out", tmp_path / "run", "--json")

    refused = kirl(*train, *small, "--set", "learning.epsilon=2")

    assert refused.returncode == 2
    assert "learning.epsilon is 2. Expected a value less than or equal to 1" in refused.stderr

    trained = kirl_alone(*train, *small, "--set", "learning.epsilon=0.2", path=path)

    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["flows_trained"] == 20_000
    assert "Ray" not in trained.stderr
    scored = kirl("evaluate", "--run", tmp_path / "run", "--json")
    assert json.loads(scored.stdout)["average_reward"] > 0
    last = json.loads((tmp_path / "run" / "progress.jsonl").read_text().splitlines()[-1])
    # Of 15 actions, 14 are other ones.
    assert last["learner"]["explored"] == pytest.approx(0.2 * 14 / 15, abs=0.1)
    listed = json.loads(kirl("settings", "--algo", "epsilon-greedy", "--json").stdout)
    assert "epsilon-greedy" in listed["algorithms"]
    assert "learning.epsilon" in {one["key"] for one in listed["settings"]}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nowhere:ENTRY", "algorithm 'broken' cannot be loaded"),
        ("epsilon_greedy:Nothing", "algorithm 'broken' cannot be loaded"),
        ("epsilon_greedy:ENTRY", "is not an algorithm called 'broken'"),
    ],
)
def test_a_package_that_cannot_be_used_is_named(
    scenario: Scenario, install: Install, tmp_path: Path, value: str, message: str
) -> None:
    install("broken", value)
    words = ("train", "--scenario", scenario.path, "--algo", "broken", "--out", tmp_path / "run")

    refused = kirl(*words)

    assert refused.returncode == 2
    told = " ".join(refused.stderr.split())
    assert message in told
    assert f"entry point {value}" in told
    assert not (tmp_path / "run").exists()
