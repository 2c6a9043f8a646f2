from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from envs import Catalogue, InputError
from llm_actor import GraphReader, Prompts
from llm_actor.batching import Batcher, Limits, joined, prompt_keys

PAPER = Catalogue.named("paper")

OTHER = Catalogue(PAPER.classes, PAPER.actions[::-1])
"""The same names in another order: equal numbers mean other questions."""


def prompts_of(predicted: Sequence[int], graph: int = 0, catalogue: Catalogue = PAPER) -> Prompts:
    """Prompts of sure signatures; ``graph`` decides what the records say."""
    rows = len(predicted)
    rewards = np.random.default_rng(graph).integers(-50, 51, (8, 15)).astype(np.float32) / 10
    shares = np.eye(8, dtype=np.float32)[list(predicted)]
    return Prompts(
        np.array(predicted, np.int8),
        np.full(rows, 0.9, np.float32),
        shares,
        rewards.astype(np.float32),
        np.ones((rows, 15), np.bool_),
        catalogue,
    )


class Slow:
    """Reads the graph, takes its time, and remembers what it was asked."""

    name = "slow"

    def __init__(self, seconds: float = 0.0) -> None:
        self._seconds, self._reader = seconds, GraphReader()
        self.batches: list[list[int]] = []
        self.threads: set[int] = set()

    def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
        self.batches.append(prompts.predicted.tolist())
        self.threads.add(threading.get_ident())
        time.sleep(self._seconds)
        return self._reader.log_probabilities(prompts)


def answers(prompts: Prompts) -> NDArray[np.float32]:
    return GraphReader().log_probabilities(prompts)


def ask_all(batcher_of: Slow, limits: Limits, *questions: Prompts) -> list[NDArray[np.float32]]:
    """All at once, from as many callers."""

    async def main() -> list[NDArray[np.float32]]:
        batcher = Batcher(batcher_of, limits)
        return await asyncio.gather(*(batcher.ask(question) for question in questions))

    return asyncio.run(main())


def test_callers_that_ask_at_the_same_time_share_a_batch() -> None:
    advisor, first, second = Slow(), prompts_of([1, 2]), prompts_of([3])

    found = ask_all(advisor, Limits(), first, second)

    assert advisor.batches == [[1, 2, 3]]
    assert np.array_equal(found[0], answers(first))
    assert np.array_equal(found[1], answers(second))
    assert found[0].dtype == np.float32


def test_equal_prompts_are_asked_once_within_a_request_and_between_callers() -> None:
    advisor, twice = Slow(), prompts_of([1, 2, 1])

    found = ask_all(advisor, Limits(), twice, prompts_of([2, 1]))

    assert advisor.batches == [[1, 2]]
    assert np.array_equal(found[0], answers(twice))
    assert np.array_equal(found[1], answers(prompts_of([2, 1])))


def test_a_prompt_that_is_being_answered_is_not_asked_again() -> None:
    advisor = Slow(0.05)

    async def main() -> None:
        batcher = Batcher(advisor, Limits(max_wait_seconds=0))
        first = asyncio.create_task(batcher.ask(prompts_of([1])))
        while not advisor.batches:
            await asyncio.sleep(0.001)
        second = await batcher.ask(prompts_of([1]))
        assert np.array_equal(second, await first)
        assert batcher.load().joined == 1

    asyncio.run(main())
    assert advisor.batches == [[1]]


def test_prompts_of_other_records_or_catalogues_are_asked_apart() -> None:
    advisor = Slow()
    asked = [prompts_of([1]), prompts_of([1], graph=1), prompts_of([1], catalogue=OTHER)]

    found = ask_all(advisor, Limits(), *asked, prompts_of([2]))

    assert advisor.batches == [[1, 2], [1], [1]]
    for question, answer in zip(asked, found, strict=False):
        assert np.array_equal(answer, answers(question))
    assert len({key for question in asked for key in prompt_keys(question)}) == 3


def test_a_full_batch_does_not_wait_and_a_larger_request_takes_several() -> None:
    advisor = Slow()

    begun = time.perf_counter()
    found = ask_all(advisor, Limits(max_prompts=2, max_wait_seconds=30), prompts_of([1, 2, 3, 4]))

    assert advisor.batches == [[1, 2], [3, 4]]
    assert np.array_equal(found[0], answers(prompts_of([1, 2, 3, 4])))
    assert time.perf_counter() - begun < 10


def test_whoever_fills_a_batch_ends_the_wait_of_the_others() -> None:
    advisor = Slow()

    async def main() -> None:
        batcher = Batcher(advisor, Limits(max_prompts=2, max_wait_seconds=30))
        first = asyncio.create_task(batcher.ask(prompts_of([1])))
        await asyncio.sleep(0.01)
        await asyncio.wait_for(asyncio.gather(first, batcher.ask(prompts_of([2]))), 10)

    asyncio.run(main())
    assert advisor.batches == [[1, 2]]


def test_a_prompt_waits_for_company_until_its_time_is_up() -> None:
    advisor = Slow()

    async def main() -> None:
        batcher = Batcher(advisor, Limits(max_prompts=3, max_wait_seconds=0.3))
        begun = time.perf_counter()
        alone = asyncio.create_task(batcher.ask(prompts_of([1])))
        await asyncio.sleep(0.01)
        assert not advisor.batches
        await asyncio.gather(alone, batcher.ask(prompts_of([2])))
        assert time.perf_counter() - begun >= 0.3
        assert batcher.load().queue_median >= 0.28

    asyncio.run(main())
    assert advisor.batches == [[1, 2]]


def test_the_loop_stays_free_and_the_advisor_has_one_thread() -> None:
    advisor = Slow(0.1)

    async def main() -> None:
        batcher = Batcher(advisor, Limits(max_wait_seconds=0))
        asked = [asyncio.create_task(batcher.ask(prompts_of([row]))) for row in range(3)]
        turns = 0
        while not all(task.done() for task in asked):
            await asyncio.sleep(0.001)
            turns += 1
        assert turns > 10

    asyncio.run(main())
    assert len(advisor.threads) == 1
    assert advisor.threads != {threading.get_ident()}


def test_answers_are_remembered_and_the_least_recently_used_go_first() -> None:
    advisor = Slow()

    async def main() -> None:
        batcher = Batcher(advisor, Limits(max_wait_seconds=0, cache_size=2))
        for predicted in (1, 2, 1, 3, 1, 2):
            answer = await batcher.ask(prompts_of([predicted]))
            assert np.array_equal(answer, answers(prompts_of([predicted])))
        assert batcher.load().cached == 2

    asyncio.run(main())
    assert advisor.batches == [[1], [2], [3], [2]]


def test_a_request_larger_than_the_cache_is_answered_in_full() -> None:
    question = prompts_of([1, 2, 3, 1])
    limits = Limits(max_prompts=1, cache_size=1)

    assert np.array_equal(ask_all(Slow(), limits, question)[0], answers(question))


def test_nothing_asked_nothing_answered() -> None:
    advisor = Slow()

    assert ask_all(advisor, Limits(), prompts_of([]))[0].shape == (0, 15)
    assert not advisor.batches


class Moody(Slow):
    """Raises whenever a prompt predicts class 7."""

    def __init__(self, error: Exception, seconds: float = 0.0) -> None:
        super().__init__(seconds)
        self.error = error

    def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
        found = super().log_probabilities(prompts)
        if 7 in prompts.predicted:
            raise self.error
        return found


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (InputError("out of memory"), InputError),
        (OSError("gone"), OSError),
        (StopIteration(), RuntimeError),
    ],
)
def test_an_error_is_for_the_callers_of_its_batch_alone(
    error: Exception, seen: type[Exception]
) -> None:
    advisor = Moody(error, 0.02)

    async def main() -> None:
        batcher = Batcher(advisor, Limits(max_wait_seconds=0))
        first = [asyncio.create_task(batcher.ask(prompts_of([7, row]))) for row in (1, 2)]
        while not advisor.batches:
            await asyncio.sleep(0.001)
        second = asyncio.create_task(batcher.ask(prompts_of([3])))
        failed = await asyncio.gather(*first, return_exceptions=True)
        assert [type(each) for each in failed] == [seen, seen]
        assert np.array_equal(await second, answers(prompts_of([3])))
        # Nothing of the failed batch was kept: both prompts are asked again.
        assert np.array_equal(await batcher.ask(prompts_of([1])), answers(prompts_of([1])))
        load = batcher.load()
        assert (load.failures, load.cached, load.requests) == (2, 0, 4)

    asyncio.run(main())
    assert advisor.batches == [[7, 1, 2], [3], [1]]


class Falling(Slow):
    """Falls back on a bolder reader for class 7."""

    def answers(self, prompts: Prompts) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        own = prompts.predicted != 7
        bold = GraphReader(0.1).log_probabilities(prompts)
        return np.where(own[:, None], self.log_probabilities(prompts), bold), own


def test_a_fallbacks_answer_is_given_but_not_kept() -> None:
    advisor, question = Falling(), prompts_of([7, 1])

    async def main() -> None:
        batcher = Batcher(advisor, Limits(max_wait_seconds=0))
        for _ in range(2):
            found = await batcher.ask(question)
            assert np.array_equal(found[0], GraphReader(0.1).log_probabilities(question)[0])
            assert np.array_equal(found[1], answers(question)[1])
        assert (batcher.load().fallbacks, batcher.load().cached) == (2, 1)

    asyncio.run(main())
    assert advisor.batches == [[7, 1], [7]]


class Wrong(Slow):
    """Answers with one row too few, or with no number."""

    def __init__(self, rows: int) -> None:
        super().__init__()
        self._rows = rows

    def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
        found = super().log_probabilities(prompts)[: self._rows]
        found[0, 0] = np.nan
        return found


@pytest.mark.parametrize("rows", [1, 2])
def test_what_is_no_answer_is_an_error(rows: int) -> None:
    with pytest.raises(ValueError, match=rf"slow gave \[{rows}, 15\].*expected \[2, 15\]"):
        ask_all(Wrong(rows), Limits(), prompts_of([1, 2]))


def test_prompts_that_would_spoil_a_batch_are_refused_before_it() -> None:
    advisor, good = Slow(), prompts_of([1])
    fields = {name: getattr(good, name) for name in good.__dataclass_fields__}
    for name, value in (
        ("candidates", np.zeros((1, 15), np.bool_)),
        ("candidates", np.ones((2, 15), np.bool_)),
        ("shares", np.zeros((1, 7), np.float32)),
        ("predicted", np.array([8], np.int8)),
    ):
        with pytest.raises(ValueError, match="prompt"):
            ask_all(advisor, Limits(), Prompts(**{**fields, name: value}))

    assert not advisor.batches


def test_a_caller_that_gives_up_harms_nobody() -> None:
    advisor = Slow(0.05)

    async def main() -> None:
        batcher = Batcher(advisor)
        gone = asyncio.create_task(batcher.ask(prompts_of([1, 2])))
        stays = asyncio.create_task(batcher.ask(prompts_of([2, 3])))
        await asyncio.sleep(0)
        gone.cancel()
        assert np.array_equal(await stays, answers(prompts_of([2, 3])))
        assert gone.cancelled()
        late = asyncio.create_task(batcher.ask(prompts_of([4])))
        while len(advisor.batches) < 2:
            await asyncio.sleep(0.001)
        late.cancel()
        # Its answer comes all the same, and serves whoever asks next.
        assert np.array_equal(await batcher.ask(prompts_of([4])), answers(prompts_of([4])))

    asyncio.run(main())
    assert advisor.batches == [[1, 2, 3], [4]]


def test_a_batch_that_fails_after_its_callers_left_leaves_no_trace() -> None:
    advisor = Moody(OSError("gone"), 0.02)
    complaints: list[object] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: complaints.append(told))
        batcher = Batcher(advisor, Limits(max_wait_seconds=0))
        gone = asyncio.create_task(batcher.ask(prompts_of([7])))
        await asyncio.sleep(0.005)
        gone.cancel()
        assert np.array_equal(await batcher.ask(prompts_of([1])), answers(prompts_of([1])))
        # Asyncio complains of an error that nobody saw once it is thrown away.
        del gone, advisor.error
        gc.collect()

    asyncio.run(main())
    assert not complaints


def test_the_load_tells_what_happened() -> None:
    async def main() -> None:
        batcher = Batcher(Slow(0.02), Limits(max_prompts=4))
        assert batcher.load().batches == 0
        await asyncio.gather(batcher.ask(prompts_of([1, 2, 1])), batcher.ask(prompts_of([2, 3])))
        await batcher.ask(prompts_of([3, 4]))
        load = batcher.load()
        assert (load.requests, load.prompts, load.asked) == (3, 7, 4)
        assert (load.cached, load.joined, load.failures) == (1, 2, 0)
        assert (load.batches, load.largest) == (2, 3)
        assert 0.02 <= load.latency_median <= load.latency_p99 < 5
        assert 0 < load.queue_median <= load.queue_p99 < 5
        assert 0 < load.prompts_per_second <= 100

    asyncio.run(main())


@pytest.mark.parametrize(
    "bad",
    [
        {"max_prompts": 0},
        {"max_wait_seconds": float("nan")},
        {"cache_size": 0},
    ],
)
def test_limits_that_nothing_fits_into_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="limits"):
        Limits(**bad)


def test_joining_keeps_the_order() -> None:
    whole = prompts_of([3, 1, 2, 1])

    parts = joined([whole.take([0, 1]), whole.take([2]), whole.take([3])])

    assert parts.keys() == whole.keys()


Caller = tuple[float, list[int], int, bool]
callers = st.tuples(
    st.sampled_from([0.0, 0.001, 0.004]),
    st.lists(st.integers(0, 7), max_size=6),
    st.integers(0, 2),
    st.booleans(),
)


@settings(max_examples=60)
@given(
    st.lists(callers, max_size=8),
    st.integers(1, 4),
    st.sampled_from([0.0, 0.002]),
    st.integers(1, 5),
)
def test_every_caller_gets_what_the_advisor_says_of_its_prompts(
    plan: list[Caller], most: int, wait: float, kept: int
) -> None:
    """Whoever asks when, gives up or fails meanwhile, and whatever the limits."""
    advisor = Moody(OSError("gone"), 0.001)

    async def call(batcher: Batcher, caller: Caller) -> None:
        pause, predicted, graph, patient = caller
        await asyncio.sleep(pause)
        asked = prompts_of(predicted, graph)
        try:
            found = await asyncio.wait_for(batcher.ask(asked), 30 if patient else 0.001)
        except TimeoutError:
            assert not patient
        except OSError:
            assert any(7 in other[1] and other[2] == graph for other in plan)
        else:
            assert np.array_equal(found, answers(asked))
            assert 7 not in predicted

    async def main() -> None:
        batcher = Batcher(advisor, Limits(most, wait, kept))
        await asyncio.gather(*(call(batcher, caller) for caller in plan))

    asyncio.run(main())
    assert all(len(batch) <= most for batch in advisor.batches)
