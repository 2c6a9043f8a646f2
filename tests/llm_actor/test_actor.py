"""The advisor's actor on a real Ray, killed for real."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from envs import Catalogue, InputError
from kg_actor.raykit import ask
from llm_actor import GraphReader, Prompts, actor, endpoint_advisor
from llm_actor.actor import RemoteAdvisor, start
from llm_actor.attempts import Attempts
from llm_actor.batching import Limits, joined
from llm_actor.circuit import Circuit
from llm_actor.meter import Load
from llm_actor.placement import Need, Placement
from llm_actor.selection import AdvisorSpec, build
from llm_actor.server import AdvisorServer, Health

sys.path.insert(0, str(Path(__file__).parent))
import scripted
import tiny

PAPER = Catalogue.named("paper")

PATIENT = Limits(max_wait_seconds=0.5)
"""Long enough for two clients to meet on a busy machine."""

Start = Callable[..., RemoteAdvisor]


def prompts_of(predicted: list[int], confidence: float = 0.9) -> Prompts:
    rows = len(predicted)
    rewards = np.random.default_rng(0).integers(-50, 51, (8, 15)).astype(np.float32)
    shares = np.eye(8, dtype=np.float32)[predicted]
    return Prompts(
        np.array(predicted, np.int8),
        np.full(rows, confidence, np.float32),
        shares,
        rewards / np.float32(10),
        np.ones((rows, 15), np.bool_),
        PAPER,
    )


def answers(prompts: Prompts) -> NDArray[np.float32]:
    return GraphReader().log_probabilities(prompts)


@pytest.fixture(scope="module")
def started(ray_local: ModuleType) -> Iterator[Start]:
    """Starts advisors and ends them with the tests."""
    advisors: list[RemoteAdvisor] = []

    def begin(spec: AdvisorSpec, *need: Need, **options: object) -> RemoteAdvisor:
        advisors.append(start(spec, *need, **options))  # type: ignore[arg-type]
        return advisors[-1]

    yield begin
    for advisor in advisors:
        advisor.stop()


@pytest.fixture(scope="module")
def reader(started: Start) -> RemoteAdvisor:
    """A graph reader in a process of its own; starting one takes seconds, so tests share it."""
    return started(AdvisorSpec(), name="tested", limits=PATIENT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random model as save_pretrained leaves it."""
    place = tmp_path_factory.mktemp("tiny-phi")
    tiny.model().save_pretrained(place)
    tiny.tokenizer().save_pretrained(place)
    return place


def load_of(advisor: RemoteAdvisor) -> Load:
    load: Load = ask(advisor.handles[0].metrics.remote())
    return load


def health_of(advisor: RemoteAdvisor) -> Health:
    health: Health = ask(advisor.handles[0].health.remote())
    return health


def test_two_clients_at_once_share_a_batch_and_a_repeated_question_the_cache(
    ray_local: ModuleType, reader: RemoteAdvisor
) -> None:
    @ray_local.remote(num_cpus=0)
    def client(advisor: RemoteAdvisor, prompts: Prompts, at: float) -> NDArray[np.float32]:
        time.sleep(max(0.0, at - time.time()))
        return advisor.log_probabilities(prompts)

    first, second = prompts_of([0, 1, 2]), prompts_of([2, 1, 3])
    # Both processes need a while to start; only then the clock decides.
    ask([client.remote(reader, prompts_of([7]), 0) for _ in range(2)])
    before, at = load_of(reader), time.time() + 1.0

    found = ask([client.remote(reader, each, at) for each in (first, second)])

    after = load_of(reader)
    assert np.array_equal(found[0], answers(first))
    assert np.array_equal(found[1], answers(second))
    assert after.asked - before.asked == 4
    assert after.joined - before.joined == 2
    assert after.batches - before.batches == 1

    assert np.array_equal(reader.log_probabilities(first), answers(first))
    again = load_of(reader)
    assert again.cached - after.cached == 3
    assert again.asked == after.asked


def test_an_advisor_is_found_by_its_name(
    ray_local: ModuleType, started: Start, reader: RemoteAdvisor
) -> None:
    same = started(AdvisorSpec(), name="tested")

    assert ray_local.get_actor("advisor:tested", namespace="kirl") == reader.handles[0]
    assert health_of(same).process == health_of(reader).process
    assert reader.name == "graph-reader"
    assert ask(reader.handles[0].revision.remote()) == AdvisorSpec().revision_key


def test_an_advisor_with_other_options_is_refused_by_name(
    started: Start, reader: RemoteAdvisor
) -> None:
    with pytest.raises(InputError, match="advisor:tested: is already another advisor"):
        started(AdvisorSpec(temperature=1), name="tested")

    assert health_of(reader).advisor == "graph-reader"


def test_prompts_that_are_none_are_the_callers_error_alone(reader: RemoteAdvisor) -> None:
    good = prompts_of([4])
    bad = Prompts(
        good.predicted, good.confidence, good.shares, good.rewards, ~good.candidates, PAPER
    )
    answered = reader.submit(good)

    with pytest.raises(ValueError, match="no candidate"):
        reader.log_probabilities(bad)

    assert np.array_equal(answered.result(), answers(good))


def test_killing_the_actor_in_mid_batch_leaves_no_request_unanswered(
    started: Start, folder: Path
) -> None:
    """A tiny Phi-3 answers. Its process is killed between two of many batches."""
    spec = AdvisorSpec("transformers", model=str(folder))
    advisor = started(spec, limits=Limits(max_prompts=8))
    expected = build(spec)
    asked = [prompts_of(list(range(8)), confidence=step / 100) for step in range(15)]
    process = ask(advisor.handles[0].process.remote())

    sent = [advisor.submit(each) for each in asked]
    while not (at := load_of(advisor)).batches:
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    found = [each.result() for each in sent]

    assert at.asked < 8 * 15
    alone = expected.log_probabilities(joined(asked))
    assert np.concatenate(found) == pytest.approx(alone, abs=1e-4)
    health = health_of(advisor)
    assert health.process != process
    assert health.ready
    assert (health.place.gpus, health.gpus, health.device) == (0, (), "cpu")
    assert health.place.reason == "the cluster has no GPU"
    assert advisor.name == expected.name == folder.name
    load = load_of(advisor)
    assert 0 < load.asked <= 8 * 15
    assert load.tokens > load.asked
    assert load.tokens_per_second > load.prompts_per_second


def test_a_required_gpu_is_refused_at_once_where_there_is_none(started: Start) -> None:
    begun = time.perf_counter()

    with pytest.raises(InputError, match=r"1 GPUs were asked for, but the cluster has 0.*CPU"):
        started(AdvisorSpec("transformers", model="any"), Need(gpus=1))

    assert time.perf_counter() - begun < 5


def test_a_resource_that_no_node_has_is_refused_at_once(started: Start) -> None:
    begun = time.perf_counter()

    with pytest.raises(InputError, match="no node of the cluster has the resource 'llm_node'"):
        started(AdvisorSpec("embedded"), Need(resource="llm_node"))

    assert time.perf_counter() - begun < 5


def test_health_tells_how_an_endpoint_does(
    ray_local: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The actor's inside, in this process; the server refuses, and is left alone then."""

    async def main() -> None:
        spec = AdvisorSpec("endpoint", url=server.url, model="phi", retries=2, concurrency=1)
        inside = AdvisorServer(spec, Placement(0, "a test"), Limits())
        found = await inside.log_probabilities(prompts_of([1, 2]))
        health, load = await inside.health(), await inside.metrics()

        assert found == pytest.approx(answers(prompts_of([1, 2])), abs=1e-6)
        assert health.circuit == "open"
        assert health.counts["endpoint"] == {"retried": 2, "openings": 1}
        assert health.counts["answered"] == {"fallback": 2}
        assert health.counts["problems"] == {"status 503": 1, "circuit": 1}
        assert (load.fallbacks, load.tokens) == (2, 0)

    monkeypatch.setattr(endpoint_advisor, "Circuit", partial(Circuit, failures=1))
    with scripted.serving(lambda _: scripted.Response(status=503)) as server:
        asyncio.run(main())


def test_an_advisor_that_cannot_be_loaded_is_one_message_and_not_the_actors_death(
    started: Start, tmp_path: Path
) -> None:
    template = tmp_path / "template.toml"
    template.write_text("system = 'Which action?'")
    advisor = started(AdvisorSpec("transformers", model="any", template=template))
    process = health_of(advisor).process

    for refused in [advisor.submit(prompts_of([row])) for row in range(2)]:
        with pytest.raises(InputError, match=r"template.toml: its keys are not") as refusal:
            refused.result()
        assert "Traceback" not in str(refusal.value)

    health = health_of(advisor)
    assert health.process == process
    assert not health.ready
    assert "its keys are not" in (health.problem or "")
    assert load_of(advisor).requests == 0


def test_loading_is_tried_again_and_once_for_all_who_wait(
    ray_local: ModuleType, folder: Path, tmp_path: Path
) -> None:
    """The actor's inside, in this process: the model arrives between two questions."""
    place = tmp_path / "arriving"
    spec = AdvisorSpec("transformers", model=str(place))
    question = prompts_of([1, 2])

    async def main() -> None:
        server = AdvisorServer(spec, Placement(0, "a test"), Limits())
        asked = [server.log_probabilities(question) for _ in range(3)]
        refusals = await asyncio.gather(*asked, return_exceptions=True)
        assert "neither a folder" in str(refusals[0])
        assert refusals[0] is refusals[1] is refusals[2]

        place.symlink_to(folder)
        impatient = asyncio.create_task(server.log_probabilities(question))
        await asyncio.sleep(0)
        impatient.cancel()
        found = await server.log_probabilities(question)
        assert found == pytest.approx(build(spec).log_probabilities(question), abs=1e-4)
        health = await server.health()
        assert (health.ready, health.problem) == (True, None)
        assert health.counts == {"outcomes": {}}

    asyncio.run(main())


def spread(count: int) -> Prompts:
    """So many different prompts."""
    predicted = [row % 8 for row in range(count)]
    steps = (np.arange(count) // 8 / 100).astype(np.float32)
    return replace(prompts_of(predicted), confidence=steps)


def loads_of(advisor: RemoteAdvisor) -> list[Load]:
    return [ask(handle.metrics.remote()) for handle in advisor.handles]


def test_equal_prompts_go_to_the_same_replica_and_different_ones_to_both(
    ray_local: ModuleType, started: Start
) -> None:
    """Two processes ask the same prompts in different requests; no replica answers one twice."""
    pair = started(AdvisorSpec(), Need(replicas=2))
    asked = spread(200)

    @ray_local.remote(num_cpus=0)
    def elsewhere(advisor: RemoteAdvisor, prompts: Prompts) -> NDArray[np.float32]:
        return advisor.log_probabilities(prompts)

    there = elsewhere.remote(pair, asked.take(range(199, -1, -1)))
    here = [pair.submit(asked.take(rows)) for rows in np.array_split(np.arange(200), 7)]

    assert np.array_equal(np.concatenate([each.result() for each in here]), answers(asked))
    assert np.array_equal(ask(there)[::-1], answers(asked))
    loads = loads_of(pair)
    assert sum(load.asked for load in loads) == 200
    assert sum(load.cached + load.joined for load in loads) == 200
    assert min(load.asked for load in loads) > 70
    assert pair.log_probabilities(prompts_of([])).shape == (0, 15)


def test_what_a_lost_replica_would_have_answered_goes_to_the_other(
    ray_local: ModuleType, started: Start
) -> None:
    pair = start(AdvisorSpec(), Need(replicas=2))
    asked, later = spread(60), spread(120).take(range(60, 120))
    pair.log_probabilities(asked)
    before = loads_of(pair)[0]

    waiting = [pair.submit(later.take([row])) for row in range(60)]
    ray_local.kill(pair.handles[1])

    assert np.array_equal(np.concatenate([each.result() for each in waiting]), answers(later))
    assert np.array_equal(pair.log_probabilities(asked), answers(asked))
    after = ask(pair.handles[0].metrics.remote())
    # What it had answered itself, it still knows.
    assert after.cached - before.cached == before.asked
    ray_local.kill(pair.handles[0])
    with pytest.raises(ray_local.exceptions.ActorDiedError):
        pair.log_probabilities(asked)


def test_it_is_said_where_an_advisor_runs_and_why(
    started: Start, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "llm_actor"):
        started(AdvisorSpec("embedded"))
        started(AdvisorSpec("embedded", device="cpu"), Need(replicas=2))

    assert caplog.messages == [
        "embedded runs on CPU: the cluster has no GPU",
        "embedded runs on CPU, in 2 actors: its device is cpu",
    ]


def test_a_model_that_was_trained_anew_in_its_folder_is_not_found_by_the_old_name(
    started: Start, folder: Path, tmp_path: Path
) -> None:
    place = tmp_path / "model"
    shutil.copytree(folder, place)
    spec = AdvisorSpec("transformers", model=str(place))
    old = started(spec, name="trained")
    # Before it is loaded there is nothing old about it.
    assert health_of(started(spec, name="trained")).revision is None
    old.log_probabilities(prompts_of([1]))
    assert health_of(started(spec, name="trained")).revision == spec.revision_key

    tiny.model(seed=1).save_pretrained(place)

    with pytest.raises(InputError, match="an older state of model: its files have changed"):
        started(spec, name="trained")


def test_a_model_whose_loading_ends_its_process_is_not_loaded_for_ever(
    ray_local: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the system does it to a process that takes too much memory: without a word."""

    class Doomed(AdvisorServer):
        async def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
            attempts = Attempts(ray_local.get_runtime_context().get_actor_id())
            attempts.begin("huge")
            os.kill(os.getpid(), signal.SIGKILL)
            raise AssertionError

    monkeypatch.setattr(actor, "AdvisorServer", Doomed)
    advisor = start(AdvisorSpec())

    with pytest.raises(InputError, match=r"ended 3 times while it was loading.*smaller model"):
        advisor.log_probabilities(prompts_of([1]))
    advisor.stop()
