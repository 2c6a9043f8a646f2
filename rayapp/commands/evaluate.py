"""``kirl evaluate``: a trained policy's scorecard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from envs import FlowSet, InputError, Scenario
from envs.datasets import registry
from envs.datasets.labels import Labelling
from envs.datasets.source import Reading
from envs.score import Scorecard, evaluate
from rayapp.commands import console
from rayapp.commands.places import RUN
from rayapp.commands.prepare import read_flows
from rayapp.runs.folder import RunFolder


def evaluate_run(
    run: Annotated[
        Path, typer.Option(**RUN, help="Evaluate the policy of the run in this folder.")
    ],
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="Score the flows in this file or folder instead, in any form that kirl prepare "
            "reads; may be repeated."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Score a run's policy on its test split, or on flows that it has never seen."""
    card = scorecard(RunFolder(run), data)
    if as_json:
        console.print_json(card.to_json())
        return
    manifest = RunFolder(run).manifest()
    where = "given flows" if data else f"test split, {manifest.kind}"
    console.out.print(scorecard_table({manifest.settings.algo: card}, where))


def scorecard(folder: RunFolder, data: list[Path] | None = None) -> Scorecard:
    """Scores a run's policy on its test split, or on flows read from files.

    Files are matched to signatures by the run's own detector.
    """
    policy, scenario = folder.policy(), folder.scenario()
    flows = scenario.flow_set("test")
    if data:
        context, actual = _matched(data, scenario)
        flows = FlowSet(context, actual, flows.contexts, flows.catalogue)
    return evaluate(policy.actions(flows.contexts), flows)


def _matched(data: list[Path], scenario: Scenario) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Signatures, by the scenario's detector, and true classes of the flows in files."""
    if scenario.of_alerts:
        raise InputError(
            "the run was trained on alerts of an IDS, and files of flows hold none",
            where=", ".join(map(str, data[:3])),
            expected="the run alone: its test split holds the verdicts that training did not meet",
            mend="Leave --data out; to score other alerts, prepare a scenario of them with "
            "--verdicts",
        )
    reading = Reading(Labelling(scenario.catalogue), scenario.schema)
    unseen = read_flows(registry.opened(data, reading, scenario.kind))
    return scenario.detector().match(unseen.features), unseen.actual


def scorecard_table(cards: dict[str, Scorecard], where: str) -> Table:
    """Several scorecards of the same flows side by side, with the bounds."""
    first = next(iter(cards.values()))
    table = Table(
        title=f"Reward per flow ({where}: {first.flows:,} flows)",
        caption="class: best action for the class detected; signature: best average "
        "reward that any policy can earn, knowing these labels (single classes may exceed it)",
    )
    table.add_column("class")
    table.add_column("flows", justify="right")
    for name in (*cards, "bound: class", "bound: signature"):
        table.add_column(name, justify="right")
    scores = [card.score for card in cards.values()]
    scores += [first.predicted_class, first.signature_oracle]
    for name, count in first.flows_per_class.items():
        rewards = [f"{score.per_class[name]:.3f}" for score in scores]
        table.add_row(name, f"{count:,}", *rewards)
    table.add_section()
    averages = [f"{score.average_reward:.4f}" for score in scores]
    table.add_row("average", f"{first.flows:,}", *averages, style="bold")
    table.add_row("class mean", "", *[f"{score.class_mean_reward:.4f}" for score in scores])
    table.add_section()
    for title, key in (
        ("top action", "all"),
        ("  detected correctly", "detected_correctly"),
        ("  misdetected", "misdetected"),
    ):
        shares = [getattr(card.correct_action, key) for card in cards.values()]
        count = first.misdetected if key == "misdetected" else first.flows
        count -= first.misdetected if key == "detected_correctly" else 0
        table.add_row(title, f"{count:,}", *map(_percent, shares), "", "")
    return table


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"
