"""``kirl catalogue``: classes, mitigations and rewards, as files to look at and to check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from envs import Catalogue
from envs.catalogue import TrafficClass, shipped
from envs.catalogue_draft import duration
from rayapp.commands import catalogue_new, console

if TYPE_CHECKING:
    from envs.catalogue_file import Fault

app = typer.Typer(
    help="Show, start and check catalogues of classes, mitigations and rewards.",
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("list", epilog="Example: kirl catalogue list")
def list_shipped(as_json: AsJson = False) -> None:
    """List the catalogues that ship with kirl."""
    found = [Catalogue.named(name) for name in shipped()]
    if as_json:
        console.print_json({"catalogues": [_summary(one) for one in found]})
        return
    for one in found:
        console.out.print(f"{one.name}: {_told(one)}", soft_wrap=True)


@app.command("show", epilog="Example: kirl catalogue show paper")
def show(
    given: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="Show this catalogue or YAML file.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show a catalogue's mitigations and classes, and what a mitigation earns for a class."""
    catalogue = Catalogue.find(given)
    if as_json:
        rewards = catalogue.rewards.tolist()
        console.print_json(catalogue.to_json() | {"rewards": rewards})
        return
    console.out.print(_mitigations(catalogue))
    console.out.print(_classes(catalogue))


@app.command("check", epilog="Example: kirl catalogue check my-network.yaml")
def check(
    file: Annotated[Path, typer.Argument(help="Check this YAML file.")],
    as_json: AsJson = False,
) -> None:
    """Check a catalogue file. All that is wrong is named, with its line, its field and its mend."""
    # It takes pydantic, which most of the package does without.
    from envs import catalogue_file

    found = catalogue_file.faults(file)
    if found:
        if as_json:
            console.print_json({"file": str(file), "valid": False, "faults": _to_json(found)})
        for fault in () if as_json else found:
            console.err.print(f"kirl: {fault.error}", soft_wrap=True)
        raise typer.Exit(2)
    catalogue = Catalogue.read(file)
    if as_json:
        console.print_json({"file": str(file), "valid": True} | _summary(catalogue))
        return
    console.out.print(f"{file} is a catalogue: {_told(catalogue)}", soft_wrap=True)


app.command("new", epilog=f"Example: {catalogue_new.EXAMPLE}")(catalogue_new.new)


def _to_json(found: list[Fault]) -> list[dict[str, Any]]:
    return [
        {
            "line": fault.line,
            "field": fault.field,
            "what": fault.error.what,
            "expected": fault.error.expected,
            "mend": fault.error.mend,
        }
        for fault in found
    ]


def _summary(catalogue: Catalogue) -> dict[str, Any]:
    return {
        "name": catalogue.name,
        "classes": len(catalogue.classes),
        "actions": len(catalogue.actions),
        "lowest_reward": catalogue.lowest_reward,
        "highest_reward": catalogue.highest_reward,
        "labels": sum(len(traffic.labels) for traffic in catalogue.classes),
        "techniques": _techniques(catalogue),
    }


def _techniques(catalogue: Catalogue) -> list[str]:
    return sorted({one for traffic in catalogue.classes for one in traffic.technique})


def _told(catalogue: Catalogue) -> str:
    told = (
        f"{len(catalogue.classes)} classes, {len(catalogue.actions)} actions, rewards from "
        f"{catalogue.lowest_reward} to {catalogue.highest_reward}"
    )
    techniques = len(_techniques(catalogue))
    if not techniques:
        return told
    return f"{told}, {techniques} ATT&CK technique{'s' if techniques > 1 else ''}"


def _mitigations(catalogue: Catalogue) -> Table:
    table = Table(title=f"Mitigations of {catalogue.name}", title_justify="left")
    for column in ("mitigation", "ATT&CK", "scope", "undone after", "OpenC2"):
        table.add_column(column, overflow="fold")
    for action in catalogue.actions:
        until = "-" if action.duration is None else duration(action.duration)
        table.add_row(
            action.name, action.attack_id or "-", action.scope, until, action.openc2 or "-"
        )
    return table


def _classes(catalogue: Catalogue) -> Table:
    table = Table(title="Classes, and what they earn", title_justify="left", caption_justify="left")
    for column in ("class", "ATT&CK", "labels", "rewards above the lowest, best first"):
        table.add_column(column, overflow="fold")
    for traffic, rewards in zip(catalogue.classes, catalogue.rewards.tolist(), strict=True):
        earning = sorted(
            (-reward, action.name)
            for action, reward in zip(catalogue.actions, rewards, strict=True)
            if reward > catalogue.lowest_reward
        )
        told = ", ".join(f"{name} {-reward:+d}" for reward, name in earning)
        techniques = ", ".join(traffic.technique) or "-"
        table.add_row(_described(traffic), techniques, _labels(traffic), told)
    table.caption = f"All other mitigations earn {catalogue.lowest_reward}."
    return table


def _described(traffic: TrafficClass) -> str:
    return traffic.name if traffic.about is None else f"{traffic.name}: {traffic.about}"


def _labels(traffic: TrafficClass) -> str:
    labels = ", ".join(traffic.labels)
    return f"{labels}; also {', '.join(traffic.also)}" if traffic.also else labels
