"""The inside of an advisor's actor: it loads the model on demand, and reports its health."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import ray
from numpy.typing import NDArray

from llm_actor import registry
from llm_actor.advisor import Advisor
from llm_actor.attempts import Attempts
from llm_actor.batching import Batcher, Limits, check
from llm_actor.circuit import CircuitState
from llm_actor.export import Exporter
from llm_actor.meter import Load
from llm_actor.placement import Placement
from llm_actor.prompts import Prompts
from llm_actor.selection import AdvisorSpec, build

COUNTS = ("answered", "outcomes", "problems")
"""Attributes of advisors that :class:`Health` reports: counters by name."""

REQUESTS = ("retried", "openings")
"""Attributes of an endpoint's advisor that :class:`Health` reports: single counts."""

WARM_UP = 8
"""Prompts of the first question that a model answers while it counts as being loaded."""


@dataclass(frozen=True)
class Health:
    """The state of one actor.

    Attributes:
        advisor: the advisor's name.
        ready: whether its model is loaded; that happens at the first question.
        problem: why the last loading failed, if it did.
        process: its process id; it changes when Ray starts the actor again.
        node: Ray's id of its machine.
        place: where it runs, and why there.
        gpus: ids of the GPUs that Ray gave it.
        device: what its model computes on, such as ``NVIDIA H200`` or ``cpu``; ``None`` before
            the model is loaded, and where there is none.
        counts: how answers came about, as far as the advisor counts it (:data:`COUNTS`); under
            ``endpoint`` the requests made again (``retried``) and how often the circuit opened
            (``openings``).
        circuit: state of an endpoint's circuit breaker; ``None`` for other advisors.
        revision: :attr:`AdvisorSpec.revision_key` when the model was loaded; ``None`` before.
        token_budget: most tokens of a model's batch now; it is halved whenever the memory does
            not suffice.
    """

    advisor: str
    ready: bool
    problem: str | None
    process: int
    node: str
    place: Placement
    gpus: tuple[str, ...]
    device: str | None
    counts: Mapping[str, Mapping[str, int]]
    circuit: CircuitState | None
    revision: str | None
    token_budget: int | None


class AdvisorServer:
    """The class of the actor: a :class:`Batcher` around an advisor that is loaded on demand.

    The model is loaded at the first question rather than at the start, so that a model that
    cannot be loaded is an answer and not the death of the actor. The next question tries again.
    """

    def __init__(self, spec: AdvisorSpec, place: Placement, limits: Limits) -> None:
        self._spec, self._place, self._limits = spec, place, limits
        self._batcher: Batcher | None = None
        self._loading: asyncio.Task[Batcher] | None = None
        self._problem: str | None = None
        self._revision: str | None = None

    async def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
        """See :meth:`Batcher.ask`; raises :class:`InputError` where loading does."""
        # What is no question must not be what the model is warmed up with.
        check(prompts)
        return await (await self._ready(prompts)).ask(prompts)

    async def metrics(self) -> Load:
        """Figures of the batcher; zeros before the first question."""
        return self._batcher.load() if self._batcher else Load()

    async def health(self) -> Health:
        """The actor's state."""
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
        """The description that the actor was started with."""
        return self._spec

    async def revision(self) -> str:
        """The revision key of the model's files as they are now on the actor's machine."""
        return await asyncio.to_thread(lambda: self._spec.revision_key)

    async def _ready(self, prompts: Prompts) -> Batcher:
        if self._batcher is None:
            if self._loading is None:
                some = prompts.take(range(len(prompts))[:WARM_UP])
                self._loading = asyncio.create_task(self._load(some))
            # A caller that gives up must not end the loading for the others.
            self._batcher = await asyncio.shield(self._loading)
        return self._batcher

    async def _load(self, prompts: Prompts) -> Batcher:
        """Loads the advisor; its model answers some prompts, so that it is known to work."""
        try:
            self._revision, advisor = await asyncio.to_thread(
                _loaded, self._spec, self._place, prompts
            )
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


def _loaded(spec: AdvisorSpec, place: Placement, prompts: Prompts) -> tuple[str, Advisor]:
    """The advisor, and its revision key from before its files were read."""
    if not spec.holds_model:
        return spec.revision_key, build(spec)
    attempts = Attempts(ray.get_runtime_context().get_actor_id() or f"process-{os.getpid()}")
    attempts.begin(spec.name)
    try:
        return spec.revision_key, _warm(spec, place, prompts)
    finally:
        # Not when the process is killed.
        attempts.end()


def _warm(spec: AdvisorSpec, place: Placement, prompts: Prompts) -> Advisor:
    """Builds an advisor with a model, and lets it answer the prompts."""
    uses_device = "device" in registry.kind(spec.kind).uses
    if uses_device and spec.device in (None, "auto") and not place.gpus:
        # A machine may show its GPUs to processes that Ray gave none.
        spec = replace(spec, device="cpu")
    if spec.device == "cpu":
        import torch

        # Ray lets a process without CPUs of its own use one thread; callers mostly wait meanwhile.
        torch.set_num_threads(_cpus())
    advisor = build(spec)
    advisor.log_probabilities(prompts)
    return advisor
