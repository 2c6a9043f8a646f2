"""What both Ray actors and the cluster commands share with Ray.

Asking an actor, waiting while saying for what, what an autoscaler may still bring, and metrics.
Ray's private names (``ray._private``, ``ray.experimental.internal_kv``, the autoscaler's own
modules) are used here and nowhere else in kirl, so that a new version of Ray has one file to check.
RLlib's are in :mod:`rayapp.rl.rllib_private`.
"""

from __future__ import annotations

import contextlib
import json
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
import yaml
from ray.exceptions import RayTaskError
from ray.util.metrics import Counter

from envs import InputError

NAMESPACE = "kirl"
"""Ray namespace of all named actors of kirl."""

SECONDS_BETWEEN_WORDS = 10.0
"""How often a wait is spoken of."""

BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")
"""Where ``ray up`` leaves the cluster's file on the head, for its autoscaler."""


def ask(answer: Any) -> Any:  # noqa: ANN401 (Ray's references are untyped)
    """Waits for an actor's answer.

    Args:
        answer: one reference, or a list of them.

    Raises:
        InputError, ValueError, KeyError: what the actor raised, as if it had happened here.
        RayError: the call failed in any other way.
    """
    try:
        return ray.get(answer)
    except RayTaskError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, InputError | ValueError | KeyError):
            raise cause from None
        raise


def wait(
    until: Callable[[float], bool], what: Callable[[], str], say: Callable[[str], None]
) -> None:
    """Waits, and says every ten seconds for what: Ray itself waits in silence, and for ever.

    Args:
        until: waits for at most the given number of seconds and returns whether the wait is over.
        what: describes what is waited for, at the moment of the call.
        say: receives the message.
    """
    begun = time.monotonic()
    while not until(SECONDS_BETWEEN_WORDS):
        say(_waiting(begun, what()))


@contextlib.contextmanager
def told_while_waiting(what: str, say: Callable[[str], None]) -> Iterator[None]:
    """Says every ten seconds, from a thread of its own, what the block waits for.

    Args:
        what: describes what is waited for.
        say: receives the message.
    """
    done, begun = threading.Event(), time.monotonic()

    def tell() -> None:
        while not done.wait(SECONDS_BETWEEN_WORDS):
            say(_waiting(begun, what))

    threading.Thread(target=tell, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _waiting(begun: float, what: str) -> str:
    return f"Waiting since {time.monotonic() - begun:.0f} s for {what}"


def metrics(prefix: str, tags: Mapping[str, str]) -> Callable[..., Any]:
    """A maker of Ray's metrics that share the beginning of their names, and their tags.

    It is called with ``Counter``, ``Gauge`` or ``Histogram`` of :mod:`ray.util.metrics`, the rest
    of the name, a help text, names of further tags whose values come with each report, and
    the metric's own options.

    Args:
        prefix: what the names begin with, such as ``kirl_graph_``.
        tags: tags and their values, the same in every report.
    """

    def made(kind: type[Any], name: str, about: str, *more: str, **options: object) -> Any:  # noqa: ANN401
        metric = kind(prefix + name, about, tag_keys=(*tags, *more), **options)
        metric.set_default_tags(dict(tags))
        return metric

    return made


def count(counter: Counter, number: int) -> None:
    """Adds to a counter; adding 0, which Ray refuses, does nothing."""
    if number:
        counter.inc(number)


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
        """The most of a resource: 0 without an autoscaler, infinite if its limits are unknown."""
        if not self.runs:
            return 0.0
        return math.inf if self.limits is None else self.limits.get(resource, 0.0)


def growth() -> Growth:
    """What the cluster's autoscaler may bring; nothing where there is none.

    Its limits are those of the file that ``ray up`` leaves on the head. Elsewhere, as on
    Kubernetes, it keeps them to itself.
    """
    # A node that nobody's autoscaler knows is called after its own id.
    if not any(kind and not kind.startswith("node_") for kind in _kinds_of_nodes()):
        return Growth()
    try:
        config = yaml.safe_load(BOOTSTRAP.expanduser().read_bytes())
        return Growth(runs=True, limits=limits_of(config))
    except (OSError, RuntimeError, yaml.YAMLError, KeyError, TypeError, AttributeError):
        return Growth(runs=True, limits=None)


def limits_of(config: Mapping[str, Any]) -> dict[str, float]:
    """The most of each resource that a cluster file for ``ray up`` allows.

    Each is counted for itself: machines with many of one may leave none for those with another.

    Args:
        config: the parsed file.

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
    """What the head has of a resource, then what the other nodes have, richest first."""
    having = {kind: float(one.get("resources", {}).get(resource, 0)) for kind, one in types.items()}
    yield having.pop(head, 0.0) if head else 0.0
    left = math.inf if most is None else float(most)
    for kind, amount in sorted(having.items(), key=lambda item: -item[1]):
        # Ray takes a group without a limit of its own to have the cluster's.
        nodes = min(left, types[kind].get("max_workers", left))
        left -= nodes
        yield amount * nodes if amount else 0.0


def _kinds_of_nodes() -> list[str]:
    """What ``ray status`` calls the kinds of nodes.

    Nothing public tells it to a program, so it is read from where ``ray status`` reads it: of
    Ray's two autoscalers the newer one's kinds come with the nodes, the older one writes a report.
    """
    from ray._private.ray_constants import DEBUG_AUTOSCALING_STATUS
    from ray.autoscaler.v2 import sdk, utils
    from ray.experimental import internal_kv

    if utils.is_autoscaler_v2():
        status = sdk.get_cluster_status(ray.get_runtime_context().gcs_address)
        return [node.ray_node_type_name for node in (*status.active_nodes, *status.idle_nodes)]
    report = internal_kv._internal_kv_get(DEBUG_AUTOSCALING_STATUS)
    return list(json.loads(report or "{}").get("autoscaler_report", {}).get("active_nodes", {}))
