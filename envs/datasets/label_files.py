"""Files that say what labels mean: ``kirl prepare --labels FILE``, and the file to begin with.

A file is YAML, or CSV with the columns ``label`` and ``class``::

    DoS attacks: DoS
    Worm: drop         # leaves these flows out

Labels are compared by their letters and digits, as everywhere.
"""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from envs import plain_yaml
from envs.catalogue import Catalogue, shipped
from envs.datasets.labels import DROP, UNKNOWN, Labelling, decode_text
from envs.datasets.source import Tally
from envs.errors import InputError, quoted
from envs.files import beginning_of
from envs.plain_yaml import MOST_BYTES, text_of
from envs.spelling import label_key

UNDECIDED = "?"
"""Stands in a file to fill in for a class that nobody has named yet."""

_COLUMNS = ["label", "class"]
_SEPARATORS = ",;\t"

_TOLD = 5
"""Labels that a message names; all of them stand in the file below it."""

_LISTED = 200
"""Labels that a file to fill in lists; a column of identifiers would fill the screen."""

_LONGEST = 200
"""Characters of a label that such a file lists."""

_ALIKE = 0.9
"""How alike two labels are when one is a misspelling of the other; DoS and DDoS are 0.86."""

Entry = tuple[str, str, str]
"""A label, its class, and the place where that is said."""


def line_of(label: str, meant: str | None) -> str:
    """One line of a file to fill in: a label, and its class or :data:`UNDECIDED`."""
    return f"{text_of(label)}: " + (text_of(meant) if meant else f'"{UNDECIDED}"')


def is_mapping(path: Path) -> bool:
    """Whether a file says what labels mean, rather than which flow has which label.

    Raises:
        InputError: it cannot be read.
    """
    if path.suffix.lower() in {".yaml", ".yml"}:
        return True
    return _separator(_text(path, 4096)) is not None


def read_labels(paths: Sequence[Path], catalogue: Catalogue) -> dict[str, str]:
    """What the files say together: a class of the catalogue, or ``drop``, by label.

    Raises:
        InputError: a file cannot be read or is no such file, a label has no class yet or one that
            the catalogue does not have, or has two of them. It names the line.
    """
    found: dict[str, Entry] = {}
    for path in paths:
        for entry in _entries(path):
            label, name, where = entry
            _check_class(label, name, where, catalogue)
            first = found.setdefault(label_key(label), entry)
            if first[1] != name:
                raise InputError(
                    f"the label {quoted(label)} is given the class {quoted(name)}",
                    where=where,
                    expected=f"{quoted(first[1])}, as in {first[2]}, or one of the two alone",
                    mend="Remove one of the two",
                )
    return {label: name for label, name, _ in found.values()}


def _entries(path: Path) -> Iterator[Entry]:
    text = _text(path, MOST_BYTES + 1)
    separator = _separator(text)
    if separator is None:
        yield from _of_yaml(path)
        return
    if len(text) > MOST_BYTES:
        raise InputError(
            "is larger than 1 MiB", where=str(path), mend="Check that it is the right file"
        )
    rows = csv.reader(io.StringIO(text), delimiter=separator)
    try:
        for row in rows:
            where = f"{path}, line {rows.line_num}"
            cells = [cell.strip() for cell in row]
            if rows.line_num == 1 or not any(cells):
                continue
            if len(cells) != len(_COLUMNS):
                raise InputError(
                    f"the row has {len(cells)} cells",
                    where=where,
                    expected="a label and its class",
                    mend="Correct the row; a label with the separator in it needs quotes",
                )
            yield cells[0], cells[1], where
    except csv.Error as error:
        raise InputError(
            f"not CSV ({quoted(str(error), 80)[1:-1]})",
            where=f"{path}, line {rows.line_num}",
            expected="a label and its class in every row",
        ) from error


def _of_yaml(path: Path) -> Iterator[Entry]:
    document = plain_yaml.read(path)
    if not isinstance(document.value, dict):
        raise InputError(
            "does not say what labels mean",
            where=str(path),
            expected="lines 'label: class', or CSV with the columns label and class",
            mend="Write one line per label",
        )
    for label, value in document.value.items():
        where = f"{path}, line {document.line((label,))}"
        name = UNDECIDED if value is None else value
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise InputError(
                f"the label {quoted(label)} has no class's name beside it",
                where=where,
                expected="the name of one class, or drop",
                mend="Write 'label: class'; a name such as true needs quotes",
            )
        yield label, str(name), where


def _check_class(label: str, name: str, where: str, catalogue: Catalogue) -> None:
    if name == DROP or name in catalogue.class_names:
        return
    expected = "one of " + ", ".join(catalogue.class_names) + f", or {DROP}"
    if not name or UNDECIDED in name:
        raise InputError(
            f"the label {quoted(label)} has no class yet",
            where=where,
            expected=expected,
            mend=f"Write the class in place of {quoted(name)}",
        )
    near = difflib.get_close_matches(name[:100], catalogue.class_names, n=1)
    raise InputError(
        f"the catalogue {catalogue.name} has no class {quoted(name)}",
        where=where,
        expected=expected,
        mend=f"Did you mean {quoted(near[0])}?"
        if near
        else "Correct the name, or choose another --catalogue",
    )


def _text(path: Path, most: int) -> str:
    return decode_text(beginning_of(path, most)).removeprefix("\ufeff")


def _separator(text: str) -> str | None:
    """The separator of a CSV file with exactly the two columns; ``None`` for any other file."""
    first = text.partition("\n")[0]
    for separator in _SEPARATORS:
        cells = [cell.strip().strip('"').casefold() for cell in first.split(separator)]
        if cells == _COLUMNS:
            return separator
    return None


def check_labels(tally: Tally, labelling: Labelling, column: str) -> None:
    """Checks that all labels mean something, and that what was asked for had an effect.

    Args:
        tally: of all rows.
        labelling: that they were read by.
        column: that labels stand in.

    Raises:
        InputError: labels mean no class. It tells all of them, and the file to fill in. Or what
            labels that end in 'Attempted' mean was said, and there is none.
    """
    if tally.unknown:
        raise _unknown(tally, labelling, column)
    if labelling.insists and not tally.attempted:
        raise InputError(
            f"--attempted {labelling.attempted} has no effect: no label ends in 'Attempted'",
            expected="flows such as those of the corrected CICIDS2017, with labels such as "
            "'DoS Hulk - Attempted'",
            mend="Leave --attempted out",
        )


def _unknown(tally: Tally, labelling: Labelling, column: str) -> InputError:
    listed = _grouped(tally.unknown)
    told = ", ".join(f"{quoted(text, 60)} ({_flows(count)})" for text, count in listed[:_TOLD])
    more = len(listed) - _TOLD
    name = labelling.catalogue.name
    file, row = tally.first[listed[0][0]]
    knowing = [f"--catalogue {one}" for one in _knowing(tally, name)] if len(listed) > 1 else []
    another = f"Use a catalogue that knows them all: {' or '.join(knowing)}. Or s"
    return InputError(
        f"{'these labels mean' if len(listed) > 1 else 'this label means'} no class of the "
        f"catalogue {name}: {told}" + (f" and {more:,} more" if more > 0 else ""),
        where=f"{file}, row {row}" + (f", column '{column}'" if column else ""),
        expected="labels that mean one of " + ", ".join(labelling.catalogue.class_names),
        mend=(another if knowing else "S")
        + "ay what they mean: save the lines below as labels.yaml, write a class in place of "
        f"each {UNDECIDED}, and add --labels labels.yaml",
        below="\n".join(_draft(listed, tally.first, labelling)),
    )


def _grouped(unknown: Mapping[str, int]) -> list[tuple[str, int]]:
    """Labels with their flows, the most frequent ones first; spellings of one label are one."""
    spelled: dict[str, str] = {}
    counts: dict[str, int] = {}
    for text, count in sorted(unknown.items()):
        label = spelled.setdefault(label_key(text), text)
        counts[label] = counts.get(label, 0) + count
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


def _draft(
    listed: Sequence[tuple[str, int]], first: Mapping[str, tuple[str, int]], labelling: Labelling
) -> Iterator[str]:
    """A file to fill in, line by line."""
    yield f"# Classes: {', '.join(labelling.catalogue.class_names)}. {DROP} leaves flows out."
    fitting = [one for one in listed if len(one[0]) <= _LONGEST][:_LISTED]
    for text, count in fitting:
        file, row = first[text]
        meant = _meant(text, labelling)
        why = "" if meant is None else ", by its spelling"
        yield f"{line_of(text, meant)}  # {_flows(count)}{why}; first in {file}, row {row}"
    if len(listed) > len(fitting):
        yield f"# {len(listed) - len(fitting):,} more labels are not listed here."


def _flows(count: int) -> str:
    return f"{count:,} flow" + ("s" if count > 1 else "")


def _meant(text: str, labelling: Labelling) -> str | None:
    """The class whose label is spelled nearly so; never one for a word such as 'Attack'."""
    known = {label_key(label): traffic.name
             for traffic in labelling.catalogue.classes
             for label in (*traffic.also, traffic.name, *traffic.labels)}  # fmt: skip
    near = difflib.get_close_matches(label_key(text[:200]), known, n=1, cutoff=_ALIKE)
    return known[near[0]] if near else None


def _knowing(tally: Tally, name: str) -> Iterator[str]:
    """The shipped catalogues that know all labels."""
    for other in shipped():
        if other != name:
            labelling = Labelling(Catalogue.named(other))
            labels = [*tally.labels, *tally.unknown]
            if all(labelling.resolve(label)[0] != UNKNOWN for label in labels):
                yield other
