"""What tests of the small model share."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest

from rayapp.lab.small_model import evaluation


@pytest.fixture(autouse=True, scope="session")
def held_out_names_that_are_made_once() -> Iterator[None]:
    """The same 6,000 names are left out of every training and asked in every exam."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "made_up", functools.cache(evaluation.made_up))
        yield
