"""How flows are read for a scenario that is there: as those were that it was prepared from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs.datasets import registry, schema_file
from envs.datasets.kind import DataSet
from envs.datasets.labels import Labelling
from envs.datasets.schema_file import SchemaSource
from envs.datasets.source import FlowSource, Reading
from envs.errors import InputError
from envs.scenario import Scenario

if TYPE_CHECKING:
    import pyarrow as pa


def labelling_of(scenario: Scenario) -> Labelling:
    """What labels mean in a scenario: its catalogue, its file of labels, and ``--attempted``."""
    said: dict[str, Any] = scenario.manifest["source"].get("reading") or {}
    return Labelling(scenario.catalogue, said.get("labels", {}), said.get("attempted"))


def reading_of(scenario: Scenario, *, labelled: bool = True, keys: bool = False) -> Reading:
    """How further flows are read for a scenario.

    Args:
        scenario: whose columns, categories and labels hold.
        labelled: whether the flows have labels. Flows to be decided have none.
        keys: whether to hand on what tells one flow from another.
    """
    labelling = labelling_of(scenario) if labelled else None
    return Reading(labelling, scenario.schema, keys)


def further_flows(
    scenario: Scenario,
    data: Sequence[Path] | pa.Table,
    *,
    labelled: bool = True,
    keys: bool = False,
) -> FlowSource:
    """The source of further flows for a scenario, read as those that it was prepared from.

    Args:
        scenario: whose columns, categories and labels hold.
        data: files and folders, or a table that is held in memory.
        labelled: whether the flows have labels.
        keys: whether to hand on what tells one flow from another.

    Raises:
        InputError: there is nothing to read, or the flows are of another kind than the scenario's:
            a detector of one feature set is never applied to another.
    """
    reading = reading_of(scenario, labelled=labelled, keys=keys)
    schema = schema_file.described(scenario.manifest["source"].get("reading", {}))
    if schema is not None:
        return SchemaSource(schema, data, reading)
    kind = _kind_of(scenario)
    if isinstance(data, Sequence):
        return registry.opened(data, reading, kind.name)
    return registry.held(data, reading, kind.name)


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
