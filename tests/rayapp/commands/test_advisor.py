"""``kirl advisor``: the comparison of advisors, and a training of two steps."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from envs import InputError
from llm_actor.embedded import EMBEDDED
from rayapp.commands.advisor import app
from rayapp.config import AdviceSettings


def run(*arguments: object) -> Result:
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def refused(*arguments: object) -> str:
    with pytest.raises(InputError) as refusal:
        CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    return str(refusal.value)


def test_the_model_that_ships_reads_what_it_has_never_seen() -> None:
    told: dict[str, Any] = json.loads(run("eval", "--neighbourhoods", 4, "--json").stdout)

    reader, model = told["advisors"]
    assert told["neighbourhoods"] == 13 * 4
    assert (reader["name"], model["name"]) == ("graph-reader", "embedded")
    assert reader["overall"] == 1
    assert model["overall"] > 0.95
    assert model["kl"] < 0.05
    assert model["prompts_per_second"] > 0
    assert 0 < model["latency_p50"] <= model["latency_p99"]
    assert 0 < model["calibration_error"] < 0.2
    assert "by construction" in told["remark"]


def test_the_comparison_is_a_table_for_people() -> None:
    shown = run("eval", "--neighbourhoods", 3, "--advisor", "graph-reader").stdout

    assert "39 simulated neighbourhoods" in shown
    assert "100.00%" in shown
    assert "by construction" in " ".join(shown.split())


def test_what_was_trained_can_be_compared(tmp_path: Path) -> None:
    out = tmp_path / "model"

    shown = run(
        *("train", "--out", out, "--steps", 2, "--batch", 4, "--seed", 3),
        *("--device", "cpu", "--neighbourhoods", 1),
    ).stdout
    compared = json.loads(
        run(
            *("eval", "--advisor", "transformers", "--set", f"advice.model={out}"),
            *("--neighbourhoods", 1, "--json"),
        ).stdout
    )

    judged = json.loads((out / "evaluation.json").read_text())
    weights = (out / "model.safetensors").read_bytes()
    assert judged["steps"] == 2
    assert judged["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    assert f"Written to {out}" in shown
    assert (judged["plan"]["seed"], judged["plan"]["steps"]) == (3, 2)
    assert judged["plan"]["minutes"] is None
    assert (out / "model.safetensors").stat().st_size < 10e6
    assert compared["advisors"][0]["name"] == "model"
    assert compared["advisors"][0]["answered"] == 1


def test_a_training_tells_its_evaluation(tmp_path: Path) -> None:
    out = tmp_path / "model"

    told = run(
        *("train", "--out", out, "--steps", 1, "--batch", 4, "--device", "cpu"),
        *("--neighbourhoods", 1, "--json"),
    ).stdout

    assert json.loads(told) == json.loads((out / "evaluation.json").read_text())


def test_an_option_is_for_those_that_have_a_use_for_it() -> None:
    asking = ("eval", "--advisor", "graph-reader", "--advisor", "transformers")
    given = ("--set", f"advice.model={EMBEDDED}", "--set", "advice.gpus=0")
    told = json.loads(run(*asking, *given, "--neighbourhoods", 1, "--json").stdout)

    reader, model = told["advisors"]
    assert (reader["kind"], reader["model"]) == ("graph-reader", None)
    assert (model["kind"], model["model"]) == ("transformers", str(EMBEDDED))
    assert model["overall"] > 0.9


def test_all_advisors_are_listed_with_their_options() -> None:
    told = json.loads(run("list", "--json").stdout)["advisors"]

    by_name = {one["name"]: one for one in told}
    assert list(by_name)[:4] == ["graph-reader", "embedded", "transformers", "endpoint"]
    assert by_name["graph-reader"]["defaults"] == {"temperature": 0.25}
    assert by_name["endpoint"]["required"] == ["url", "model"]
    assert by_name["embedded"]["defaults"]["gpus"] == "auto"
    settings = set(AdviceSettings.model_fields)
    assert all(settings >= {*one["required"], *one["defaults"]} for one in told[:4])
    assert "timeout_seconds=60.0" in " ".join(run("list").stdout.split())


@pytest.mark.parametrize("file", [True, False], ids=["file", "folder"])
def test_what_is_there_is_never_replaced(file: bool, tmp_path: Path) -> None:
    out = tmp_path / "out"
    kept = out if file else out / "notes.txt"
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("mine")

    assert "is already there" in refused("train", "--out", out, "--steps", 1)
    assert kept.read_text() == "mine"


def test_advisors_that_do_not_exist_are_refused() -> None:
    assert "there is no advisor 'oracle'" in refused("eval", "--advisor", "oracle")
    assert "has no use for advice.model" in refused("eval", "--set", "advice.model=phi")
    assert "advice.wait changes nothing here" in refused("eval", "--set", "advice.wait=true")
