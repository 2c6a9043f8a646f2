"""How much memory a command takes with all the processes that it has started.

Ray's workers share the object store's pages, so their resident sizes cannot be added up. Linux
reports each process's proportional share of shared pages; these shares can be added up.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")

_SECONDS = 0.2
"""Least time between two measurements."""

_BUSY = 0.02
"""Largest share of a processor that measuring takes; a dozen large processes are not free."""


class TreeMemory:
    """Peak memory of this process and its descendants while the block runs.

    The operating system keeps this process's own peak. Its descendants are measured every fifth
    of a second (less often where that would take more than a fiftieth of a processor) and once
    more when the block ends. The two peaks are added, so the sum may be more than was in use at
    any one time; pages of the object store that this process holds count twice.

    Where there is no ``/proc`` (macOS), descendants are not measured and :attr:`whole` is false.
    """

    def __init__(self) -> None:
        self._others = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.whole = (_PROC / "self" / "smaps_rollup").is_file()

    def __enter__(self) -> TreeMemory:
        if self.whole:
            self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        if self.whole:
            self._thread.join()
            self._look()

    @property
    def peak(self) -> int:
        """Bytes so far."""
        return self._others + own_peak()

    def _watch(self) -> None:
        pause = _SECONDS
        while not self._stop.wait(pause):
            begun = time.thread_time()
            self._look()
            pause = max(_SECONDS, (time.thread_time() - begun) / _BUSY)

    def _look(self) -> None:
        self._others = max(self._others, sum(map(share, descendants(os.getpid()))))


def own_peak() -> int:
    """Largest resident memory of this process so far, in bytes.

    On Linux this is the peak since the program began. ``getrusage`` would include what a process
    inherits: the peak of the process that started it.
    """
    with contextlib.suppress(OSError):
        for line in (_PROC / "self" / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes everywhere but on macOS.
    return peak * (1 if sys.platform == "darwin" else 1024)


def descendants(process: int) -> list[int]:
    """Process numbers of a process's children, their children, and so on."""
    children: dict[int, list[int]] = {}
    for number, parent in _parents():
        children.setdefault(parent, []).append(number)
    found, waiting = [], [process]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for entry in _PROC.iterdir():
        if entry.name.isdigit():
            # Processes end while they are looked at.
            with contextlib.suppress(OSError):
                # The name, in brackets, may hold anything; the parent is two fields behind it.
                after = (entry / "stat").read_text(errors="replace").rpartition(")")[2]
                yield int(entry.name), int(after.split()[1])


def share(process: int) -> int:
    """A process's proportional share of the memory that it has mapped, in bytes."""
    with contextlib.suppress(OSError):
        for line in (_PROC / str(process) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
