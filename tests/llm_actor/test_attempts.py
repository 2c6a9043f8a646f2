from __future__ import annotations

from pathlib import Path

import pytest

from envs import InputError
from llm_actor.attempts import MOST, Attempts


def test_loading_that_never_ends_is_refused_after_some_attempts(tmp_path: Path) -> None:
    for _ in range(MOST):
        # Each time another process.
        Attempts("a1", tmp_path).begin("phi")

    with pytest.raises(InputError, match="language model phi: its process ended 3 times"):
        Attempts("a1", tmp_path).begin("phi")


def test_loading_that_ends_is_never_refused_and_leaves_no_file(tmp_path: Path) -> None:
    for _ in range(2 * MOST):
        attempts = Attempts("a1", tmp_path)
        attempts.begin("phi")
        attempts.end()

    assert not list(tmp_path.iterdir())


def test_whoever_asks_again_gets_as_many_attempts_again(tmp_path: Path) -> None:
    attempts = Attempts("a1", tmp_path)
    for _ in range(MOST):
        attempts.begin("phi")
    with pytest.raises(InputError):
        attempts.begin("phi")

    attempts.begin("phi")


def test_actors_are_counted_apart_and_a_folder_that_is_not_there_hinders_nobody(
    tmp_path: Path,
) -> None:
    for number in range(2 * MOST):
        Attempts(f"a{number}", tmp_path).begin("phi")
        Attempts("a1", tmp_path / "none").begin("phi")
