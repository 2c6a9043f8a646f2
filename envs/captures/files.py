"""Which captures to read, in which order."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from envs.captures.content import CutOffError, opened
from envs.captures.reading import is_capture, packets_of
from envs.captures.tally import MeterTally
from envs.errors import InputError
from envs.files import reading, shown_path

_EXPECTED = "packet captures (pcap or pcapng, plain or gzip), or folders that hold such"


@dataclass(frozen=True)
class CaptureFile:
    """A capture that holds packets.

    Attributes:
        path: of the file.
        link: its first packet's link type.
        time: its first packet's, in microseconds since 1970.
        size: bytes of the file on disk.
    """

    path: Path
    link: int
    time: int
    size: int


def find_captures(paths: Sequence[Path], tally: MeterTally) -> list[CaptureFile]:
    """The captures among files and in folders, each once, in the order of their first packets.

    Args:
        paths: files and folders.
        tally: takes the names of what is left out.

    Raises:
        InputError: a file is no capture, or there is no packet in any of them.
    """
    if not paths:
        raise InputError("no capture was named", expected=_EXPECTED)
    files: dict[str, Path] = {}
    for path in paths:
        for file in _expand(path, tally):
            files.setdefault(os.path.realpath(file), file)
    found = [one for file in files.values() if (one := _begun(file, tally)) is not None]
    if not found:
        raise InputError(
            "there is no packet in " + ("this capture" if len(files) == 1 else "these captures"),
            where=", ".join(shown_path(path) for path in list(files.values())[:3]),
            mend="Capture again, and stop only when traffic was seen",
        )
    return sorted(found, key=lambda one: (one.time, one.path.name))


def _expand(path: Path, tally: MeterTally) -> list[Path]:
    with reading(path):
        if path.is_dir():
            return _search(path, tally)
        if path.is_file():
            return [path]
        there = path.exists()
    raise InputError(
        "this is no file and no folder" if there else "there is no such file or folder",
        where=shown_path(path),
        expected=_EXPECTED,
        mend="Check the path",
    )


def _search(folder: Path, tally: MeterTally) -> list[Path]:
    captures = []
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for name in sorted(names):
            path = Path(parent, name)
            # Opening a pipe would wait for whoever writes to it.
            if name[0] == "." or not path.is_file():
                continue
            with opened(path) as content:
                if is_capture(content):
                    captures.append(path)
                else:
                    tally.unused.append(name)
    if not captures:
        raise InputError(
            "there is no capture in this folder",
            where=shown_path(folder),
            expected=_EXPECTED,
            mend="Check the path",
        )
    return captures


def _begun(path: Path, tally: MeterTally) -> CaptureFile | None:
    with opened(path) as content:
        try:
            first = next(packets_of(content), None)
        except CutOffError:
            tally.cut_off.append(path.name)
            return None
    if first is None:
        tally.empty.append(path.name)
        return None
    return CaptureFile(path, first.link, first.time, path.stat().st_size)
