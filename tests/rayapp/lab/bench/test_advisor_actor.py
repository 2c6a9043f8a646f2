"""The actor's benchmark, small: a real Ray and a real model from files."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from llm_actor.selection import AdvisorSpec, build
from rayapp.lab.bench import advisor as bench
from rayapp.lab.bench import advisor_actor, phi
from rayapp.lab.bench.advisor_actor import ActorSpeed, measure_actor, random_spec


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes at which a benchmark is a test."""
    narrow = {"hidden_size": 64, "intermediate_size": 96}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 4}
    monkeypatch.setattr(phi, "PHI", phi.PHI | narrow | heads)
    for module in (bench, phi):
        monkeypatch.setattr(module, "ROUNDS", 1)


def check(speed: ActorSpeed, prompts: int) -> None:
    """What has to hold whatever the model."""
    assert speed.device == "cpu"
    assert speed.reason == "the cluster has no GPU"
    assert speed.clients == 2
    # Every client asks one half; the model is asked once for each.
    assert speed.prompts == prompts + prompts // 2
    assert speed.asked == prompts
    # Requests hold 16 prompts, so larger batches hold several requests.
    assert speed.batch_mean > advisor_actor.REQUEST
    assert 0 < speed.latency_median <= speed.latency_p99
    assert speed.actor_to_direct == pytest.approx(
        speed.prompts_per_second / speed.direct_prompts_per_second
    )


@pytest.mark.slow
def test_the_embedded_models_actor_serves_two_clients(ray_local: ModuleType) -> None:
    steps: list[tuple[int, int]] = []

    speed = measure_actor(AdvisorSpec("embedded"), 80, lambda *step: steps.append(step))

    check(speed, 80)
    assert speed.difference < 1e-4
    assert steps == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.slow
def test_the_papers_architecture_is_served_from_files(
    ray_local: ModuleType, tmp_path: Path
) -> None:
    spec = random_spec(tmp_path, 2, 300, "auto")

    speed = measure_actor(spec, 100, lambda *_: None)

    check(speed, 100)
    assert speed.tokens_per_prompt == pytest.approx(300, rel=0.1)
    # bfloat16 rounds differently in other batches.
    assert speed.difference < 0.5


def test_random_prompts_share_their_beginning(tmp_path: Path) -> None:
    advisor = build(random_spec(tmp_path, 1, 400, "cpu"))
    texts = advisor.texts(bench.distinct_prompts(64))  # type: ignore[attr-defined]
    tokenizer = bench.known_vocabulary().tokenizer

    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]

    shared = next(at for at in range(400) if len({tuple(each[: at + 1]) for each in ids}) > 1)
    assert shared == pytest.approx(phi.SHARED * 400, rel=0.15)
    assert np.mean([len(each) for each in ids]) == pytest.approx(400, rel=0.1)
