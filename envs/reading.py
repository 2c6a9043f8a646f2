"""How flows are read for a scenario that is there: as those were that it was prepared from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs.datasets import registry, schema_file
from envs.datasets.labels import Labelling
from envs.datasets.schema_file import SchemaSource
from envs.datasets.source import FlowSource, Reading
from envs.scenario import Scenario


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
    scenario: Scenario, paths: Sequence[Path], *, labelled: bool = True, keys: bool = False
) -> FlowSource:
    """The source of the flows in files and folders, read for a scenario.

    Args:
        scenario: whose columns, categories and labels hold.
        paths: files and folders.
        labelled: whether the flows have labels.
        keys: whether to hand on what tells one flow from another.

    Raises:
        InputError: there is nothing to read, or the flows are of another kind than the scenario's:
            a detector of one feature set is never applied to another.
    """
    reading = reading_of(scenario, labelled=labelled, keys=keys)
    schema = schema_file.described(scenario.manifest["source"].get("reading", {}))
    if schema is not None:
        return SchemaSource(schema, paths, reading)
    return registry.opened(paths, reading, scenario.kind)
