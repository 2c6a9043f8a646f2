"""What off-policy learning remembers: the interaction tables of past iterations."""

from __future__ import annotations

from collections import deque
from typing import Any

from envs import InteractionTable


class TableReplay:
    """The latest tables, at most ``capacity`` of them.

    Tables are kept rather than transitions. A flow's reward follows from action and true class
    alone, so what happened under older counters and advice is as true under today's, and is
    observed with them when it is learnt from again. And tables add up: rows that many
    iterations have in common are one row of their sum.
    """

    def __init__(self, capacity: int) -> None:
        self._tables: deque[InteractionTable] = deque(maxlen=capacity)

    def __len__(self) -> int:
        return len(self._tables)

    def add(self, table: InteractionTable) -> None:
        """Remembers a table, and forgets the oldest one beyond the capacity."""
        self._tables.append(table)

    def total(self) -> InteractionTable:
        """The sum of all tables remembered."""
        return InteractionTable.total(self._tables)

    def get_state(self) -> list[dict[str, Any]]:
        """The tables' columns, oldest table first."""
        return [dict(vars(table)) for table in self._tables]

    def set_state(self, state: list[dict[str, Any]]) -> None:
        """Restores what :meth:`get_state` returned; the latest, if the capacity is smaller."""
        self._tables.clear()
        self._tables.extend(InteractionTable(**columns) for columns in state)
