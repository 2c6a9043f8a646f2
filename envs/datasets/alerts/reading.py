"""Alerts from files and folders: logs of Suricata and Zeek, told by their content, or a table.

One call reads alerts of one kind. In a folder, what holds none is left alone and named.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from envs.datasets.alerts.alert import Alert, has_column, suricata_alert, table_alert, zeek_alert
from envs.datasets.alerts.columns import Columns
from envs.datasets.alerts.records import Account, Record, read_records
from envs.datasets.tables.files import find_files
from envs.detector import Rule
from envs.errors import InputError, quoted
from envs.files import shown_path

SURICATA, ZEEK, TABLE = "suricata-alerts", "zeek-notices", "alerts"
"""Kinds, as a scenario's manifest calls them."""

_EXPECTED = "eve.json of Suricata, notice.log of Zeek, or a table with --schema"


@dataclass(frozen=True)
class FiredRule:
    """A rule that fired, and how often.

    Attributes:
        rule: its id and message.
        category: the one that most of its alerts have.
        seen: its alerts.
    """

    rule: Rule
    category: str
    seen: int


@dataclass
class Alerts:
    """Alerts that were read.

    Attributes:
        kind: what they are of: :data:`SURICATA`, :data:`ZEEK` or :data:`TABLE`.
        alerts: in the order of the files.
        columns: of the table; empty for logs.
        files: names of the files that held alerts.
        others: records of something else in them (flows, DNS queries and so on).
        damaged: lines that are no record, and alerts without a rule.
        unused: files of folders that hold no alerts.
        twice: files whose content another file has as well; they were left out.
    """

    kind: str
    alerts: list[Alert] = field(default_factory=list)
    columns: Columns = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    others: int = 0
    damaged: int = 0
    unused: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.alerts)

    @cached_property
    def rules(self) -> list[FiredRule]:
        """The rules that fired, by id in ascending order.

        Where alerts of one rule differ in message or category (it was revised), most of them
        decide; of equally many, the first in alphabetic order.
        """
        messages: dict[str, Counter[str]] = defaultdict(Counter)
        categories: dict[str, Counter[str]] = defaultdict(Counter)
        for alert in self.alerts:
            # What Zeek says names the addresses at hand: it is none of the rule.
            messages[alert.rule]["" if self.kind == ZEEK else alert.message] += 1
            categories[alert.rule][alert.category] += 1
        return [
            FiredRule(
                Rule(rule, _most(messages[rule])), _most(categories[rule]), messages[rule].total()
            )
            for rule in sorted(messages, key=_by_number)
        ]


def read_alerts(paths: Sequence[Path], columns: Columns | None = None) -> Alerts:
    """Reads all alerts of some files and folders.

    Args:
        paths: of logs, or of tables.
        columns: of a table (:mod:`envs.datasets.alerts.columns`); without them, the files are logs
            of Suricata or Zeek.

    Raises:
        InputError: a file cannot be read or holds no alerts, alerts of two kinds are mixed, or
            there is none at all.
    """
    read: Alerts | None = None
    seen: dict[str, str] = {}
    unused: list[str] = []
    twice: list[str] = []
    for path, named in find_files(paths, _EXPECTED):
        try:
            one, digest = _read_one(path, columns)
        except InputError:
            if named:
                raise
            unused.append(shown_path(path))
            continue
        if digest in seen:
            twice.append(f"{shown_path(path)} (as {seen[digest]})")
            continue
        seen[digest] = shown_path(path)
        read = one if read is None else _joined(read, one)
    if read is None:
        raise InputError(
            "no alerts in " + _some(unused),
            where=", ".join(map(shown_path, paths[:3])),
            expected=_EXPECTED,
            mend="Check the folder",
        )
    read.unused, read.twice = unused, twice
    return read


def _read_one(path: Path, columns: Columns | None) -> tuple[Alerts, str]:
    """The alerts of one file, and the digest of its content."""
    account, found, where = Account(), Alerts(""), shown_path(path)
    passed: Counter[str] = Counter()
    lacking, names = {columns["signature"], columns["class"]} if columns else set(), list[str]()
    for _, record in read_records(path, account):
        names = names or list(record)
        lacking = {name for name in lacking if not has_column(record, name)}
        kind, make = _told(record, columns)
        if kind and found.kind and kind != found.kind:
            raise _mixed(where, found.kind, where, kind)
        found.kind = found.kind or kind
        if make is None:
            passed[_event(record)] += 1
            continue
        try:
            found.alerts.append(make(record))
        except (ValueError, RecursionError):
            account.damaged += 1
    if lacking and names:
        raise InputError(
            "there is no column " + " or ".join(quoted(name) for name in sorted(lacking)),
            where=where,
            expected="the columns that the schema names; the file has "
            + ", ".join(quoted(name) for name in names[:12]),
            mend="Correct the names in the schema",
        )
    if not found.alerts:
        raise _none(where, passed, account.damaged)
    found.files = [quoted(path.name, 500)[1:-1]]
    found.others, found.damaged = passed.total(), account.damaged
    found.columns = dict(columns or {})
    return found, account.digest


def _told(record: Record, columns: Columns | None) -> tuple[str, Callable[[Record], Alert] | None]:
    """The kind that a record shows, and what makes an alert of it, if it is one."""
    if columns is not None:
        return TABLE, lambda row: table_alert(row, columns)
    if "event_type" in record:
        return SURICATA, suricata_alert if record["event_type"] == "alert" else None
    if "note" in record and ("ts" in record or "msg" in record):
        return ZEEK, zeek_alert
    return "", None


def _event(record: Record) -> str:
    event = record.get("event_type")
    return quoted(event)[1:-1] if isinstance(event, str) else "records of no known kind"


def _none(where: str, passed: Counter[str], damaged: int) -> InputError:
    held = [f"{count:,} {name}" for name, count in passed.most_common(5)]
    held += [f"{damaged:,} damaged lines"] if damaged else []
    return InputError(
        "holds no alert" + (f" ({', '.join(held)})" if held else ""),
        where=where,
        expected=_EXPECTED,
        mend="Give the log that the IDS writes its alerts to",
    )


def _joined(read: Alerts, more: Alerts) -> Alerts:
    if read.kind != more.kind:
        raise _mixed(", ".join(read.files[:3]), read.kind, more.files[0], more.kind)
    read.alerts += more.alerts
    read.files += more.files
    read.others += more.others
    read.damaged += more.damaged
    return read


def _mixed(one: str, kind: str, other: str, other_kind: str) -> InputError:
    return InputError(
        f"{kind} in {one}, and {other_kind} in {other}",
        expected="alerts of one IDS in one scenario",
        mend="Prepare one scenario for each",
    )


def _most(counted: Counter[str]) -> str:
    return min(counted, key=lambda text: (-counted[text], text))


def _by_number(rule: str) -> tuple[tuple[int, str], ...]:
    """Ids in the order that people expect: ``1:999`` before ``1:2000``."""
    return tuple((len(part), part) if part.isdigit() else (0, part) for part in rule.split(":"))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
