"""``kirl catalogue new``: a first catalogue for labels of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from envs import Catalogue, InputError, catalogue_draft, label_list
from envs.catalogue_draft import Draft
from envs.datasets import registry
from envs.datasets.source import Reading, Tally
from envs.files import replacing
from rayapp.commands import console

EXAMPLE = "kirl catalogue new --labels 'BENIGN, DoS Hulk, Zorp' --out my-network.yaml"


def new(
    out: Annotated[Path, typer.Option(help="Write the catalogue to this YAML file.")],
    labels: Annotated[
        list[str] | None,
        typer.Option(help="Make a class of each of these labels, separated by commas."),
    ] = None,
    origin: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Take the labels of this file: flows of a kind that kirl datasets lists, or a "
            "list of labels, each with a class or a number of flows if you like (YAML, CSV, or "
            "one per line).",
        ),
    ] = None,
    benign: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS", help="Name the class that is no attack, where its label is unusual."
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name the catalogue (default: as its file is called).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Start a catalogue from labels. Known attacks get their mitigations, others are marked."""
    if out.exists():
        raise InputError(
            "is there already", where=str(out), mend="Give another --out, or remove the file"
        )
    given = _given(labels or []) | _found(origin or [])
    made = catalogue_draft.draft(name or out.stem, given, benign)
    with replacing(out) as temporary:
        temporary.write_text(made.text, encoding="utf-8")
    if as_json:
        console.print_json(_to_json(made, out))
        return
    for line in _told(made, out):
        console.out.print(line, soft_wrap=True)


def _given(texts: list[str]) -> dict[str, str]:
    named = (one.strip() for text in texts for one in text.split(","))
    return {label: label for label in named if label}


def _found(files: list[Path]) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in files:
        listed = label_list.read(file) if file.is_file() else None
        found |= _of_flows(file) if listed is None else listed
    return found


def _of_flows(path: Path) -> dict[str, str]:
    """The labels of flows; those of attempts follow from their attack's."""
    source = registry.opened([path], Reading.labelled(Catalogue.named(catalogue_draft.MODEL)))
    tally = Tally()
    with console.working(f"Reading labels of {path}"):
        for part in source.parts:
            for batch in part.batches():
                tally.add(batch.tally)
    counts = tally.labels + tally.unknown
    labels = (_clean(label) for label in sorted(counts, key=lambda one: (-counts[one], one)))
    return {label: label for label in labels if not label.casefold().endswith("attempted")}


def _clean(label: str) -> str:
    """A label as a catalogue may hold it; how labels are compared leaves the rest out, too."""
    return " ".join("".join(c if c.isprintable() else " " for c in label).split())


def _told(made: Draft, out: Path) -> list[str]:
    known = len(made.classes) - len(made.open)
    lines = [
        f"Written to {out}: {len(made.classes)} classes, {known} with the mitigations that "
        f"{catalogue_draft.MODEL} has for them."
    ]
    unsure = [f"{one.name} as {one.like.name}" for one in made.classes if one.like and not one.sure]
    if unsure:
        lines.append(f"Taken by their spelling, please look: {', '.join(unsure)}.")
    if made.benign is None:
        lines.append("To be filled in: which class is no attack (or give --benign).")
    if made.open:
        lines.append(f"To be filled in: the rankings of {', '.join(made.open)}.")
    if made.open or made.benign is None:
        lines.append(f"kirl catalogue check {out} names the lines.")
    return lines


def _to_json(made: Draft, out: Path) -> dict[str, object]:
    return {
        "file": str(out),
        "classes": [one.name for one in made.classes],
        "recognised": {one.name: one.like.name for one in made.classes if one.like},
        "benign": made.benign,
        "to_fill_in": list(made.open),
    }
