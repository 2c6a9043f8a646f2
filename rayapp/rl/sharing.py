"""What algorithms that train beside each other share, instead of each having its own.

Trials of a sweep differ in settings alone: their scenario and flows need to be in the object
store only once, and one language model can answer all of them. Their graphs are their own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

import ray

from envs import FlowSet, Scenario
from envs.scenario import Matching
from llm_actor import Advisor
from llm_actor.selection import AdvisorSpec


@dataclass(frozen=True)
class Shared:
    """What is offered to algorithms on one scenario.

    Attributes:
        scenario: taken by those that are configured with its path.
        flows: references to its training flows, by their matching.
        advisors: actors that serve a language model, by its description. Whoever started them
            stops them.
    """

    scenario: Scenario
    flows: Mapping[Matching, ray.ObjectRef[FlowSet]] = field(default_factory=dict)
    advisors: tuple[tuple[AdvisorSpec, Advisor], ...] = ()


_NOW: ContextVar[Shared | None] = ContextVar("sharing", default=None)


@contextlib.contextmanager
def offered(shared: Shared) -> Iterator[None]:
    """Offers something to all algorithms that are configured and built meanwhile."""
    token = _NOW.set(shared)
    try:
        yield
    finally:
        _NOW.reset(token)


def scenario_at(path: Path) -> Scenario:
    """The scenario that is offered under a path, or else the one that is read from there."""
    now = _NOW.get()
    return now.scenario if now and now.scenario.path == path else Scenario.load(path)


def training_flows(scenario: Scenario, matching: Matching) -> ray.ObjectRef[FlowSet] | None:
    """Refers to a scenario's training flows where they are offered."""
    now = _NOW.get()
    return now.flows.get(matching) if now and now.scenario is scenario else None


def advisor(spec: AdvisorSpec) -> Advisor | None:
    """The language model of that description, if it is offered."""
    now = _NOW.get()
    found = [one for described, one in now.advisors if described == spec] if now else []
    return found[0] if found else None
