"""Which class of the catalogue a rule predicts, by its id or its category.

Looked up in this order: what ``--labels`` says of the rule's id, its message or its category; the
catalogue's own names, labels and further labels; and the names that Suricata and Zeek ship with
(``classes.yaml``). Names are compared by their letters and digits, ids as they stand.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from envs import plain_yaml
from envs.catalogue import Catalogue
from envs.datasets.alerts.reading import FiredRule
from envs.datasets.label_files import UNDECIDED, line_of
from envs.datasets.labels import DROP, LEFT_OUT, UNKNOWN, Labelling
from envs.errors import InputError, quoted
from envs.spelling import label_key

SHIPPED = Path(__file__).with_name("classes.yaml")

_SHOWN = 12


def labelling_of(catalogue: Catalogue, labels: Mapping[str, str] | None = None) -> Labelling:
    """What labels mean; an attack that a rule's category calls attempted is one."""
    return Labelling(catalogue, labels or {}, "attack")


def predicted_classes(rules: Iterable[FiredRule], labelling: Labelling) -> dict[str, int | None]:
    """The class that each rule predicts.

    Args:
        rules: that fired.
        labelling: what labels mean; what the user says counts before all else.

    Returns:
        Class index by the rule's id; ``None`` for a rule whose alerts are to be left out.

    Raises:
        InputError: rules whose class nobody says, listed once with counts, and the file to fill
            in.
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


def _unmapped(unmapped: Counter[str], about: Mapping[str, str], labelling: Labelling) -> InputError:
    ordered = unmapped.most_common()
    shown = ", ".join(f"{quoted(label, 80)} ({count:,})" for label, count in ordered[:_SHOWN])
    rest = f" and {len(ordered) - _SHOWN} more" if len(ordered) > _SHOWN else ""
    lines = []
    for label, count in ordered:
        near, message = suggestion(label, labelling.catalogue), about[label]
        lines.append(
            f"{line_of(label, near)}  # {count:,} alerts" + (f", {message}" if message else "")
        )
    return InputError(
        f"nobody says what {len(ordered):,} label(s) mean, with so many alerts: {shown}{rest}",
        expected=f"for each of them one of {', '.join(labelling.catalogue.class_names)}; or "
        f"{DROP}, to leave its alerts out",
        mend="Save the lines below as labels.yaml, write a class in place of each "
        f"{UNDECIDED}, and add --labels labels.yaml",
        below="\n".join(lines),
    )
