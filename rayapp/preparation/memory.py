"""How much memory a command takes with all the processes that it has started.

Ray's workers share the object store's pages, so resident sizes cannot be added up. Linux
tells each process's proportional share of such pages; those can be.
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
"""Between two looks, at least."""

_BUSY = 0.02
"""Share of a processor that looking may take: a look at a dozen large processes is not free."""


class TreeMemory:
    """Peak memory of this process and its descendants while the block runs.

    This process's own peak is what the system keeps, so none is missed while it is too busy
    to look; the others are looked at every fifth of a second, or less often where that would
    take more than a fiftieth of a processor, and once more when the block ends. The two peaks are
    added, which may be more than there was at any one time, and pages of the object store that
    this process holds count twice.

    Where there is no ``/proc`` (macOS), the other processes are not seen, and :attr:`whole`
    says so.
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

    On Linux that of the program, which begins anew with it. What ``getrusage`` tells goes back
    to before: a process inherits the peak of the one that started it.
    """
    with contextlib.suppress(OSError):
        for line in (_PROC / "self" / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Kilobytes everywhere but on macOS.
    return peak * (1 if sys.platform == "darwin" else 1024)


def descendants(process: int) -> list[int]:
    """Process numbers of all that a process has started, and they in turn."""
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
    """A process's share of all memory that it has mapped, in bytes."""
    with contextlib.suppress(OSError):
        for line in (_PROC / str(process) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0
