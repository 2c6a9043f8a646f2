"""The advisor's actor under load: two clients at once.

Nothing here is simulated but the prompts' graph and, for the paper's architecture, the weights:
a Ray actor loads a model from files, and clients ask it from processes of their own.
"""

from __future__ import annotations

import gc
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray

from kg_actor.raykit import ask
from llm_actor import Advisor, Prompts
from llm_actor.actor import RemoteAdvisor, start
from llm_actor.meter import Load
from llm_actor.model_files import ModelSource
from llm_actor.selection import AdvisorSpec, build
from llm_actor.server import Health
from llm_actor.text import PLACEHOLDERS, Template
from rayapp.lab.bench import advisor as bench
from rayapp.lab.bench import phi
from rayapp.lab.bench.advisor import Progress

CLIENTS = 2

REQUEST = 16
"""Prompts of one request: few, so that batches can only come from many requests."""

OUTSTANDING = 8
"""Requests that a client sends before it waits for an answer."""

WARM = 1
"""Prompts asked before the clock starts."""

STEPS = 3

CHAT = "{% for part in messages %}{{ part.content }}<|end|>\n{% endfor %}"
"""A chat format with a system part, which the embedded model's own leaves out."""


@dataclass(frozen=True)
class ActorSpeed:
    """The result of :func:`measure_actor`. Times are in seconds.

    Attributes:
        device: what the actor's model computes on.
        reason: why it runs there.
        load_seconds: from the start to the first answer.
        clients: processes that ask at the same time.
        requests: of all clients, :data:`REQUEST` prompts each.
        prompts: in all requests; every client asks half of the distinct ones, and some of the rest.
        asked: prompts that the model was asked; the others equal one in flight, or were cached.
        batch_mean: prompts per call of the model.
        tokens_per_prompt: mean, as the model reads them.
        prompts_per_second: that the model answered, by the clock on the wall.
        latency_median: from a client's request to its answer.
        latency_p99: the same, 99th percentile.
        direct_prompts_per_second: of the same advisor without the actor, all prompts in one
            call; median of the rounds.
        actor_to_direct: ratio of ``prompts_per_second`` to that.
        difference: largest between the actor's log-probabilities and those asked directly.
    """

    device: str
    reason: str
    load_seconds: float
    clients: int
    requests: int
    prompts: int
    asked: int
    batch_mean: float
    tokens_per_prompt: float
    prompts_per_second: float
    latency_median: float
    latency_p99: float
    direct_prompts_per_second: float
    actor_to_direct: float
    difference: float


@dataclass(frozen=True)
class _Served:
    """What clients saw, and what the actor counted meanwhile.

    Attributes:
        wall: seconds until all clients had all answers.
        latencies: seconds, one per request.
        answers: each client's, float32 [its prompts, actions].
        before: the actor's load.
        after: the same at the end.
    """

    wall: float
    latencies: NDArray[np.float64]
    answers: list[NDArray[np.float32]]
    before: Load
    after: Load


def measure_actor(spec: AdvisorSpec, prompts: int, progress: Progress) -> ActorSpeed:
    """Measures an advisor's actor on a GPU where the cluster has one. Ray must be running.

    Args:
        spec: an advisor with a model of its own.
        prompts: distinct ones to ask, at least 2.
        progress: called with steps done and steps in all.

    Raises:
        InputError: the model cannot be loaded.
    """
    every = bench.distinct_prompts(prompts + WARM)
    cuts = np.split(np.arange(len(every)), [prompts])
    asked, warm = (every.take(rows) for rows in cuts)
    begun = time.perf_counter()
    advisor = start(spec)
    try:
        advisor.log_probabilities(warm)
        load_seconds = time.perf_counter() - begun
        progress(1, STEPS)
        health: Health = ask(advisor.handles[0].health.remote())
        rows = _rows(prompts)
        served = _serve(advisor, [asked.take(own) for own in rows])
        progress(2, STEPS)
    finally:
        advisor.stop()
    # As the actor does: a machine may have GPUs that Ray keeps for others.
    cpu = spec.device == "auto" and not health.place.gpus
    direct = build(replace(spec, device="cpu") if cpu else spec)
    expected, seconds = _direct(direct, asked)
    progress(STEPS, STEPS)
    before, after = served.before, served.after
    answered = after.asked - before.asked
    rate, direct_rate = answered / served.wall, prompts / seconds
    median, high = np.percentile(served.latencies, [50, 99])
    return ActorSpeed(
        device=health.device or "none",
        reason=health.place.reason,
        load_seconds=load_seconds,
        clients=CLIENTS,
        requests=after.requests - before.requests,
        prompts=after.prompts - before.prompts,
        asked=answered,
        batch_mean=answered / (after.batches - before.batches),
        tokens_per_prompt=(after.tokens - before.tokens) / answered,
        prompts_per_second=rate,
        latency_median=float(median),
        latency_p99=float(high),
        direct_prompts_per_second=direct_rate,
        actor_to_direct=rate / direct_rate,
        difference=max(
            float(np.abs(answer - expected[own]).max())
            for answer, own in zip(served.answers, rows, strict=True)
        ),
    )


def random_spec(folder: Path, layers: int, tokens: int, device: str) -> AdvisorSpec:
    """Writes the paper's architecture with random weights to files, as an advisor loads them.

    The tokenizer is the embedded model's; the template is lengthened with words of the
    package's own, so that prompts are about as long as Phi's tokenizer would make them.

    Args:
        folder: an empty one; the whole model takes 7.6 GB.
        layers: 32 are the whole model.
        tokens: of a prompt on average; the records of a prompt are never cut.
        device: ``auto``, or PyTorch's name of one.

    Raises:
        InputError: there is no such device here, or the prompts are too long.
    """
    where = ModelSource("phi-3.5", device=device).where()
    model = phi.random_phi(layers, where, torch.bfloat16)
    model.save_pretrained(folder)
    del model
    gc.collect()
    if where.type == "cuda":
        torch.cuda.empty_cache()
    tokenizer: Any = bench.known_vocabulary().tokenizer
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    template = folder / "template.toml"
    template.write_text(_lengthened(tokenizer, tokens), encoding="utf-8")
    Template.read(template)
    return AdvisorSpec(
        "transformers",
        model=str(folder),
        device=device,
        dtype="bfloat16",
        template=template,
    )


def _lengthened(tokenizer: Any, tokens: int) -> str:  # noqa: ANN401
    """A template in TOML: as many shared tokens as in use, the others behind the actions."""
    words = Template.read().system.split()
    per_word = len(tokenizer(" ".join(words), add_special_tokens=False)["input_ids"]) / len(words)

    def filler(count: float) -> str:
        return " ".join(islice(cycle(words), max(1, round(count / per_word))))

    shared = phi.SHARED * tokens
    some = bench.distinct_prompts(64)
    rest = tokens - shared - bench.tokens_in(some)
    attack, records, actions = PLACEHOLDERS
    parts = {
        "system": filler(shared),
        "user": f"Predicted type: {attack}\nTrue types so far: {records}\n"
        f"Actions and their rewards:\n{actions}\n{filler(rest)}",
        "assistant": "",
    }
    return "".join(f"{name} = {json.dumps(text)}\n" for name, text in parts.items())


def _rows(prompts: int) -> list[NDArray[np.intp]]:
    """Each client's prompts: half of all, the same for every client, and some of the rest."""
    order = np.arange(prompts)
    common, own = order[: prompts // 2], np.array_split(order[prompts // 2 :], CLIENTS)
    return [np.concatenate([common, rest]) for rest in own]


def _parts(prompts: Prompts) -> list[Prompts]:
    rows = np.arange(len(prompts))
    return [prompts.take(rows[at : at + REQUEST]) for at in range(0, len(rows), REQUEST)]


class _Client:
    """Asks an advisor, from a process of its own."""

    def ready(self) -> None:
        """Returns once the process is there."""

    def ask(
        self, advisor: RemoteAdvisor, prompts: Prompts
    ) -> tuple[list[float], NDArray[np.float32]]:
        """Seconds that each request took, and all answers in order."""
        waiting: dict[Any, tuple[int, float]] = {}
        seconds: dict[int, float] = {}
        answers: dict[int, NDArray[np.float32]] = {}
        for number, part in enumerate([*_parts(prompts), None]):
            while waiting and (part is None or len(waiting) >= OUTSTANDING):
                (done, *_), _ = ray.wait(list(waiting), num_returns=1)
                place, begun = waiting.pop(done)
                answers[place] = ask(done)
                seconds[place] = time.perf_counter() - begun
            if part is not None:
                answer = advisor.handles[0].log_probabilities.remote(part)
                waiting[answer] = (number, time.perf_counter())
        return list(seconds.values()), np.concatenate([answers[i] for i in sorted(answers)])


def _serve(advisor: RemoteAdvisor, asked: Sequence[Prompts]) -> _Served:
    """Lets one client per batch of prompts ask at the same time."""
    client: Any = ray.remote(num_cpus=0)(_Client)
    clients = [client.remote() for _ in asked]
    ask([each.ready.remote() for each in clients])
    before: Load = ask(advisor.handles[0].metrics.remote())
    begun = time.perf_counter()
    told = ask([each.ask.remote(advisor, part) for each, part in zip(clients, asked, strict=True)])
    wall = time.perf_counter() - begun
    after: Load = ask(advisor.handles[0].metrics.remote())
    latencies = np.concatenate([seconds for seconds, _ in told])
    return _Served(wall, latencies, [answers for _, answers in told], before, after)


def _direct(advisor: Advisor, asked: Prompts) -> tuple[NDArray[np.float32], float]:
    """Answers without the actor, and the median of the rounds' seconds."""
    advisor.log_probabilities(asked.take(range(min(REQUEST, len(asked)))))
    seconds: list[float] = []
    for _ in range(bench.ROUNDS):
        begun = time.perf_counter()
        answers = advisor.log_probabilities(asked)
        seconds.append(time.perf_counter() - begun)
    return answers, statistics.median(seconds)
