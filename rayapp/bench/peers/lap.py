"""One contender's turn, in a process of its own: ``python -m rayapp.bench.peers.lap JSON``.

The clock runs from the first flow; what a contender does before (imports, building networks,
starting Ray) is told apart.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rayapp.bench.peers.contender import Contender, Setting, Stretch, Work

CONTENDERS = {
    "kirl ppo-kg": "kirl:ppo_kg",
    "kirl ppo": "kirl:ppo",
    "rllib ppo": "rllib:StockPPO",
    "stable-baselines3 ppo": "sb3:StableBaselines",
    "vowpal wabbit": "vowpal:Online",
    "tensor loop": "tensor_loop:TensorLoop",
}
"""Names, and module and callable that make one from :class:`Work`."""


@dataclass(frozen=True)
class Lap:
    """What one turn gave.

    Attributes:
        flows: trained on.
        seconds: from the first flow to the last gradient step.
        start_seconds: before the first flow.
        peak_gib: largest resident memory of the process itself.
        progress: (flows, seconds, average reward since the last) as it went.
    """

    flows: int
    seconds: float
    start_seconds: float
    peak_gib: float
    progress: list[tuple[int, float, float]]


def settings_of(name: str) -> tuple[Setting, ...]:
    """Settings that a contender may choose from; the fastest counts."""
    settings: tuple[Setting, ...] = _module(name).SETTINGS
    return settings


def run(name: str, work: Work, seconds: float) -> Lap:
    """Lets a contender train until flows or seconds are used up."""
    import torch

    # Networks this small lose by a second thread; so do the peers', which was tried.
    torch.set_num_threads(1)
    begun = time.perf_counter()
    make = getattr(_module(name), CONTENDERS[name].partition(":")[2])
    contender: Contender = make(work)
    started = time.perf_counter()
    flows, progress = 0, []
    try:
        while flows < work.flows and time.perf_counter() - started < seconds:
            stretch: Stretch = contender.train()
            flows += stretch.flows
            progress.append((flows, time.perf_counter() - started, stretch.reward))
        ended = time.perf_counter()
    finally:
        contender.stop()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    gib = peak / (2**30 if sys.platform == "darwin" else 2**20)
    return Lap(flows, ended - started, started - begun, gib, progress)


def _module(name: str) -> Any:  # noqa: ANN401
    return importlib.import_module(f"{__package__}.{CONTENDERS[name].partition(':')[0]}")


def main(order: str) -> None:
    """Runs one lap and writes it where the order says."""
    given = json.loads(order)
    work = Work(Path(given["scenario"]), given["flows"], Path(given["folder"]), given["setting"])
    lap = run(given["name"], work, given["seconds"])
    Path(given["result"]).write_text(json.dumps(asdict(lap)))


if __name__ == "__main__":
    main(sys.argv[1])
