"""An advisor as a named Ray actor: one process, one GPU, batches from many callers.

This module, ``server`` and ``export`` are the only ones here that know Ray. An actor is called
``advisor:<name>`` in the namespace ``kirl``. When an actor's process dies, Ray starts it again
and repeats the calls it was at; an answer depends on its prompt alone, so a repeated call does
no harm.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import ActorDiedError

from envs import InputError
from kg_actor import raykit
from kg_actor.raykit import NAMESPACE, ask, growth
from llm_actor.batching import Limits, prompt_keys
from llm_actor.placement import Need, Placement, no_gpu, placed
from llm_actor.prompts import Prompts
from llm_actor.routing import routed
from llm_actor.selection import AdvisorSpec
from llm_actor.server import AdvisorServer, Health

_log = logging.getLogger(__name__)


class RemoteAdvisor:
    """Advisors elsewhere, as one :class:`llm_actor.advisor.Advisor`; usable from any thread.

    Equal prompts go to the same replica, whoever asks them, so that its cache answers the second
    time. Different ones spread evenly, as their hashes do. What a replica that is gone for good
    would have answered goes to the others.

    Args:
        handles: replicas of one advisor, in the same order wherever they are used.
    """

    def __init__(self, handles: Sequence[Any]) -> None:
        self.handles = tuple(handles)
        self._live = tuple(range(len(self.handles)))

    def __reduce__(self) -> tuple[object, ...]:
        return (RemoteAdvisor, (self.handles,))

    @property
    def name(self) -> str:
        """The name of the advisor that answers."""
        spec: AdvisorSpec = ask(self.handles[self._live[0]].spec.remote())
        return spec.name

    def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
        """Waits for the answer, see :class:`llm_actor.advisor.Advisor`.

        Raises:
            InputError: the advisor cannot be loaded, or cannot tell these prompts.
            ActorDiedError: no replica is left.
        """
        return self.submit(prompts).result()

    def submit(self, prompts: Prompts) -> Asked:
        """Asks, and returns before the answers are there."""
        return Asked(self, prompts)

    def send(self, prompts: Prompts, rows: NDArray[np.intp]) -> list[Request]:
        """Sends rows of the prompts to the replicas that answer them."""
        # Another thread may find out meanwhile that one is lost.
        live = self._live
        chosen = [live[0]] * len(rows)
        if len(live) > 1:
            chosen = routed(prompt_keys(prompts.take(rows)), live)
        places = np.array(chosen, np.intp)
        requests = []
        for replica in dict.fromkeys(chosen or live[:1]):
            own = rows[places == replica]
            answer = self.handles[replica].log_probabilities.remote(prompts.take(own))
            requests.append(Request(replica, own, answer))
        return requests

    def lost(self, replica: int) -> bool:
        """Notes that a replica is gone for good; tells whether others are left."""
        rest = tuple(one for one in self._live if one != replica)
        # The last one stays, so that whoever asks it hears why.
        self._live = rest or self._live
        return bool(rest)

    def stop(self) -> None:
        """Ends the replicas, whoever else uses them."""
        for handle in self.handles:
            ray.kill(handle)


@dataclass(frozen=True)
class Request:
    """Prompts that one replica was asked.

    Attributes:
        replica: its number.
        rows: of the prompts, int [prompts].
        answer: reference to float32 [prompts, actions].
    """

    replica: int
    rows: NDArray[np.intp]
    answer: Any


class Asked:
    """Prompts on their way, to one replica or to several.

    Args:
        advisor: whose replicas.
        prompts: what they are asked.
    """

    def __init__(self, advisor: RemoteAdvisor, prompts: Prompts) -> None:
        self._advisor, self._prompts = advisor, prompts
        self._requests = advisor.send(prompts, np.arange(len(prompts)))

    def result(self) -> NDArray[np.float32]:
        """Waits for all answers, float32 [prompts, actions].

        Raises:
            InputError: the advisor cannot be loaded, or cannot tell these prompts.
            ActorDiedError: no replica is left.
        """
        answers = np.zeros(self._prompts.candidates.shape, np.float32)
        waiting = list(self._requests)
        while waiting:
            request = waiting.pop(0)
            try:
                answers[request.rows] = ask(request.answer)
            except ActorDiedError:
                if not self._advisor.lost(request.replica):
                    raise
                waiting += self._advisor.send(self._prompts, request.rows)
        return answers


def start(
    spec: AdvisorSpec,
    need: Need | None = None,
    *,
    name: str | None = None,
    cpus: float = 0,
    limits: Limits | None = None,
) -> RemoteAdvisor:
    """Starts an advisor's actors, or finds them by their name.

    Args:
        spec: which advisor.
        need: where the actors run, and how many there are.
        name: under which several drivers share it on purpose; it outlives them, until
            :meth:`RemoteAdvisor.stop`, and this waits until it is there. Without a name it
            ends with what is returned here.
        cpus: that Ray keeps for each replica; none by default, since callers mostly wait.
        limits: of batches and cache; an actor that is found keeps its own.

    Raises:
        InputError: no GPU although one is required, fewer free ones than replicas, no node with
            the resource, or an advisor of that name is another one, or one whose model's files
            have changed since it was loaded.
    """
    need = need or Need()
    first = f"advisor:{name or f'{spec.name}-{uuid.uuid4().hex[:8]}'}"
    names = [first, *(f"{first}:{replica}" for replica in range(1, need.replicas))]
    found = {each: handle for each in names if (handle := _running(each)) is not None}
    for each, handle in found.items():
        _check_same(each, handle, spec, need.requires_gpu)
    handles = [found.get(each) for each in names]
    if len(found) < need.replicas:
        more = replace(need, replicas=need.replicas - len(found))
        place = placed(spec, more, *_resources(more))
        options = {
            "namespace": NAMESPACE,
            "get_if_exists": True,
            "num_cpus": cpus,
            "num_gpus": place.gpus,
            "resources": place.resources,
            "max_restarts": -1,
            "max_task_retries": -1,
            "lifetime": "detached" if name else None,
        }
        actor_class: Any = ray.remote(AdvisorServer)
        _say_where(spec, place, more.replicas)
        handles = [
            handle
            or actor_class.options(name=each, **options).remote(spec, place, limits or Limits())
            for each, handle in zip(names, handles, strict=True)
        ]
        if place.gpus:
            _wait_for_gpus(handles, spec)
    if name:
        # Another driver may have taken the name between looking and starting.
        for each, handle in zip(names, handles, strict=True):
            _check_same(each, handle, spec, need.requires_gpu)
    return RemoteAdvisor(handles)


def _say_where(spec: AdvisorSpec, place: Placement, replicas: int) -> None:
    device = f"on {place.gpus:g} GPU" if place.gpus else "on CPU"
    many = f", in {replicas} actors" if replicas > 1 else ""
    _log.info("%s runs %s%s: %s", spec.name, device, many, place.reason)


def _wait_for_gpus(handles: Sequence[Any], spec: AdvisorSpec) -> None:
    """Returns once every replica has its GPU; says every ten seconds that it waits."""
    waiting = [handle.process.remote() for handle in handles]

    def started(seconds: float) -> bool:
        _, left = ray.wait(waiting, num_returns=len(waiting), timeout=seconds, fetch_local=False)
        return not left

    def what() -> str:
        total, free = ray.cluster_resources().get("GPU", 0), ray.available_resources().get("GPU", 0)
        return f"{spec.name} to start on a GPU; of {total:g} in the cluster {free:g} are free"

    raykit.wait(started, what, _log.info)


def _resources(need: Need) -> tuple[dict[str, float], dict[str, float]]:
    """What the cluster has in all and what is free, with what an autoscaler may add to both."""
    total, free = ray.cluster_resources(), ray.available_resources()
    grows = growth()
    # An autoscaler that does not tell its limits is believed where nothing else would do: a GPU
    # that is only preferred might never come.
    asked = {"GPU"} if need.requires_gpu else set[str]()
    asked |= {need.resource} if need.resource else set()
    for name in asked if grows.limits is None else grows.limits:
        added = max(0.0, grows.most(name) - total.get(name, 0.0))
        total[name], free[name] = total.get(name, 0.0) + added, free.get(name, 0.0) + added
    return total, free


def _running(name: str) -> Any:  # noqa: ANN401
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def _check_same(name: str, handle: Any, spec: AdvisorSpec, requires_gpu: bool) -> None:  # noqa: ANN401
    health: Health = ask(handle.health.remote())
    if requires_gpu and not health.place.gpus:
        raise no_gpu(f"{name} is already running on CPU, because {health.place.reason}")
    if ask(handle.spec.remote()) != spec:
        raise InputError(
            f"is already another advisor ({health.advisor}), or one with other options",
            where=name,
            mend="Use another name, or stop that one first",
        )
    # By the files where the actor is: this machine may have none of them.
    if health.revision not in (None, ask(handle.revision.remote())):
        raise InputError(
            f"answers with an older state of {health.advisor}: its files have changed since",
            where=name,
            mend="Stop it first, so that the model is loaded anew, or use another name",
        )
