"""Whether a cluster has what is to run on it, or may grow to; said before it starts.

Ray itself waits, without a word and for ever, for what a cluster does not have.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ray
from ray.autoscaler.sdk import request_resources
from ray.util.placement_group import placement_group, remove_placement_group

from envs import InputError
from kg_actor import patience
from kg_actor.actor import growth
from kg_actor.growth import Growth
from llm_actor.placement import SHARE
from rayapp.config import INFUSED, TrainingSettings

Bundle = Mapping[str, float]
"""Resources that one node must have together, as Ray names them."""


def beside_runners(settings: TrainingSettings) -> list[Bundle]:
    """What a training needs but processors: where its graph goes, and its language model."""
    asked: list[Bundle] = [{settings.graph.resource: SHARE}] if settings.graph.resource else []
    if settings.algo in INFUSED and settings.advice.spec().holds_model:
        need = settings.advice.need()
        gpus = 0.0 if need.gpus == "auto" else need.gpus
        one = {"GPU": gpus} if gpus else {}
        one |= {need.resource: SHARE} if need.resource else {}
        asked += [one] * need.replicas if one else []
    return asked


def ensure(runners: int, say: Callable[[str], None], others: Sequence[Bundle] = ()) -> None:
    """Waits until there is a free processor for each of so many runners. Ray must be running.

    What an autoscaler is to start machines for is asked of it; it is never refused what it may
    still bring.

    Args:
        runners: remote ones, or other processes that need a processor each.
        say: told every ten seconds that this waits, and for what.
        others: what else will be needed. Waited for only if the cluster lacks it and may grow to
            have it; whoever needs what can never come says so better.

    Raises:
        InputError: the cluster neither has as many processors nor may grow to have them.
    """
    total = ray.cluster_resources()
    lacking = [dict(one) for one in others if any(not total.get(name) for name in one)]
    if runners <= ray.available_resources().get("CPU", 0) and not lacking:
        return
    grows = growth()
    _check(runners, total.get("CPU", 0.0), grows)
    coming = [one for one in lacking if all(total.get(n) or grows.most(n) for n in one)]
    bundles = [*([{"CPU": 1.0}] * runners), *coming]
    if bundles:
        # What an autoscaler is to start machines for must be asked for.
        _wait(placement_group(bundles), _told(runners, coming), grows, say)


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Takes back, in the end, what :func:`ask_for` asked for."""
    try:
        yield
    finally:
        ask_for(0)


def ask_for(processors: int) -> None:
    """Lets the autoscaler, where there is one, know how many processors could be used at once."""
    if growth().runs:
        request_resources(bundles=[{"CPU": 1}] * processors)


def _check(runners: int, total: float, grows: Growth) -> None:
    most = max(total, grows.most("CPU"))
    if runners and not most:
        raise InputError(
            "the cluster has no processor, and no autoscaler that could bring one",
            where="Ray",
            mend="Add a node that has some",
        )
    if runners > most:
        more = f", and may grow to {most:g}" if most > total else ""
        raise InputError(
            f"{runners} runners need a processor each, and the cluster has {total:g}{more}",
            where="--runners",
            expected=f"at most {most:g}",
            mend="Ask for fewer, or add nodes",
        )


def _told(runners: int, others: Sequence[Bundle]) -> str:
    """What is waited for, in words."""
    words = [f"{runners} free processors"] if runners else []
    words += [f"a node with {' and '.join(one)}" for one in others]
    return ", ".join(words)


def _wait(group: Any, wanted: str, grows: Growth, say: Callable[[str], None]) -> None:  # noqa: ANN401
    asked = "; the autoscaler is asked for more" if grows.runs else ""

    def what() -> str:
        free, total = (
            told().get("CPU", 0.0) for told in (ray.available_resources, ray.cluster_resources)
        )
        return f"{wanted}; of {total:g} processors in the cluster {free:g} are free{asked}"

    try:
        patience.wait(group.wait, what, say)
    finally:
        remove_placement_group(group)
