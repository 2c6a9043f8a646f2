"""Waits that are told of: Ray itself waits in silence, and for ever."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

SECONDS_BETWEEN_WORDS = 10.0


def wait(
    until: Callable[[float], bool], what: Callable[[], str], say: Callable[[str], None]
) -> None:
    """Waits, and says every ten seconds for what.

    Args:
        until: given seconds, waits that long at most and returns whether the wait is over.
        what: is waited for, as it stands when it is said.
        say: told.
    """
    begun = time.monotonic()
    while not until(SECONDS_BETWEEN_WORDS):
        say(_words(begun, what()))


@contextlib.contextmanager
def told_while_waiting(what: str, say: Callable[[str], None]) -> Iterator[None]:
    """Says every ten seconds what the block waits for, from a thread of its own.

    Args:
        what: is waited for.
        say: told.
    """
    done, begun = threading.Event(), time.monotonic()

    def tell() -> None:
        while not done.wait(SECONDS_BETWEEN_WORDS):
            say(_words(begun, what))

    threading.Thread(target=tell, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _words(begun: float, what: str) -> str:
    return f"Waiting since {time.monotonic() - begun:.0f} s for {what}"
