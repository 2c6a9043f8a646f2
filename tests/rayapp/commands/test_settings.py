from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from envs import InputError
from rayapp import algorithms, config
from rayapp.__main__ import app


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["settings", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_every_setting_is_listed_with_its_meaning() -> None:
    told = json.loads(run("--json"))

    assert {one["key"] for one in told["settings"]} == config.known(algorithms.find("ppo-kg"))
    assert all(one["about"].endswith(".") and "`" not in one["about"] for one in told["settings"])
    assert all(told["groups"].values())
    assert list(told["algorithms"]) == list(algorithms.names())


@pytest.mark.parametrize("algo", algorithms.names())
def test_defaults_are_what_set_takes(algo: str) -> None:
    usual = config.TrainingSettings(algo=algo)
    told = json.loads(run("--algo", algo, "--json"))

    assert {one["key"] for one in told["settings"]} == config.known(algorithms.find(algo))
    for one in told["settings"]:
        given = [f"{one['key']}={one['default']}"]
        assert config.load(None, given, {"algo": algo}) == usual


def test_one_group_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")

    shown = run("kl")

    assert "kl.smoothing" in shown
    assert "learning.epochs" not in shown
    assert {
        one["key"].split(".")[0] for one in json.loads(run("online", "--json"))["settings"]
    } == {"online"}


def test_a_group_is_shown_for_an_algorithm_that_has_it() -> None:
    assert "cloning.flows" in run("cloning")
    assert "learning.temperature" in run("learning", "--algo", "dqn")
    with pytest.raises(InputError, match=r"dqn has no group of settings called 'kl'"):
        run("kl", "--algo", "dqn")


def test_an_unknown_group_is_named() -> None:
    with pytest.raises(InputError, match=r"has no group of settings called 'pp'.*kirl settings"):
        CliRunner().invoke(app, ["settings", "pp"], catch_exceptions=False)
