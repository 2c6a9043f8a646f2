"""The page of ``kirl demo``: what the policy would do, what it earns, how it learnt.

``demo.html`` says how the parts are laid out. All figures come from the runs and their scorecards.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from envs import Catalogue, InputError
from envs.score import Score, Scorecard
from kg_actor import KnowledgeGraph, to_networkx
from rayapp.config import TrainingSettings, flat
from rayapp.lab import curves, web
from rayapp.lab.choices import choices
from rayapp.lab.recipes import prepare_command
from rayapp.lab.reproduction import paper
from rayapp.lab.tables import NOTHING, as_text
from rayapp.lab.web import Chart
from rayapp.runs.folder import ProgressLine, RunFolder


def write_page(
    path: Path, folders: dict[str, RunFolder], cards: dict[str, Scorecard], explorer: str = ""
) -> Path:
    """Writes the page.

    Args:
        path: of the HTML file.
        folders: finished runs on one scenario, by the names that the page calls them; what the
            last one would do opens the page.
        cards: their scorecards on that scenario's test flows, by the same names.
        explorer: a page with the last run's graph, relative to this one; empty if there is none.

    Returns:
        ``path``.

    Raises:
        InputError: the runs are of different scenarios, one is unreadable, or the file
            cannot be written.
        ValueError: no runs, or runs and scorecards have different names.
    """
    if not folders or folders.keys() != cards.keys():
        raise ValueError("every run needs a scorecard, every scorecard a run, and one is needed")
    manifests = {name: folder.manifest() for name, folder in folders.items()}
    if len({manifest.fingerprint for manifest in manifests.values()}) > 1:
        raise InputError(
            "the runs were trained on different scenarios",
            where=", ".join(str(folder.path) for folder in folders.values()),
            expected="runs of one scenario, so that their rewards can be compared",
        )
    last, folder = list(folders.items())[-1]
    scenario, graph = folder.scenario(), folder.graph()
    progress = {name: one.progress() for name, one in folders.items()}
    infused = {
        name: progress[name]
        for name, manifest in manifests.items()
        if manifest.settings.algorithm.has_lambda
    }
    return web.write_page(
        path,
        "demo.html",
        names=list(folders),
        last=last,
        choices=choices(folder.policy(), scenario, graph),
        card=cards[last],
        catalogue=scenario.catalogue,
        training_flows=scenario.manifest["flows"]["train"],
        scorecard=_scorecard(cards),
        reward_charts=_reward_charts(progress),
        class_charts=_class_charts(progress, scenario.catalogue),
        knowledge_charts={
            name: _knowledge_charts(name, f"kl{number}", lines)
            for number, (name, lines) in enumerate(infused.items())
        },
        directions={
            name: manifests[name].settings.kl.direction.replace("_", " ") for name in infused
        },
        graph=_graph_size(last, graph),
        explorer=explorer,
        commands="\n".join(
            [
                prepare_command(scenario),
                *(_train_command(name, one.settings) for name, one in manifests.items()),
                *(shlex.join(["kirl", "evaluate", "--run", name]) for name in manifests),
            ]
        ),
        scenario=scenario,
        manifests=manifests,
        settings={
            name: json.dumps(manifest.settings.model_dump(mode="json"), indent=2)
            for name, manifest in manifests.items()
        },
    )


def _scorecard(cards: Mapping[str, Scorecard]) -> pd.DataFrame:
    """Rewards by true class and in all, and shares of top actions, of runs and bounds; as text."""
    first = next(iter(cards.values()))
    scores: dict[str, Score] = {name: card.score for name, card in cards.items()}
    scores |= {"bound: class": first.predicted_class, "bound: signature": first.signature_oracle}
    rewards = pd.DataFrame({name: score.per_class for name, score in scores.items()})
    by_class = rewards.loc[list(first.flows_per_class)].map("{:.3f}".format)
    by_class["flows"] = [f"{count:,}" for count in first.flows_per_class.values()]
    means = pd.DataFrame(
        {
            name: [f"{score.average_reward:.4f}", f"{score.class_mean_reward:.4f}"]
            for name, score in scores.items()
        },
        index=["average per flow", "mean over classes"],
    ).assign(flows=[f"{first.flows:,}", ""])
    shares = pd.DataFrame(
        {
            name: [_share(card.correct_action.all), _share(card.correct_action.detected_correctly),
                   _share(card.correct_action.misdetected)]
            for name, card in cards.items()
        },
        index=["top action", "… where detection was right", "… where detection was wrong"],
    ).assign(
        flows=[
            f"{count:,}"
            for count in (first.flows, first.flows - first.misdetected, first.misdetected)
        ]
    )  # fmt: skip
    return pd.concat([by_class, means, shares]).fillna("")


def _share(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.2f} %"


def _reward_charts(progress: Mapping[str, list[ProgressLine]]) -> list[Chart]:
    drawn = {name: curves.curve([lines]) for name, lines in progress.items()}
    low, high = curves.closing_range(drawn)
    whole = "Average training reward per iteration, over the whole training."
    close = f"The same from {low:.3f} upwards, the range of the second half of training."
    return [
        Chart("reward", curves.reward_chart(drawn), whole),
        Chart("reward-close", curves.reward_chart(drawn, (low, high)), close),
    ]


def _class_charts(progress: Mapping[str, list[ProgressLine]], catalogue: Catalogue) -> list[Chart]:
    met = {name for lines in progress.values() for line in lines for name in line.class_reward}
    limits = catalogue.lowest_reward, catalogue.highest_reward
    made = []
    for number, name in enumerate(catalogue.class_names):
        if name in met:
            drawn = [curves.curve([lines], curves.of_class(name)) for lines in progress.values()]
            label = f"Average training reward of class {name}: {', '.join(progress)}"
            made.append(Chart(f"class{number}", curves.class_chart(drawn, name, limits), label))
    return made


def _knowledge_charts(name: str, prefix: str, lines: list[ProgressLine]) -> list[Chart]:
    captions = {
        "lambda": ("λ", f"λ, the weight of the reference policy in {name}'s loss, per iteration."),
        "reference_kl": ("KL", "KL divergence before the weight, per iteration."),
    }
    return [
        Chart(
            f"{prefix}-{key}",
            curves.metric_chart(
                curves.curve([lines], lambda line, key=key: line.learner.get(key, math.nan)),  # type: ignore[misc]
                label,
            ),
            caption,
        )
        for key, (label, caption) in captions.items()
    ]


def _graph_size(name: str, graph: KnowledgeGraph) -> pd.DataFrame:
    view = to_networkx(graph)
    sizes = {
        name: (view.number_of_nodes(), view.number_of_edges(), len(graph.predicted)),
        "paper": (paper.GRAPH_NODES, paper.GRAPH_EDGES, paper.SIGNATURES),
    }
    table = pd.DataFrame(sizes, index=["nodes", "edges", "signatures of the detector"])
    return as_text(table, dict.fromkeys(sizes, ","))


def _train_command(name: str, settings: TrainingSettings) -> str:
    words = ["kirl", "train", "--scenario", "scenario", "--algo", settings.algo]
    words += ["--flows", str(settings.total_flows(0)), "--seed", str(settings.seed)]
    if settings.runners:
        words += ["--runners", str(settings.runners)]
    named = {"algo", "flows", "passes", "seed", "runners"}
    standard = flat(TrainingSettings(algo=settings.algo).model_dump(mode="json"))
    for key, value in flat(settings.model_dump(mode="json")).items():
        if key not in named and value != standard[key]:
            words += ["--set", f"{key}={json.dumps(value)}"]
    return shlex.join([*words, "--out", name])
