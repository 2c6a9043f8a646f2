"""An advisor as a named Ray actor: one process, one GPU, batches from many callers.

The only module of this package that knows Ray. Names are ``advisor:<name>`` in the namespace
``kirl``. When an actor's process dies, Ray starts it again and repeats the calls it was at;
an answer depends on its prompt alone, so a repeated call does no harm.
"""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import ray
from numpy.typing import NDArray
from ray.exceptions import ActorDiedError
from ray.util.metrics import Counter, Gauge, Histogram

from envs import PAPER, InputError
from kg_actor import raykit
from kg_actor.raykit import NAMESPACE, ask, growth, metrics
from llm_actor.advisor import Advisor
from llm_actor.attempts import Attempts
from llm_actor.batching import Batcher, Limits, prompt_keys
from llm_actor.circuit import State
from llm_actor.meter import Load
from llm_actor.placement import Need, Place, no_gpu, placed
from llm_actor.prompts import Prompts
from llm_actor.routing import routed
from llm_actor.selection import AdvisorSpec, build

SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
"""Boundaries of the exported histograms of times."""

SIZES = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0]
"""Boundaries of the exported histogram of batch sizes."""

_log = logging.getLogger(__name__)

COUNTS = ("answered", "outcomes", "problems")
"""Counters that an advisor may have."""

REQUESTS = ("retried", "openings")
"""Counts of an endpoint."""


@dataclass(frozen=True)
class Health:
    """How a replica is.

    Attributes:
        advisor: its name.
        ready: whether its model is loaded; that happens at the first question.
        problem: why the last loading failed, if it did.
        process: id; it changes when Ray starts the actor again.
        node: Ray's id of its machine.
        place: where it was meant to run.
        gpus: ids of the GPUs that Ray gave it.
        device: what its model computes on, such as ``NVIDIA H200`` or ``cpu``; ``None`` before
            the model is loaded, and where there is none.
        counts: how answers came about, as far as the advisor counts it: its ``answered``,
            ``outcomes`` and ``problems``, and with the name ``endpoint`` an endpoint's requests
            made again (``retried``) and how often it was left alone (``openings``).
        circuit: state of an endpoint's circuit breaker; ``None`` for other advisors.
        revision: :attr:`AdvisorSpec.revision_key` when it was loaded; ``None`` before.
        token_budget: most tokens of a model's batch now; it shrinks with the memory.
    """

    advisor: str
    ready: bool
    problem: str | None
    process: int
    node: str
    place: Place
    gpus: tuple[str, ...]
    device: str | None
    counts: Mapping[str, Mapping[str, int]]
    circuit: State | None
    revision: str | None
    token_budget: int | None


class AdvisorServer:
    """What runs inside the actor: a :class:`Batcher` around an advisor loaded on demand.

    The model is loaded at the first question rather than at the start, so that a model that
    cannot be loaded is an answer and not the death of the actor. The next question tries again.
    """

    def __init__(self, spec: AdvisorSpec, place: Place, limits: Limits) -> None:
        self._spec, self._place, self._limits = spec, place, limits
        self._batcher: Batcher | None = None
        self._loading: asyncio.Task[Batcher] | None = None
        self._problem: str | None = None
        self._revision: str | None = None

    async def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
        """See :meth:`Batcher.ask`; raises :class:`InputError` where loading does."""
        return await (await self._ready()).ask(prompts)

    async def metrics(self) -> Load:
        """How busy it is; zeros before the first question."""
        return self._batcher.load() if self._batcher else Load()

    async def health(self) -> Health:
        """How it is."""
        advisor = self._batcher.advisor if self._batcher else None
        return Health(
            self._spec.name,
            self._batcher is not None,
            self._problem,
            os.getpid(),
            ray.get_runtime_context().get_node_id(),
            self._place,
            tuple(str(gpu) for gpu in ray.get_gpu_ids()),
            getattr(advisor, "device", None),
            _counts(advisor),
            getattr(advisor, "circuit", None),
            self._revision,
            getattr(advisor, "token_budget", None),
        )

    async def process(self) -> int:
        """The actor's process id; it changes when Ray starts the actor again."""
        return os.getpid()

    async def spec(self) -> AdvisorSpec:
        """Which advisor this is."""
        return self._spec

    async def revision(self) -> str:
        """See :attr:`AdvisorSpec.revision_key`, by the files of this machine as they are now."""
        return await asyncio.to_thread(lambda: self._spec.revision_key)

    async def _ready(self) -> Batcher:
        if self._batcher is None:
            if self._loading is None:
                self._loading = asyncio.create_task(self._load())
            # A caller that gives up must not end the loading for the others.
            self._batcher = await asyncio.shield(self._loading)
        return self._batcher

    async def _load(self) -> Batcher:
        try:
            self._revision, advisor = await asyncio.to_thread(_loaded, self._spec, self._place)
        except Exception as error:
            self._problem, self._loading = str(error), None
            raise
        self._problem = None
        return Batcher(advisor, self._limits, Exporter(self._spec.name))


def _counts(advisor: Advisor | None) -> dict[str, dict[str, int]]:
    found = {each: dict(getattr(advisor, each)) for each in COUNTS if hasattr(advisor, each)}
    requests = {each: getattr(advisor, each) for each in REQUESTS if hasattr(advisor, each)}
    return found | ({"endpoint": requests} if requests else {})


def _cpus() -> int:
    """CPUs of this machine, as Ray counts them."""
    here = ray.get_runtime_context().get_node_id()
    found = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["NodeID"] == here]
    return max(1, int(sum(found)))


def _loaded(spec: AdvisorSpec, place: Place) -> tuple[str, Advisor]:
    """The advisor, and its revision key from before its files were read."""
    if not spec.holds_model:
        return spec.revision_key, build(spec)
    attempts = Attempts(ray.get_runtime_context().get_actor_id() or f"process-{os.getpid()}")
    attempts.begin(spec.name)
    try:
        return spec.revision_key, _warm(spec, place)
    finally:
        # Not when the process is killed.
        attempts.end()


def _warm(spec: AdvisorSpec, place: Place) -> Advisor:
    """Builds an advisor with a model; it answers some prompts, so as to be warm."""
    if spec.device == "auto" and not place.gpus:
        # A machine may show its GPUs to processes that Ray gave none.
        spec = replace(spec, device="cpu")
    if spec.device == "cpu":
        import torch

        # Ray lets a process without CPUs of its own use one thread; callers mostly wait meanwhile.
        torch.set_num_threads(_cpus())
    advisor = build(spec)
    classes, actions = len(PAPER.classes), len(PAPER.actions)
    advisor.log_probabilities(
        Prompts(
            np.arange(classes, dtype=np.int8),
            np.full(classes, 0.5, np.float32),
            np.zeros((classes, classes), np.float32),
            np.full((classes, actions), np.nan, np.float32),
            np.ones((classes, actions), np.bool_),
            PAPER,
        )
    )
    return advisor


class Exporter:
    """Tells Ray's metrics what a batcher does (see :class:`llm_actor.meter.Watcher`)."""

    def __init__(self, advisor: str) -> None:
        made = metrics("kirl_advisor_", {"advisor": advisor, "process": str(os.getpid())})
        self._prompts = made(Counter, "prompts", "Prompts that callers asked about")
        self._cached = made(Counter, "cached", "Prompts answered from the cache")
        self._joined = made(Counter, "joined", "Prompts equal to one that was being asked")
        self._asked = made(Counter, "asked", "Prompts that went to the advisor")
        self._failures = made(Counter, "failures", "Requests that failed")
        self._tokens = made(Counter, "tokens", "Tokens of prompts that a model read")
        self._speed = made(Gauge, "prompts_per_second", "Of the last batch")
        self._token_speed = made(Gauge, "tokens_per_second", "Of prompts in the last batch")
        self._size = made(Histogram, "batch_prompts", "Prompts per batch", boundaries=SIZES)
        self._queue = made(
            Histogram, "queue_seconds", "Longest wait for a batch to begin", boundaries=SECONDS
        )
        self._latency = made(
            Histogram, "latency_seconds", "From request to answer", boundaries=SECONDS
        )

    def came(self, prompts: int, cached: int, joined: int) -> None:
        """See :class:`llm_actor.meter.Watcher`."""
        for counter, count in (
            (self._prompts, prompts),
            (self._cached, cached),
            (self._joined, joined),
        ):
            raykit.count(counter, count)

    def went(self, seconds: float, failed: bool) -> None:
        """See :class:`llm_actor.meter.Watcher`."""
        self._latency.observe(seconds)
        if failed:
            self._failures.inc()

    def began(self, waited: Iterable[float]) -> None:
        """See :class:`llm_actor.meter.Watcher`."""
        self._queue.observe(max(waited))

    def ended(
        self, prompts: int, seconds: float, failed: bool, fallbacks: int, tokens: int
    ) -> None:
        """See :class:`llm_actor.meter.Watcher`."""
        self._asked.inc(prompts)
        raykit.count(self._tokens, tokens)
        self._size.observe(prompts)
        if not failed:
            self._speed.set(prompts / max(seconds, 1e-9))
            self._token_speed.set(tokens / max(seconds, 1e-9))


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
        """Asks without waiting."""
        return Asked(self, prompts)

    def parts(self, prompts: Prompts, rows: NDArray[np.intp]) -> list[Part]:
        """Sends some of the prompts to the replicas that answer them."""
        # Another thread may find out meanwhile that one is lost.
        live = self._live
        chosen = [live[0]] * len(rows)
        if len(live) > 1:
            chosen = routed(prompt_keys(prompts.take(rows)), live)
        places = np.array(chosen, np.intp)
        parts = []
        for replica in dict.fromkeys(chosen or live[:1]):
            own = rows[places == replica]
            answer = self.handles[replica].log_probabilities.remote(prompts.take(own))
            parts.append(Part(replica, own, answer))
        return parts

    def lost(self, replica: int) -> bool:
        """A replica is gone for good; whether others are left."""
        rest = tuple(one for one in self._live if one != replica)
        # The last one stays, so that whoever asks it hears why.
        self._live = rest or self._live
        return bool(rest)

    def stop(self) -> None:
        """Ends the replicas, whoever else uses them."""
        for handle in self.handles:
            ray.kill(handle)


@dataclass(frozen=True)
class Part:
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
        self._parts = advisor.parts(prompts, np.arange(len(prompts)))

    def result(self) -> NDArray[np.float32]:
        """Waits for all answers, float32 [prompts, actions].

        Raises:
            InputError: the advisor cannot be loaded, or cannot tell these prompts.
            ActorDiedError: no replica is left.
        """
        told = np.zeros(self._prompts.candidates.shape, np.float32)
        waiting = list(self._parts)
        while waiting:
            part = waiting.pop(0)
            try:
                told[part.rows] = ask(part.answer)
            except ActorDiedError:
                if not self._advisor.lost(part.replica):
                    raise
                waiting += self._advisor.parts(self._prompts, part.rows)
        return told


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
        _check_same(each, handle, spec, need.require_gpu)
    handles = [found.get(each) for each in names]
    if len(found) < need.replicas:
        more = replace(need, replicas=need.replicas - len(found))
        place = placed(spec, more, *_resources(more))
        options = {
            "namespace": NAMESPACE,
            "get_if_exists": True,
            "num_cpus": cpus,
            "num_gpus": place.gpus,
            "accelerator_type": place.accelerator,
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
            _check_same(each, handle, spec, need.require_gpu)
    return RemoteAdvisor(handles)


def _say_where(spec: AdvisorSpec, place: Place, replicas: int) -> None:
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
        total, free = (
            told().get("GPU", 0.0) for told in (ray.cluster_resources, ray.available_resources)
        )
        return f"{spec.name} to start on a GPU; of {total:g} in the cluster {free:g} are free"

    raykit.wait(started, what, _log.info)


def _resources(need: Need) -> tuple[dict[str, float], dict[str, float]]:
    """What the cluster has in all and what is free, with what an autoscaler may add to both."""
    total, free = ray.cluster_resources(), ray.available_resources()
    grows = growth()
    # An autoscaler that does not tell its limits is believed where nothing else would do: a GPU
    # that is only preferred might never come.
    asked = {"GPU"} if need.require_gpu else set[str]()
    asked |= {need.resource} if need.resource else set()
    asked |= {f"accelerator_type:{need.accelerator}"} if need.accelerator else set()
    for name in asked if grows.limits is None else grows.limits:
        added = max(0.0, grows.most(name) - total.get(name, 0.0))
        total[name], free[name] = total.get(name, 0.0) + added, free.get(name, 0.0) + added
    return total, free


def _running(name: str) -> Any:  # noqa: ANN401
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def _check_same(name: str, handle: Any, spec: AdvisorSpec, require_gpu: bool) -> None:  # noqa: ANN401
    health: Health = ask(handle.health.remote())
    if require_gpu and not health.place.gpus:
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
