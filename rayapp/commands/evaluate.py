"""``kirl evaluate``: a trained policy's scorecard."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.table import Table

from envs import FlowSet, InputError, Scenario
from envs.reading import further_flows
from envs.score import Scorecard, evaluate
from rayapp.commands import console
from rayapp.commands.places import RUN
from rayapp.commands.prepare import read_flows
from rayapp.runs.folder import RunFolder

_OPINIONS = (
    "opinion: best action for the second opinion's class; both: for the likeliest class by tree "
    "and second opinion; context: as signature, for policies that see both"
)
_PARTS = (
    ("opinion wrong", "opinion_wrong"),
    ("opinions differ", "differ"),
    ("both wrong alike", "wrong_alike"),
)


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
    known = scenario.training_counts() if scenario.has_opinion else None
    return evaluate(policy.actions(flows.contexts), flows, known)


def _matched(data: list[Path], scenario: Scenario) -> tuple[NDArray[np.int32], NDArray[np.int8]]:
    """Contexts, by the scenario's detectors, and true classes of the flows in files."""
    if scenario.of_alerts:
        raise InputError(
            "the run was trained on alerts of an IDS, and files of flows hold none",
            where=", ".join(map(str, data[:3])),
            expected="the run alone: its test split holds the verdicts that training did not meet",
            mend="Leave --data out; to score other alerts, prepare a scenario of them with "
            "--verdicts",
        )
    unseen = read_flows(further_flows(scenario, data))
    return scenario.matcher()(unseen.features), unseen.actual


def scorecard_table(cards: dict[str, Scorecard], where: str) -> Table:
    """Several scorecards of the same flows side by side, with the bounds."""
    first = next(iter(cards.values()))
    table = Table(
        title=f"Reward per flow ({where}: {first.flows:,} flows)",
        caption="class: best action for the class detected; signature: best average "
        "reward that any policy can earn, knowing these labels (single classes may exceed it)",
    )
    table.add_column("class", overflow="fold")
    table.add_column("flows", justify="right")
    bounds = {"class": first.predicted_class, "signature": first.signature_oracle}
    if first.opinions is not None:
        bounds |= {
            "opinion": first.opinions.opinion_class,
            "both": first.opinions.likeliest_class,
            "context": first.opinions.context_oracle,
        }
        table.caption = f"{table.caption}; {_OPINIONS}"
        # Eight columns fit into a terminal of 80 only without space around them.
        table.padding = (0, 0)
    for name in (*cards, *(f"bound: {bound}" for bound in bounds)):
        table.add_column(name, justify="right", overflow="fold")
    scores = [card.score for card in cards.values()]
    scores += bounds.values()
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
        table.add_row(title, f"{count:,}", *map(_percent, shares))
    told = [card.opinions for card in cards.values() if card.opinions is not None]
    for title, key in _PARTS if told else ():
        parts = [getattr(opinions, key) for opinions in told]
        shares = [_percent(part.correct_action) for part in parts]
        table.add_row(f"  {title}", f"{parts[0].flows:,}", *shares)
    return table


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f} %"
