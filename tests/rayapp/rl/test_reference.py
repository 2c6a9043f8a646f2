"""How advice becomes the reference policy."""

from __future__ import annotations

import numpy as np
import pytest

from rayapp.rl.reference import Reference

ADVICE = np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], np.float32))


def test_soft_is_the_advice_itself() -> None:
    assert np.array_equal(Reference("soft").policy(ADVICE), ADVICE)


def test_temperature_sharpens_and_flattens() -> None:
    sharp, flat = (np.exp(Reference("soft", temperature=t).policy(ADVICE)) for t in (0.5, 2.0))

    assert sharp.sum(axis=1) == pytest.approx(1)
    assert sharp[0] == pytest.approx([0.49 / 0.54, 0.04 / 0.54, 0.01 / 0.54], rel=1e-5)
    assert flat.max(axis=1).tolist() < np.exp(ADVICE).max(axis=1).tolist()


def test_hard_is_one_action_with_a_little_left_for_all() -> None:
    policy = np.exp(Reference(smoothing=0.03).policy(ADVICE))

    assert policy == pytest.approx(np.array([[0.98, 0.01, 0.01], [0.01, 0.01, 0.98]]), rel=1e-5)


@pytest.mark.parametrize("bad", [{"temperature": 0.0}, {"smoothing": 0.0}, {"smoothing": 1.0}])
def test_nonsense_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="temperature"):
        Reference("hard", **bad)
