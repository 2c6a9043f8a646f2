"""``kirl verdicts``: what people say that alerts really were."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from envs import InputError
from envs.datasets.alerts.verdicts import draft, write_draft
from rayapp.commands import console
from rayapp.commands.alerts import told_alerts
from rayapp.commands.places import check_out

app = typer.Typer(help="Write files of verdicts on alerts, to be filled in.", no_args_is_help=True)


@app.callback()
def verdicts() -> None:
    """Write files of verdicts on alerts, to be filled in."""


@app.command("draft", epilog="Example: kirl verdicts draft --alerts eve.json --out verdicts.csv")
def draft_verdicts(
    alerts: Annotated[
        list[Path],
        typer.Option(
            help="Draw from these alerts: eve.json of Suricata, notice.log of Zeek, or a table "
            "with --schema. Repeat it for several."
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Write this CSV file.")],
    number: Annotated[
        int, typer.Option(min=1, help="Draw this many alerts, evenly over the rules.")
    ] = 200,
    schema: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Name the columns of a table in this YAML file."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Set the seed of the draw.")] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there already.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Draw alerts to judge, evenly over the rules, and write them with an empty column 'class'.

    Fill in what each alert really was, and give the file to kirl prepare --alerts --verdicts.
    """
    if out.is_file() and not overwrite:
        raise InputError(
            "is there already, maybe with verdicts in it",
            where=str(out),
            mend="Choose another --out, or add --overwrite to replace it",
        )
    place = check_out(out, [*alerts, *([schema] if schema else [])], overwrite=overwrite)
    read = told_alerts(alerts, schema)
    drawn = draft(read.alerts, number, seed)
    write_draft(place, drawn)
    rules = len({alert.rule for alert in drawn})
    if as_json:
        console.print_json({"alerts": len(drawn), "rules": rules, "file": str(out)})
        return
    console.out.print(
        f"{len(drawn):,} alerts of {rules:,} of {len(read.rules):,} rules written to {out}. Fill "
        "in the column 'class'.",
        soft_wrap=True,
    )
