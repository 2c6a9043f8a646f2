"""``kirl flows``: packet captures to a table of flows."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from envs import InputError
from rayapp.commands import console
from rayapp.commands.places import check_out

if TYPE_CHECKING:
    from envs.captures import MeterTally


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
    place = _check(out, captures, overwrite=overwrite)
    begun = time.perf_counter()
    tally = _measure(captures, place)
    seconds = time.perf_counter() - begun
    if as_json:
        console.print_json(tally.to_json() | {"out": str(out), "seconds": round(seconds, 3)})
    else:
        console.out.print(
            f"{tally.flows:,} flows of {tally.packets:,} packets in {len(tally.files):,} "
            f"capture(s), written to {out}: {seconds:.1f} s "
            f"({tally.packets / seconds:,.0f} packets/s)",
            soft_wrap=True,
        )


@contextlib.contextmanager
def measured(captures: Sequence[Path]) -> Iterator[Path]:
    """A file with the flows of captures, which goes when the block ends; shows progress.

    Raises:
        InputError: the captures cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="kirl-") as folder:
        name = captures[0].name if len(captures) == 1 else "captures"
        out = Path(folder) / f"{name or 'captures'}.parquet"
        _measure(captures, out)
        yield out


def _measure(captures: Sequence[Path], out: Path) -> MeterTally:
    # It imports Arrow, which other commands do without.
    from envs.captures import write_flows

    with console.Reporter("Measuring flows", "bytes") as reporter:
        tally = write_flows(captures, out, reporter)
    for note in tally.notes():
        console.say(f"Note: {note}")
    return tally


def _check(out: Path, captures: Sequence[Path], *, overwrite: bool) -> Path:
    if out.suffix.lower() != ".parquet":
        raise InputError(
            "flows are written as Parquet",
            where=str(out),
            expected="a name that ends in .parquet",
            mend=f"Write --out {out.with_suffix('.parquet')}" if out.name else None,
        )
    return check_out(out, captures, overwrite=overwrite)
