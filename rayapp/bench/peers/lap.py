"""One contender's turn, in a process of its own: ``python -m rayapp.bench.peers.lap JSON``.

The clock runs from the first flow; what a contender does before (imports, building networks,
starting Ray) is told apart.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rayapp.bench.peers.contender import Contender, Setting, Stretch, Work
from rayapp.preparation.memory import own_peak

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
class Limits:
    """When a turn ends, unless its flows are used up before.

    Attributes:
        seconds: that it trains for at least.
        goal: average reward of a stretch, exploration included, that it may train on for;
            ``None`` if there is none.
        patience: seconds after which it ends whether it has got there or not.
    """

    seconds: float
    goal: float | None = None
    patience: float = 0.0

    def over(self, elapsed: float, reached: bool) -> bool:
        """Whether this is enough."""
        wanted = self.seconds if reached or self.goal is None else self.patience
        return elapsed >= max(wanted, self.seconds)


@dataclass(frozen=True)
class Lap:
    """What one turn gave.

    Attributes:
        flows: trained on.
        seconds: from the first flow to the last gradient step.
        start_seconds: before the first flow.
        peak_gib: largest resident memory of the process itself.
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
    import torch

    # Networks this small lose by a second thread; so do the peers', which was tried.
    torch.set_num_threads(1)
    begun = time.perf_counter()
    make = getattr(_module(name), CONTENDERS[name].partition(":")[2])
    contender: Contender = make(work)
    started = time.perf_counter()
    flows, elapsed, stretch = 0, 0.0, Stretch(0, 0.0)
    reached: tuple[float, int] | None = None
    try:
        while flows < work.flows and not limits.over(elapsed, reached is not None):
            stretch = contender.train()
            flows, elapsed = flows + stretch.flows, time.perf_counter() - started
            if reached is None and limits.goal is not None and stretch.reward >= limits.goal:
                reached = elapsed, flows
    finally:
        contender.stop()
    seconds, met = reached or (None, None)
    return Lap(flows, elapsed, started - begun, own_peak() / 2**30, seconds, met, stretch.reward)


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
