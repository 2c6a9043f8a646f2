"""Checks before a run starts whether its cluster has, or may grow to have, what the run needs.

Ray itself waits in silence, and for ever, for resources that a cluster does not have.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import ray
from ray.autoscaler.sdk import request_resources
from ray.util.placement_group import placement_group, remove_placement_group

from envs import InputError
from kg_actor import raykit
from kg_actor.raykit import Growth, growth
from llm_actor.placement import SHARE
from rayapp.config import INFUSED, TrainingSettings

Bundle = Mapping[str, float]
"""Resources that one node must have together, as Ray names them."""


def beside_runners(settings: TrainingSettings) -> list[Bundle]:
    """What a training needs apart from processors: for its graph and its language model."""
    needed: list[Bundle] = [{settings.graph.resource: SHARE}] if settings.graph.resource else []
    if settings.algo in INFUSED and settings.advice.spec().holds_model:
        need = settings.advice.need()
        gpus = float(need.require_gpu) if need.gpus == "auto" else need.gpus
        one = {"GPU": gpus} if gpus else {}
        one |= {need.resource: SHARE} if need.resource else {}
        needed += [one] * need.replicas if one else []
    return needed


def ensure(runners: int, say: Callable[[str], None], others: Sequence[Bundle] = ()) -> None:
    """Waits until every runner has a free processor. Ray must be running.

    Where there is an autoscaler, it is asked to start machines for what is missing.

    Args:
        runners: number of remote runners, or of other processes that need a processor each.
        say: receives a message every ten seconds while this waits.
        others: further resources. They are waited for only if the cluster lacks them and may
            grow to have them; what can never come is reported by whoever needs it.

    Raises:
        InputError: the cluster neither has that many processors nor may grow to have them.
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
        _wait(placement_group(bundles), _in_words(runners, coming), grows, say)


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """Withdraws at the end of the block what :func:`ask_for` asked the autoscaler for."""
    try:
        yield
    finally:
        ask_for(0)


def ask_for(processors: int) -> None:
    """Tells the autoscaler, where there is one, how many processors could be used at once."""
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


def _in_words(runners: int, others: Sequence[Bundle]) -> str:
    """What is waited for."""
    words = [f"{runners} free processors"] if runners else []
    words += [f"a node with {' and '.join(one)}" for one in others]
    return ", ".join(words)


def _wait(group: Any, wanted: str, grows: Growth, say: Callable[[str], None]) -> None:  # noqa: ANN401
    asked = "; the autoscaler is asked for more" if grows.runs else ""

    def what() -> str:
        free, total = (
            resources().get("CPU", 0.0)
            for resources in (ray.available_resources, ray.cluster_resources)
        )
        return f"{wanted}; of {total:g} processors in the cluster {free:g} are free{asked}"

    try:
        raykit.wait(group.wait, what, say)
    finally:
        remove_placement_group(group)
