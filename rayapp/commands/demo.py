"""``kirl demo``: prepare, train, evaluate and draw, on synthetic flows."""

from __future__ import annotations

import shlex
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

_ADVICE = ("advice.advisor=embedded", "advice.wait=true")
"""Ask the small language model that ships with kirl, and wait for it: that is repeatable."""

ALGORITHMS: dict[str, tuple[str, ...]] = {"ppo": (), "ppo-kg": _ADVICE}
"""Settings by algorithm, as ``--set`` takes them."""


def demo(
    out: Annotated[
        Path, typer.Option(**LOCAL, help="Write scenario, runs and page to this folder.")
    ] = Path("demo"),
    rows: Annotated[int, typer.Option(help="Generate this many synthetic flows.")] = 300_000,
    flows: Annotated[
        int, typer.Option(help="Train each algorithm on this many flows.")
    ] = 4_000_000,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Draw all random numbers from this seed.")
    ] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of tables.")
    ] = False,
) -> None:
    """Prepare synthetic flows, train ppo and ppo-kg on them, compare both and draw a page."""
    check_writable(out / "scenario")
    scenario = _scenario(out / "scenario", rows, seed)
    results = {}
    for algo, advice in ALGORITHMS.items():
        settings = config.load(None, advice, {"algo": algo, "flows": flows, "seed": seed})
        results[algo] = train.run(settings, scenario.path, out / algo)
    folders = {algo: RunFolder(out / algo) for algo in ALGORITHMS}
    cards = {algo: scorecard(folder) for algo, folder in folders.items()}
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
    show_detection(scenario)
    for algo, result in results.items():
        train.show(algo, result)
    console.out.print(scorecard_table(cards, "test split, synthetic"))
    console.out.print(f"What the policy would do, and how it learnt: {page}")
    console.out.print(f"Knowledge graph to explore: {explorer}")


def _explorer(out: Path) -> Path:
    from kg_actor.draw import draw

    run = out / "ppo-kg"
    source = graphs.find(str(run))
    return draw(
        source.graph,
        out / "graph.html",
        note=source.note,
        title="What the agent knows",
        rules=source.rules,
        command=shlex.join(["kirl", "graph", "show", str(run)]),
    )


def _scenario(path: Path, rows: int, seed: int) -> Scenario:
    """The demo's scenario. One made earlier from the same rows and seed is used again."""
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
