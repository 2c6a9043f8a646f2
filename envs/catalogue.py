"""Traffic classes, mitigations, their ranking and the reward: the paper's constants as data.

Sources are the paper's Table I (classes), Table II (ranked mitigations) and eq. 3
(reward). Everything else in the project takes a :class:`Catalogue` and never names a
class or an action itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

TOP_REWARD = 5
"""Reward of the top-ranked mitigation (eq. 3 with k = 1)."""

MISS_REWARD = -5
"""Reward of any action that the class's ranking does not hold (eq. 3)."""

MOST_CLASSES, MOST_ACTIONS = 127, 10_000
"""Bounds of a catalogue; class indices are int8."""


@dataclass(frozen=True)
class Mitigation:
    """One action. ``attack_id`` is its MITRE ATT&CK id, or ``None`` for 'No Action'.

    Names are the paper's. For two of them ATT&CK says it otherwise today: M0818 (of the
    ICS matrix) is 'Validate Program Inputs', M1040 is 'Behavior Prevention on Endpoint'.
    """

    name: str
    attack_id: str | None

    @property
    def url(self) -> str | None:
        """The mitigation's page at attack.mitre.org."""
        if self.attack_id is None:
            return None
        return f"https://attack.mitre.org/mitigations/{self.attack_id}/"


@dataclass(frozen=True)
class TrafficClass:
    """One traffic class: the data set's labels merged into it, and its ranked actions.

    ``ranking`` holds indices into :attr:`Catalogue.actions`, best first.
    """

    name: str
    labels: tuple[str, ...]
    ranking: tuple[int, ...]


@dataclass(frozen=True)
class Catalogue:
    """What can be detected, what can be done about it, and what each choice earns."""

    classes: tuple[TrafficClass, ...]
    actions: tuple[Mitigation, ...]

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Class names in index order."""
        return tuple(c.name for c in self.classes)

    @cached_property
    def action_names(self) -> tuple[str, ...]:
        """Action names in index order."""
        return tuple(a.name for a in self.actions)

    @cached_property
    def rewards(self) -> NDArray[np.int8]:
        """Reward of each action for each actual class (eq. 3), int8 [classes, actions]."""
        table = np.full((len(self.classes), len(self.actions)), MISS_REWARD, dtype=np.int8)
        for row, traffic in enumerate(self.classes):
            for rank, action in enumerate(traffic.ranking):
                table[row, action] = TOP_REWARD - rank
        table.setflags(write=False)
        return table

    @cached_property
    def highest_reward(self) -> int:
        """The most that a flow can earn."""
        return int(self.rewards.max())

    @cached_property
    def lowest_reward(self) -> int:
        """The least that a flow can earn."""
        return int(self.rewards.min())

    @cached_property
    def best_actions(self) -> NDArray[np.int8]:
        """The top-ranked action of each class, int8 [classes]."""
        best = np.array([c.ranking[0] for c in self.classes], dtype=np.int8)
        best.setflags(write=False)
        return best

    def class_index(self, name: str) -> int:
        """Index of the class called ``name``; raises ``KeyError`` for an unknown one."""
        try:
            return self.class_names.index(name)
        except ValueError:
            raise KeyError(name) from None

    def to_json(self) -> dict[str, Any]:
        """A JSON-able form, written into a scenario's manifest."""
        return {
            "actions": [{"name": a.name, "attack_id": a.attack_id} for a in self.actions],
            "classes": [
                {"name": c.name, "labels": list(c.labels), "ranking": list(c.ranking)}
                for c in self.classes
            ],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Catalogue:
        """The inverse of :meth:`to_json`.

        Raises:
            ValueError: a name that cannot be printed or is there twice, a ranking outside of
                the actions, or too many of anything.
        """
        names = [entry["name"] for entry in (*data["actions"], *data["classes"])]
        places = [place for entry in data["classes"] for place in entry["ranking"]]
        if not all(isinstance(name, str) and name.isprintable() for name in names):
            raise ValueError("a name cannot be printed")
        actions = len(data["actions"])
        if not all(type(place) is int and 0 <= place < actions for place in places):
            raise ValueError("a ranking names no action")
        if any(len(entry["ranking"]) > TOP_REWARD - MISS_REWARD for entry in data["classes"]):
            raise ValueError("a ranking is too long for the rewards")
        if not 0 < len(data["classes"]) <= MOST_CLASSES or not 0 < actions <= MOST_ACTIONS:
            raise ValueError("no sensible number of classes or actions")
        for kind in ("actions", "classes"):
            if len({entry["name"] for entry in data[kind]}) < len(data[kind]):
                raise ValueError(f"two {kind} of one name")
        return cls(
            classes=tuple(
                TrafficClass(c["name"], tuple(c["labels"]), tuple(c["ranking"]))
                for c in data["classes"]
            ),
            actions=tuple(Mitigation(a["name"], a["attack_id"]) for a in data["actions"]),
        )


_ACTIONS = (
    Mitigation("Filter Network Traffic", "M1037"),
    Mitigation("Network Intrusion Prevention", "M1031"),
    Mitigation("Network Segmentation", "M1030"),
    Mitigation("Limit Access to Resource Over Network", "M1035"),
    Mitigation("Disable or Remove Feature or Program", "M1042"),
    Mitigation("Audit", "M1047"),
    Mitigation("Password Policies", "M1027"),
    Mitigation("Multi-factor Authentication", "M1032"),
    Mitigation("Account Use Policies", "M1036"),
    Mitigation("Behavior-based Traffic Analysis", "M1040"),
    Mitigation("Input Validation", "M0818"),
    Mitigation("Execution Prevention", "M1038"),
    Mitigation("Privileged Account Management", "M1026"),
    Mitigation("Update Software", "M1051"),
    Mitigation("No Action", None),
)


def _traffic(name: str, labels: tuple[str, ...], *attack_ids: str | None) -> TrafficClass:
    index = {action.attack_id: i for i, action in enumerate(_ACTIONS)}
    return TrafficClass(name, labels, tuple(index[attack_id] for attack_id in attack_ids))


PAPER = Catalogue(
    actions=_ACTIONS,
    classes=(
        _traffic("PortScan", ("PortScan",), "M1037", "M1031", "M1030", "M1035", "M1042"),
        _traffic(
            "DoS",
            ("DoS Hulk", "DoS GoldenEye", "DoS slowloris", "DoS Slowhttptest"),
            "M1037",
            "M1031",
            "M1030",
            "M1035",
            "M1047",
        ),
        _traffic("Benign", ("BENIGN",), None),
        _traffic("DDoS", ("DDoS",), "M1037", "M1031", "M1030", "M1035", "M1047"),
        _traffic("SSH-Patator", ("SSH-Patator",), "M1027", "M1032", "M1036", "M1037", "M1040"),
        _traffic("FTP-Patator", ("FTP-Patator",), "M1027", "M1032", "M1036", "M1037", "M1040"),
        _traffic(
            "Web",
            ("Web Attack - Brute Force", "Web Attack - XSS", "Web Attack - Sql Injection"),
            "M0818",
            "M1032",
            "M1038",
            "M1026",
            "M1040",
        ),
        _traffic(
            "Infiltration",
            ("Infiltration", "Bot", "Heartbleed"),
            "M1037",
            "M1051",
            "M1032",
            "M1026",
            "M1027",
        ),
    ),
)
"""The paper's eight classes, fourteen mitigations and 'No Action', in the paper's order."""
