"""What a short training asks, counted."""

from __future__ import annotations

from types import ModuleType

import pytest

from envs import Scenario
from rayapp.lab.bench import advisor_cache


@pytest.mark.slow
def test_every_answer_is_asked_for_shared_or_known(
    ray_local: ModuleType, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advisor_cache, "FLOWS", 500)
    done: list[int] = []

    found = advisor_cache.measure_cache(scenario.path, 1_500, lambda flows, _: done.append(flows))

    assert (found.flows, found.tables, done) == (1_500, 4, [500, 1_000, 1_500])
    assert found.signatures == len(scenario.signatures)
    assert found.needed == 4 * found.signatures == found.shared + found.known + found.asked
    # At first every signature of a type has the same prompt; later no two need have.
    types = len(set(scenario.signatures.predicted.tolist()))
    assert types < found.asked < found.needed
    assert found.shared >= found.signatures - types
    assert found.asked_per_million == pytest.approx(found.asked / 0.0015)
