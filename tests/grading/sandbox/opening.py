"""Pools for the tests of the sandbox."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from agentrft.grading.sandbox import Facility, SandboxLimits, SandboxPool, SandboxSetup

SETUPS = {
    "everything": frozenset(Facility),
    "no namespaces": frozenset(Facility) - {Facility.NAMESPACES, Facility.VIEW},  # as in most containers
    "nothing": frozenset(),
}


def indent(body: str) -> str:
    """`body` as that of grade(sample, item)."""
    return "def grade(sample, item):\n" + "".join(f"    {line}\n" for line in body.splitlines())


@asynccontextmanager
async def opened(
    source: str, *, size: int = 1, setup: SandboxSetup | None = None, **limits
) -> AsyncIterator[SandboxPool]:
    pool = SandboxPool(source, size=size, limits=SandboxLimits(**limits), setup=setup)
    try:
        yield pool
    finally:
        await pool.close()


def list_commands() -> list[str]:
    """The command lines of all processes; a dead one has none."""
    commands = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            commands.append(path.read_text(errors="replace"))
    return commands


def count_descendants() -> int:
    """Processes below this one."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    count, generation = 0, {os.getpid()}
    while generation := {pid for pid, parent in parents.items() if parent in generation}:
        count += len(generation)
    return count


def list_sandboxes() -> list[int]:
    """The processes of pools that this process has started."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            mine = int((path / "stat").read_text().rpartition(")")[2].split()[1]) == os.getpid()
            if mine and b"inside import launcher" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
    return found
