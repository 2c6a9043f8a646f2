"""Reads what is to be decided: as the run's scenario was read, without labels and with keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from envs import InputError, Scenario
from envs.datasets import registry
from envs.datasets.kind import DataSet
from envs.datasets.source import FlowBatch, FlowSource, Reading
from envs.datasets.tables.rows import shown_path
from envs.flows import Progress

if TYPE_CHECKING:
    import pyarrow as pa


def opened(paths: Sequence[Path], scenario: Scenario) -> FlowSource:
    """The source of flows for a scenario's detector.

    Args:
        paths: files and folders.
        scenario: whose features are wanted.

    Raises:
        InputError: there is nothing to read, or it is of another kind than the scenario's flows.
    """
    kind = _kind_of(scenario)
    _check_kind(paths, kind)
    return registry.opened(paths, Reading(None, scenario.schema, keys=True), kind.name)


def held(table: pa.Table, scenario: Scenario) -> FlowSource:
    """The same of a table that is held in memory.

    Args:
        table: its columns are found by all the names that they have in files.
        scenario: whose features are wanted.

    Raises:
        InputError: a feature is missing.
    """
    reading = Reading(None, scenario.schema, keys=True)
    return registry.held(table, reading, _kind_of(scenario).name)


def batches(source: FlowSource, progress: Progress | None = None) -> Iterator[FlowBatch]:
    """All batches of a source in order.

    Args:
        source: of the flows.
        progress: called with (size read, size in all) after every batch.

    Raises:
        InputError: a file cannot be read.
    """
    done, total = 0, sum(part.size for part in source.parts)
    for part in source.parts:
        for batch in part.batches():
            yield batch
            if progress is not None:
                progress(done + min(batch.consumed, part.size), total)
        done += part.size


def _kind_of(scenario: Scenario) -> DataSet:
    """The kind of data set that the scenario's detector can be given.

    Synthetic flows are in no files. What they imitate is: flows with the same features.
    """
    own = registry.named(scenario.kind)
    if own.open is not None:
        return own
    for one in registry.all_kinds().values():
        if one.open is not None and one.schema.source == scenario.schema.source:
            return one
    raise InputError(
        f"flows of the kind {own.name} are not read from files",
        mend="Train a run on a scenario of your own files: kirl prepare --data PATH",
    )


def _check_kind(paths: Sequence[Path], wanted: DataSet) -> None:
    try:
        found = registry.recognised(paths)
    except InputError:
        # What is wrong is told when the files are opened as what they have to be.
        return
    if found.name == wanted.name or found.schema.source == wanted.schema.source:
        return
    where = ", ".join(shown_path(path) for path in paths[:3])
    raise InputError(
        f"these are flows of the kind {found.name}, and the run was trained on {wanted.name}",
        where=where,
        expected="the features that the run's detector was trained on: what one program measured "
        "means something else in another",
        mend=f"Train a run on flows of their kind: kirl prepare --dataset {found.name} --data "
        "LABELLED --out scenario, then kirl train --scenario scenario --out run",
    )
