"""``kirl prepare --second-opinion``, and what is told of both opinions afterwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from envs import InputError, Scenario
from envs.detector.opinion import CONFIDENCES
from envs.score import evaluate
from rayapp.__main__ import app
from rayapp.commands.evaluate import scorecard_table
from rayapp.decisions.knowledge import Counted, RunKnowledge


def kirl(*arguments: object) -> str:
    done = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_it_is_prepared_and_told(tmp_path: Path) -> None:
    options = ("--second-opinion", "forest", "--cross-fit", 2, "--out", tmp_path / "scenario")

    said = kirl("prepare", "--synthetic", 600, *options)

    scenario = Scenario.load(tmp_path / "scenario")
    assert scenario.has_opinion
    assert scenario.manifest["opinion"]["kind"] == "forest"
    assert "Second opinion (forest): right on" in said


def test_without_folds_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--cross-fit with 2 to 100 folds and no --honest"):
        CliRunner().invoke(
            app,
            [
                *("prepare", "--synthetic", "600", "--second-opinion", "boosted"),
                *("--cross-fit", "0", "--out", str(tmp_path / "scenario")),
            ],
            catch_exceptions=False,
        )
    assert not any(tmp_path.iterdir())


def test_alerts_have_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--second-opinion"):
        CliRunner().invoke(
            app,
            [
                *("prepare", "--alerts", str(tmp_path), "--second-opinion", "boosted"),
                *("--out", str(tmp_path / "scenario")),
            ],
            catch_exceptions=False,
        )


def test_the_scorecard_shows_both(opinion_scenario: Scenario) -> None:
    flows = opinion_scenario.flow_set("test")
    actions = opinion_scenario.catalogue.best_actions[flows.contexts.traffic]
    card = evaluate(actions, flows, opinion_scenario.training_counts())
    console = Console(width=200, record=True)

    console.print(scorecard_table({"ppo-kg": card}, "test split"))

    text = console.export_text()
    for column in ("opinion", "both", "context"):
        assert f"bound: {column}" in text
    for row in ("opinion wrong", "opinions differ", "both wrong alike"):
        assert row in text
    assert card.opinions is not None
    assert f"{card.opinions.differ.flows:,}" in text
    # Acting on the tree's class is never right where the tree is wrong about the action.
    assert np.isclose(card.score.average_reward, card.predicted_class.average_reward)


def test_decisions_tell_the_second_opinion(opinion_scenario: Scenario) -> None:
    contexts, counts = opinion_scenario.contexts, opinion_scenario.training_counts()
    assert contexts.opinion is not None
    policy = np.full((len(contexts), len(opinion_scenario.catalogue.actions)), 1 / 15)
    known = RunKnowledge(
        contexts,
        opinion_scenario.signatures.rule,
        opinion_scenario.catalogue,
        Counted(counts.sum(axis=1), counts.sum(axis=1), np.ones(len(contexts)), counts),
        policy,
        policy,
        None,
        None,
    )

    told = known.detection(7)["second_opinion"]

    assert told["class"] == opinion_scenario.catalogue.class_names[contexts.opinion[7]]
    assert told["confidence"] in CONFIDENCES
