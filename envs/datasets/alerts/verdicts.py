"""Verdicts: what people say that alerts really were.

A file of verdicts is a CSV, JSON lines or a JSON list, with the columns

============== ==========================================================================
``id``         of the alert: ``flow_id`` of Suricata, ``uid`` of Zeek (both are names that the
               column may have as well), or the id that a draft gives it
``rule``       id of the rule that fired, or its message; the column may be called ``signature``,
               ``signature_id`` or ``note`` as well
``time``       of the alert, as the log has it; optional
``class``      what it really was, or ``true_class``, ``verdict``, ``label``
============== ==========================================================================

A verdict is about all alerts that have its id, rule and time, as far as it names them. Exactly one
counts per alert: the one that says most of it (id before time before rule). Two that say as much,
and different classes, are refused. A line without a class was not filled in yet, and is left out.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import Catalogue
from envs.datasets.alerts.alert import Alert, moment
from envs.datasets.alerts.classes import short_id, suggestion
from envs.datasets.alerts.records import Account, Record, read_records
from envs.datasets.labels import UNKNOWN, Labelling
from envs.errors import InputError, printable, quoted
from envs.files import replacing, shown_path

_NAMES = {
    "id": ("id", "flow_id", "uid", "alert_id"),
    "time": ("time", "timestamp", "ts"),
    "rule": ("rule", "signature", "signature_id", "sid", "note"),
    "class": ("class", "true_class", "verdict", "label", "actual"),
}

_WHOLE = {"flow_id", "signature_id", "sid"}
"""Whole numbers, to which tables with empty cells add a '.0'."""

NO_VERDICT = -1

_FORMULA = ("=", "+", "-", "@")
"""Beginnings of a cell that a spreadsheet would run; a quote before them makes it text."""

_QUOTED = tuple(f"'{begin}" for begin in _FORMULA)

_SHOWN = 8


class Key(NamedTuple):
    """What a verdict names of an alert; ``None`` for what it does not."""

    id: str | None
    time: str | None
    rule: str | None

    @property
    def telling(self) -> tuple[bool, ...]:
        """How well the key fits: where two verdicts fit one alert, the greater value counts."""
        return tuple(part is not None for part in self)


@dataclass
class Verdicts:
    """What a file of verdicts says.

    Attributes:
        file: its name.
        catalogue: the classes.
        classes: class index by what the verdict names.
        line: where in the file each stands.
        empty: lines without a class.
    """

    file: str
    catalogue: Catalogue
    classes: dict[Key, int] = field(default_factory=dict)
    line: dict[Key, int] = field(default_factory=dict)
    empty: int = 0

    def add(self, key: Key, index: int, line: int) -> None:
        """Takes one more; raises :class:`InputError` if another one contradicts it."""
        if self.classes.setdefault(key, index) != index:
            raise self._contradiction(key, index, line)
        self.line.setdefault(key, line)

    def on(self, alerts: Sequence[Alert]) -> NDArray[np.int8]:
        """The true class of each alert, int8 [alerts]; :data:`NO_VERDICT` where nobody said.

        Raises:
            InputError: two verdicts on one alert contradict each other, or none is on any.
        """
        actual = np.full(len(alerts), NO_VERDICT, np.int8)
        # Kinds of keys that occur, the most telling first.
        kinds = sorted({key.telling for key in self.classes}, reverse=True)
        timed = any(time for _, time, _ in kinds)
        for number, alert in enumerate(alerts):
            time = moment(alert.time) if timed else ""
            actual[number] = next(
                (self.classes[key] for key in _keys(alert, time, kinds) if key in self.classes),
                NO_VERDICT,
            )
        if not (actual >= 0).any():
            raise self._on_none(alerts)
        return actual

    def _contradiction(self, key: Key, index: int, line: int) -> InputError:
        classes = self.catalogue.class_names
        return InputError(
            f"two verdicts on {_told(key)}: {classes[self.classes[key]]} in line {self.line[key]}, "
            f"{classes[index]} in line {line}",
            where=self.file,
            expected="one verdict for each alert",
            mend="Remove one of the two lines, or add the alert's time and rule to tell them apart",
        )

    def _on_none(self, alerts: Sequence[Alert]) -> InputError:
        first, said = alerts[0], next(iter(self.classes))
        return InputError(
            f"none of {len(self.classes):,} verdicts is on any of {len(alerts):,} alerts; the "
            f"first verdict names {_told(said)}",
            where=self.file,
            expected=f"ids, times and rules as the alerts have them; the first alert has id "
            f"{quoted(first.id)}, time {quoted(first.time)}, rule {quoted(first.rule)}",
            mend="Give the alerts that the verdicts are about; long numbers that a spreadsheet "
            "rounded (1.37E+15) must be written out",
        )

    def unmatched(self, alerts: Iterable[Alert]) -> int:
        """Number of verdicts that name no alert."""
        ids, rules, times = set[str | None](), set[str | None](), set[str | None]()
        for alert in alerts:
            ids.add(alert.id)
            rules.update(_rule_names(alert))
            times.add(moment(alert.time))
        known = (ids | {None}, times | {None}, rules | {None})
        return sum(
            any(part not in each for part, each in zip(key, known, strict=True))
            for key in self.classes
        )


def _keys(alert: Alert, time: str, kinds: Iterable[tuple[bool, ...]]) -> Iterator[Key]:
    """All that a verdict on an alert might name, in the order in which verdicts count."""
    for with_id, with_time, with_rule in kinds:
        for rule in _rule_names(alert) if with_rule else (None,):
            yield Key(alert.id if with_id else None, time if with_time else None, rule)


def _rule_names(alert: Alert) -> tuple[str, ...]:
    return alert.rule, short_id(alert.rule), alert.message


def _told(key: Key) -> str:
    parts = zip(Key._fields, key, strict=True)
    return ", ".join(f"{what} {quoted(part)}" for what, part in parts if part is not None)


def read_verdicts(path: Path, labelling: Labelling) -> Verdicts:
    """Reads a file of verdicts.

    Args:
        path: of the file.
        labelling: the classes that verdicts may name.

    Raises:
        InputError: it cannot be read, lacks a column, names classes that are not there, holds no
            verdict, or contradicts itself.
    """
    account, verdicts = Account(), Verdicts(shown_path(path), labelling.catalogue)
    unknown: Counter[str] = Counter()
    for line, record in read_records(path, account):
        columns = {key: _column(record, options) for key, options in _NAMES.items()}
        if columns["class"] is None or not (columns["id"] or columns["rule"]):
            raise _no_column(verdicts.file, line, record)
        cells = {key: _cell(record, name) for key, name in columns.items()}
        index, _ = labelling.resolve(cells["class"])
        if index == UNKNOWN:
            unknown[cells["class"]] += 1
            continue
        if index < 0:
            verdicts.empty += 1
            continue
        if not cells["id"] and not cells["rule"]:
            raise InputError(
                "a verdict names no alert",
                where=f"{verdicts.file}, record {line}",
                expected="an id or a rule on each line",
                mend="Add it, or remove the line",
            )
        time = moment(cells["time"]) if cells["time"] else None
        verdicts.add(Key(cells["id"] or None, time, cells["rule"] or None), index, line)
    if unknown:
        raise _unknown(verdicts.file, unknown, labelling.catalogue)
    if account.damaged:
        raise InputError(
            f"{account.damaged:,} lines are damaged",
            where=verdicts.file,
            expected="as many cells on each line as in the first one",
            mend="Correct them: a verdict must not get lost",
        )
    if not verdicts.classes:
        raise InputError(
            f"holds no verdict: the class of all {verdicts.empty:,} lines is empty",
            where=verdicts.file,
            expected="in the column class, what each alert really was: one of "
            + ", ".join(labelling.catalogue.class_names),
            mend="Fill it in",
        )
    return verdicts


def _column(record: Record, options: Sequence[str]) -> str | None:
    lowered = {name.strip().lower(): name for name in record}
    return next((lowered[option] for option in options if option in lowered), None)


def _cell(record: Record, name: str | None) -> str:
    value = record.get(name) if name else None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    text = printable(str(value)[:300]).strip()
    if str(name).lower() in _WHOLE:
        text = text.removesuffix(".0")
    return text[1:] if text.startswith(_QUOTED) else text


def _no_column(file: str, line: int, record: Record) -> InputError:
    return InputError(
        "the columns are " + ", ".join(quoted(name) for name in list(record)[:12]),
        where=f"{file}, record {line}",
        expected="class (or true_class, verdict, label), and id (or flow_id, uid) or rule (or "
        "signature, note)",
        mend="Rename them so",
    )


def _unknown(file: str, unknown: Counter[str], catalogue: Catalogue) -> InputError:
    shown_ones = []
    for name, count in unknown.most_common(_SHOWN):
        near = suggestion(name, catalogue)
        shown_ones.append(f"{quoted(name)} ({count:,}" + (f"; {near}?)" if near else ")"))
    more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
    return InputError(
        f"verdicts name classes that the catalogue does not have: {', '.join(shown_ones)}{more}",
        where=file,
        expected="one of " + ", ".join(catalogue.class_names),
        mend="Correct them, or map them with --labels",
    )


def draft(alerts: Sequence[Alert], number: int, seed: int) -> list[Alert]:
    """Alerts to be judged, drawn evenly over the rules: as many of each as there are.

    Args:
        alerts: to draw from.
        number: of alerts to draw.
        seed: of the draw.

    Returns:
        At most ``number`` alerts, by rule.
    """
    by_rule: dict[str, list[Alert]] = defaultdict(list)
    for alert in alerts:
        by_rule[alert.rule].append(alert)
    rng = np.random.default_rng(seed)
    drawn: list[tuple[int, float, Alert]] = []
    for rule in sorted(by_rule):
        own = by_rule[rule]
        order = rng.permutation(len(own))
        # The first of each rule before the second of any; ties between rules fall by chance.
        drawn += [(turn, rng.random(), own[i]) for turn, i in enumerate(order.tolist())]
    chosen = [alert for _, _, alert in sorted(drawn, key=lambda one: one[:2])[:number]]
    return sorted(chosen, key=lambda alert: (alert.rule, alert.time, alert.id))


def write_draft(path: Path, alerts: Iterable[Alert]) -> None:
    """Writes alerts as a CSV file of verdicts with an empty column ``class``."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "time", "rule", "message", "source", "destination", "class"))
        writer.writerows(_rows(alerts))


def _rows(alerts: Iterable[Alert]) -> Iterator[tuple[str, ...]]:
    for each in alerts:
        cells = (each.id, each.time, each.rule, each.message, each.source, each.destination, "")
        yield tuple(f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells)
