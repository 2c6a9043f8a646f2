"""Memory of a process and all that it has started."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

HELD = 300 * 2**20

# A process of its own: that of the tests has a Ray below it.
MEASURED = f"""
import os, subprocess, sys, time
from rayapp.preparation.memory import TreeMemory, descendants, share

hold = "held = bytearray({HELD}); print(flush=True); input()"
child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {{hold!r}}])"
with TreeMemory() as memory:
    before = memory.peak
    process = subprocess.Popen(
        [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    process.stdout.readline()
    assert len(descendants(os.getpid())) == 2
    until = time.monotonic() + 20
    while memory.peak - before < {HELD} and time.monotonic() < until:
        time.sleep(0.05)
    assert sum(map(share, descendants(os.getpid()))) >= {HELD}
    process.communicate(b"\\n")
assert memory.whole
print(memory.peak - before)
"""


def test_what_a_grandchild_holds_is_counted() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MEASURED], capture_output=True, text=True, check=True
    )

    assert int(done.stdout) == pytest.approx(HELD, rel=0.3)


# Forks while it holds much, as subprocess may, and becomes a small program.
FAT = f"""
import os, sys

held = bytearray({HELD})
if not os.fork():
    told = "from rayapp.preparation.memory import own_peak; print(own_peak())"
    os.execv(sys.executable, [sys.executable, "-c", told])
os.wait()
"""


def test_a_program_that_a_fat_one_started_tells_its_own_peak() -> None:
    done = subprocess.run([sys.executable, "-c", FAT], capture_output=True, text=True, check=True)

    assert 0 < int(done.stdout) < HELD / 2
