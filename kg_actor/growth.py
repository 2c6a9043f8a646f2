"""What a cluster may grow to: the limits that its autoscaler was given."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Growth:
    """What an autoscaler may bring.

    Attributes:
        runs: whether there is one.
        limits: the most of each resource that it may bring the cluster to, head included;
            ``None`` where it does not tell.
    """

    runs: bool = False
    limits: Mapping[str, float] | None = field(default_factory=dict)

    def most(self, resource: str) -> float:
        """Of a resource; 0 without an autoscaler, infinite where its limits are not known."""
        if not self.runs:
            return 0.0
        return math.inf if self.limits is None else self.limits.get(resource, 0.0)


def limits_of(config: Mapping[str, Any]) -> dict[str, float]:
    """The most of each resource by a cluster file, as ``ray up`` takes it.

    Each is counted for itself: machines with many of one may leave none for those with another.

    Raises:
        KeyError: the file names no types of nodes.
        TypeError: they are not as Ray has them.
    """
    types: Mapping[str, Any] = config["available_node_types"]
    head = config.get("head_node_type")
    known = {name for kind in types.values() for name in kind.get("resources", {})}
    return {name: sum(_shares(types, head, name, config.get("max_workers"))) for name in known}


def _shares(
    types: Mapping[str, Any], head: str | None, resource: str, most: int | None
) -> Iterator[float]:
    """What the head and, of the other nodes, those with most of a resource have of it."""
    having = {kind: float(one.get("resources", {}).get(resource, 0)) for kind, one in types.items()}
    yield having.pop(head, 0.0) if head else 0.0
    left = math.inf if most is None else float(most)
    for kind, amount in sorted(having.items(), key=lambda item: -item[1]):
        # Ray takes a group without a limit of its own to have the cluster's.
        nodes = min(left, types[kind].get("max_workers", left))
        left -= nodes
        yield amount * nodes if amount else 0.0
