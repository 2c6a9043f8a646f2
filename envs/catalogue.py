"""Traffic classes, mitigations and what each choice earns.

A catalogue is data. The paper's (Tables I and II, eq. 3) is ``envs/catalogues/paper.yaml``, and
``kirl prepare --catalogue FILE`` takes one of your own (:mod:`envs.catalogue_file` reads it).
A scenario holds the catalogue that it was prepared with, so a graph, a policy and a scorecard
always use that one. No other module knows a class, an action or a reward by name or number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from envs.catalogue_terms import (
    MOST_ACTIONS,
    MOST_CLASSES,
    MOST_REWARD,
    OPENC2_ACTIONS,
    TECHNIQUE,
    Scope,
)
from envs.errors import InputError

FOLDER = Path(__file__).with_name("catalogues")


@dataclass(frozen=True)
class Mitigation:
    """One action.

    Attributes:
        name: what people call it.
        attack_id: its id in MITRE ATT&CK, ``None`` for an action that ATT&CK does not have. Two
            actions may have one id: ways to carry out the same mitigation.
        scope: what it is applied to.
        undo: whether it can be taken back.
        duration: seconds until it is taken back unless somebody says otherwise; ``None`` for an
            action that cannot be taken back.
        openc2: the OpenC2 action that carries it out, if there is one.
    """

    name: str
    attack_id: str | None
    scope: Scope = "none"
    undo: bool = False
    duration: int | None = None
    openc2: str | None = None

    @property
    def url(self) -> str | None:
        """The mitigation's page at attack.mitre.org."""
        if self.attack_id is None:
            return None
        return f"https://attack.mitre.org/mitigations/{self.attack_id}/"


@dataclass(frozen=True)
class TrafficClass:
    """One traffic class.

    Attributes:
        name: what people call it.
        labels: the data set's labels that are merged into it.
        ranking: indices of :attr:`Catalogue.actions`, best first. The first one earns
            :attr:`Ranks.top`, each later one 1 less, and all other actions :attr:`Ranks.miss`.
        rewards: in place of a ranking, the reward of every action.
        also: further labels that mean the class. They decide nothing: results are those of the
            class, whatever a file calls it.
        technique: ids of the MITRE ATT&CK techniques that the class stands for.
        about: one sentence that describes the class.
    """

    name: str
    labels: tuple[str, ...]
    ranking: tuple[int, ...] = ()
    rewards: tuple[int, ...] | None = None
    also: tuple[str, ...] = ()
    technique: tuple[str, ...] = ()
    about: str | None = None


@dataclass(frozen=True)
class Ranks:
    """What a ranking earns.

    The defaults are those of eq. 3. Manifests that were written before catalogues were files
    say nothing else.

    Attributes:
        top: reward of the first action of a ranking.
        miss: reward of an action that the ranking does not have.
    """

    top: int = 5
    miss: int = -5


EQUATION_3 = Ranks()


@dataclass(frozen=True)
class Catalogue:
    """What can be detected, what can be done about it, and what each choice earns.

    Attributes:
        classes: in index order.
        actions: in index order.
        ranks: what the classes' rankings earn.
        name: of the catalogue.
        benign_class: name of the class that is no attack, ``None`` if there is none.
        no_action: name of the action that does nothing, ``None`` if there is none.
    """

    classes: tuple[TrafficClass, ...]
    actions: tuple[Mitigation, ...]
    ranks: Ranks = EQUATION_3
    name: str = ""
    benign_class: str | None = None
    no_action: str | None = None

    @classmethod
    def read(cls, path: Path) -> Catalogue:
        """Reads a YAML file; :mod:`envs.catalogue_file` shows what stands in one.

        Raises:
            InputError: the file is no catalogue; it names the line and the field.
        """
        # It takes pydantic, which most of the package does without.
        from envs import catalogue_file

        return cls.from_json(catalogue_file.read(path))

    @classmethod
    def named(cls, name: str) -> Catalogue:
        """A catalogue that ships with the package, such as ``paper``, read once.

        Raises:
            InputError: there is none of that name.
        """
        return _shipped(name)

    @classmethod
    def find(cls, given: str) -> Catalogue:
        """The catalogue of that name that ships with the package, or else the one in that file.

        Raises:
            InputError: there is neither, or the file is no catalogue.
        """
        path = Path(given)
        if given not in shipped() and (path.suffix in {".yaml", ".yml"} or path.is_file()):
            return cls.read(path)
        return cls.named(given)

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """Class names in index order."""
        return tuple(c.name for c in self.classes)

    @cached_property
    def action_names(self) -> tuple[str, ...]:
        """Action names in index order."""
        return tuple(a.name for a in self.actions)

    @cached_property
    def by_attack_id(self) -> dict[str, str]:
        """The action that an ATT&CK id means: of several ways to carry it out the first one."""
        found: dict[str, str] = {}
        for action in self.actions:
            if action.attack_id is not None:
                found.setdefault(action.attack_id, action.name)
        return found

    @cached_property
    def rewards(self) -> NDArray[np.int8]:
        """Reward of each action for each actual class (eq. 3), int8 [classes, actions]."""
        table = np.full((len(self.classes), len(self.actions)), self.ranks.miss, dtype=np.int8)
        for row, traffic in enumerate(self.classes):
            if traffic.rewards is not None:
                table[row] = traffic.rewards
            for rank, action in enumerate(traffic.ranking):
                table[row, action] = self.ranks.top - rank
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
    def reward_scale(self) -> int:
        """The largest reward or loss, without its sign: divided by it, rewards are in -1 .. 1."""
        return max(self.highest_reward, -self.lowest_reward)

    @cached_property
    def best_actions(self) -> NDArray[np.int16]:
        """The action that earns most for each class, int16 [classes]; the first among equals."""
        best: NDArray[np.int16] = self.rewards.argmax(axis=1).astype(np.int16)
        best.setflags(write=False)
        return best

    @cached_property
    def benign(self) -> int:
        """Index of the class that is no attack; raises ``KeyError`` if there is none."""
        if self.benign_class is None:
            raise KeyError("this catalogue has no benign class")
        return self.class_index(self.benign_class)

    @cached_property
    def inaction(self) -> int:
        """Index of the action that does nothing; raises ``KeyError`` if there is none."""
        if self.no_action is None:
            raise KeyError("this catalogue has no action that does nothing")
        return self.action_names.index(self.no_action)

    def class_index(self, name: str) -> int:
        """Index of the class called ``name``; raises ``KeyError`` for an unknown one."""
        try:
            return self.class_names.index(name)
        except ValueError:
            raise KeyError(name) from None

    def deciding(self) -> dict[str, Any]:
        """What decides results, JSON-able; a scenario's fingerprint is taken over it.

        Names, ids, labels and rewards decide. Scope, duration and the like say how a mitigation
        is carried out, and further labels, techniques and a sentence say what a class is: they
        may change without a scenario becoming another one.
        """
        classes = [
            {"name": c.name, "labels": list(c.labels)}
            | ({"ranking": list(c.ranking)} if c.rewards is None else {"rewards": list(c.rewards)})
            for c in self.classes
        ]
        data: dict[str, Any] = {
            "actions": [{"name": a.name, "attack_id": a.attack_id} for a in self.actions],
            "classes": classes,
        }
        if self.ranks != EQUATION_3:
            data["ranks"] = {"top": self.ranks.top, "miss": self.ranks.miss}
        return data

    def to_json(self) -> dict[str, Any]:
        """A JSON-able form, written into a scenario's manifest; :meth:`from_json` reads it."""
        data = self.deciding()
        for entry, action in zip(data["actions"], self.actions, strict=True):
            entry |= {
                "scope": action.scope,
                "undo": action.undo,
                "duration": action.duration,
                "openc2": action.openc2,
            }
        for kind, traffic in zip(data["classes"], self.classes, strict=True):
            kind.update(_described(traffic))
        return data | {
            "name": self.name,
            "benign_class": self.benign_class,
            "no_action": self.no_action,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Catalogue:
        """The inverse of :meth:`to_json`; reads what :meth:`deciding` gives, too.

        Raises:
            ValueError, KeyError, TypeError: it describes no catalogue that makes sense.
        """
        actions = tuple(_mitigation(entry) for entry in data["actions"])
        classes = tuple(
            TrafficClass(
                entry["name"],
                tuple(entry["labels"]),
                tuple(entry.get("ranking", ())),
                None if entry.get("rewards") is None else tuple(entry["rewards"]),
                tuple(entry.get("also", ())),
                tuple(entry.get("technique", ())),
                entry.get("about"),
            )
            for entry in data["classes"]
        )
        ranks = Ranks(**data["ranks"]) if "ranks" in data else EQUATION_3
        made = cls(
            classes,
            actions,
            ranks,
            data.get("name", ""),
            data.get("benign_class"),
            data.get("no_action"),
        )
        _check(made)
        return made if "no_action" in data else _with_inaction(made)


def shipped() -> tuple[str, ...]:
    """Names of the catalogues that come with the package."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def _shipped(name: str) -> Catalogue:
    if name not in shipped():
        raise InputError(
            f"there is no catalogue {name!r}",
            expected=f"{', '.join(shipped())}, or a YAML file",
            mend="kirl catalogue list names those that ship with kirl",
        )
    return Catalogue.read(FOLDER / f"{name}.yaml")


def _described(traffic: TrafficClass) -> dict[str, Any]:
    """What a class says of itself that decides nothing; what it leaves out stays out."""
    said = {
        "also": list(traffic.also),
        "technique": list(traffic.technique),
        "about": traffic.about,
    }
    return {key: value for key, value in said.items() if value}


def _mitigation(entry: dict[str, Any]) -> Mitigation:
    made = Mitigation(
        entry["name"],
        entry["attack_id"],
        entry.get("scope", "none"),
        entry.get("undo", False),
        entry.get("duration"),
        entry.get("openc2"),
    )
    if made.attack_id is not None and not isinstance(made.attack_id, str):
        raise ValueError("an ATT&CK id is no text")
    if made.scope not in get_args(Scope) or not isinstance(made.undo, bool):
        raise ValueError("a mitigation has no known scope, or does not say if it can be undone")
    if made.openc2 is not None and made.openc2 not in OPENC2_ACTIONS:
        raise ValueError("a mitigation names no OpenC2 action")
    if made.duration is not None and not (type(made.duration) is int and made.duration > 0):
        raise ValueError("a duration is no number of seconds above 0")
    return made


def _with_inaction(catalogue: Catalogue) -> Catalogue:
    """Finds out what a catalogue of old does not say.

    Before a catalogue said which action does nothing, it was the one that ATT&CK has no id for,
    and the benign class was the one that this action is best for.
    """
    for traffic, best in zip(catalogue.classes, catalogue.best_actions.tolist(), strict=True):
        action = catalogue.actions[best]
        if action.attack_id is None:
            return replace(catalogue, benign_class=traffic.name, no_action=action.name)
    return catalogue


def _check(catalogue: Catalogue) -> None:
    """Raises ValueError for parts that do not fit together."""
    classes, actions, ranks = catalogue.classes, catalogue.actions, catalogue.ranks
    if not 0 < len(classes) <= MOST_CLASSES or not 0 < len(actions) <= MOST_ACTIONS:
        raise ValueError("no sensible number of classes or actions")
    for kind, names in (("actions", catalogue.action_names), ("classes", catalogue.class_names)):
        if not all(isinstance(name, str) and name.isprintable() for name in names):
            raise ValueError("a name cannot be printed")
        if len(set(names)) < len(names):
            raise ValueError(f"two {kind} of one name")
    numbers = [ranks.top, ranks.miss, *(n for c in classes for n in c.rewards or ())]
    if not all(type(n) is int and abs(n) <= MOST_REWARD for n in numbers):
        raise ValueError("a reward is no sensible whole number")
    for traffic in classes:
        _check_class(traffic, len(actions), ranks)
    if catalogue.benign_class not in (None, *catalogue.class_names):
        raise ValueError("the benign class is none of the classes")
    if catalogue.no_action not in (None, *catalogue.action_names):
        raise ValueError("the action that does nothing is none of the actions")


def _check_class(traffic: TrafficClass, actions: int, ranks: Ranks) -> None:
    if not all(type(n) is int and 0 <= n < actions for n in traffic.ranking):
        raise ValueError("a ranking names no action")
    if len(traffic.ranking) > ranks.top - ranks.miss:
        raise ValueError("a ranking is too long for the rewards")
    if traffic.rewards is None and not traffic.ranking:
        raise ValueError("a class says nothing of rewards")
    if traffic.rewards is not None and (traffic.ranking or len(traffic.rewards) != actions):
        raise ValueError("a class does not give every action one reward")
    if not all(isinstance(label, str) for label in (*traffic.labels, *traffic.also)):
        raise ValueError("a label is no text")
    if not all(isinstance(one, str) and TECHNIQUE.fullmatch(one) for one in traffic.technique):
        raise ValueError("a technique is no id of ATT&CK")
    if traffic.about is not None and not isinstance(traffic.about, str):
        raise ValueError("what a class is about is no text")
