"""Whether a cluster has processors for what is to run, or may grow to; said before it starts.

Ray itself waits, without a word and for ever, for what a cluster does not have.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import ray
from ray.util.placement_group import placement_group, remove_placement_group

from envs import InputError
from kg_actor.actor import growth

SECONDS_BETWEEN_WORDS = 10.0


def ensure(runners: int, say: Callable[[str], None]) -> None:
    """Waits until there is a free processor for each of so many runners. Ray must be running.

    Args:
        runners: remote ones.
        say: told now and then that this waits, and for what.

    Raises:
        InputError: the cluster neither has as many processors nor may grow to have them.
    """
    if runners <= ray.available_resources().get("CPU", 0):
        return
    total = ray.cluster_resources().get("CPU", 0.0)
    most = max(total, growth().get("CPU", 0.0))
    if runners > most:
        grows = f", and may grow to {most:g}" if most > total else ""
        raise InputError(
            f"{runners} runners need a processor each, and the cluster has {total:g}{grows}",
            where="--runners",
            expected=f"at most {most:g}",
            mend="Ask for fewer, or add nodes",
        )
    # What an autoscaler is to start machines for must be asked for.
    group = placement_group([{"CPU": 1}] * runners)
    begun = time.monotonic()
    try:
        while not group.wait(timeout_seconds=SECONDS_BETWEEN_WORDS):
            free, total = (
                told().get("CPU", 0.0) for told in (ray.available_resources, ray.cluster_resources)
            )
            say(
                f"Waiting since {time.monotonic() - begun:.0f} s for {runners} free processors; "
                f"of {total:g} in the cluster {free:g} are free"
            )
    finally:
        remove_placement_group(group)
