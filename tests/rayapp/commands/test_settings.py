from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from envs import InputError
from rayapp import config
from rayapp.__main__ import app


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["settings", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_every_setting_is_listed_with_its_meaning() -> None:
    told = json.loads(run("--json"))

    assert {one["key"] for one in told["settings"]} == set(
        config.flat(config.TrainingSettings().model_dump())
    )
    assert all(one["about"].endswith(".") and "`" not in one["about"] for one in told["settings"])
    assert all(told["groups"].values())


def test_defaults_are_what_set_takes() -> None:
    for one in config.described():
        assert config.load(None, [f"{one.key}={one.default}"], {}) == config.TrainingSettings()


def test_one_group_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")

    shown = run("kl")

    assert "kl.smoothing" in shown
    assert "ppo.epochs" not in shown
    assert {
        one["key"].split(".")[0] for one in json.loads(run("online", "--json"))["settings"]
    } == {"online"}


def test_an_unknown_group_is_named() -> None:
    with pytest.raises(InputError, match=r"no settings are called 'pp'.*kirl settings"):
        CliRunner().invoke(app, ["settings", "pp"], catch_exceptions=False)
