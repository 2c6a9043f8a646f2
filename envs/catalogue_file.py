"""A catalogue from a YAML file, checked, with messages that name line and field.

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

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from envs import plain_yaml
from envs.catalogue_terms import (
    MOST_ACTIONS,
    MOST_CLASSES,
    MOST_REWARD,
    OPENC2_ACTIONS,
    TECHNIQUE,
    Scope,
)
from envs.errors import InputError
from envs.plain_yaml import Document, Location

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def _name(text: str) -> str:
    if not text.isprintable() or text != text.strip():
        raise ValueError("not printable")
    return text


def _seconds(given: Any) -> Any:  # noqa: ANN401 (before validation)
    found = re.fullmatch(r"([1-9][0-9]{0,8})([smhd])", given) if isinstance(given, str) else None
    if given is not None and found is None:
        raise ValueError("not a duration")
    return found and int(found[1]) * _SECONDS[found[2]]


def _openc2(text: str) -> str:
    if text not in OPENC2_ACTIONS:
        raise ValueError("not an OpenC2 action")
    return text


def _listed(given: Any) -> Any:  # noqa: ANN401 (before validation)
    return [given] if isinstance(given, str) else given


_Technique = Annotated[str, Field(pattern=f"^{TECHNIQUE.pattern}$")]
_Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_name)]
_Reward = Annotated[int, Field(ge=-MOST_REWARD, le=MOST_REWARD)]
_A_REWARD = f"a whole number from {-MOST_REWARD} to {MOST_REWARD}"
_A_NAME = "a text of 1 to 100 printable characters"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Rewards(_Model):
    top: _Reward | None = Field(None, description=_A_REWARD)
    miss: _Reward | None = Field(None, description=_A_REWARD)


class _Mitigation(_Model):
    name: _Name = Field(description=_A_NAME)
    attack_id: str | None = Field(
        None, pattern=r"^M[0-9]{4}$", description="the id of an ATT&CK mitigation, such as M1037"
    )
    scope: Scope = Field(description="one of " + ", ".join(get_args(Scope)))
    undo: bool = Field(description="true if the mitigation can be taken back, else false")
    duration: Annotated[int | None, BeforeValidator(_seconds)] = Field(
        None, description="a time such as 90s, 30m, 4h or 7d"
    )
    openc2: Annotated[str, AfterValidator(_openc2)] | None = Field(
        None, description="one of " + ", ".join(OPENC2_ACTIONS)
    )


class _Class(_Model):
    name: _Name = Field(description=_A_NAME)
    labels: list[_Name] = Field(min_length=1, description="a list with one label or more")
    ranking: list[str] | None = Field(
        None, min_length=1, description="a list of mitigations, best first"
    )
    rewards: dict[str, _Reward] | None = Field(
        None, min_length=1, description=f"mitigations, each with {_A_REWARD}"
    )
    also: list[_Name] = Field([], description="a list of further labels that mean the class")
    technique: Annotated[list[_Technique], BeforeValidator(_listed)] = Field(
        [], description="the id of an ATT&CK technique, such as T1046 or T1110.001, or a list"
    )
    about: Annotated[str, Field(min_length=1, max_length=300), AfterValidator(_name)] | None = (
        Field(None, description="one sentence of at most 300 printable characters")
    )


class _File(_Model):
    name: _Name = Field(description=_A_NAME)
    benign: str = Field(description="the name of the class that is no attack")
    no_action: str = Field(description="the name of the mitigation that does nothing")
    rewards: _Rewards = Field(
        default_factory=lambda: _Rewards(top=None, miss=None), description="the keys top and miss"
    )
    mitigations: list[_Mitigation] = Field(
        min_length=1, max_length=MOST_ACTIONS, description=f"a list of 1 to {MOST_ACTIONS:,}"
    )
    classes: list[_Class] = Field(
        min_length=1, max_length=MOST_CLASSES, description=f"a list of 1 to {MOST_CLASSES}"
    )


def read(path: Path) -> dict[str, Any]:
    """Reads a catalogue.

    Returns:
        What :meth:`envs.catalogue.Catalogue.from_json` takes.

    Raises:
        InputError: the file is no catalogue; it names the line and the field.
    """
    document = plain_yaml.read(path)
    try:
        file = _File.model_validate(document.value)
    except ValidationError as error:
        raise _told(error, document) from None
    return _Reader(document, file).data()


class _Reader:
    """Puts the parts of a file together; what does not fit is told by its place."""

    def __init__(self, document: Document, file: _File) -> None:
        self._document, self._file = document, file
        self._actions = self._numbered("mitigations", [m.name for m in file.mitigations])
        self._classes = self._numbered("classes", [c.name for c in file.classes])

    def data(self) -> dict[str, Any]:
        """The catalogue, with numbers in the place of names."""
        file = self._file
        self._check_labels()
        classes = [self._traffic(number) for number in range(len(file.classes))]
        benign = classes[self._known(self._classes, file.benign, "class", ("benign",))]
        inaction = self._action(file.no_action, ("no_action",))
        earned = self._earned(benign)
        best = earned.index(max(earned))
        if best != inaction:
            raise self._error(
                ("benign",),
                f"the best action for {file.benign} is {file.mitigations[best].name}",
                f"{file.no_action}, the action that does nothing",
                "Correct the class's ranking or rewards",
            )
        if len({reward for traffic in classes for reward in self._earned(traffic)}) == 1:
            raise self._error(
                ("classes",),
                f"every action earns {earned[0]} for every class",
                "rewards that differ, so that there is something to learn",
                "Correct the rankings or rewards",
            )
        data: dict[str, Any] = {
            "name": file.name,
            "benign_class": file.benign,
            "no_action": file.no_action,
            "actions": [self._mitigation(number) for number in range(len(file.mitigations))],
            "classes": classes,
        }
        top, miss = file.rewards.top, file.rewards.miss
        if top is not None and miss is not None:
            data["ranks"] = {"top": top, "miss": miss}
        return data

    def _earned(self, traffic: dict[str, Any]) -> list[int]:
        """The reward of every action for a class."""
        if "rewards" in traffic:
            return list(traffic["rewards"])
        top, miss = self._file.rewards.top or 0, self._file.rewards.miss or 0
        ranks = {action: top - rank for rank, action in enumerate(traffic["ranking"])}
        return [ranks.get(number, miss) for number in range(len(self._actions))]

    def _numbered(self, kind: str, names: list[str]) -> dict[str, int]:
        for number, name in enumerate(names):
            if names.index(name) < number:
                raise self._error(
                    (kind, number, "name"),
                    f"{name!r} is the name of two entries",
                    f"names that differ among the {kind}",
                    "Rename one of them",
                )
        return {name: number for number, name in enumerate(names)}

    def _check_labels(self) -> None:
        owners: dict[str, str] = {}
        for number, entry in enumerate(self._file.classes):
            for place, label in enumerate(entry.labels):
                if label in owners:
                    raise self._error(
                        ("classes", number, "labels", place),
                        f"label {label!r} belongs to {owners[label]} already",
                        "each label in one class",
                        "Remove it from one of the two",
                    )
                owners[label] = entry.name

    def _mitigation(self, number: int) -> dict[str, Any]:
        entry = self._file.mitigations[number]
        if entry.undo != (entry.duration is not None):
            raise self._error(
                ("mitigations", number, "undo"),
                "it can be undone, but has no duration"
                if entry.undo
                else "it cannot be undone, but has a duration",
                "a duration where a mitigation can be undone, and none where it cannot",
                "Add or remove the duration, or correct undo",
            )
        return entry.model_dump()

    def _traffic(self, number: int) -> dict[str, Any]:
        entry, at = self._file.classes[number], ("classes", number)
        if (entry.ranking is None) == (entry.rewards is None):
            raise self._error(
                at,
                f"{entry.name} has "
                + ("neither ranking nor rewards" if entry.ranking is None else "both"),
                "a ranking, or rewards per mitigation",
                "Give one of the two",
            )
        data = entry.model_dump(exclude={"ranking", "rewards"})
        if entry.rewards is not None:
            return data | {"rewards": self._explicit(entry.rewards, (*at, "rewards"))}
        return data | {"ranking": self._ranked(entry.ranking or [], (*at, "ranking"))}

    def _ranked(self, names: list[str], at: Location) -> list[int]:
        top, miss = self._file.rewards.top, self._file.rewards.miss
        if top is None or miss is None:
            raise self._error(
                ("rewards",),
                "a class has a ranking, and nothing says what it earns",
                "the keys top and miss, as in 'rewards: {top: 5, miss: -5}'",
                "Add them, or give every class rewards of its own",
            )
        ranking = [self._action(name, (*at, i)) for i, name in enumerate(names)]
        for place, action in enumerate(ranking):
            if ranking.index(action) < place:
                raise self._error(
                    (*at, place),
                    f"{names[place]!r} is ranked twice",
                    "each mitigation once",
                    "Remove one of the two",
                )
        if top - len(ranking) < miss:
            raise self._error(
                at,
                f"the last of {len(ranking)} ranks would earn {top - len(ranking) + 1}",
                f"more than a miss, {miss}",
                "Shorten the ranking, or set rewards.top and rewards.miss further apart",
            )
        return ranking

    def _explicit(self, given: dict[str, int], at: Location) -> list[int]:
        known = {self._action(name, (*at, name)): reward for name, reward in given.items()}
        missing = [name for name, number in self._actions.items() if number not in known]
        miss = self._file.rewards.miss
        if missing and miss is None:
            raise self._error(
                at,
                f"{missing[0]!r} has no reward",
                "a reward for every mitigation, or one for all others in rewards.miss",
                "Add it",
            )
        return [known.get(number, miss or 0) for number in range(len(self._actions))]

    def _action(self, name: str, at: Location) -> int:
        return self._known(self._actions, name, "mitigation", at)

    def _known(self, numbers: dict[str, int], name: str, kind: str, at: Location) -> int:
        if name not in numbers:
            raise self._error(
                at, f"no {kind} is called {name[:60]!r}", _one_of(numbers), _meant(name, numbers)
            )
        return numbers[name]

    def _error(self, at: Location, what: str, expected: str, mend: str) -> InputError:
        return InputError(what, where=self._document.where(at), expected=expected, mend=mend)


_BELOW: dict[tuple[type[_Model], str], type[_Model]] = {
    (_File, "mitigations"): _Mitigation,
    (_File, "classes"): _Class,
    (_File, "rewards"): _Rewards,
}


def _described(location: Location) -> tuple[type[_Model], str]:
    """The model that holds a value, and what was expected there."""
    model: type[_Model] = _File
    expected = "a mapping with the keys " + ", ".join(_File.model_fields)
    for step in location:
        known = model.model_fields.get(step) if isinstance(step, str) else None
        if known is not None:
            expected = known.description or expected
            model = _BELOW.get((model, str(step)), model)
    return model, expected


def _told(error: ValidationError, document: Document) -> InputError:
    """The first of pydantic's complaints in words of the file."""
    first = error.errors()[0]
    at = tuple(first["loc"])
    model, expected = _described(at)
    if first["type"] == "missing":
        what, mend = f"{at[-1]!r} is missing", "Add it"
    elif first["type"] == "extra_forbidden":
        model, _ = _described(at[:-1])
        what, expected = f"unknown key {str(at[-1])[:60]!r}", _one_of(model.model_fields)
        mend = _meant(str(at[-1]), model.model_fields)
    else:
        shown = repr(first["input"])
        what = f"{shown if len(shown) <= 60 else shown[:60] + '...'} does not fit here"
        mend = "Correct it"
    return InputError(what, where=document.where(at), expected=expected, mend=mend)


def _one_of(names: Iterable[str]) -> str:
    listed = list(names)
    return "one of " + ", ".join(listed[:20]) + (", ..." if len(listed) > 20 else "")


def _meant(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name[:60], list(known)[:1_000], n=1)
    return f"Did you mean {near[0]!r}?" if near else "Correct the name"
