"""``kirl demo``: everything once, on synthetic flows, with a page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from envs import InputError, Scenario
from envs.files import check_writable
from rayapp import config
from rayapp.commands import console, train
from rayapp.commands.evaluate import scorecard, scorecard_table
from rayapp.commands.places import LOCAL
from rayapp.commands.prepare import generate_flows
from rayapp.commands.prepare import show as show_detection
from rayapp.runs import graphs
from rayapp.runs.folder import RunFolder

ALGORITHMS = ("ppo", "ppo-kg")

ADVICE = ("advice.advisor=embedded", "advice.wait=true")
"""A first run uses a real language model, and is repeatable."""


def demo(
    out: Annotated[Path, typer.Option(**LOCAL, help="Folder for scenario, runs and page.")] = Path(
        "demo"
    ),
    rows: Annotated[int, typer.Option(help="Synthetic flows.")] = 300_000,
    flows: Annotated[int, typer.Option(help="Flows to train each algorithm on.")] = 4_000_000,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of everything.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of tables.")
    ] = False,
) -> None:
    """Prepare synthetic flows, train ppo and ppo-kg, compare them, draw a page."""
    check_writable(out / "scenario")
    scenario = _scenario(out / "scenario", rows, seed)
    if not as_json:
        show_detection(scenario)
    results = {}
    for algo in ALGORITHMS:
        options = {"algo": algo, "flows": flows, "seed": seed}
        settings = config.load(None, ADVICE if algo == "ppo-kg" else (), options)
        results[algo] = train.run(settings, scenario.path, out / algo)
        if not as_json:
            train.show(algo, results[algo])
    folders = {algo: RunFolder(out / algo) for algo in ALGORITHMS}
    cards = {algo: scorecard(folder) for algo, folder in folders.items()}
    if not as_json:
        console.out.print(scorecard_table(cards, "test split, synthetic"))
    with console.working("Drawing the page"):
        from rayapp.lab.page import write_page

        explorer = _explorer(out)
        page = write_page(out / "index.html", folders, cards, explorer.name)
    if as_json:
        runs = {algo: results[algo].to_json() | cards[algo].to_json() for algo in ALGORITHMS}
        console.print_json(
            {
                "scenario": str(scenario.path),
                "detection": scenario.manifest["detection"],
                "runs": runs,
                "page": str(page),
                "explorer": str(explorer),
            }
        )
        return
    console.out.print(f"What the policy would do, and how it learnt: {page}")
    console.out.print(f"The graph to explore: {explorer}")


def _explorer(out: Path) -> Path:
    from kg_actor.interactive import write_page

    found = graphs.find(str(out / ALGORITHMS[-1]))
    return write_page(
        found.graph,
        out / "graph.html",
        rules=found.rules,
        title="What the agent knows",
        note=found.note,
    )


def _scenario(path: Path, rows: int, seed: int) -> Scenario:
    """The demo's scenario; one made earlier from the same rows and seed is used again."""
    if (path / "manifest.json").is_file():
        scenario = Scenario.load(path)
        if scenario.manifest["source"]["origin"] == {"rows": rows, "seed": seed}:
            console.err.print(f"Using the scenario in {path}")
            return scenario
        raise InputError(
            "holds another scenario",
            where=str(path),
            mend="Choose another --out or remove the folder",
        )
    flows = generate_flows(rows, seed)
    with console.working(f"Fitting a decision tree on 70 % of {len(flows):,} flows"):
        return Scenario.prepare(flows, path, seed=seed)
