from __future__ import annotations

from hashlib import blake2b

from llm_actor.routing import routed

KEYS = [blake2b(bytes([row % 256, row // 256]), digest_size=16).digest() for row in range(3_000)]


def test_prompts_spread_evenly_and_each_has_one_replica_wherever_it_is_asked() -> None:
    found = routed(KEYS, (0, 1, 2))

    assert all(900 < found.count(replica) < 1_100 for replica in (0, 1, 2))
    assert routed(KEYS[::-1], (2, 0, 1)) == found[::-1]


def test_a_prompt_moves_only_when_its_replica_is_lost() -> None:
    three, two = routed(KEYS, (0, 1, 2)), routed(KEYS, (0, 2))

    assert all(after == before for before, after in zip(three, two, strict=True) if before != 1)
    moved = [after for before, after in zip(three, two, strict=True) if before == 1]
    assert 0.4 < moved.count(0) / len(moved) < 0.6


def test_a_single_replica_answers_all() -> None:
    assert set(routed(KEYS, (4,))) == {4}
