import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agentrft.grading.sandbox.inside import tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc")
SPINS = "print(flush=True)\nwhile True: pass"
SLEEPS = "import time\nprint(flush=True)\ntime.sleep(600)"
HAS_SPUN = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\n" + SPINS


@contextmanager
def running(program: str) -> Iterator[int]:
    """A process that has come to its `print`."""
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()


def fall_asleep(pid: int) -> None:
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        time.sleep(0.01)


def test_who_has_work_but_no_processor_is_starved_and_who_sleeps_is_not() -> None:
    since_s = tree.clock_s()
    with running(SPINS) as pid:
        assert tree.is_starved(pid, since_s=since_s, wall_s=1e6)
    with running(SLEEPS) as pid:
        fall_asleep(pid)
        assert not tree.is_starved(pid, since_s=since_s, wall_s=1e6)


def test_who_was_given_its_share_is_not_starved() -> None:
    since_s = tree.clock_s()
    with running(HAS_SPUN) as pid:
        assert not tree.is_starved(pid, since_s=since_s, wall_s=0.5)
        assert tree.is_starved(pid, since_s=tree.clock_s() + 1, wall_s=0.5)  # that was before
