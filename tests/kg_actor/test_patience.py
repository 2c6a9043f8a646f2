"""Whoever waits is told so, again and again."""

from __future__ import annotations

import time

import pytest

from kg_actor import patience


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SECONDS_BETWEEN_WORDS", 0.1)


def test_a_wait_is_told_of_until_it_is_over() -> None:
    said, left = list[str](), iter([False, False, True])

    patience.wait(lambda seconds: next(left), lambda: "a node", said.append)

    assert said == ["Waiting since 0 s for a node"] * 2


def test_what_is_waited_for_is_told_as_it_stands() -> None:
    said, nodes = list[str](), iter([3, 2])

    patience.wait(lambda seconds: len(said) == 2, lambda: f"{next(nodes)} nodes", said.append)

    assert [line.split(" for ")[1] for line in said] == ["3 nodes", "2 nodes"]


def test_a_slow_block_is_told_of_while_it_lasts() -> None:
    said = list[str]()

    with patience.told_while_waiting("the disk", said.append):
        time.sleep(0.35)
    heard = len(said)
    time.sleep(0.2)

    assert len(said) == heard >= 1
    assert set(said) == {"Waiting since 0 s for the disk"}


def test_nothing_is_said_of_what_is_quick_or_over() -> None:
    said = list[str]()

    with pytest.raises(ZeroDivisionError), patience.told_while_waiting("nothing", said.append):
        _ = 1 / 0
    time.sleep(0.3)

    assert not said
