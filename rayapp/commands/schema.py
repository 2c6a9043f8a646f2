"""``kirl schema``: a first draft of the description of a table, from the table itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from envs import Catalogue
from envs.datasets import registry, schema_draft
from envs.datasets.tables.sample import sample
from envs.files import replacing, shown_path
from rayapp.commands import console
from rayapp.commands.places import check_out


def schema(
    file: Annotated[Path, typer.Argument(help="Read this table: CSV, Parquet, JSON or a log.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Write the draft to this file. By default it is printed."),
    ] = None,
    catalogue: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE",
            help="Guess what labels mean among the classes of this catalogue.",
        ),
    ] = "enterprise-network",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there already.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was guessed as JSON.")
    ] = False,
) -> None:
    """Draft a schema file for a table of your own. Check it, and give it to kirl prepare."""
    classes = Catalogue.find(catalogue)
    place = None if out is None else check_out(out, [file], overwrite=overwrite)
    one = sample(file)
    known = [kind.name for kind in registry.all_kinds().values() if kind.fits(one)]
    if known:
        console.say(
            f"kirl prepare reads these columns without a schema, as {' or '.join(known)}: try "
            f"kirl prepare --data {shown_path(file)} first."
        )
    with console.Reporter("Reading labels", "bytes") as reporter:
        draft = schema_draft.draft(one, classes, catalogue, reporter)
    text = schema_draft.written(draft, classes.class_names)
    if place is not None:
        with replacing(place) as temporary:
            temporary.write_text(text, encoding="utf-8")
        open_labels = [text for text, (_, name) in draft.labels.items() if name == "?"]
        console.err.print(
            f"Wrote {out}: {len(draft.numeric)} columns of numbers, {len(draft.categories)} of "
            f"words, {len(draft.labels)} labels, {len(open_labels)} of them without a class. Check "
            f"it, then run kirl prepare --data {file} --schema {out} --out scenario",
            soft_wrap=True,
            markup=False,
        )
    if as_json:
        console.print_json(
            {
                "name": draft.name,
                "catalogue": draft.catalogue,
                "label": draft.label,
                "features": list(draft.numeric),
                "categories": list(draft.categories),
                "ignore": draft.ignore,
                "keys": draft.keys,
                "labels": {
                    label: {"flows": count, "class": None if name == "?" else name}
                    for label, (count, name) in draft.labels.items()
                },
            }
        )
    elif out is None:
        typer.echo(text, nl=False)
