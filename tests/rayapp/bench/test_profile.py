"""RLlib's own loop and the short way learn the same, iteration by iteration."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from envs import Scenario
from rayapp.bench import profile


def test_learning_curves_of_the_fast_and_the_plain_path_coincide(
    ray_local: ModuleType, scenario: Scenario
) -> None:
    told: list[tuple[int, int]] = []

    found = profile.measure_profile(
        scenario.path, 65_536 * 15, lambda done, total: told.append((done, total))
    )

    plain, fast = (np.array(one.rewards) for one in found.values())
    assert len(plain) == len(fast) == 15
    assert fast[-1] > fast[0] + 2
    # A probability's last bit picks another action for a flow in a million.
    assert np.abs(plain - fast).max() < 0.005
    assert told[-1] == (15 * 65_536, 15 * 65_536)
    for one in found.values():
        assert sum(one.parts.values()) == pytest.approx(one.milliseconds)
        assert min(one.parts.values()) > 0
