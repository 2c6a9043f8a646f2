"""A wait that is told of: Ray itself waits in silence, and for ever."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterator

SECONDS_BETWEEN_WORDS = 10.0

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def told_while_waiting(what: str) -> Iterator[None]:
    """Logs a warning every ten seconds for as long as the block takes.

    Args:
        what: is waited for.
    """
    done, begun = threading.Event(), time.monotonic()

    def tell() -> None:
        while not done.wait(SECONDS_BETWEEN_WORDS):
            _log.warning("Waiting since %.0f s for %s", time.monotonic() - begun, what)

    threading.Thread(target=tell, daemon=True).start()
    try:
        yield
    finally:
        done.set()
