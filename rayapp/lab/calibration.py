"""Writes the statistics that :mod:`~envs.datasets.synthetic.behaviours` draws from.

    python -m rayapp.lab.calibration SAMPLE.csv.gz --out statistics.json

It reads a file in the published format (cp1252, 78 columns and a label), turns each flow into
the base quantities ``arithmetic.FIELDS``, groups each label's flows into behaviours with
k-means, and writes per behaviour its share, the quantiles of each quantity and the
correlations of their normal scores. No flow is written.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyarrow import csv
from scipy.special import ndtri
from scipy.stats import rankdata
from sklearn.cluster import KMeans

from envs.datasets.cicflowmeter import SCHEMA
from envs.datasets.cicids2017 import PUBLISHED_COUNTS
from envs.datasets.synthetic.arithmetic import (
    ACTIVITY_TIMEOUT,
    FIELDS,
    FLAG_COLUMNS,
    Array,
    std_bounds,
)
from envs.datasets.synthetic.behaviours import LOGARITHMIC, SIBLINGS
from envs.errors import InputError
from envs.files import replacing

FEWEST_FLOWS = 20
"""A behaviour rests on at least this many flows: fewer would retell the flows themselves."""

FLOWS_PER_BEHAVIOUR = 20
MOST_BEHAVIOURS = {"BENIGN": 48}
MOST_BEHAVIOURS_OF_AN_ATTACK = 8

ATOM = 0.01
"""A value with at least this share of a behaviour's flows keeps it exactly."""

QUANTILES = 12
"""Values that are no atoms are summarised by this many quantiles."""

SHRINKAGE = 0.02
"""Correlations are shrunk by this much, so that rounding leaves them positive definite."""


def read(path: Path) -> tuple[dict[str, Array], NDArray[np.str_]]:
    """The usable flows of a published CSV file, float64 [n] by column, and their labels.

    Flows with non-finite or impossible values (negative times or header lengths, which are
    overflows of the flow meter) are left out: the generator is not to repeat defects.

    Raises:
        InputError: a file without the published columns.
    """
    table = csv.read_csv(path, read_options=csv.ReadOptions(encoding="cp1252"))
    # A name that comes twice (Fwd Header Length) counts once, and stands for its twin.
    position = {name.strip(): i for i, name in reversed(list(enumerate(table.column_names)))}
    position.setdefault("Fwd Header Length.1", position.get("Fwd Header Length", 0))
    missing = [name for name in (*SCHEMA.names, "Label") if name not in position]
    if missing:
        raise InputError(f"columns are missing: {missing}", where=str(path))
    flows = {
        name: np.asarray(table.column(position[name]).cast("float64").to_numpy())
        for name in SCHEMA.names
    }
    usable = flows["Flow Duration"] > 0
    for name, values in flows.items():
        usable &= np.isfinite(values) & (name.startswith("Init_Win") | (values >= 0))
    labels = np.array(
        [re.sub(r"\s*[\u2013-]\s+", " - ", s) for s in table.column(position["Label"]).to_pylist()]
    )
    return _rows(flows, usable), labels[usable]


def encode(flows: Mapping[str, Array]) -> dict[str, Array]:
    """Published columns to base quantities: the inverse of ``arithmetic.columns_of``.

    A quantity that a flow does not have (the spread of a single packet) is NaN.
    """
    c = dict(flows)
    fwd, bwd = c["Total Fwd Packets"], c["Total Backward Packets"]
    packets = fwd + bwd
    total = c["Total Length of Fwd Packets"] + c["Total Length of Bwd Packets"]
    first = c["Packet Length Mean"] * (packets + 1) - total
    fields = {
        "port": c["Destination Port"],
        "duration": c["Flow Duration"],
        "fwd packets": fwd,
        "bwd packets": bwd,
        **_lengths("fwd", "Fwd", fwd, c["Total Length of Fwd Packets"], c),
        **_lengths("bwd", "Bwd", bwd, c["Total Length of Bwd Packets"], c),
        "first": _position(first, c["Fwd Packet Length Min"], c["Fwd Packet Length Max"]),
        **_gaps("gap", "Flow", packets - 1, c["Flow Duration"], c),
        **_gaps("fwd gap", "Fwd", fwd - 1, c["Fwd IAT Total"], c),
        **_gaps("bwd gap", "Bwd", bwd - 1, c["Bwd IAT Total"], c),
        "fwd gap total": _ratio(c["Fwd IAT Total"], c["Flow Duration"], fwd > 1),
        "bwd gap total": _ratio(c["Bwd IAT Total"], c["Flow Duration"], bwd > 1),
        "flags": np.sum([(c[f[0]] > 0) * 2.0**bit for bit, f in enumerate(FLAG_COLUMNS)], axis=0),
        "fwd header extra": c["Fwd Header Length"] / fwd - c["min_seg_size_forward"],
        "bwd header": np.where(bwd > 0, c["Bwd Header Length"] / np.maximum(bwd, 1), np.nan),
        "fwd window": c["Init_Win_bytes_forward"],
        "bwd window": c["Init_Win_bytes_backward"],
        "active packets": _ratio(c["act_data_pkt_fwd"], fwd - 1, fwd > 1),
        "smallest segment": c["min_seg_size_forward"],
        **_rest(c),
    }
    return {name: fields[name] for name in FIELDS}


def _ratio(part: Array, whole: Array, defined: NDArray[np.bool_]) -> Array:
    return np.where(defined & (whole > 0), np.clip(part / np.maximum(whole, 1e-9), 0, 1), np.nan)


def _position(value: Array, low: Array, high: Array) -> Array:
    return _ratio(value - low, high - low, high - low > 1e-6)


def _lengths(
    field: str, column: str, count: Array, total: Array, c: dict[str, Array]
) -> dict[str, Array]:
    low, high = c[f"{column} Packet Length Min"], c[f"{column} Packet Length Max"]
    least, most = (count - 1) * low + high, low + (count - 1) * high
    mean = total / np.maximum(count, 1)
    spread = std_bounds(count, low, high, mean)
    present = count > 0
    return {
        f"{field} max": np.where(present, high, np.nan),
        f"{field} min": np.where(count > 1, low, np.nan),
        f"{field} mean": np.where(count > 2, _position(total, least, most), np.nan),
        f"{field} std": np.where(
            count > 3, _position(c[f"{column} Packet Length Std"], *spread), np.nan
        ),
    }


def _gaps(
    field: str, column: str, count: Array, total: Array, c: dict[str, Array]
) -> dict[str, Array]:
    low, high = c[f"{column} IAT Min"], c[f"{column} IAT Max"]
    mean = total / np.maximum(count, 1)
    spread = std_bounds(count, low, high, mean)
    return {
        f"{field} max": np.where(count > 1, _position(high, mean, total), np.nan),
        f"{field} min": np.where(count > 2, low, np.nan),
        f"{field} std": np.where(count > 3, _position(c[f"{column} IAT Std"], *spread), np.nan),
    }


def _rest(c: dict[str, Array]) -> dict[str, Array]:
    """Idle and active periods."""
    possible = c["Flow IAT Max"] > ACTIVITY_TIMEOUT
    idle = possible & (c["Idle Max"] > 0)
    several = idle & (c["Idle Min"] < c["Idle Max"])
    timeout = np.full(len(idle), float(ACTIVITY_TIMEOUT))
    fields = {
        "idle": np.where(possible, idle, np.nan),
        "idle min": np.where(idle, _position(c["Idle Min"], timeout, c["Idle Max"]), np.nan),
        "active max": np.where(idle, c["Active Max"], np.nan),
        "active min": _ratio(c["Active Min"], c["Active Max"], idle),
    }
    for kind in ("Idle", "Active"):
        low, high = c[f"{kind} Min"], c[f"{kind} Max"]
        where = several & (high > low)
        fields[f"{kind.lower()} mean"] = np.where(
            where, _position(c[f"{kind} Mean"], low, high), np.nan
        )
        fields[f"{kind.lower()} std"] = _ratio(c[f"{kind} Std"], (high - low) / np.sqrt(2), where)
    return fields


def normal_scores(fields: Mapping[str, Array], undefined: float) -> Array:
    """Normal scores of each field, float64 [flows, fields]; ``undefined`` where NaN."""
    columns = []
    for values in fields.values():
        known = ~np.isnan(values)
        column = np.full(len(values), undefined)
        if known.sum() > 1:
            column[known] = ndtri((rankdata(values[known]) - 0.5) / known.sum())
        columns.append(column)
    return np.stack(columns, axis=1)


def group(fields: Mapping[str, Array], most: int) -> NDArray[np.intp]:
    """The behaviour of each flow, intp [flows], counted from 0: k-means on normal scores.

    Starts from ``most`` groups; while one has less than FEWEST_FLOWS, the smallest joins
    the group nearest to it.
    """
    # Far below any usual score, so that flows without a quantity keep to themselves.
    scores = normal_scores(fields, undefined=-3.0)
    member: NDArray[np.intp] = KMeans(most, n_init=3, random_state=0).fit_predict(scores)
    while True:
        sizes = np.bincount(member)
        smallest = int(sizes.argmin())
        if sizes[smallest] >= FEWEST_FLOWS or len(sizes) == 1:
            return member
        centres = np.array([scores[member == k].mean(axis=0) for k in range(len(sizes))])
        distance = ((centres - centres[smallest]) ** 2).sum(axis=1)
        distance[smallest] = np.inf
        member[member == smallest] = distance.argmin()
        member = np.unique(member, return_inverse=True)[1]


NOMINAL = frozenset({"flags", "idle", "smallest segment"})
"""Fields with nothing between their values: each value counts as frequent."""


def quantile_function(values: Array, name: str) -> list[list[float]]:
    """Knots of a quantile function: probabilities (per 10,000) and values, both rising.

    A frequent value takes a flat piece as wide as its share; the values between two
    frequent ones are summarised by quantiles.
    """
    ordered = np.sort(values)
    unique, counts = np.unique(ordered, return_counts=True)
    logarithmic = name in LOGARITHMIC
    frequent = counts >= (1 if name in NOMINAL else max(3.0, ATOM * len(values)))
    probabilities: list[float] = []
    knots: list[float] = []
    position = 0
    for is_atom, indices in _runs(frequent):
        size = int(counts[indices].sum())
        if is_atom:
            edges = position + np.concatenate(([0], np.cumsum(counts[indices])))
            for value, start, stop in zip(unique[indices], edges, edges[1:], strict=False):
                probabilities += [start, stop]
                knots += [value, value]
        else:
            piece = ordered[position : position + size]
            steps = max(2, min(size, round(QUANTILES * size / len(values)) + 2))
            levels = np.linspace(0, 1, steps)
            scale = np.log1p(piece) if logarithmic else piece
            found = np.quantile(scale, levels)
            probabilities += list(position + levels * size)
            knots += list(np.expm1(found) if logarithmic else found)
        position += size
    per_10000: list[float] = [round(1e4 * p / len(values)) for p in probabilities]
    return [per_10000, [_short(v) for v in knots]]


def _short(value: float) -> float:
    """Six significant digits, and whole numbers without a point: it keeps the file small."""
    rounded = float(f"{value:.6g}")
    return int(rounded) if rounded.is_integer() else rounded


def _runs(flags: NDArray[np.bool_]) -> list[tuple[bool, NDArray[np.intp]]]:
    """Maximal runs of equal flags, as (flag, indices)."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8))) + 1
    return [(bool(flags[run[0]]), run) for run in np.split(np.arange(len(flags)), edges)]


def describe(label: str, share: float, fields: Mapping[str, Array]) -> dict[str, Any]:
    """One behaviour's statistics, JSON-able; see ``behaviours.behaviour_from_json``."""
    constants: dict[str, float] = {}
    quantiles: dict[str, list[list[float]]] = {}
    for name in FIELDS:
        known = fields[name][~np.isnan(fields[name])]
        if len(np.unique(known)) > 1:
            quantiles[name] = quantile_function(known, name)
        else:
            constants[name] = _short(known[0]) if len(known) else 0
    lower: Array = np.zeros(0)
    if len(quantiles) > 1:
        scores = normal_scores({name: fields[name] for name in quantiles}, undefined=0.0)
        correlation = np.asarray(np.corrcoef(scores, rowvar=False)) * (1 - SHRINKAGE)
        lower = correlation[np.tril_indices(len(quantiles), -1)]
    return {
        "label": label,
        "share": round(share, 5),
        "flows": len(fields["port"]),
        "constants": constants,
        "quantiles": quantiles,
        "correlations": [round(1000 * value) for value in lower],
    }


def _rows(fields: Mapping[str, Array], rows: NDArray[np.bool_]) -> dict[str, Array]:
    return {name: values[rows] for name, values in fields.items()}


def calibrate(path: Path) -> dict[str, Any]:
    """The statistics of every label without a sibling to borrow from, JSON-able.

    Raises:
        InputError: as :func:`read`, or a label with too few flows.
    """
    flows, labels = read(path)
    fields = encode(flows)
    found: list[dict[str, Any]] = []
    for label in PUBLISHED_COUNTS:
        if label in SIBLINGS:
            continue
        own = _rows(fields, labels == label)
        most = MOST_BEHAVIOURS.get(label, MOST_BEHAVIOURS_OF_AN_ATTACK)
        size = len(own["port"])
        if size < FEWEST_FLOWS:
            raise InputError(
                f"only {size} usable flows of {label!r}",
                where=str(path),
                expected=f"at least {FEWEST_FLOWS}",
            )
        member = group(own, min(most, max(1, size // FLOWS_PER_BEHAVIOUR)))
        for k in range(int(member.max()) + 1):
            rows = member == k
            found.append(describe(label, float(np.mean(rows)), _rows(own, rows)))
    return {
        "about": "Statistics of genuine CICIDS2017 flows; written by "
        "python -m rayapp.lab.calibration.",
        "flows": len(labels),
        "behaviours": found,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the sample named on the command line and write its statistics."""
    parser = argparse.ArgumentParser(prog="python -m rayapp.lab.calibration", description=__doc__)
    parser.add_argument("csv", type=Path, help="genuine flows in the published format")
    parser.add_argument("--out", type=Path, required=True, help="the JSON file to write")
    options = parser.parse_args(arguments)
    statistics = calibrate(options.csv)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(statistics, separators=(",", ":")) + "\n"
    with replacing(options.out) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
