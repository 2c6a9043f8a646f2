"""Drift: from some flow on, the traffic behind the same detections is another.

Two kinds that operators meet. An attack class changes its nature, so that another class's
mitigations are what it takes; or a signature goes stale and begins to match other traffic.
Either way P(true class | signature) changes and nobody tells the agent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from envs.catalogue import Catalogue
from envs.errors import InputError
from envs.state import FlowSet


@dataclass(frozen=True)
class Drift:
    """A change of traffic.

    Attributes:
        at: flows of the stream before it.
        becomes: true class of the changed flows.
        traffic: true class that changes; ``None`` where a signature goes stale.
        signature: the one that goes stale; ``None`` where a class changes.
    """

    at: int
    becomes: str
    traffic: str | None = None
    signature: int | None = None

    def __post_init__(self) -> None:
        if (self.traffic is None) == (self.signature is None):
            raise ValueError("either a class changes or a signature goes stale")
        if self.at < 0:
            raise ValueError("a drift cannot come before the first flow")

    def applied(self, flows: FlowSet) -> FlowSet:
        """The flows as they are after the drift.

        Raises:
            InputError: there is no such class or signature.
        """
        becomes = class_index(flows.catalogue, self.becomes)
        if self.traffic is not None:
            changed = flows.actual == class_index(flows.catalogue, self.traffic)
        else:
            if not 0 <= self.signature < len(flows.contexts.predicted):  # type: ignore[operator]
                raise InputError(
                    f"there is no signature {self.signature}",
                    expected=f"a number from 0 to {len(flows.contexts.predicted) - 1}",
                )
            changed = flows.signature == self.signature
        return replace(flows, actual=np.where(changed, np.int8(becomes), flows.actual))


def class_index(catalogue: Catalogue, name: str) -> int:
    """Index of a class by name; raises :class:`InputError` where there is none."""
    if name not in catalogue.class_names:
        raise InputError(
            f"there is no class {name!r}", expected=f"one of {', '.join(catalogue.class_names)}"
        )
    return catalogue.class_index(name)


def busiest_attack_signature(flows: FlowSet) -> int:
    """The signature that most flows match among those that predict an attack.

    Raises:
        InputError: no signature predicts one.
    """
    catalogue = flows.catalogue
    harmless = [catalogue.actions[best].attack_id is None for best in catalogue.best_actions]
    predicted = flows.contexts.predicted
    attack = ~np.array(harmless)[predicted]
    if not attack.any():
        raise InputError("no signature predicts an attack", expected="flows with attacks")
    matched = np.bincount(flows.signature, minlength=len(predicted))
    return int(np.argmax(np.where(attack, matched, -1)))
