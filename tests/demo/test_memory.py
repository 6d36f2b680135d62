import os
import subprocess
import sys
from pathlib import Path

import pytest

from agentrft.demo.memory import PROC, MemorySampler, descendants, proportional_bytes

pytestmark = pytest.mark.skipif(not Path(PROC, "self/stat").exists(), reason="there is no /proc here")

HOLDER = "import sys; held = bytearray(b'x' * 50_000_000); print('held', flush=True); sys.stdin.read()"


def test_descendants_count() -> None:
    before = proportional_bytes(descendants(os.getpid()))
    command = [sys.executable, "-c", HOLDER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        with MemorySampler(interval_s=0.01) as sampler:
            during = proportional_bytes(descendants(os.getpid()))
        child.communicate()
    assert during - before > 50_000_000
    assert sampler.peak_bytes is not None
    assert sampler.peak_bytes - before > 50_000_000


def test_a_process_that_is_gone_takes_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    child.wait()
    assert proportional_bytes([child.pid]) == 0
