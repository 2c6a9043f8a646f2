from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from rayapp.preparation.memory import TreeMemory, descendants

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

HELD = 300 * 2**20


def test_what_a_grandchild_holds_is_counted() -> None:
    hold = f"import sys; held = bytearray({HELD}); print(); sys.stdout.flush(); input()"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"

    with TreeMemory() as memory:
        before = memory.peak
        with subprocess.Popen(
            [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout
            process.stdout.readline()
            assert len(descendants(os.getpid())) >= 2
            time.sleep(0.6)
            process.communicate(b"\n")

    assert memory.whole
    assert memory.peak - before == pytest.approx(HELD, rel=0.3)
