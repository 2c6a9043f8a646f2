"""A catalogue from a YAML file, checked; whatever does not fit is told by line and field.

What stands in a file (``envs/catalogues/paper.yaml`` is one)::

    name: my-network
    benign: Normal                  # the class that is no attack
    no_action: Do nothing           # the action that does nothing
    rewards: {top: 5, miss: -5}     # what a ranking earns: 5, 4, 3 ...; all else -5
    mitigations:
      - name: Block address
        attack_id: M1037            # in MITRE ATT&CK, if it is there
        scope: ip                   # ip, range, host, account, service or none
        undo: true
        duration: 4h                # until it is undone; s, m, h or d
        openc2: deny                # the OpenC2 action, if there is one
      - {name: Do nothing, scope: none, undo: false}
    classes:
      - {name: Normal, labels: [normal], ranking: [Do nothing]}
      - name: Scan
        labels: [scan, sweep]       # labels of the data set that are this class
        rewards: {Block address: 3, Do nothing: -2}    # in place of a ranking
        also: [Port Scan]           # further labels that mean the class; these decide nothing
        technique: T1046            # of MITRE ATT&CK; one id, or a list
        about: Ports are tried.     # one sentence
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from envs import plain_yaml
from envs.catalogue_fields import (
    CatalogueEntry,
    ClassEntry,
    MitigationEntry,
    RewardsEntry,
    meant,
    one_of,
    told,
)
from envs.errors import InputError, quoted
from envs.plain_yaml import Document, Location
from envs.spelling import label_key

MOST_FAULTS = 100
"""Faults that are looked for in one file. Each is told with a suggestion, which takes time."""

Entry = TypeVar("Entry", bound=BaseModel)


class _EnoughError(Exception):
    """A file has so many faults that no more are looked for."""


@dataclass(frozen=True)
class Fault:
    """Something in a file that does not fit.

    Attributes:
        line: where it stands, from 1.
        field: the way to it, such as ``classes[2].ranking``; empty for the file as a whole.
        error: what is wrong, what was expected, and what to do about it.
    """

    line: int
    field: str
    error: InputError


def read(path: Path) -> dict[str, Any]:
    """Reads a catalogue.

    Returns:
        What :meth:`envs.catalogue.Catalogue.from_json` takes.

    Raises:
        InputError: the file is no catalogue; it names the line and the field of the first fault,
            and how many more there are.
    """
    reader = _Reader(plain_yaml.read(path))
    found = reader.sorted_faults()
    if not found:
        return reader.data()
    first = found[0].error
    mend = str(first.mend)
    if len(found) > 1:
        more = f"{len(found) - 1} more fault{'s' if len(found) > 2 else ''}"
        mend = f"{mend.rstrip('.')}. 'kirl catalogue check' on this file tells {more}"
    raise InputError(first.what, where=first.where, expected=first.expected, mend=mend)


def faults(path: Path) -> list[Fault]:
    """Everything in a file that does not fit, by line; :data:`MOST_FAULTS` at most.

    Raises:
        InputError: the file cannot be read or is no plain YAML, so what stands in it is not known.
    """
    return _Reader(plain_yaml.read(path)).sorted_faults()


class _Reader:
    """Puts the parts of a file together; what does not fit is told by its place.

    A part that does not fit is left out, and the others are looked at all the same. Names of
    mitigations and classes are known even where the rest of their entry does not fit, so one
    fault is not told again wherever that name is used.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._faults: list[Fault] = []
        self._unsound: set[Location] = set()
        self._names: dict[str, dict[str, int]] = {"mitigations": {}, "classes": {}}
        self._mitigations: dict[int, dict[str, Any]] = {}
        self._classes: dict[int, dict[str, Any]] = {}
        with contextlib.suppress(_EnoughError):
            self._check()

    def _check(self) -> None:
        self._check_types()
        if () in self._unsound:
            return
        for kind in self._names:
            self._number(kind)
        self._rewards = self._entry(RewardsEntry, "rewards") or RewardsEntry(top=None, miss=None)
        self._check_labels()
        for number, mitigation in self._entries(MitigationEntry, "mitigations"):
            self._check_mitigation(number, mitigation)
        for number, traffic in self._entries(ClassEntry, "classes"):
            self._check_class(number, traffic)
        self._check_whole()

    def sorted_faults(self) -> list[Fault]:
        """All faults in the order of their lines."""
        return sorted(self._faults, key=lambda fault: fault.line)

    def data(self) -> dict[str, Any]:
        """The catalogue, with numbers in the place of names; there must be no faults."""
        value = self._document.value
        data: dict[str, Any] = {
            "name": value["name"],
            "benign_class": value["benign"],
            "no_action": value["no_action"],
            "actions": list(self._mitigations.values()),
            "classes": list(self._classes.values()),
        }
        top, miss = self._rewards.top, self._rewards.miss
        if top is not None and miss is not None:
            data["ranks"] = {"top": top, "miss": miss}
        return data

    def _check_types(self) -> None:
        """Tells what pydantic says, and remembers the parts of the file that it says it of."""
        try:
            CatalogueEntry.model_validate(self._document.value)
        except ValidationError as error:
            for one in error.errors(include_url=False):
                at = tuple(one["loc"])
                self._add(at, told(one, self._document))
                within = at[:1] in {("mitigations",), ("classes",)}
                self._unsound.add(at[:2] if within else at[:1])

    def _entry(self, model: type[Entry], *at: str | int) -> Entry | None:
        """A part of the file, or ``None`` where it is missing or does not fit."""
        if at in self._unsound:
            return None
        value = self._document.value
        for step in at:
            if isinstance(step, str) and step not in value:
                return None
            value = value[step]
        return model.model_validate(value)

    def _entries(self, model: type[Entry], kind: str) -> Iterator[tuple[int, Entry]]:
        """The parts of a list that fit, by their position."""
        for number in range(self._count(kind)):
            entry = self._entry(model, kind, number)
            if entry is not None:
                yield number, entry

    def _count(self, kind: str) -> int:
        return 0 if (kind,) in self._unsound else len(self._document.value[kind])

    def _number(self, kind: str) -> None:
        for number in range(self._count(kind)):
            entry = self._document.value[kind][number]
            name = entry.get("name") if isinstance(entry, dict) else None
            if not isinstance(name, str):
                continue
            if self._names[kind].setdefault(name, number) != number:
                self._fault(
                    (kind, number, "name"),
                    f"{quoted(name, 100)} is the name of two entries",
                    f"names that differ among the {kind}",
                    "Rename one of them",
                )

    def _check_labels(self) -> None:
        owners: dict[str, tuple[str, str, Location]] = {}
        for number, entry in self._entries(ClassEntry, "classes"):
            for kind, labels in (("labels", entry.labels), ("also", entry.also)):
                for place, label in enumerate(labels):
                    at = ("classes", number, kind, place)
                    own = (entry.name, label, at)
                    owner, known, first = owners.setdefault(label_key(label), own)
                    if first == at:
                        continue
                    spelt = "" if known == label else f", as {quoted(known, 100)}"
                    self._fault(
                        at,
                        f"label {quoted(label, 100)} belongs to {owner} already{spelt}",
                        "each label in one class, once; case, spaces and signs do not count",
                        "Remove it from one of the two",
                    )

    def _check_mitigation(self, number: int, entry: MitigationEntry) -> None:
        if entry.undo != (entry.duration is not None):
            self._fault(
                ("mitigations", number, "undo"),
                "it can be undone, but has no duration"
                if entry.undo
                else "it cannot be undone, but has a duration",
                "a duration where a mitigation can be undone, and none where it cannot",
                "Add or remove the duration, or correct undo",
            )
        self._mitigations[number] = entry.model_dump()

    def _check_class(self, number: int, entry: ClassEntry) -> None:
        at, before = ("classes", number), len(self._faults)
        data = entry.model_dump(exclude={"ranking", "rewards"})
        if (entry.ranking is None) == (entry.rewards is None):
            self._fault(
                at,
                f"{entry.name} has "
                + ("neither ranking nor rewards" if entry.ranking is None else "both"),
                "a ranking, or rewards per mitigation",
                "Give one of the two",
            )
        elif entry.rewards is not None:
            data["rewards"] = self._explicit(entry.rewards, (*at, "rewards"))
        else:
            data["ranking"] = self._ranked(entry.ranking or [], (*at, "ranking"))
        if len(self._faults) == before:
            self._classes[number] = data

    def _ranked(self, names: list[str], at: Location) -> list[int | None]:
        ranking: list[int | None] = []
        for place, name in enumerate(names):
            number = self._known("mitigations", name, (*at, place))
            if number is not None and number in ranking:
                self._fault(
                    (*at, place),
                    f"{quoted(name, 100)} is ranked twice",
                    "each mitigation once",
                    "Remove one of the two",
                )
            ranking.append(number)
        top, miss = self._rewards.top, self._rewards.miss
        if top is not None and miss is not None and top - len(names) < miss:
            self._fault(
                at,
                f"the last of {len(names)} ranks would earn {top - len(names) + 1}",
                f"more than a miss, {miss}",
                "Shorten the ranking, or set rewards.top and rewards.miss further apart",
            )
        return ranking

    def _explicit(self, given: dict[str, int], at: Location) -> list[int]:
        known = {
            self._known("mitigations", name, (*at, name)): reward for name, reward in given.items()
        }
        missing = [
            name for name, number in self._names["mitigations"].items() if number not in known
        ]
        miss = self._rewards.miss
        if missing and miss is None and ("rewards",) not in self._unsound:
            self._fault(
                at,
                f"{quoted(missing[0], 100)} has no reward",
                "a reward for every mitigation, or one for all others in rewards.miss",
                "Add it",
            )
        return [known.get(number, miss or 0) for number in range(self._count("mitigations"))]

    def _check_whole(self) -> None:
        """What only all parts together tell."""
        ranked = any("ranking" in traffic for traffic in self._classes.values())
        incomplete = None in (self._rewards.top, self._rewards.miss)
        if ranked and incomplete:
            if ("rewards",) not in self._unsound:
                self._fault(
                    ("rewards",),
                    "a class has a ranking, and nothing says what it earns",
                    "the keys top and miss, as in 'rewards: {top: 5, miss: -5}'",
                    "Add them, or give every class rewards of its own",
                )
            return
        self._check_benign()
        earned = {reward for traffic in self._classes.values() for reward in self._earned(traffic)}
        if len(earned) == 1 and len(self._classes) == self._count("classes"):
            self._fault(
                ("classes",),
                f"every action earns {earned.pop()} for every class",
                "rewards that differ, so that there is something to learn",
                "Correct the rankings or rewards",
            )

    def _check_benign(self) -> None:
        number = self._named("benign", "classes")
        inaction = self._named("no_action", "mitigations")
        traffic = None if number is None else self._classes.get(number)
        if traffic is None or inaction is None:
            return
        earned = self._earned(traffic)
        best = earned.index(max(earned))
        if best != inaction:
            self._fault(
                ("benign",),
                f"the best action for {traffic['name']} is {self._called(best)}",
                f"{self._called(inaction)}, the action that does nothing",
                "Correct the class's ranking or rewards",
            )

    def _called(self, action: int) -> str:
        return str(self._document.value["mitigations"][action]["name"])

    def _named(self, field: str, kind: str) -> int | None:
        """The number of what a field of the file names."""
        if (field,) in self._unsound:
            return None
        return self._known(kind, self._document.value[field], (field,))

    def _earned(self, traffic: dict[str, Any]) -> list[int]:
        """The reward of every action for a class."""
        if "rewards" in traffic:
            return list(traffic["rewards"])
        top, miss = self._rewards.top or 0, self._rewards.miss or 0
        ranks = {action: top - rank for rank, action in enumerate(traffic["ranking"])}
        return [ranks.get(number, miss) for number in range(self._count("mitigations"))]

    def _known(self, kind: str, name: str, at: Location) -> int | None:
        """The number of a name; one that nothing has is a fault, unless the names are unknown."""
        names = self._names[kind]
        if name in names or (kind,) in self._unsound:
            return names.get(name)
        one = {"mitigations": "mitigation", "classes": "class"}[kind]
        self._fault(at, f"no {one} is called {quoted(name, 60)}", one_of(names), meant(name, names))
        return None

    def _fault(self, at: Location, what: str, expected: str, mend: str) -> None:
        where = self._document.where(at)
        self._add(at, InputError(what, where=where, expected=expected, mend=mend))

    def _add(self, at: Location, error: InputError) -> None:
        if len(self._faults) == MOST_FAULTS:
            raise _EnoughError
        self._faults.append(Fault(self._document.line(at), plain_yaml.path(at), error))
