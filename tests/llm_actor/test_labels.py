from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_actor.labels import label, labelled, labels


def test_labels_count_in_letters() -> None:
    assert labels(3) == ["[A]", "[B]", "[C]"]
    assert [label(place) for place in (25, 26, 51, 52, 701, 702)] == [
        "[Z]", "[AA]", "[AZ]", "[BA]", "[ZZ]", "[AAA]",
    ]  # fmt: skip


def test_no_label_is_the_beginning_of_another() -> None:
    found = sorted(labels(1_000))

    assert len(set(found)) == 1_000
    assert not any(b.startswith(a) for a, b in pairwise(found))


@given(st.integers(0, 999))
def test_a_label_is_found_again(place: int) -> None:
    assert labelled(label(place), 1_000) == place
    assert labelled(f" {label(place)}\n", 1_000) == place
    assert labelled(f"I choose {label(place)} since [A] earns less", 1_000) == place
    assert labelled(label(place).strip("[]"), 1_000) == place


@pytest.mark.parametrize("answer", ["", "[]", "[P]", "A firewall", "Audit", "[1]", "none", "I"])
def test_what_is_no_label_of_the_prompt_stands_for_none(answer: str) -> None:
    assert labelled(answer, 5) is None
