"""The fields of a catalogue file: what each may hold, and what is said of one that does not fit."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import ErrorDetails

from envs.catalogue_terms import (
    MOST_ACTIONS,
    MOST_CLASSES,
    MOST_REWARD,
    OPENC2_ACTIONS,
    TECHNIQUE,
    Scope,
)
from envs.errors import InputError
from envs.plain_yaml import Document

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


class RewardsEntry(_Model):
    """What a ranking earns."""

    top: _Reward | None = Field(None, description=_A_REWARD)
    miss: _Reward | None = Field(None, description=_A_REWARD)


class MitigationEntry(_Model):
    """One mitigation."""

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


class ClassEntry(_Model):
    """One class."""

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


class CatalogueEntry(_Model):
    """The whole file."""

    name: _Name = Field(description=_A_NAME)
    benign: str = Field(description="the name of the class that is no attack")
    no_action: str = Field(description="the name of the mitigation that does nothing")
    rewards: RewardsEntry = Field(
        default_factory=lambda: RewardsEntry(top=None, miss=None),
        description="the keys top and miss",
    )
    mitigations: list[MitigationEntry] = Field(
        min_length=1, max_length=MOST_ACTIONS, description=f"a list of 1 to {MOST_ACTIONS:,}"
    )
    classes: list[ClassEntry] = Field(
        min_length=1, max_length=MOST_CLASSES, description=f"a list of 1 to {MOST_CLASSES}"
    )


_BELOW: dict[tuple[type[_Model], str], type[_Model]] = {
    (CatalogueEntry, "mitigations"): MitigationEntry,
    (CatalogueEntry, "classes"): ClassEntry,
    (CatalogueEntry, "rewards"): RewardsEntry,
}


def told(error: ErrorDetails, document: Document) -> InputError:
    """One of pydantic's complaints in words of the file."""
    at = tuple(error["loc"])
    model, expected = _described(at)
    if error["type"] == "missing":
        what, mend = f"{at[-1]!r} is missing", "Add it"
    elif error["type"] == "extra_forbidden":
        model, _ = _described(at[:-1])
        what, expected = f"unknown key {str(at[-1])[:60]!r}", one_of(model.model_fields)
        mend = meant(str(at[-1]), model.model_fields)
    else:
        shown = repr(error["input"])
        what = f"{shown if len(shown) <= 60 else shown[:60] + '...'} does not fit here"
        mend = "Correct it"
    return InputError(what, where=document.where(at), expected=expected, mend=mend)


def one_of(names: Iterable[str]) -> str:
    """What was expected: one of these names."""
    listed = list(names)
    return "one of " + ", ".join(listed[:20]) + (", ..." if len(listed) > 20 else "")


def meant(name: str, known: Iterable[str]) -> str:
    """What to do about an unknown name: take the one that is most like it."""
    near = difflib.get_close_matches(name[:60], list(known)[:1_000], n=1)
    return f"Did you mean {near[0]!r}?" if near else "Correct the name"


def _described(location: tuple[str | int, ...]) -> tuple[type[_Model], str]:
    """The model that holds a value, and what was expected there."""
    model: type[_Model] = CatalogueEntry
    expected = "a mapping with the keys " + ", ".join(CatalogueEntry.model_fields)
    for step in location:
        known = model.model_fields.get(step) if isinstance(step, str) else None
        if known is not None:
            expected = known.description or expected
            model = _BELOW.get((model, str(step)), model)
    return model, expected
