"""``kirl flows``: packet captures to a table of flows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from envs import InputError
from envs.files import check_writable
from rayapp.commands import console


def flows(
    captures: Annotated[
        list[Path],
        typer.Argument(
            metavar="CAPTURE...",
            help="Read packets from these pcap or pcapng files, plain or compressed with gzip, or "
            "from folders of such.",
        ),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Write the flows to this file.")],
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a file that is there already.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was read and measured as JSON.")
    ] = False,
) -> None:
    """Measure the flows in packet captures, and write them to a Parquet file.

    NFStream measures them (the extra named capture installs it); columns and units are its own.
    kirl prepare and kirl decide read the file as data of the kind nfstream.
    """
    # It imports Arrow, which other commands do without.
    from envs.captures import write_flows

    _check(out, overwrite=overwrite)
    begun = time.perf_counter()
    with console.Reporter("Measuring flows", "bytes") as reporter:
        tally = write_flows(captures, out, reporter)
    seconds = time.perf_counter() - begun
    for note in tally.notes():
        console.say(f"Note: {note}")
    if as_json:
        console.print_json(tally.to_json() | {"out": str(out), "seconds": round(seconds, 3)})
    else:
        console.out.print(
            f"{tally.flows:,} flows of {tally.packets:,} packets in {len(tally.files):,} "
            f"capture(s), written to {out}: {seconds:.1f} s "
            f"({tally.packets / seconds:,.0f} packets/s)",
            soft_wrap=True,
        )


def _check(out: Path, *, overwrite: bool) -> None:
    if out.suffix.lower() != ".parquet":
        raise InputError(
            "flows are written as Parquet",
            where=str(out),
            expected="a name that ends in .parquet",
            mend=f"Write --out {out.with_suffix('.parquet')}" if out.name else None,
        )
    check_writable(out)
    if out.is_dir():
        raise InputError("this is a folder", where=str(out), mend="Choose another --out")
    if out.exists() and not overwrite:
        raise InputError(
            "this file exists already",
            where=str(out),
            mend="Choose another --out, or add --overwrite to replace it",
        )
