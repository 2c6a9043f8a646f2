"""``kirl datasets``: the kinds of labelled traffic that kirl reads or draws."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from envs.datasets import registry
from envs.datasets.kind import DataSet
from rayapp.commands import console


def datasets(
    name: Annotated[str | None, typer.Argument(help="Show this kind with its columns.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the kinds of data set, or show one with its columns, units, labels and citation."""
    kinds = [registry.named(name)] if name else list(registry.all_kinds().values())
    if as_json:
        console.print_json({"datasets": [_to_json(kind) for kind in kinds]})
    elif name:
        _show(kinds[0])
    else:
        for kind in kinds:
            console.out.print(f"{kind.name}: {kind.title}", soft_wrap=True)
            labels = f"{len(kind.labels)} labels" if kind.labels else "labels of your own"
            console.out.print(
                f"  {len(kind.schema)} features, {labels}; catalogue {kind.catalogue}; from "
                f"{_made(kind)}",
                soft_wrap=True,
            )


def _made(kind: DataSet) -> str:
    return "a model (--synthetic)" if kind.draw else "files (--data)"


def _show(kind: DataSet) -> None:
    console.out.print(f"{kind.name}: {kind.title}", soft_wrap=True)
    console.out.print(f"Source: {kind.citation}", soft_wrap=True)
    console.out.print(f"Flows come from {_made(kind)}.")
    if kind.label:
        console.out.print(f"Label column: {kind.label}")
    labels = ", ".join(kind.labels) or "those of whoever labelled the flows"
    console.out.print(f"Labels: {labels}", soft_wrap=True)
    console.out.print(f"Catalogue: {kind.catalogue}")
    made = f" of {kind.schema.source}" if kind.schema.source else ""
    table = Table(title=f"{len(kind.schema)} features{made}", title_justify="left")
    table.add_column("column")
    table.add_column("unit")
    for column in kind.schema.columns:
        table.add_row(column.name, column.unit)
    console.out.print(table)


def _to_json(kind: DataSet) -> dict[str, Any]:
    return {
        "name": kind.name,
        "title": kind.title,
        "citation": kind.citation,
        "synthetic": kind.synthetic,
        "label": kind.label,
        "labels": list(kind.labels),
        "catalogue": kind.catalogue,
        "features": {
            "source": kind.schema.source,
            "columns": [{"name": c.name, "unit": c.unit} for c in kind.schema.columns],
        },
    }
