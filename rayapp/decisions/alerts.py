"""Alerts of an IDS to be decided by a run whose signatures are the IDS's rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from envs import InputError, Scenario
from envs.datasets.alerts.alert import Alert, suricata_alert, table_alert, zeek_alert
from envs.datasets.alerts.reading import SURICATA, ZEEK, Alerts, read_alerts
from envs.datasets.source import Tally
from envs.detector import RuleDetector
from envs.errors import quoted
from envs.flows import Progress
from rayapp.decisions.decider import Decided, Decider
from rayapp.decisions.rows import Batches

BATCH = 1 << 16

_SHOWN = 3


class AlertRows:
    """Alerts that were read.

    Args:
        alerts: all of them.
    """

    unit = "alerts"

    def __init__(self, alerts: Alerts) -> None:
        self._alerts = alerts
        self.remarks = tuple(_remarks(alerts))

    def decided(self, decider: Decider, progress: Progress | None = None) -> Batches:
        """See :class:`rayapp.decisions.rows.Rows`."""
        every = self._alerts.alerts
        for start in range(0, len(every), BATCH):
            piece = every[start : start + BATCH]
            yield Tally(len(piece)), decided(piece, decider)
            if progress is not None:
                progress(start + len(piece), len(every))

    def check(self, tally: Tally) -> None:
        """See :class:`rayapp.decisions.rows.Rows`: an alert of an unknown rule is told, too."""


def opened(paths: Sequence[Path], scenario: Scenario) -> AlertRows:
    """The alerts in some files and folders.

    Args:
        paths: logs of the IDS that the scenario was made from.
        scenario: whose rules are known.

    Raises:
        InputError: there are none, or they are of another IDS.
    """
    alerts = read_alerts(paths, _columns(scenario))
    if alerts.kind != scenario.kind:
        raise InputError(
            f"these are {alerts.kind}, and the run was trained on {scenario.kind}",
            where=", ".join(alerts.files[:_SHOWN]),
            expected="alerts of the IDS that the run knows the rules of",
            mend="Train a run on theirs: kirl prepare --alerts PATH --verdicts FILE "
            "--out scenario, then kirl train --scenario scenario --out run",
        )
    return AlertRows(alerts)


def decided(alerts: Sequence[Alert], decider: Decider) -> Decided:
    """Decides about alerts; a rule that the run does not know is the reason not to."""
    context = decider.contexts([alert.rule for alert in alerts])
    reasons: dict[str, int] = {}
    reason = np.zeros(len(alerts), np.int32)
    for place in np.flatnonzero(context < 0).tolist():
        alert = alerts[place]
        why = f"the run does not know the rule {quoted(alert.rule, 100)}"
        reason[place] = reasons.setdefault(why, len(reasons))
    return Decided(_keys(alerts), context, list(reasons), reason)


def made_of(records: Sequence[dict[Any, Any]], scenario: Scenario) -> list[Alert | None]:
    """The alert of each record, as the scenario's IDS writes them; ``None`` for something else."""
    columns = _columns(scenario)
    make: Callable[[dict[str, Any]], Alert]
    if scenario.kind == SURICATA:
        make = suricata_alert
    elif scenario.kind == ZEEK:
        make = zeek_alert
    else:

        def make(record: dict[str, Any]) -> Alert:
            return table_alert(record, columns or {})

    found: list[Alert | None] = []
    for record in records:
        try:
            found.append(make(record))
        except ValueError:
            found.append(None)
    return found


def _columns(scenario: Scenario) -> dict[str, str] | None:
    detector = scenario.detector()
    return (detector.columns or None) if isinstance(detector, RuleDetector) else None


def _keys(alerts: Sequence[Alert]) -> pa.Table:
    ends = [(*_parted(alert.source), *_parted(alert.destination)) for alert in alerts]
    cells = {
        "time": [alert.time for alert in alerts],
        "id": [alert.id for alert in alerts],
    } | {
        name: [end[place] for end in ends]
        for place, name in enumerate(("src_ip", "src_port", "dst_ip", "dst_port"))
    }
    return pa.table(
        {
            name: pa.array(texts, pa.string()).dictionary_encode()
            for name, texts in cells.items()
            if any(texts)
        }
    )


def _parted(end: str) -> tuple[str, str]:
    """Address and port of one end; IPv6 addresses with a port stand in brackets."""
    if end.startswith("["):
        host, _, port = end[1:].rpartition("]:")
        return host, port
    host, colon, port = end.rpartition(":")
    return (host, port) if colon and ":" not in host else (end, "")


def _remarks(alerts: Alerts) -> list[str]:
    told = []
    if alerts.others:
        told.append(f"{alerts.others:,} records are no alerts, and are passed over.")
    if alerts.damaged:
        told.append(f"{alerts.damaged:,} lines are damaged, and are passed over.")
    told += _first(alerts.unused, "holds no alerts, and is not read", "are not read")
    told += _first(alerts.twice, "is there twice, and is read once", "are there twice")
    return told


def _first(names: Sequence[str], said: str, of_more: str) -> list[str]:
    """A sentence for each of the first files, and one for all others: folders can be large."""
    more = len(names) - _SHOWN
    told = [f"{name} {said}." for name in names[:_SHOWN]]
    return told + ([f"{more:,} more files {of_more}."] if more > 0 else [])
