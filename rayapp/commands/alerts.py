"""``kirl prepare --alerts``: alerts of an IDS to a scenario whose signatures are its rules."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from envs import Catalogue, InputError, Scenario
from envs.datasets.alerts.columns import read_columns
from envs.datasets.alerts.reading import Alerts, read_alerts
from envs.datasets.alerts.scenario import RuleRecord, rule_records, scenario_of_alerts
from envs.datasets.alerts.verdicts import Verdicts
from envs.datasets.label_files import read_labels
from envs.storage import locate
from rayapp.cluster import job
from rayapp.commands import console, places
from rayapp.commands.weaknesses import tell_weaknesses

CATALOGUE = "enterprise-network"

_SHOWN = 10
"""Rules that are printed; the graph and ``--json`` tell of all."""


@dataclass(frozen=True)
class AlertsToPrepare:
    """What ``kirl prepare`` was given.

    Attributes:
        paths: files and folders of alerts.
        verdicts: file of verdicts.
        labels: files of labels.
        schema: file that names a table's columns.
        catalogue: name or file.
        seed: of the split.
    """

    paths: Sequence[Path]
    verdicts: Path | None
    labels: Sequence[Path]
    schema: Path | None
    catalogue: str | None
    seed: int


def prepare_alerts(
    given: AlertsToPrepare,
    out: str,
    *,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Prepares a scenario of alerts, and prints what became of them.

    Args:
        given: what to prepare.
        out: folder or URI to write.
        overwrite: whether a scenario that is there may be replaced.
        as_json: whether to print JSON.

    Raises:
        InputError: no verdicts, or alerts that cannot be used.
    """
    if given.verdicts is None:
        raise _no_verdicts(given)
    place = locate(out)
    if isinstance(place, Path):
        job.check_kept(place)
    places.check_vacant(place, overwrite=overwrite)
    begun = time.perf_counter()
    catalogue = Catalogue.find(given.catalogue or CATALOGUE)
    labels = read_labels(given.labels, catalogue)
    alerts = told_alerts(given.paths, given.schema)
    with places.written(place) as folder:
        scenario, verdicts = scenario_of_alerts(
            alerts,
            folder,
            catalogue=catalogue,
            verdicts=given.verdicts,
            labels=labels,
            seed=given.seed,
        )
    seconds = time.perf_counter() - begun
    _tell_verdicts(scenario, alerts, verdicts)
    records = rule_records(scenario)
    if as_json:
        console.print_json(
            scenario.manifest
            | {
                "rules": [asdict(one) | {"confidence": float(one.confidence)} for one in records],
                "preparation": {"engine": "memory", "seconds": round(seconds, 3)},
            }
        )
        return
    show_detection(scenario)
    console.out.print(_rules(records))
    console.out.print(
        f"{len(records):,} rules of {len(alerts):,} alerts, written to {out}", soft_wrap=True
    )
    tell_weaknesses(scenario.manifest)


def told_alerts(paths: Sequence[Path], schema: Path | None) -> Alerts:
    """Reads alerts, and says what was read and what was not."""
    with console.working("Reading alerts"):
        alerts = read_alerts(paths, read_columns(schema) if schema else None)
    left = [f"{alerts.others:,} records of something else"] if alerts.others else []
    left += [f"{alerts.damaged:,} damaged lines"] if alerts.damaged else []
    console.say(
        f"Read {len(alerts):,} alerts of {len(alerts.rules):,} rules from "
        f"{len(alerts.files)} file(s)" + (f", left out {' and '.join(left)}" if left else "")
    )
    for title, names in (("Hold no alerts", alerts.unused), ("Read once only", alerts.twice)):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            console.say(f"{title}: {', '.join(names[:_SHOWN])}{more}")
    return alerts


def show_detection(scenario: Scenario) -> None:
    """Prints the detection report (the paper's Table V)."""
    manifest: dict[str, Any] = scenario.manifest
    table = Table(title=f"Detection on {manifest['flows']['test']:,} test flows ({scenario.kind})")
    table.add_column("class")
    for name in ("precision %", "recall %", "F1 %", "support"):
        table.add_column(name, justify="right")
    for name, row in manifest["detection"].items():
        ratios = [f"{100 * row[key]:.2f}" for key in ("precision", "recall", "f1")]
        table.add_row(name, *ratios, f"{row['support']:,}")
    console.out.print(table)


def _tell_verdicts(scenario: Scenario, alerts: Alerts, verdicts: Verdicts) -> None:
    origin = scenario.manifest["source"]["origin"]
    unmatched = verdicts.unmatched(alerts.alerts)
    console.say(
        f"{len(verdicts.classes):,} verdicts are on {origin['alerts_with_verdict']:,} alerts"
        + (f"; {unmatched:,} name no alert" if unmatched else "")
        + (f"; {verdicts.empty:,} lines have no class yet" if verdicts.empty else "")
    )


def _rules(records: Sequence[RuleRecord]) -> Table:
    table = Table(title="Rules that were wrong most often, by all verdicts")
    table.add_column("rule", overflow="fold")
    table.add_column("predicts")
    for name in ("alerts", "verdicts", "right", "confidence"):
        table.add_column(name, justify="right")
    wrong = [one for one in records if one.correct < one.verdicts]
    for one in wrong[:_SHOWN]:
        counts = [f"{number:,}" for number in (one.alerts, one.verdicts, one.correct)]
        table.add_row(one.rule, one.predicted, *counts, f"{float(one.confidence):.4f}")
    return table


def _no_verdicts(given: AlertsToPrepare) -> InputError:
    words = ["kirl", "verdicts", "draft"]
    for path in given.paths:
        words += ["--alerts", str(path)]
    if given.schema:
        words += ["--schema", str(given.schema)]
    return InputError(
        "nobody says what the alerts really were",
        expected="--verdicts FILE: a CSV or JSON file with the id (flow_id, uid) or rule of alerts "
        "and their true class",
        mend=f"Draft such a file with: {shlex.join([*words, '--out', 'verdicts.csv'])}; fill in "
        "its column class, and give it with --verdicts",
    )
