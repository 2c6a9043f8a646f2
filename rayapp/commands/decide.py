"""``kirl decide``: what a run's policy does about flows that nobody has labelled."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envs.datasets.source import REASONS
from rayapp.commands import console
from rayapp.commands.places import RUN, check_out
from rayapp.decisions.writing import Format, format_of
from rayapp.runs.folder import RunFolder

if TYPE_CHECKING:
    from rayapp.decisions.deciding import Done

_LISTED = 8
"""Reasons or mitigations that the summary lists."""

_SIGPIPE = 141
"""Exit code that shells give to a program whose reader has gone."""


def decide(
    run: Annotated[Path, typer.Option(**RUN, help="Use the policy of the run in this folder.")],
    data: Annotated[
        list[Path],
        typer.Option(
            help="Decide the flows or alerts in this file or folder, in any form that kirl prepare "
            "reads; no label is needed. May be repeated."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write to this file; its name says the format: .json, .jsonl, .csv or .parquet "
            "(default: write lines of JSON to standard output).",
        ),
    ] = None,
    kind: Annotated[
        Format | None,
        typer.Option("--format", help="Write in this format, whatever the file is called."),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Tell why, too: the graph's records, what was advised, what such flows were.",
        ),
    ] = False,
    top: Annotated[
        int | None,
        typer.Option(min=1, help="Write only this many mitigations, the likeliest (default: all)."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file if it exists.")
    ] = False,
) -> None:
    """Decide about flows or alerts without labels, and write one line for each."""
    written = format_of(out, kind)
    place = None if out is None else check_out(out, data, overwrite=overwrite)
    # It takes torch and scikit-learn, which --help does without.
    from rayapp.decisions.deciding import Job

    with console.working("Loading the run"):
        job = Job.of(RunFolder(run), data, explain=explain, top=top)
    for remark in job.remarks:
        console.say(remark)
    with console.Reporter("Deciding", job.unit) as reporter:
        if place is None:
            with _until_reader_goes():
                done = job.write(sys.stdout.buffer, written, reporter)
                sys.stdout.buffer.flush()
        else:
            done = job.write(place, written, reporter)
    _tell(done, out)


@contextlib.contextmanager
def _until_reader_goes() -> Iterator[None]:
    """A reader such as ``head`` may close the pipe when it has enough: that is no error."""
    try:
        yield
    except BrokenPipeError:
        raise SystemExit(_SIGPIPE) from None


def _tell(done: Done, out: Path | None) -> None:
    rate = done.decided / done.seconds if done.seconds else 0.0
    where = f", written to {out}" if out else ""
    console.say(
        f"Decided {done.decided:,} of {done.tally.rows:,} rows: {done.seconds:.1f} s "
        f"({rate:,.0f} rows/s){where}"
    )
    for reason, count in done.tally.dropped.items():
        if count:
            console.say(f"{count:,} rows {REASONS[reason]} and are not decided")
    for name, counts in (("Not decided", done.undecided), ("Mitigations", done.mitigations)):
        listed = [f"{one} {count:,}" for one, count in counts.items()]
        if listed:
            more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
            console.say(f"{name}: {', '.join(listed[:_LISTED])}{more}")
