"""The processes below the launcher, as /proc shows them to it."""

import os
import signal
import time
from collections.abc import Iterable

_PAUSE_S = 0.0005
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_IN_S = os.sysconf("SC_CLK_TCK")
_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
_LITTLE = 0.2  # of a stretch of time, on a processor


def below(root: int) -> list[int]:
    """All descendants of `root`. Nobody gets away: the launcher inherits orphans."""
    found: list[int] = []
    waiting = [root]
    while waiting:
        children = _children(waiting.pop())
        found += children
        waiting += children
    return found


def count_tasks(pids: Iterable[int]) -> int:
    """Their processes and threads."""
    return sum(len(_tasks(pid)) for pid in pids)


def measure(pids: Iterable[int], enough: int) -> int:
    """Bytes of memory that they hold together. Pages that several share count once if more than `enough` seem held."""
    pids = list(pids)
    total = sum(_resident(pid) for pid in pids)
    return total if total <= enough else sum(_share(pid) for pid in pids)


def clock_s() -> float:
    """The clock by which the kernel notes the starts of processes."""
    return time.clock_gettime(_BOOT_CLOCK)


def is_starved(root: int, *, since_s: float, wall_s: float) -> bool:
    """Whether `root` or what it started has work to do, but got next to no processor for it in `wall_s` seconds.

    Asleep, a grader waits for something of its own. Short of processors or memory, a machine leaves it ready to run (R)
    or waiting for its pages (D).

    Args:
        since_s: when those seconds began; only processes that were started since are asked what they used.
    """
    pids = [root, *below(root)]
    return sum(_cpu_s(pid, since_s) for pid in pids) < _LITTLE * wall_s and any(map(_has_work, pids))


def kill(root: int, *, spare: int) -> None:
    """Kill all descendants of `root` but `spare`, and wait until they are dead; nobody may start new ones."""
    while True:
        alive = [pid for pid in below(root) if pid != spare and _is_alive(pid)]
        if not alive:
            return
        for pid in alive:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(_PAUSE_S)


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in _tasks(pid):
        found += map(int, _read(f"/proc/{pid}/task/{task}/children").split())
    return found


def _tasks(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def _is_alive(pid: int) -> bool:
    return _state(f"/proc/{pid}") not in ("", "Z", "X")


def _has_work(pid: int) -> bool:
    return any(_state(f"/proc/{pid}/task/{task}") in ("R", "D") for task in _tasks(pid))


def _state(folder: str) -> str:
    return _read(f"{folder}/stat").rpartition(")")[2].lstrip()[:1]


def _cpu_s(pid: int, since_s: float) -> float:
    """What it and its children that have ended used; nothing if it was there before."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()  # from the third field of proc_pid_stat(5) on
    if len(fields) < 20 or int(fields[19]) / _TICKS_IN_S < since_s - 2 / _TICKS_IN_S:
        return 0.0
    return sum(map(int, fields[11:15])) / _TICKS_IN_S


def _resident(pid: int) -> int:
    fields = _read(f"/proc/{pid}/statm").split()
    return int(fields[1]) * _PAGE_BYTES if fields else 0


def _share(pid: int) -> int:
    """Its share of the pages that it uses."""
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) << 10
    fields = _read(f"/proc/{pid}/statm").split()  # it is closed to us: its pages but those of files
    return (int(fields[1]) - int(fields[2])) * _PAGE_BYTES if fields else 0


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:  # it has just ended
        return ""
