"""Decisions from and to pandas: a DataFrame of flows becomes one of decisions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from envs import InputError, Scenario
from envs.reading import further_flows
from rayapp.decisions import alerts
from rayapp.decisions.columns import OUTCOME_COLUMNS
from rayapp.decisions.decider import Decider
from rayapp.decisions.outcomes import Outcome, Outcomes


def decide(
    frame: pd.DataFrame, decider: Decider, scenario: Scenario, *, explain: bool = False
) -> pd.DataFrame:
    """Decides about the flows of a DataFrame.

    Args:
        frame: one row per flow, or per alert.
        decider: of the run.
        scenario: the run's own.
        explain: whether to tell why.

    Returns:
        One row for each row of the frame, with its index.

    Raises:
        InputError: it is no DataFrame, or a column is missing, or holds something else than
            numbers.
    """
    if not isinstance(frame, pd.DataFrame):
        raise InputError(
            f"a {type(frame).__name__} is no table with named columns",
            expected="a pandas DataFrame, one row per flow or alert",
            mend="Make one, for example with pandas.DataFrame(records) or pandas.read_csv(file)",
        )
    outcomes = Outcomes(decider.knowledge, explain=explain)
    # Until it is found otherwise: readers say nothing of rows that hold nothing.
    code = np.full(len(frame), -1, np.int32)
    if scenario.of_alerts:
        made = alerts.made_of(frame.to_dict("records"), scenario)
        there = [place for place, alert in enumerate(made) if alert is not None]
        found = [alert for alert in made if alert is not None]
        code[there] = outcomes.of(alerts.decided(found, decider))
    elif len(frame):
        source = further_flows(scenario, _to_arrow(frame), labelled=False, keys=True)
        for batch in source.batches():
            rows = decider.decide(batch)
            code[rows.keys.column("row").to_numpy() - 1] = outcomes.of(rows)
    nothing = "it is no alert" if scenario.of_alerts else "all its features are missing"
    told = [*outcomes.told, {"detection": None, "decision": None, "undecided": nothing}]
    return _framed(told, code, frame.index, explain=explain)


def _framed(
    told: list[Outcome],
    code: NDArray[np.int32],
    index: pd.Index[Any],
    *,
    explain: bool,
) -> pd.DataFrame:
    columns: dict[str, Any] = {}
    for name, (kind, read) in OUTCOME_COLUMNS.items():
        if name == "ranked":
            columns[name] = _taken([(one["decision"] or {}).get(name) for one in told], code)
            continue
        values = [read(one) for one in told]
        if pa.types.is_dictionary(kind):
            columns[name] = pd.Categorical(values)[code]
        elif pa.types.is_floating(kind):
            columns[name] = np.array(values, np.float64)[code]
        else:
            columns[name] = pd.array(values, dtype="Int64")[code]
    if explain:
        columns["explanation"] = _taken([one.get("explanation") for one in told], code)
    return pd.DataFrame(columns, index=index)


def _taken(values: list[Any], code: NDArray[np.int32]) -> NDArray[np.object_]:
    """Objects that rows share."""
    objects = np.empty(len(values), object)
    objects[:] = values
    taken: NDArray[np.object_] = objects[code]
    return taken


def _to_arrow(frame: pd.DataFrame) -> pa.Table:
    names = [_text(name) for name in frame.columns]
    columns = [_column(frame.iloc[:, place], name) for place, name in enumerate(names)]
    return pa.Table.from_arrays(columns, names)


def _column(column: pd.Series[Any], name: str) -> Any:  # noqa: ANN401 (pyarrow is untyped)
    try:
        return pa.array(column, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        # Values of several types; most columns are of no interest, and the others are read as text.
        return pa.array([None if value is None else _text(value) for value in column], pa.string())


def _text(value: object) -> str:
    """A value as text; halves of characters, which no file can hold, become question marks."""
    return str(value).encode("utf-8", "replace").decode("utf-8")
