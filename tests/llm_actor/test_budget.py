from __future__ import annotations

import pytest

from llm_actor.budget import Budget, out_of_memory


def test_rows_that_were_done_are_not_done_again_when_a_batch_does_not_fit() -> None:
    done: list[int] = []

    def work(rows: list[int]) -> None:
        if 40 * len(rows) > 100:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to")
        done.extend(rows)

    budget = Budget(160)
    budget.spend([10, 40, 40, 10, 40, 40], work)

    assert sorted(done) == list(range(6))
    assert len(done) == 6
    assert budget.tokens == 80


@pytest.mark.parametrize(
    ("error", "memory"),
    [(MemoryError(), True), (RuntimeError("can't allocate memory"), True), (KeyError("a"), False)],
)
def test_a_row_alone_fails_as_it_does(error: Exception, memory: bool) -> None:
    tried: list[list[int]] = []

    def work(rows: list[int]) -> None:
        tried.append(rows)
        raise error

    assert out_of_memory(error) == memory
    with pytest.raises(type(error)):
        Budget(100).spend([10, 10, 10], work)
    assert len(tried) == (2 if memory else 1)
