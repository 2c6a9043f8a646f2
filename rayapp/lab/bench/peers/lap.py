"""One contender's turn, in a process of its own: ``python -m rayapp.lab.bench.peers.lap JSON``.

The clock runs from the first flow; what a contender does before (imports, building networks,
starting Ray) is told apart.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rayapp.lab.bench.peers.contender import Clock, Contender, Limits, Setting, Work
from rayapp.preparation.memory import TreeMemory

CONTENDERS = {
    "kirl ppo-kg": "kirl:ppo_kg",
    "kirl ppo": "kirl:ppo",
    "rllib ppo": "rllib:StockPPO",
    "stable-baselines3 ppo": "sb3:StableBaselines",
    "vowpal wabbit": "vowpal:InBlocks",
    "tensor loop": "tensor_loop:TensorLoop",
}
"""Names, and module and callable that make one from :class:`Work`."""


@dataclass(frozen=True)
class Lap:
    """What one turn gave.

    Attributes:
        flows: trained on.
        seconds: from the first flow to the last gradient step, or the last file if more than a
            policy is kept.
        start_seconds: before the first flow.
        peak_gib: most memory of the process and all it started, the same measure for everybody
            (:class:`rayapp.preparation.memory.TreeMemory`).
        goal_seconds: until a stretch's reward was the goal's; ``None`` if none was.
        goal_flows: trained on until then.
        reward: average of the last stretch.
    """

    flows: int
    seconds: float
    start_seconds: float
    peak_gib: float
    goal_seconds: float | None
    goal_flows: int | None
    reward: float

    @property
    def rate(self) -> float:
        """Environment steps per second, learning included."""
        return self.flows / self.seconds


def settings_of(name: str) -> tuple[Setting, ...]:
    """Settings that a contender may choose from; the fastest counts."""
    settings: tuple[Setting, ...] = _module(name).SETTINGS
    return settings


def run(name: str, work: Work, limits: Limits) -> Lap:
    """Lets a contender train until flows or limits are used up."""
    begun, clock = time.perf_counter(), Clock(work.flows, limits)
    with contextlib.ExitStack() as stack, TreeMemory() as memory:
        make = getattr(_module(name), CONTENDERS[name].partition(":")[2])
        contender: Contender = make(work)
        stack.callback(contender.stop)
        contender.run(clock)
    peak, (seconds, met) = memory.peak / 2**30, clock.reached or (None, None)
    start = clock.began - begun
    return Lap(clock.flows, clock.seconds, start, peak, seconds, met, clock.reward)


def _module(name: str) -> Any:  # noqa: ANN401
    return importlib.import_module(f"{__package__}.{CONTENDERS[name].partition(':')[0]}")


def main(order: str) -> None:
    """Runs one lap and writes it where the order says."""
    given = json.loads(order)
    work = Work(Path(given["scenario"]), given["flows"], Path(given["folder"]), given["setting"])
    lap = run(given["name"], work, Limits(**given["limits"]))
    Path(given["result"]).write_text(json.dumps(asdict(lap)))


if __name__ == "__main__":
    main(sys.argv[1])
