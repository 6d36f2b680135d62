"""How much memory the demo takes in all its processes together, sampled from /proc while it runs.

What processes share (libraries, a model's file) counts once: a page that three processes have mapped counts for a third
in each, which Linux calls their proportional set sizes.
"""

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

PROC = Path("/proc")


class MemorySampler:
    """Records the highest memory of this process and all below it.

    Shares are slow to find out, so they are looked up only while the sum of resident sets, which is never less, is
    above the highest so far. Where /proc is missing (not Linux), `peak_bytes` stays None.
    """

    def __init__(self, *, interval_s: float = 1.0) -> None:
        self.peak_bytes: int | None = None
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory sampler", daemon=True)

    def __enter__(self) -> Self:
        if (PROC / "self/smaps_rollup").exists():
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while True:
            self._look()
            if self._stop.wait(self._interval_s):
                return

    def _look(self) -> None:
        family = descendants(os.getpid())
        resident_bytes = sum(_resident_pages(pid) for pid in family) * os.sysconf("SC_PAGE_SIZE")
        if resident_bytes > (self.peak_bytes or 0):
            self.peak_bytes = max(self.peak_bytes or 0, proportional_bytes(family))


def proportional_bytes(processes: Iterable[int]) -> int:
    """Memory of several processes, shared pages counted once."""
    return sum(map(_proportional_bytes, processes))


def descendants(root: int) -> set[int]:
    """A process and all below it."""
    parents = _parents()
    wanted = {root}
    grown = True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in wanted} - wanted
        wanted |= children
        grown = bool(children)
    return wanted


def _parents() -> dict[int, int]:
    """Parent of each process now alive."""
    parents = {}
    for folder in PROC.iterdir():
        if folder.name.isdigit():
            stat = _read(folder / "stat")
            # The second field is the command's name in brackets and may hold spaces and brackets of its own.
            fields = stat.rpartition(")")[2].split()
            if len(fields) > 1:
                parents[int(folder.name)] = int(fields[1])
    return parents


def _resident_pages(pid: int) -> int:
    fields = _read(PROC / str(pid) / "statm").split()
    return int(fields[1]) if len(fields) > 1 else 0


def _proportional_bytes(pid: int) -> int:
    lines = _read(PROC / str(pid) / "smaps_rollup").splitlines()
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def _read(path: Path) -> str:
    """The file's text; empty when the process has gone."""
    try:
        return path.read_text()
    except OSError:
        return ""
