"""The command line as tests call it: in their own process, or in a new one.

A new process imports torch and Ray anew, which takes seconds. It is for tests whose point is the
process: its signals, its memory, its own Ray, what it prints when everything is real.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rayapp.__main__ import run
from rayapp.cluster import session

COMMAND = (sys.executable, "-m", "rayapp")

Done = subprocess.CompletedProcess[str]


def kirl(*words: object) -> Done:
    """Runs a command in this process. What is no bad input is raised."""
    given = [str(word) for word in words]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(given)
    return Done(given, code, out.getvalue(), err.getvalue())


def kirl_alone(*words: object, path: tuple[Path, ...] = ()) -> Done:
    """Runs a command in a process of its own, to which further folders are Python's path."""
    paths = [*map(str, path), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.run(
        [*COMMAND, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
    )


@contextlib.contextmanager
def on_the_tests_ray() -> Iterator[None]:
    """Commands in this process train on the Ray that runs already, where each starts its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "ray_session", lambda *_, **__: contextlib.nullcontext(""))
        yield
