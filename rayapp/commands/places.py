"""Options that take a place, which is a local folder or the URI of one in a bucket."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from envs import InputError
from envs.files import check_writable
from envs.scenario_files import (
    MANIFEST,
    REPLACEABLE,
    check_replaceable,
    files_of,
    read_manifest,
)
from envs.storage import Remote, fetch, locate, publish
from rayapp.commands import console

METAVAR = "FOLDER|URI"


def _each(convert: Callable[[str], Path]) -> Callable[[Any], Any]:
    """Makes an option's callback, for options that are given once, several times or not at all."""

    def callback(given: str | list[str] | None) -> Path | list[Path] | None:
        if given is None:
            return None
        return convert(given) if isinstance(given, str) else [convert(one) for one in given]

    return callback


def _stored(seal: str, *unneeded: str) -> Callable[[str], Path]:
    """Makes the conversion to a folder to read: a remote one is copied to this machine."""

    def stored(text: str) -> Path:
        place = locate(text)
        if isinstance(place, Path):
            return place
        with console.working(f"Fetching {place.uri}"):
            return fetch(place, seal, lambda name: name.split("/")[0] in unneeded)

    return stored


def _worked(text: str) -> Path:
    """A folder to work in: for a remote one, the local folder that mirrors it."""
    place = locate(text)
    if isinstance(place, Path):
        return place
    # Not above: most commands do without.
    from rayapp.runs import mirrors

    with console.working(f"Looking at {place.uri}"):
        return mirrors.claim(place)


def _local(what: str, mend: str | None = None) -> Callable[[str], Path]:
    """Makes the conversion to a folder that must be local; ``what`` says why."""

    def local(text: str) -> Path:
        place = locate(text)
        if isinstance(place, Path):
            return place
        raise InputError(what, where=place.uri, expected="a local folder", mend=mend)

    return local


def _option(convert: Callable[[str], Path], metavar: str) -> dict[str, Any]:
    # Not a parser: typer would wrap its errors. And not Path: it would take '//' for '/'.
    return {"parser": str, "callback": _each(convert), "metavar": metavar}


SCENARIO = _option(_stored(MANIFEST), METAVAR)
"""Arguments of ``typer.Option`` for a scenario to read."""

RUN = _option(_stored("run.json", "checkpoints"), METAVAR)
"""The same for a run to read."""

WORK = _option(_worked, METAVAR)
"""The same for a folder to work in."""

DISK = _option(
    _local(
        "a knowledge graph's store works on a local disk only",
        "Give the run a URI instead; its own graph goes there with it",
    ),
    "FOLDER",
)
"""The same for a graph's store, which must be local."""

LOCAL = _option(_local("this command writes to a local folder only"), "FOLDER")
"""The same for a folder to work in that must be local."""


def check_out(out: Path, read: Sequence[Path], *, overwrite: bool) -> Path:
    """Checks that a file can be written, before the work begins; returns what it really is.

    Raises:
        InputError: it is there already, is no file, is one of those read, or cannot be written.
    """
    real = Path(os.path.realpath(out))
    check_writable(real)
    if not real.exists():
        return real
    if real.is_dir():
        raise InputError(
            "is a folder",
            where=str(out),
            expected="the name of a file",
            mend="Choose another --out",
        )
    if not real.is_file():
        raise InputError(
            "is no usual file",
            where=str(out),
            expected="the name of a file",
            mend="Choose another --out",
        )
    if any(path.is_file() and path.samefile(real) for path in read):
        raise InputError("is one of the files to read", where=str(out), mend="Choose another --out")
    if not overwrite:
        raise InputError(
            "exists already", where=str(out), mend="Choose another --out, or add --overwrite"
        )
    return real


def check_vacant(place: Path | Remote, *, overwrite: bool) -> None:
    """Checks that a scenario can be written to a place.

    Raises:
        InputError: it cannot be written to, or holds something else, or a scenario already.
    """
    if isinstance(place, Path):
        check_writable(place)
        check_replaceable(place)
        sealed, shown = (place / MANIFEST).is_file(), str(place)
    else:
        place.check_writable()
        names, shown = set(place.names()), place.uri
        sealed = MANIFEST in names
        if names - REPLACEABLE:
            raise InputError(
                "exists and holds more than a scenario", where=shown, mend="Choose another --out"
            )
    if sealed and not overwrite:
        raise InputError(
            "holds a scenario already",
            where=shown,
            mend="Choose another --out, or add --overwrite to replace it",
        )


@contextlib.contextmanager
def written(place: Path | Remote) -> Iterator[Path]:
    """A local folder to write a scenario to, uploaded to a remote place when the block succeeds."""
    if isinstance(place, Path):
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="kirl-") as folder:
        local = Path(folder) / place.name
        yield local
        with console.working(f"Writing {place.uri}"):
            publish(local, place, (MANIFEST, *files_of(read_manifest(local))), MANIFEST)
