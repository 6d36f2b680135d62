"""How much memory the demo takes in all its processes together, sampled from /proc while it runs."""

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

PROC = Path("/proc")


class MemorySampler:
    """Records the highest sum of resident memory of this process and all below it. Shared pages count once for each.

    Where /proc is missing (not Linux), `peak_bytes` stays None.
    """

    def __init__(self, *, interval_s: float = 1.0) -> None:
        self.peak_bytes: int | None = None
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory sampler", daemon=True)

    def __enter__(self) -> Self:
        if (PROC / "self/stat").exists():
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
            self.peak_bytes = max(self.peak_bytes or 0, resident_bytes(os.getpid()))
            if self._stop.wait(self._interval_s):
                return


def resident_bytes(root: int) -> int:
    """Resident memory of a process and all its descendants, in bytes."""
    parents = _parents()
    wanted = {root}
    grown = True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in wanted} - wanted
        wanted |= children
        grown = bool(children)
    page_bytes = os.sysconf("SC_PAGE_SIZE")
    return sum(_resident_pages(pid) for pid in wanted) * page_bytes


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


def _read(path: Path) -> str:
    """The file's text; empty when the process has gone."""
    try:
        return path.read_text()
    except OSError:
        return ""
