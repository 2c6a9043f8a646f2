"""What a scenario cannot teach, told in sentences with numbers.

A policy can be trained on any scenario, but it learns nothing of classes that hardly occur or
that the detector never detects, and its scores say nothing of classes that are not there.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import Catalogue
from envs.detector.report import ClassReport

ENOUGH = 50
"""Flows of a class from which training can teach something of it."""

_MOST_NAMED = 12


def scenario_warnings(
    train: NDArray[np.int8],
    report: Mapping[str, ClassReport],
    catalogue: Catalogue,
    *,
    of_alerts: bool = False,
) -> list[str]:
    """One sentence for each kind of weakness that the scenario has.

    Args:
        train: int8 [flows], classes of the training flows.
        report: of the detections on the test flows.
        catalogue: the classes.
        of_alerts: whether flows are alerts with a verdict. A rule predicts one class whatever the
            alert really was, so classes that no rule predicts are no weakness.
    """
    names = catalogue.class_names
    counts = dict(zip(names, np.bincount(train, minlength=len(names)).tolist(), strict=True))
    tested = {name: row.support for name, row in report.items() if row.support}
    few = {name: count for name, count in counts.items() if 0 < count < ENOUGH}
    missed = {} if of_alerts else {n: tested[n] for n in tested if not report[n].recall}
    absent = [name for name in names if not counts[name] and name not in tested]
    found = []
    if few:
        found.append(
            f"Fewer than {ENOUGH} {'alerts with a verdict' if of_alerts else 'flows'} to train "
            f"on: {_listed(few)}. Little can be learnt of {_these(few)}; add "
            f"{'verdicts' if of_alerts else 'flows'}."
        )
    if missed:
        found.append(
            f"No test flow is detected as what it is, recall 0 %: {_listed(missed)}. Add "
            "flows, or features that tell them apart."
        )
    if absent:
        found.append(
            f"{len(absent)} of the catalogue's {len(names)} classes never "
            f"{'occurs' if len(absent) == 1 else 'occur'}: "
            f"{_listed(dict.fromkeys(absent))}. Nothing is learnt of {_these(absent)}."
        )
    return found


def _listed(classes: Mapping[str, int | None]) -> str:
    named = list(classes.items())[:_MOST_NAMED]
    told = ", ".join(name if count is None else f"{name} ({count:,})" for name, count in named)
    more = len(classes) - len(named)
    return told + (f" and {more} more" if more else "")


def _these(classes: Mapping[str, int] | list[str]) -> str:
    return "it" if len(classes) == 1 else "them"
