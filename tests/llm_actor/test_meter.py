from __future__ import annotations

import pytest

from llm_actor.meter import WINDOW, Load, Meter


def test_nothing_measured_is_zero() -> None:
    assert Meter().load() == Load()


def test_counts_are_since_the_start_and_times_of_late() -> None:
    meter = Meter()
    for seconds in [100.0] * WINDOW + [1.0] * WINDOW:
        meter.came(prompts=3, cached=1, joined=1)
        meter.began([seconds])
        meter.ended(prompts=1, seconds=seconds, failed=False, fallbacks=0, tokens=70)
        meter.went(seconds, failed=False)

    load = meter.load()

    assert (load.requests, load.prompts) == (2 * WINDOW, 6 * WINDOW)
    assert (load.cached, load.joined, load.asked) == (2 * WINDOW, 2 * WINDOW, 2 * WINDOW)
    assert (load.latency_median, load.latency_p99) == (1, 1)
    assert (load.queue_median, load.queue_p99) == (1, 1)
    assert load.prompts_per_second == 1
    assert load.tokens_per_second == 70


def test_a_rare_delay_shows_in_the_99th_percentile_alone() -> None:
    meter = Meter()
    for seconds in [1.0] * 98 + [50.0] * 2:
        meter.went(seconds, failed=False)

    assert meter.load().latency_median == 1
    assert meter.load().latency_p99 == pytest.approx(50)


def test_a_failed_batch_counts_as_asked_and_not_as_speed() -> None:
    meter = Meter()
    meter.ended(prompts=10, seconds=2.0, failed=False, fallbacks=4, tokens=800)
    meter.ended(prompts=30, seconds=0.1, failed=True, fallbacks=0, tokens=90)
    meter.went(0.1, failed=True)

    load = meter.load()

    assert (load.asked, load.batches, load.largest) == (40, 2, 30)
    assert (load.failures, load.fallbacks) == (1, 4)
    assert load.prompts_per_second == 5
    assert (load.tokens, load.tokens_per_second) == (890, 400)


def test_a_batch_counts_as_being_asked_until_it_ends() -> None:
    meter = Meter()

    meter.began([0.1, 0.2])
    during = meter.load()
    meter.ended(prompts=2, seconds=1.0, failed=True, fallbacks=0, tokens=0)

    assert (during.asking, meter.load().asking) == (2, 0)
