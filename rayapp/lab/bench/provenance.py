"""What a figure was measured on: the scenario, the software and the machine."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from envs import FlowSet, Scenario

_PACKAGES = ("kirl", "numpy", "ray", "stable-baselines3", "torch", "vowpalwabbit")


@dataclass(frozen=True)
class Provenance:
    """Where a figure comes from.

    Attributes:
        kind: of the scenario's data set.
        fingerprint: of the scenario.
        flows: of its training part.
        signatures, actions: of the problem.
        processors: that this process may use.
        processor: the processor's name.
        versions: of Python and of the packages that decide how fast something is.
    """

    kind: str
    fingerprint: str
    flows: int
    signatures: int
    actions: int
    processors: int
    processor: str
    versions: dict[str, str]

    @classmethod
    def of(cls, scenario: Scenario, flows: FlowSet) -> Provenance:
        """The provenance of a measurement on these flows, on this machine."""
        return cls(
            scenario.manifest["source"]["kind"],
            scenario.fingerprint,
            len(flows),
            len(flows.contexts.predicted),
            len(flows.catalogue.actions),
            processors(),
            _processor(),
            {"python": platform.python_version()} | _versions(),
        )


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    about = Path("/proc/cpuinfo")
    for line in about.read_text(encoding="utf-8").splitlines() if about.is_file() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
