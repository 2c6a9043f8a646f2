"""A first catalogue for labels of one's own, as text to fill in.

Labels that mean an attack which the catalogue ``enterprise-network`` has get the ranking of that
attack. What nobody can know, such as what to do about ``Zorp``, is marked with a comment, and
``kirl catalogue check`` names each such line until it is filled in.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from envs.catalogue import Catalogue, Mitigation, TrafficClass
from envs.catalogue_terms import MOST_CLASSES
from envs.errors import InputError, quoted
from envs.plain_yaml import text_of
from envs.spelling import label_key

MODEL = "enterprise-network"
"""The catalogue that drafts take rankings from."""

FILL_IN = "# Fill in:"
"""How a comment begins that marks what is to be filled in."""

_ALIKE = 0.9
"""How alike two labels are when one is a misspelling of the other; DoS and DDoS are 0.86."""

_LONGEST = 100
_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"), (1, "s"))


@dataclass(frozen=True)
class DraftClass:
    """One class of a draft.

    Attributes:
        name: of the class.
        labels: the labels that are merged into it.
        like: the class of the model whose ranking it takes; ``None`` if it is like none.
        sure: whether a label says what ``like`` is, rather than something spelled nearly so.
    """

    name: str
    labels: tuple[str, ...]
    like: TrafficClass | None
    sure: bool = True


@dataclass(frozen=True)
class Draft:
    """A catalogue to fill in.

    Attributes:
        text: of the YAML file.
        classes: in the labels' order.
        benign: the class that is no attack, ``None`` where that is to be filled in.
    """

    text: str
    classes: tuple[DraftClass, ...]
    benign: str | None

    @property
    def open(self) -> tuple[str, ...]:
        """Classes whose ranking is to be filled in."""
        return tuple(one.name for one in self.classes if one.like is None)


def draft(name: str, labels: Mapping[str, str], benign: str | None = None) -> Draft:
    """Starts a catalogue.

    Args:
        name: of the catalogue.
        labels: class by label, in the order in which the classes are to stand.
        benign: the class that is no attack; by default the first one that a label says it of.

    Raises:
        InputError: there are no labels or too many classes, a label or a name cannot stand in a
            catalogue, two labels of different classes cannot be told apart, or no class is called
            ``benign``.
    """
    _check_text(name, "name")
    model = Catalogue.named(MODEL)
    classes = _recognised(_merged(labels), model)
    known = model.classes[model.benign]
    if benign is None:
        benign = next((one.name for one in classes if one.like is known), None)
    elif benign not in {one.name for one in classes}:
        raise InputError(
            f"no label is called {quoted(benign)}",
            expected="one of the labels that are given",
            mend="Correct --benign",
        )
    else:
        classes = [
            DraftClass(one.name, one.labels, known) if one.name == benign else one
            for one in classes
        ]
    text = "\n".join(_lines(name, classes, benign, model)) + "\n"
    return Draft(text, tuple(classes), benign)


def _merged(labels: Mapping[str, str]) -> dict[str, list[str]]:
    """Labels by class; of spellings of one label the first is kept."""
    merged: dict[str, list[str]] = {}
    owners: dict[str, str] = {}
    for label, traffic in labels.items():
        _check_text(label, "label")
        _check_text(traffic, "class")
        owner = owners.setdefault(label_key(label), traffic)
        if label_key(owner) != label_key(traffic):
            raise InputError(
                f"the label {quoted(label)} is given the classes {quoted(owner)} and "
                f"{quoted(traffic)}",
                expected="one class for a label; case, spaces and signs do not count",
                mend="Give it once",
            )
        kept = merged.setdefault(owner, [])
        if label_key(label) not in map(label_key, kept):
            kept.append(label)
    if not 0 < len(merged) <= MOST_CLASSES:
        raise InputError(
            f"there are {len(merged):,} classes",
            expected=f"1 to {MOST_CLASSES}",
            mend="Give the labels, rather than another column; merge labels that need the same"
            if merged
            else "Give labels with --labels or --from",
        )
    return merged


def _check_text(text: str, kind: str) -> None:
    if not 0 < len(text) <= _LONGEST or not text.isprintable() or text != text.strip():
        raise InputError(
            f"the {kind} {quoted(text)} cannot stand in a catalogue",
            expected=f"a text of 1 to {_LONGEST} printable characters, without space around it",
            mend="Correct it",
        )


def _recognised(merged: Mapping[str, Sequence[str]], model: Catalogue) -> list[DraftClass]:
    known: dict[str, TrafficClass] = {}
    for traffic in model.classes:
        for label in (*traffic.labels, *traffic.also, traffic.name):
            known.setdefault(label_key(label), traffic)
    return [_like(name, labels, known) for name, labels in merged.items()]


def _like(name: str, labels: Sequence[str], known: Mapping[str, TrafficClass]) -> DraftClass:
    keys = [label_key(text) for text in (name, *labels)]
    for key in keys:
        if key in known:
            return DraftClass(name, tuple(labels), known[key])
    for key in keys:
        near = difflib.get_close_matches(key, known, n=1, cutoff=_ALIKE)
        if near:
            return DraftClass(name, tuple(labels), known[near[0]], sure=False)
    return DraftClass(name, tuple(labels), None)


def _lines(
    name: str, classes: Iterable[DraftClass], benign: str | None, model: Catalogue
) -> Iterator[str]:
    yield f"# Rankings are those of the catalogue {MODEL}, which says why they are as they are."
    yield "# 'kirl catalogue check' on this file names what is still to be filled in."
    yield f"name: {text_of(name)}"
    if benign is None:
        yield f"{FILL_IN} the class that is no attack; its ranking is [{model.no_action}]."
    yield "benign: " + (text_of(benign) if benign else "''")
    yield f"no_action: {model.no_action}"
    yield f"rewards: {{top: {model.ranks.top}, miss: {model.ranks.miss}}}"
    yield ""
    yield "mitigations:"
    for action in model.actions:
        yield f"  - {_mitigation(action)}"
    yield ""
    yield "classes:"
    for one in classes:
        yield from _class(one, model)


def _class(one: DraftClass, model: Catalogue) -> Iterator[str]:
    if one.like is not None and not one.sure:
        yield f"  # Taken for {one.like.name}, which is spelled nearly like it. Is it?"
    yield f"  - name: {text_of(one.name)}"
    if one.like is not None and one.like.about is not None:
        yield f"    about: {text_of(one.like.about)}"
    if one.like is not None and one.like.technique:
        yield f"    technique: [{', '.join(one.like.technique)}]"
    yield "    labels:"
    yield from (f"      - {text_of(label)}" for label in one.labels)
    if one.like is None:
        yield f"    {FILL_IN} what to do about it, best first; names stand under mitigations."
        yield "    ranking: []"
        return
    yield "    ranking:"
    yield from (f"      - {model.actions[action].name}" for action in one.like.ranking)


def _mitigation(action: Mitigation) -> str:
    said = {
        "name": action.name,
        "attack_id": action.attack_id,
        "scope": action.scope,
        "undo": str(action.undo).lower(),
        "duration": action.duration and duration(action.duration),
        "openc2": action.openc2,
    }
    return "{" + ", ".join(f"{key}: {value}" for key, value in said.items() if value) + "}"


def duration(seconds: int) -> str:
    """Seconds as a catalogue file writes them, in the largest unit that fits."""
    size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
    return f"{seconds // size}{unit}"
