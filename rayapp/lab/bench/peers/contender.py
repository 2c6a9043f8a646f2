"""What every contender is: something that trains stretch by stretch, against a clock."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from envs import FlowSet, Scenario

if TYPE_CHECKING:
    # It takes torch, which --help does without.
    from rayapp.rl.networks import NetworkSpec

LEARNING_RATE = 3e-3
HIDDEN = (64, 64)

Setting = Mapping[str, int | str]
"""What a contender's user would choose for speed; the names are the contender's own."""


@dataclass(frozen=True)
class Limits:
    """When a turn ends, unless its flows are used up before.

    Attributes:
        seconds: that it trains for at least.
        goal: average reward of a stretch, exploration included, that it may train on for;
            ``None`` if there is none.
        patience: seconds after which it ends whether it has got there or not.
        stretches: that it trains for at least, however long they take.
    """

    seconds: float
    goal: float | None = None
    patience: float = 0.0
    stretches: int = 0

    def over(self, elapsed: float, reached: bool, stretches: int = 0) -> bool:
        """Whether this is enough."""
        wanted = self.seconds if reached or self.goal is None else self.patience
        return stretches >= self.stretches and elapsed >= max(wanted, self.seconds)


@dataclass(frozen=True)
class Work:
    """What a contender is given.

    Attributes:
        scenario: folder of the prepared scenario.
        flows: to train on at most; schedules may refer to it.
        folder: for its files, empty.
        setting: one of its own.
    """

    scenario: Path
    flows: int
    folder: Path
    setting: Setting


@dataclass(frozen=True)
class Stretch:
    """What happened between two looks at the clock.

    Attributes:
        flows: trained on, a learning step on all of them included.
        reward: average per flow, exploration included.
    """

    flows: int
    reward: float


class Clock:
    """Runs from a turn's first flow, and knows when the turn is over.

    Attributes:
        flows: trained on so far.
        seconds: from the first flow to the end of the last stretch.
        reached: seconds and flows when a stretch's reward first was the goal's.
        reward: average of the last stretch.
        began: when the first flow came, by :func:`time.perf_counter`.
    """

    def __init__(self, flows: int, limits: Limits) -> None:
        self._wanted, self._limits, self._stretches = flows, limits, 0
        self.flows, self.seconds, self.reward = 0, 0.0, 0.0
        self.reached: tuple[float, int] | None = None
        self.began = time.perf_counter()

    def start(self, ago: float = 0.0) -> None:
        """The first flow comes now, or came some seconds ago."""
        self.began = time.perf_counter() - ago

    def tell(self, stretch: Stretch) -> None:
        """A stretch has ended."""
        self.seconds = time.perf_counter() - self.began
        self._stretches += 1
        self.flows, self.reward = self.flows + stretch.flows, stretch.reward
        goal = self._limits.goal
        if self.reached is None and goal is not None and stretch.reward >= goal:
            self.reached = self.seconds, self.flows

    def stop(self, at: float) -> None:
        """Work that belongs to the training ended then, later than its last stretch."""
        self.seconds = max(self.seconds, at - self.began)

    @property
    def over(self) -> bool:
        """Whether the turn is."""
        reached = self.reached is not None
        enough = self._limits.over(self.seconds, reached, self._stretches)
        return self.flows >= self._wanted or enough


class Contender(Protocol):
    """One way to train."""

    def run(self, clock: Clock) -> None:
        """Trains until the clock says that it is over; starts it with the first flow."""
        ...

    def stop(self) -> None:
        """Frees what it holds."""
        ...


class Peer(ABC):
    """A contender that trains one stretch at a time, so that the clock can be read between them."""

    def run(self, clock: Clock) -> None:
        """Trains until the clock says that it is over."""
        clock.start()
        while not clock.over:
            clock.tell(self.train())

    @abstractmethod
    def train(self) -> Stretch:
        """Goes on for a stretch: some flows, and learning from them."""

    def stop(self) -> None:  # noqa: B027 (most have nothing to do here)
        """Frees what it holds: by default there is nothing."""


def use_one_thread() -> None:
    """Lets torch compute in one thread.

    Networks this small lose by a second one; so do the peers', which was tried.
    """
    import torch

    torch.set_num_threads(1)


def flows_of(scenario: Scenario) -> FlowSet:
    """The flows that all contenders meet: those that ``kirl train`` meets by default."""
    return scenario.flow_set("train", matching="cross-fitted")


def network_of(flows: FlowSet) -> NetworkSpec:
    """The network that all contenders learn with, on the state of eq. 2."""
    from rayapp.rl.networks import NetworkSpec

    return NetworkSpec(
        signatures=len(flows.contexts.predicted),
        classes=len(flows.catalogue.classes),
        actions=len(flows.catalogue.actions),
        augmented=False,
        reward_scale=flows.catalogue.reward_scale,
        hidden=HIDDEN,
    )
