"""What every contender is: something that trains stretch by stretch."""

from __future__ import annotations

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

Setting = Mapping[str, int]
"""What a contender's user would choose for speed; the names are the contender's own."""


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


class Contender(Protocol):
    """One way to train."""

    def train(self) -> Stretch:
        """Goes on for a stretch: some flows, and learning from them."""
        ...

    def stop(self) -> None:
        """Frees what it holds."""
        ...


def flows_of(scenario: Scenario) -> FlowSet:
    """The flows that all contenders meet: those that ``kirl train`` meets by default."""
    return scenario.flow_set("train", matching="cross-fitted")


def network_of(flows: FlowSet) -> NetworkSpec:
    """The network that all contenders learn with, on the state of eq. 2."""
    from rayapp.rl.networks import NetworkSpec

    return NetworkSpec(
        signatures=len(flows.predicted),
        classes=len(flows.catalogue.classes),
        actions=len(flows.catalogue.actions),
        augmented=False,
        hidden=HIDDEN,
    )
