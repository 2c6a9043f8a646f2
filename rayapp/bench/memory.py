"""Memory of a process and of all that it started, as Linux tells it."""

from __future__ import annotations

from pathlib import Path

_PROC = Path("/proc")


def tree_memory(root: int) -> float | None:
    """GiB held by a process and all its descendants; ``None`` where the system does not say.

    Pages that several processes share count once altogether (proportional set sizes).
    """
    if not (_PROC / "self" / "smaps_rollup").exists():
        return None
    children: dict[int, list[int]] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (parent := _parent(entry)) is not None:
            children.setdefault(parent, []).append(int(entry.name))
    family, waiting = set[int](), [root]
    while waiting:
        process = waiting.pop()
        family.add(process)
        waiting += children.get(process, [])
    return sum(_proportional_kilobytes(process) for process in family) / 2**20


def _parent(entry: Path) -> int | None:
    try:
        # The name, in brackets, may hold anything.
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):  # it has ended meanwhile
        return None


def _proportional_kilobytes(process: int) -> int:
    try:
        rollup = (_PROC / str(process) / "smaps_rollup").read_text()
    except OSError:
        return 0
    lines = (line.split() for line in rollup.splitlines())
    return next((int(words[1]) for words in lines if words[0] == "Pss:"), 0)
