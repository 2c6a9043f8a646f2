from __future__ import annotations

import logging
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from kg_actor import raykit
from llm_actor import GraphReader
from llm_actor.prompts import Prompts
from rayapp.rl.ppo import KnowledgePPOConfig
from tests.rayapp.rl.conftest import BuildSmall


class Slow(GraphReader):
    """An advisor whose actor is lost for a while."""

    seconds = 0.0

    def log_probabilities(self, prompts: Prompts) -> NDArray[np.float32]:
        time.sleep(self.seconds)
        return super().log_probabilities(prompts)


def test_a_training_that_waits_for_advice_says_so(
    build_small: BuildSmall, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    algorithm = build_small(KnowledgePPOConfig().knowledge(advisor=Slow()))
    monkeypatch.setattr(raykit, "SECONDS_BETWEEN_WORDS", 0.2)
    monkeypatch.setattr(Slow, "seconds", 0.7)

    with caplog.at_level(logging.WARNING, "rayapp"):
        algorithm.train()

    told = [record.getMessage() for record in caplog.records if "Waiting" in record.message]
    assert len(told) >= 2
    assert all(line.endswith("s for the advisor") for line in told)


def test_every_result_tells_the_configuration(build_small: BuildSmall) -> None:
    algorithm = build_small(KnowledgePPOConfig())

    results = [algorithm.train(), algorithm.train()]

    told = algorithm.config.to_dict()
    for result in results:
        assert result["config"].keys() == told.keys()
        assert result["config"]["kl_schedule"] == algorithm.config.kl_schedule
        assert result["config"]["lr"] == algorithm.config.lr
