"""Which flow comes when: an endless, seeded sequence of passes over a set of flows.

The n-th flow of the sequence depends on the seed and n alone. Whoever shares the
sequence (workers of one pass, a run resumed after a crash) takes its own stretch of n
and needs to remember nothing else.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class FlowStream:
    """Random access to the sequence of flow indices.

    Pass p is a permutation of all flows seeded by (seed, p): each flow comes exactly
    once in it.

    Args:
        flows: number of flows in the set, at least 1.
        seed: seeds every pass.
    """

    def __init__(self, flows: int, seed: int) -> None:
        if flows < 1:
            raise ValueError("a stream needs at least one flow")
        self._flows = flows
        self._seed = seed
        self._orders: dict[int, NDArray[np.int32]] = {}

    def take(self, start: int, count: int) -> NDArray[np.int32]:
        """Flow indices at places ``start`` to ``start + count - 1``, int32 [count], read-only."""
        parts = []
        while count > 0:
            number, offset = divmod(start, self._flows)
            part = self._order(number)[offset : offset + count]
            parts.append(part)
            start, count = start + len(part), count - len(part)
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.zeros(0, np.int32)

    def _order(self, number: int) -> NDArray[np.int32]:
        order = self._orders.get(number)
        if order is None:
            generator = np.random.default_rng([self._seed, number])
            # numpy has a shorter way to shuffle machine integers; the order is the same.
            order = generator.permutation(self._flows).astype(np.int32)
            order.setflags(write=False)
            # A fragment may straddle two passes; older ones are never asked for again.
            self._orders = {n: o for n, o in self._orders.items() if n == number - 1}
            self._orders[number] = order
        return order
