"""A first draft of a schema file, guessed from the table itself. Every guess is marked."""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from envs.catalogue import Catalogue
from envs.datasets.label_files import UNDECIDED
from envs.datasets.labels import Labelling, is_missing
from envs.datasets.schema_file import ALL_NUMERIC, is_numeric
from envs.datasets.source import Reading
from envs.datasets.tables.form import KEYS, Field, TableFormat, column_key
from envs.datasets.tables.layout import locate
from envs.datasets.tables.sample import Sample
from envs.datasets.tables.source import Stretch, blocks
from envs.errors import InputError
from envs.files import shown_path
from envs.flows import Column, FeatureSchema, Progress
from envs.plain_yaml import text_of

_LABELS = (
    *("label", "labels", "class", "classlabel", "attackcat", "attack", "attacktype", "category"),
    *("detailedlabel", "verdict", "target", "y", "yy", "type", "mllabel"),
)
"""Names that columns of labels go by, likeliest first."""

_KEYS: Mapping[str, tuple[str, ...]] = {
    "time": ("timestamp", "time", "ts", "starttime", "stime", "firstseen", "flowstart"),
    "id": ("uid", "flowid", "id"),
    "src_ip": ("srcip", "sourceip", "idorigh", "srcaddr", "ipv4srcaddr", "saddr", "ipsrc", "src"),
    "src_port": ("srcport", "sourceport", "idorigp", "sport", "l4srcport"),
    "dst_ip": (
        "dstip",
        "destip",
        "destinationip",
        "idresph",
        "dstaddr",
        "ipv4dstaddr",
        "daddr",
        "dst",
    ),
    "dst_port": (),
    "protocol": (),
}
"""Names that keys go by. Destination port and protocol are features first."""

_IGNORED = re.compile(
    r"unnamed\d*|index|row|no|number|.*mac|.*addr(ess)?|.*ip|.*uuid|.*hash|.*hostname|.*user"
)
"""Columns that tell flows apart, or machines, rather than what flows are like."""

_TELLS = re.compile(r".*(label|attack|class|malicious|anomaly|verdict).*")
"""Names of columns that say what the label says."""

_MOST_WORDS = 64
_MOST_LABELS = 64


@dataclass(frozen=True)
class Draft:
    """What was guessed.

    Attributes:
        name: of the kind.
        catalogue: name or file, as it was given.
        label: the column, if one was found.
        keys: columns by key.
        ignore: columns, each with the reason.
        categories: columns of words.
        numeric: columns of numbers.
        labels: flows and the guessed class of each label.
    """

    name: str
    catalogue: str
    label: str | None
    keys: dict[str, str]
    ignore: dict[str, str]
    categories: tuple[str, ...]
    numeric: tuple[str, ...]
    labels: dict[str, tuple[int, str]]


def draft(one: Sample, catalogue: Catalogue, named: str, progress: Progress | None = None) -> Draft:
    """Guesses what the columns of a table are.

    Args:
        one: the beginning of the file, which is read to its end for the labels.
        catalogue: the classes that labels may mean.
        named: what the schema file calls the catalogue.
        progress: called with (bytes read, bytes in all).

    Raises:
        InputError: the table has no header, or cannot be read.
    """
    if not one.names:
        raise InputError(
            "the first line is no header: it holds numbers",
            where=f"{shown_path(one.path)}, row 1",
            expected="a line with the names of the columns",
            mend="Add one above the first row, for example: "
            + ",".join(f"c{number}" for number in range(1, min(6, one.dialect.width + 1)))
            + (",..." if one.dialect.width > 5 else ""),
        )
    cells = {name: one.column(name) or [] for name in one.names}
    label = _label(cells)
    keys = _keys(cells, label)
    ignore = dict(_ignored(cells, label, keys))
    taken = {label, *keys.values(), *ignore}
    numeric, categories = [], []
    for name, column in cells.items():
        if name in taken:
            continue
        if is_numeric(column):
            numeric.append(name)
        elif _are_words(column):
            categories.append(name)
        else:
            ignore[name] = "many different words, or none"
    labels = _counted(one, label, progress) if label else Counter[str]()
    guessed = {
        text: (count, _class(text, catalogue)) for text, count in labels.most_common(_MOST_LABELS)
    }
    return Draft(
        _name(one.path),
        named,
        label,
        keys,
        ignore,
        tuple(categories),
        tuple(numeric),
        guessed,
    )


def _name(path: Path) -> str:
    stem = path.name.lower().partition(".")[0]
    return re.sub(r"[^a-z0-9_-]+", "-", stem).strip("-_")[:64] or "my-table"


def _label(cells: Mapping[str, Sequence[str]]) -> str | None:
    by_key = {column_key(name): name for name in cells}
    named = [by_key[key] for key in _LABELS if key in by_key]
    words = [name for name in named if _are_labels(cells[name]) and not is_numeric(cells[name])]
    if words or named:
        return next((name for name in (*words, *named) if _are_labels(cells[name])), None)
    last = list(cells)[-1]
    return last if _are_labels(cells[last]) and not is_numeric(cells[last]) else None


def _are_labels(cells: Sequence[str]) -> bool:
    return 0 < len({cell for cell in cells if not is_missing(cell)}) <= _MOST_LABELS


def _are_words(cells: Sequence[str]) -> bool:
    return 1 < len(set(cells)) <= min(_MOST_WORDS, max(2, len(cells) // 2))


def _keys(cells: Mapping[str, Sequence[str]], label: str | None) -> dict[str, str]:
    by_key = {column_key(name): name for name in cells if name != label}
    found = {key: next((by_key[n] for n in _KEYS[key] if n in by_key), None) for key in KEYS}
    return {key: name for key, name in found.items() if name is not None}


def _ignored(
    cells: Mapping[str, Sequence[str]], label: str | None, keys: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    for name, column in cells.items():
        if name == label or name in keys.values():
            continue
        key = column_key(name)
        if label is not None and (_TELLS.fullmatch(key) or _says_the_same(column, cells[label])):
            yield name, f"seems to say what {label} says"
        elif _IGNORED.fullmatch(key) or key in {n for names in _KEYS.values() for n in names}:
            yield name, "seems to tell flows or machines apart"
        elif column and all(map(_is_address, column)):
            yield name, "holds addresses of machines"


def _is_address(cell: str) -> bool:
    """Whether a cell holds an IPv4, IPv6 or MAC address."""
    try:
        ipaddress.ip_address(cell.strip())
    except ValueError:
        return re.fullmatch(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}", cell.strip()) is not None
    return True


def _says_the_same(column: Sequence[str], labels: Sequence[str]) -> bool:
    """Whether a column and the label are each a renaming of the other."""
    pairs = len(set(zip(column, labels, strict=True)))
    return pairs > 1 and pairs == len(set(column)) == len(set(labels))


def _counted(one: Sample, label: str, progress: Progress | None) -> Counter[str]:
    """Flows by label, of the whole file."""
    form = TableFormat("draft", "draft", "draft", (Field(label, category=True),), labels=())
    schema = FeatureSchema("draft", (Column(label, categories=()),))
    layout = locate(form, one, schema, Reading(None))
    counts: Counter[str] = Counter()
    whole = one.path.stat().st_size
    for block in blocks(Stretch(one.path), one.dialect, layout.columns, layout.wanted):
        for word, count in zip(block.texts[0].words, block.texts[0].counts(), strict=True):
            if count and not is_missing(word):
                counts[word.strip()] += count
        if progress is not None:
            progress(min(block.consumed, whole), whole)
    return counts


def _class(text: str, catalogue: Catalogue) -> str:
    number, _ = Labelling(catalogue).resolve(text)
    return catalogue.class_names[number] if number >= 0 else UNDECIDED


def written(draft: Draft, classes: Sequence[str]) -> str:
    """The draft as YAML, with every guess marked."""
    lines = [
        "# A first draft by kirl schema. What is marked GUESS was guessed: check it.",
        f"name: {text_of(draft.name)}",
        f"made_by: {text_of(draft.name)}  # GUESS: what computed the features, in a few words",
        f"catalogue: {text_of(draft.catalogue)}",
    ]
    if draft.label is None:
        lines.append("# label: COLUMN            # no column of labels was found")
    else:
        lines.append(f"label: {text_of(draft.label)}  # GUESS")
    lines.append(f"features: {ALL_NUMERIC}      # {len(draft.numeric)} columns")
    lines += _listed("ignore", [(n, f"GUESS: {why}") for n, why in draft.ignore.items()])
    lines += _listed("categories", [(name, "GUESS") for name in draft.categories])
    lines.append("units: {}                  # for example {duration: s}")
    lines.append("missing: {}                # what empty cells stand for; else the row is dropped")
    if draft.keys:
        lines.append("keys:                      # what tells flows apart")
        lines += [f"  {key}: {text_of(name)}  # GUESS" for key, name in draft.keys.items()]
    if draft.labels:
        lines.append("# The class that each label means; 'drop' leaves flows out. The classes are")
        lines.append("# " + ", ".join(classes) + ".")
        lines.append("labels:")
        lines += [
            f"  {text_of(text)}: "
            + (f"'{UNDECIDED}'" if name == UNDECIDED else text_of(name))
            + f"  # {count:,} flows"
            + ("" if name == UNDECIDED else "; GUESS")
            for text, (count, name) in draft.labels.items()
        ]
    return "\n".join(lines) + "\n"


def _listed(key: str, entries: Sequence[tuple[str, str]]) -> list[str]:
    if not entries:
        return [f"{key}: []"]
    return [f"{key}:", *(f"  - {text_of(name)}  # {why}" for name, why in entries)]
