"""Counts how often an actor's process died while it was loading its model.

A process that the system kills for its memory leaves no message, and Ray starts it again, for
ever. A file keeps the count, since nothing else outlives the process: it is one higher when
loading begins, and removed when the model has answered.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from envs.errors import InputError

MOST = 3
"""Times that loading may begin without ever coming to an end."""


class Attempts:
    """The count of one actor on this machine.

    Args:
        actor: Ray's id of the actor, which stays the same when it is started again.
        folder: folder of the file; by default the system's one for temporary files.
    """

    def __init__(self, actor: str, folder: Path | None = None) -> None:
        self._file = (folder or Path(tempfile.gettempdir())) / f"kirl-advisor-{actor}"

    def begin(self, whose: str) -> None:
        """Counts one more.

        Args:
            whose: the model's name, for the message.

        Raises:
            InputError: loading has begun :data:`MOST` times and never ended.
        """
        begun = self._begun()
        if begun >= MOST:
            # Whoever asks again after this message gets as many attempts again.
            self.end()
            raise InputError(
                f"its process ended {begun} times while it was loading, without a word",
                where=f"language model {whose}",
                expected="enough memory; the system kills a process that takes too much",
                mend="Use a smaller model or dtype, or free some memory, and look into Ray's logs",
            )
        # Where it cannot be written, loading is not limited.
        with contextlib.suppress(OSError):
            self._file.write_text(str(begun + 1), encoding="ascii")

    def end(self) -> None:
        """Forgets the count: the model has answered, or its loading failed with a message."""
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _begun(self) -> int:
        try:
            return int(self._file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0
