"""An advisor as a named Ray actor: one process, one GPU, batches from many callers.

The only module of this package that knows Ray. Names are ``advisor:<name>`` in the namespace
``kirl``. When an actor's process dies, Ray starts it again and repeats the calls it was at;
an answer depends on its prompt alone, so a repeated call does no harm.
"""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import ray
from numpy.typing import NDArray
from ray.util.metrics import Counter, Gauge, Histogram

from envs import PAPER, InputError
from kg_actor.actor import NAMESPACE, ask, growth
from llm_actor.advisor import Advisor
from llm_actor.batching import Batcher, Limits
from llm_actor.circuit import State
from llm_actor.meter import Load
from llm_actor.placement import Need, Place, no_gpu, placed
from llm_actor.prompts import Prompts
from llm_actor.selection import AdvisorSpec, build

SECONDS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]
"""Boundaries of the exported histograms of times."""

SIZES = [1.0, 4.0, 16.0, 64.0, 256.0, 1024.0]
"""Boundaries of the exported histogram of batch sizes."""

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
        )

    async def process(self) -> int:
        """The actor's process id; it changes when Ray starts the actor again."""
        return os.getpid()

    async def spec(self) -> AdvisorSpec:
        """Which advisor this is."""
        return self._spec

    async def revision(self) -> str:
        """See :attr:`AdvisorSpec.revision_key`, by the files of this machine."""
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
            advisor = await asyncio.to_thread(_warm, self._spec, self._place)
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


def _warm(spec: AdvisorSpec, place: Place) -> Advisor:
    """Builds the advisor; a model of this process answers some prompts, so as to be warm."""
    if not spec.holds_model:
        return build(spec)
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
        def made(sort: Any, name: str, about: str, **options: object) -> Any:  # noqa: ANN401
            metric = sort(f"kirl_advisor_{name}", about, tag_keys=("advisor", "process"), **options)
            metric.set_default_tags({"advisor": advisor, "process": str(os.getpid())})
            return metric

        self._prompts = made(Counter, "prompts", "Prompts that callers asked about")
        self._cached = made(Counter, "cached", "Prompts answered from the cache")
        self._joined = made(Counter, "joined", "Prompts equal to one that was being asked")
        self._asked = made(Counter, "asked", "Prompts that went to the advisor")
        self._failures = made(Counter, "failures", "Requests that failed")
        self._fallbacks = made(Counter, "fallbacks", "Prompts that a fallback answered")
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
            # Ray's counters take no zero.
            if count:
                counter.inc(count)

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
        if fallbacks:
            self._fallbacks.inc(fallbacks)
        if tokens:
            self._tokens.inc(tokens)
        self._size.observe(prompts)
        if not failed:
            self._speed.set(prompts / max(seconds, 1e-9))
            self._token_speed.set(tokens / max(seconds, 1e-9))


class RemoteAdvisor:
    """Advisors elsewhere, as one :class:`llm_actor.advisor.Advisor`; usable from any thread.

    Args:
        handles: replicas of one advisor.
    """

    def __init__(self, handles: Sequence[Any]) -> None:
        self.handles = tuple(handles)
        self._lock = threading.Lock()
        self._outstanding: list[dict[Any, int]] = [{} for _ in self.handles]

    def __reduce__(self) -> tuple[object, ...]:
        # What one process has outstanding is no business of another's.
        return (RemoteAdvisor, (self.handles,))

    @property
    def name(self) -> str:
        """The name of the advisor that answers."""
        spec: AdvisorSpec = ask(self.handles[0].spec.remote())
        return spec.name

    def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
        """Waits for the answer, see :class:`llm_actor.advisor.Advisor`; all replicas work at it.

        Raises:
            InputError: the advisor cannot be loaded, or cannot tell these prompts.
        """
        parts = max(1, min(len(self.handles), len(prompts)))
        rows = np.array_split(np.arange(len(prompts)), parts)
        return np.concatenate(ask([self.submit(prompts.take(part)) for part in rows]))

    def submit(self, prompts: Prompts) -> Any:  # noqa: ANN401 (a reference to the answer)
        """Asks without waiting; :func:`kg_actor.actor.ask` waits for what this returns.

        It goes to the replica with the fewest prompts outstanding from here.
        """
        with self._lock:
            for outstanding in self._outstanding:
                if outstanding:
                    refs = list(outstanding)
                    done, _ = ray.wait(refs, num_returns=len(refs), timeout=0, fetch_local=False)
                    for ref in done:
                        del outstanding[ref]
            loads = [sum(outstanding.values()) for outstanding in self._outstanding]
            least = loads.index(min(loads))
            ref = self.handles[least].log_probabilities.remote(prompts)
            self._outstanding[least][ref] = len(prompts)
            return ref

    def stop(self) -> None:
        """Ends the replicas, whoever else uses them."""
        for handle in self.handles:
            ray.kill(handle)


def start(
    spec: AdvisorSpec,
    *,
    name: str | None = None,
    gpus: Literal["auto"] | float = "auto",
    accelerator: str | None = None,
    require_gpu: bool = False,
    resource: str | None = None,
    cpus: float = 0,
    replicas: int = 1,
    limits: Limits | None = None,
) -> RemoteAdvisor:
    """Starts an advisor's actors, or finds them by their name.

    Args:
        spec: which advisor.
        name: under which several drivers share it on purpose; it outlives them, until
            :meth:`RemoteAdvisor.stop`, and this waits until it is there. Without a name it
            ends with what is returned here.
        gpus: see :class:`llm_actor.placement.Need`, as for the next two and ``replicas``.
        accelerator: the GPU's type.
        require_gpu: refuse at once rather than wait or run on CPU.
        resource: a custom resource of Ray's that the actors' nodes have.
        cpus: that Ray keeps for each replica; none by default, since callers mostly wait.
        replicas: how many actors.
        limits: of batches and cache; an actor that is found keeps its own.

    Raises:
        InputError: no GPU although one is required, fewer free ones than replicas, no node with
            the resource, or an advisor of that name is another one.
    """
    need = Need(gpus, accelerator, require_gpu, resource, replicas)
    first = f"advisor:{name or f'{spec.name}-{uuid.uuid4().hex[:8]}'}"
    names = [first, *(f"{first}:{replica}" for replica in range(1, replicas))]
    found = {each: handle for each in names if (handle := _running(each)) is not None}
    for each, handle in found.items():
        _check_same(each, handle, spec, require_gpu)
    handles = [found.get(each) for each in names]
    if len(found) < replicas:
        more = replace(need, replicas=replicas - len(found))
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
        handles = [
            handle
            or actor_class.options(name=each, **options).remote(spec, place, limits or Limits())
            for each, handle in zip(names, handles, strict=True)
        ]
    if name:
        # Another driver may have taken the name between looking and starting.
        for each, handle in zip(names, handles, strict=True):
            _check_same(each, handle, spec, require_gpu)
    return RemoteAdvisor(handles)


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
