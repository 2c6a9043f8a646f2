"""Which class of the catalogue a rule predicts, by its id or its category.

Looked up in this order: what ``--labels`` says of the rule's id, its message or its category; the
catalogue's own names, labels and further labels; and the names that Suricata and Zeek ship with
(``classes.yaml``). Names are compared by their letters and digits, ids as they stand.
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
from envs.datasets.labels import DROP, LEFT_OUT, UNKNOWN, Labelling
from envs.errors import InputError, quoted
from envs.spelling import label_key

SHIPPED = Path(__file__).with_name("classes.yaml")

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


def labelling_of(catalogue: Catalogue, labels: Labels | None = None) -> Labelling:
    """What labels mean; an attack that a rule's category calls attempted is one.

    Raises:
        InputError: the user's labels name a class that the catalogue does not have.
    """
    if labels is None:
        return Labelling(catalogue, attempted="attack")
    try:
        return Labelling(catalogue, labels.classes, "attack")
    except InputError as error:
        raise InputError(
            error.what, where=labels.file, expected=error.expected, mend=error.mend
        ) from error


def predicted_classes(rules: Iterable[FiredRule], labelling: Labelling) -> dict[str, int | None]:
    """The class that each rule predicts.

    Args:
        rules: that fired.
        labelling: what labels mean; what the user says counts before all else.

    Returns:
        Class index by the rule's id; ``None`` for a rule whose alerts are to be left out.

    Raises:
        UnmappedError: rules whose class nobody says, listed once with counts.
    """
    found: dict[str, int | None] = {}
    unmapped: Counter[str] = Counter()
    about: dict[str, str] = {}
    for fired in rules:
        index = _class_of(fired, labelling)
        if index == UNKNOWN:
            label = fired.category or fired.rule.id
            unmapped[label] += fired.seen
            about[label] = "" if fired.category else fired.rule.message
        else:
            found[fired.rule.id] = None if index == LEFT_OUT else index
    if unmapped:
        raise _unmapped(unmapped, about, labelling)
    return found


def _class_of(fired: FiredRule, labelling: Labelling) -> int:
    """Class index, or what :meth:`Labelling.resolve` gives for no class."""
    rule, said = fired.rule, labelling.classes
    # As they stand first: by letters and digits alone, the rule 1:23 would be 123.
    named = (rule.id, short_id(rule.id), rule.message, fired.category)
    own = next((said[name] for name in named if name in said), None)
    if own is not None:
        return labelling.catalogue.class_index(own) if own != DROP else LEFT_OUT
    for text in (fired.category, rule.id):
        if any(character.isalpha() for character in text):
            for name in (text, _shipped().get(label_key(text), "")):
                index = labelling.resolve(name)[0]
                if index >= 0 or index == LEFT_OUT:
                    return index
    return UNKNOWN


def short_id(rule: str) -> str:
    """A rule's id as people write it: without Suricata's usual gid, 1."""
    return rule.removeprefix("1:")


def suggestion(name: str, catalogue: Catalogue) -> str | None:
    """The class whose name is nearest, if one is near."""
    near = difflib.get_close_matches(name[:200], catalogue.class_names, n=1)
    return near[0] if near else None


@cache
def _shipped() -> dict[str, str]:
    """Class of ``enterprise-network`` by the key of every name in the shipped file."""
    classes: dict[str, list[str]] = plain_yaml.read(SHIPPED).value
    return {label_key(name): traffic for traffic, listed in classes.items() for name in listed}


def _unmapped(
    unmapped: Counter[str], about: Mapping[str, str], labelling: Labelling
) -> UnmappedError:
    ordered = unmapped.most_common()
    shown = ", ".join(f"{quoted(label, 80)} ({count:,})" for label, count in ordered[:_SHOWN])
    rest = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    error = UnmappedError(
        f"nobody says what {len(ordered):,} label(s) mean, with so many alerts: {shown}{rest}",
        expected=f"for each of them one of {', '.join(labelling.catalogue.class_names)}; or "
        f"{DROP}, to leave its alerts out",
        mend="Write a line 'label: class' for each to a file, and give it with --labels",
    )
    lines = []
    for label, count in ordered:
        near, message = suggestion(label, labelling.catalogue), about[label]
        lines.append(
            f"{json.dumps(label, ensure_ascii=False)}: {near or '...'}  # {count:,} alerts"
            + (f", {message}" if message else "")
        )
    error.draft = "\n".join(lines)
    return error
