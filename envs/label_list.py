"""Labels from a file that lists them, alone or with a class or a number of flows beside each.

YAML holds ``Zorp: Worm`` or ``BENIGN: 2000``; text holds one label per line, or two columns such
as ``BENIGN,2000``, with a header or without.
"""

from __future__ import annotations

import csv
from pathlib import Path

from envs import plain_yaml
from envs.datasets.labels import DROP
from envs.errors import InputError, quoted
from envs.files import beginning_of
from envs.spelling import label_key

_SEPARATORS = ("\t", ";", ",")
_HEADERS = ("label", "labels")


def read(path: Path) -> dict[str, str] | None:
    """Reads a list of labels.

    Returns:
        Class by label; a label that has a number of flows, or nothing, is a class of its own.
        ``None`` if the file is no such list, but may hold flows.

    Raises:
        InputError: the file cannot be read, or lists no labels.
    """
    found = _mapping(path) if path.suffix.lower() in {".yaml", ".yml"} else _rows(path)
    if found is None:
        return None
    labels = {label: said or label for label, said in found.items() if said != DROP}
    if not labels:
        raise InputError(
            "lists no labels",
            where=str(path),
            expected="'label: class' or 'label: flows' in YAML, 'label,flows' in two columns, or "
            "one label per line",
            mend="Check that it is the right file",
        )
    return labels


def _mapping(path: Path) -> dict[str, str]:
    document = plain_yaml.read(path)
    entries = document.value
    if isinstance(entries, list) and all(isinstance(one, str) for one in entries):
        return dict.fromkeys(entries, "")
    if not isinstance(entries, dict):
        entries = {"": entries}
    for label, said in entries.items():
        if label and (said is None or type(said) in {str, int}):
            continue
        raise InputError(
            f"{quoted(str(said))} is no class",
            where=document.where((label,) if label else ()),
            expected="'label: class' or 'label: flows', or a list of labels in quotes",
            mend="Correct it",
        )
    return {label: _class(said) if isinstance(said, str) else "" for label, said in entries.items()}


def _class(said: str) -> str:
    """The class that is said; none where it is a suggestion that nobody has confirmed."""
    return "" if said.endswith("?") or said.isdecimal() else said


def _rows(path: Path) -> dict[str, str] | None:
    content = beginning_of(path, plain_yaml.MOST_BYTES + 1)
    if len(content) > plain_yaml.MOST_BYTES:
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    lines = [line for line in text.splitlines() if line.strip()]
    separator = next((one for one in _SEPARATORS if any(one in line for line in lines)), ",")
    try:
        rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    except csv.Error:
        return None
    if any(len(row) > 2 for row in rows):
        return None
    if rows and label_key(rows[0][0]) in _HEADERS:
        del rows[0]
    return {row[0]: _class("".join(row[1:])) for row in rows if row[0]}
