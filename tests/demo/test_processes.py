import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agentrft.demo.processes import Child, Processes, ProcessFailed, free_port, port_near

SLEEPER = "import time; print('ready', flush=True); time.sleep(60)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPER
WITH_CHILD = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}]);" + SLEEPER


def python(processes: Processes, code: str) -> Child:
    return processes.start("helper", [sys.executable, "-c", code])


def ready(processes: Processes, child: Child, lines: int = 1) -> None:
    processes.wait_until(child, lambda: child.log.read_text().count("ready") == lines, deadline_s=20)


def alive_in_group(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_children_run_in_groups_of_their_own_and_are_stopped_at_the_end(tmp_path: Path) -> None:
    with Processes(log_folder=tmp_path / "logs") as processes:
        child = python(processes, SLEEPER)
        ready(processes, child)
        assert os.getpgid(child.process.pid) == child.process.pid != os.getpgid(0)
        processes.check()
    assert child.process.returncode == -signal.SIGTERM
    assert child.log.read_text() == "ready\n"


def test_what_a_child_has_started_is_stopped_too(tmp_path: Path) -> None:
    with Processes(log_folder=tmp_path) as processes:
        child = python(processes, WITH_CHILD)
        ready(processes, child, lines=2)
    # The grandchild has lost its parent, so it may stay a moment until the system has reaped it.
    for _ in range(200):
        if not alive_in_group(child.process.pid):
            return
        threading.Event().wait(0.01)
    pytest.fail("the grandchild still runs")


def test_a_child_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    with Processes(log_folder=tmp_path, grace_s=0.2) as processes:
        child = python(processes, STUBBORN)
        ready(processes, child)
    assert child.process.returncode == -signal.SIGKILL


def test_children_are_stopped_when_the_work_fails(tmp_path: Path) -> None:
    processes = Processes(log_folder=tmp_path)
    children = []

    def interrupted_work() -> None:
        with processes:
            children.append(python(processes, SLEEPER))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted_work()
    assert children[0].process.returncode is not None


def test_a_child_that_ends_is_reported_with_its_last_lines(tmp_path: Path) -> None:
    with Processes(log_folder=tmp_path) as processes:
        child = python(processes, "print('no room on the disk'); raise SystemExit(3)")
        with pytest.raises(ProcessFailed, match="exit status 3") as failure:
            processes.wait_until(child, lambda: False, deadline_s=20)
    assert "| no room on the disk" in str(failure.value)
    assert str(child.log) in str(failure.value)


def test_a_child_that_gets_not_ready_in_time_is_reported(tmp_path: Path) -> None:
    with Processes(log_folder=tmp_path) as processes:
        child = python(processes, SLEEPER)
        with pytest.raises(ProcessFailed, match="not ready after 0 s"):
            processes.wait_until(child, lambda: False, deadline_s=0)


def test_the_environment_given_is_added_to_ours(tmp_path: Path) -> None:
    with Processes(log_folder=tmp_path) as processes:
        code = "import os; print(os.environ['EXTRA'], 'PATH' in os.environ)"
        child = processes.start("helper", [sys.executable, "-c", code], {"EXTRA": "yes"})
        child.process.wait(20)
    assert child.log.read_text() == "yes True\n"


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        assert port_near(taken) != taken
    free = free_port()
    assert port_near(free) == free


RELUCTANT = (
    "import signal, time; signal.signal(signal.SIGTERM, lambda *_: print('asked', flush=True));"
    "print('ready', flush=True)\nwhile True: time.sleep(60)"
)
PARENT = f"""
import sys, time
from pathlib import Path
from agentrft.demo.processes import Processes, terminations_interrupt
try:
    with terminations_interrupt(), Processes(log_folder=Path(sys.argv[1]), grace_s=1.0) as processes:
        child = processes.start("helper", [sys.executable, "-c", {RELUCTANT!r}])
        print(child.process.pid, flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_a_second_interrupt_waits_until_the_children_have_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        wait_for(tmp_path / "helper.log", "ready")
        parent.send_signal(signal.SIGTERM)
        wait_for(tmp_path / "helper.log", "asked")
        parent.send_signal(signal.SIGINT)
        assert parent.stdout.read() == "interrupted\n"
    assert not alive_in_group(child)


def wait_for(log: Path, text: str) -> None:
    """Until a program has written `text`; the tests' own time limit ends it if it never does."""
    while not log.exists() or text not in log.read_text():
        threading.Event().wait(0.01)
