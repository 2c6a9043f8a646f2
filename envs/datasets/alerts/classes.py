"""Which class of the catalogue a rule predicts, by its id or its category.

Looked up in this order: what ``--labels`` says of the rule's id, its message or its category; the
catalogue's own names, labels and further labels; and the names that Suricata and Zeek ship with
(``classes.yaml``). Names are compared with case, dashes and spacing set aside.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from envs import plain_yaml
from envs.catalogue import Catalogue
from envs.datasets.alerts.reading import FiredRule
from envs.datasets.alerts.records import Account, read_records
from envs.datasets.labels import label_key
from envs.errors import InputError, quoted

SHIPPED = Path(__file__).with_name("classes.yaml")

DROP = "drop"
"""In place of a class: the alerts are left out."""

_SHOWN = 12


class UnmappedError(InputError):
    """Rules whose class nobody said.

    Attributes:
        draft: the lines of a file for ``--labels``, to be filled in.
    """

    draft: str = ""


@dataclass(frozen=True)
class Labels:
    """What a file for ``--labels`` says.

    Attributes:
        file: its name.
        classes: class, or :data:`DROP`, by label as it stands there.
    """

    file: str
    classes: Mapping[str, str]


@dataclass(frozen=True)
class ClassNames:
    """A catalogue's classes by all their names."""

    catalogue: Catalogue
    by_key: Mapping[str, int]

    @classmethod
    def of(cls, catalogue: Catalogue) -> ClassNames:
        """All names of a catalogue's classes; where two share a further label, the first has it."""
        by_key: dict[str, int] = {}
        for kind in ("names", "labels", "also"):
            for number, traffic in enumerate(catalogue.classes):
                known = (traffic.name,) if kind == "names" else getattr(traffic, kind)
                for name in known:
                    by_key.setdefault(label_key(name), number)
        return cls(catalogue, by_key)

    def index(self, name: str) -> int | None:
        """The class of that name, if there is one."""
        return self.by_key.get(label_key(name)) if name else None

    def suggestion(self, name: str) -> str | None:
        """The class whose name is nearest, if one is near."""
        near = difflib.get_close_matches(label_key(name[:200]), self.by_key, n=1, cutoff=0.75)
        return self.catalogue.class_names[self.by_key[near[0]]] if near else None

    @property
    def listed(self) -> str:
        """All classes, for messages."""
        return ", ".join(self.catalogue.class_names)


def read_labels(path: Path) -> Labels:
    """Reads a file for ``--labels``: YAML lines ``label: class``, or a CSV of two columns.

    Raises:
        InputError: it is neither, or says two things of one label.
    """
    if path.suffix.lower() == ".csv":
        return Labels(str(path), _of_csv(path))
    document = plain_yaml.read(path)
    if not isinstance(document.value, dict):
        raise InputError(
            "is no mapping",
            where=document.where(()),
            expected="lines such as 'Misc Attack: Scan'",
            mend="Write 'label: class' on each line",
        )
    for label, name in document.value.items():
        if not isinstance(name, str):
            raise InputError(
                f"the class of {quoted(label)} is no text",
                where=document.where((label,)),
                expected=f"the name of a class, or {DROP} to leave these alerts out",
                mend="Fill it in",
            )
    return Labels(str(path), dict(document.value))


def _of_csv(path: Path) -> dict[str, str]:
    classes: dict[str, str] = {}
    for line, row in read_records(path, Account()):
        if set(row) != {"label", "class"}:
            raise InputError(
                "the columns are " + ", ".join(map(quoted, list(row)[:5])),
                where=f"{path}, line 1",
                expected="label and class",
                mend="Name the two columns so",
            )
        if classes.setdefault(row["label"], row["class"]) != row["class"]:
            raise InputError(
                f"the label {quoted(row['label'])} has two classes",
                where=f"{path}, line {line}",
                mend="Remove one of the two lines",
            )
    return classes


def predicted_classes(
    rules: Iterable[FiredRule], catalogue: Catalogue, labels: Labels | None = None
) -> dict[str, int | None]:
    """The class that each rule predicts.

    Args:
        rules: that fired.
        catalogue: the classes.
        labels: what the user says; it counts before all else.

    Returns:
        Class index by the rule's id; ``None`` for a rule whose alerts are to be left out.

    Raises:
        UnmappedError: rules whose class nobody says, listed once with counts.
        InputError: the labels name a class that the catalogue does not have.
    """
    names = ClassNames.of(catalogue)
    said = told(labels, names)
    found: dict[str, int | None] = {}
    unmapped: Counter[str] = Counter()
    about: dict[str, str] = {}
    for fired in rules:
        rule, category = fired.rule, fired.category
        own = (rule.id, rule.id.removeprefix("1:"), rule.message, category)
        key = next((label_key(name) for name in own if name and label_key(name) in said), None)
        known = said[key] if key is not None else _known(names, rule.id, category)
        if key is None and known is None:
            label = category or rule.id
            unmapped[label] += fired.seen
            about[label] = "" if category else rule.message
        else:
            found[rule.id] = known
    if unmapped:
        raise _unmapped(unmapped, about, names)
    return found


def told(labels: Labels | None, names: ClassNames) -> dict[str, int | None]:
    """What the user's labels say: class index, or ``None`` for :data:`DROP`, by label's key.

    Raises:
        InputError: they name a class that the catalogue does not have.
    """
    said: dict[str, int | None] = {}
    for label, name in labels.classes.items() if labels else ():
        index = names.index(name)
        if index is None and label_key(name) != DROP:
            near = names.suggestion(name)
            raise InputError(
                f"there is no class {quoted(name)}, given for {quoted(label)}",
                where=labels.file if labels else None,
                expected=f"one of {names.listed}, or {DROP}",
                mend=f"Did you mean {near!r}?" if near else "Correct the class",
            )
        said[label_key(label)] = index
    return said


def _known(names: ClassNames, *texts: str) -> int | None:
    for text in texts:
        index = names.index(text)
        if index is None:
            index = names.index(_shipped().get(label_key(text), ""))
        if index is not None:
            return index
    return None


@cache
def _shipped() -> dict[str, str]:
    """Class of ``enterprise-network`` by the key of every name in the shipped file."""
    classes: dict[str, list[str]] = plain_yaml.read(SHIPPED).value
    return {label_key(name): traffic for traffic, listed in classes.items() for name in listed}


def _unmapped(unmapped: Counter[str], about: Mapping[str, str], names: ClassNames) -> UnmappedError:
    ordered = unmapped.most_common()
    shown = ", ".join(f"{quoted(label, 80)} ({count:,})" for label, count in ordered[:_SHOWN])
    rest = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    error = UnmappedError(
        f"nobody says what {len(ordered):,} label(s) mean, with so many alerts: {shown}{rest}",
        expected=f"for each of them one of {names.listed}; or {DROP}, to leave its alerts out",
        mend="Write a line 'label: class' for each to a file, and give it with --labels",
    )
    lines = []
    for label, count in ordered:
        near, message = names.suggestion(label), about[label]
        lines.append(
            f"{json.dumps(label, ensure_ascii=False)}: {near or '...'}  # {count:,} alerts"
            + (f", {message}" if message else "")
        )
    error.draft = "\n".join(lines)
    return error
