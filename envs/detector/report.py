"""How well a detector detects: precision, recall and F1 of every class (paper, Table V)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from envs.catalogue import Catalogue


@dataclass(frozen=True)
class ClassReport:
    """One class's row of the detection report (paper, Table V); ratios in 0..1."""

    precision: float
    recall: float
    f1: float
    support: int


def detection_report(
    predicted: NDArray[np.int8], actual: NDArray[np.int8], catalogue: Catalogue
) -> dict[str, ClassReport]:
    """Precision, recall, F1 and support of every class that occurs (paper, Table V).

    Ratios of nothing are 0, and all are scikit-learn's to the bit; these few lines spare
    importing it.

    Args:
        predicted: int8 [n], class indices.
        actual: int8 [n], the same.
        catalogue: for the classes' names.
    """
    classes = len(catalogue.classes)
    told = np.bincount(predicted, minlength=classes)
    true = np.bincount(actual, minlength=classes)
    right = np.bincount(actual[predicted == actual], minlength=classes)
    return {
        catalogue.class_names[index]: ClassReport(
            _ratio(right[index], told[index]),
            _ratio(right[index], true[index]),
            _ratio(2 * right[index], told[index] + true[index]),
            int(true[index]),
        )
        for index in np.flatnonzero(told + true).tolist()
    }


def _ratio(part: np.integer, whole: np.integer) -> float:
    return float(part / whole) if whole else 0.0


def report_to_json(report: dict[str, ClassReport]) -> dict[str, dict[str, float]]:
    """A report as JSON-able data."""
    return {name: asdict(row) for name, row in report.items()}
