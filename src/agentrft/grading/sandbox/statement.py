"""What this kernel enforces for python graders: said at start-up, and to jobs where something grave is missing."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agentrft.grading.sandbox.process import Facility, SandboxBroken, SandboxLimits, SandboxProcess, SandboxSetup

Facts = Mapping[Facility, str | None]
_NOTHING = "def grade(sample, item):\n    return 0.0\n"


class Guard(StrEnum):
    """What is to be kept from a python grader."""

    NETWORK = "network"
    FILES = "files"
    PROCESSES = "processes"  # how many it may have
    SIGNALS = "signals"  # reaching processes that are not its own
    MEMORY = "memory"
    DISK = "disk"
    KERNEL = "kernel"  # system calls that it has no business with


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """Whether a guard holds, and by what; else what the kernel said, and what follows."""

    guard: Guard
    holds: bool
    how: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxStatement:
    """One `Protection` for each `Guard`, in that order."""

    protections: Sequence[Protection]

    @property
    def missing(self) -> list[Protection]:
        return [protection for protection in self.protections if not protection.holds]

    @property
    def warning(self) -> str | None:
        """For a job with a python grader: what such a grader could do here and should not; None if nothing grave."""
        grave = [each for each in self.missing if each.guard in (Guard.NETWORK, Guard.FILES)]
        if not grave:
            return None
        said = "; ".join(f"{each.guard}: {each.how}" for each in grave)
        return f"This machine cannot fully isolate python graders: {said}. Run only graders that you trust."

    def lines(self) -> list[str]:
        """For a log or a terminal, a guard a line."""
        width = max(len(guard) for guard in Guard)
        return [
            f"{each.guard:<{width}}  {'held' if each.holds else 'NOT HELD'}: {each.how}" for each in self.protections
        ]


async def probe_sandbox(setup: SandboxSetup | None = None) -> SandboxStatement:
    """Start a sandbox, see what holds, and end it. Takes a tenth of a second.

    Raises:
        SandboxBroken: it does not start: no python grader can run here.
    """
    limits = SandboxLimits()
    process = await SandboxProcess.start(_NOTHING, limits, setup or SandboxSetup())
    try:
        return describe(process.facts, limits)
    finally:
        await process.end()


async def find_isolation_problem(grader: Mapping[str, Any], setup: SandboxSetup | None = None) -> str | None:
    """What the owner of a job with this grader (its wire form) should be warned of; None if it runs no python."""
    if not runs_python(grader):
        return None
    try:
        return (await probe_sandbox(setup)).warning
    except SandboxBroken as error:
        return f"This machine cannot run python graders: {error}."


def runs_python(grader: Mapping[str, Any]) -> bool:
    """Whether a grader's wire form, or one inside it, is a python grader."""
    inner = grader.get("graders") or {}
    return grader.get("type") == "python" or any(map(runs_python, inner.values()))


def describe(facts: Facts, limits: SandboxLimits, *, root: bool = os.getuid() == 0) -> SandboxStatement:
    """The statement that follows from what a sandbox reported."""
    protections = (
        _network(facts),
        _files(facts),
        _processes(facts, limits, root=root),
        _signals(facts),
        _memory(facts, limits),
        _disk(facts, limits),
        _kernel(facts),
    )
    return SandboxStatement(protections=protections)


def _holds(facts: Facts, facility: Facility) -> bool:
    return facts.get(facility, "") is None


def _why(facts: Facts, *facilities: Facility) -> str:
    return ", ".join(f"{facility} ({facts.get(facility) or 'not tried'})" for facility in facilities)


def _network(facts: Facts) -> Protection:
    means = []
    if _holds(facts, Facility.NAMESPACES):
        means.append("a network namespace without interfaces")
    if _holds(facts, Facility.SECCOMP):
        means.append("no sockets")
    if means:
        return Protection(guard=Guard.NETWORK, holds=True, how=", ".join(means))
    why = _why(facts, Facility.NAMESPACES, Facility.SECCOMP)
    return Protection(guard=Guard.NETWORK, holds=False, how=f"the kernel refuses {why}; graders reach any address")


def _files(facts: Facts) -> Protection:
    if _holds(facts, Facility.VIEW):
        how = "a read-only view of the interpreter and its packages"
    elif _holds(facts, Facility.LANDLOCK) and _holds(facts, Facility.SECCOMP):
        how = "Landlock; the names of other files can be seen, not their content"
    elif _holds(facts, Facility.LANDLOCK):
        why = _why(facts, Facility.SECCOMP)
        how = f"Landlock without {why}; graders can change modes and owners of this user's files"
        return Protection(guard=Guard.FILES, holds=False, how=how)
    else:
        why = _why(facts, Facility.VIEW, Facility.LANDLOCK)
        how = f"the kernel refuses {why}; graders read and write what this user may"
        return Protection(guard=Guard.FILES, holds=False, how=how)
    return Protection(guard=Guard.FILES, holds=True, how=how)


def _processes(facts: Facts, limits: SandboxLimits, *, root: bool) -> Protection:
    if _holds(facts, Facility.NOTIFICATIONS):
        return Protection(guard=Guard.PROCESSES, holds=True, how=f"at most {limits.processes}, each with consent")
    why = _why(facts, Facility.NOTIFICATIONS)
    if root:
        how = f"the kernel refuses {why}, and RLIMIT_NPROC does not bind root"
        return Protection(guard=Guard.PROCESSES, holds=False, how=how)
    return Protection(guard=Guard.PROCESSES, holds=True, how=f"RLIMIT_NPROC; the kernel refuses {why}")


def _signals(facts: Facts) -> Protection:
    for facility, how in (
        (Facility.NAMESPACES, "a process-id namespace"),
        (Facility.SECCOMP, "only to the grader's own processes"),
    ):
        if _holds(facts, facility):
            return Protection(guard=Guard.SIGNALS, holds=True, how=how)
    why = _why(facts, Facility.NAMESPACES, Facility.SECCOMP)
    how = f"the kernel refuses {why}; graders can end and read this user's processes"
    return Protection(guard=Guard.SIGNALS, holds=False, how=how)


def _memory(facts: Facts, limits: SandboxLimits) -> Protection:
    size = f"{limits.memory_bytes >> 20} MiB"
    if _holds(facts, Facility.SECCOMP):
        return Protection(guard=Guard.MEMORY, holds=True, how=f"{size} a process, and of all together, watched")
    how = f"{size} a process, but shared memory is not counted: the kernel refuses {_why(facts, Facility.SECCOMP)}"
    return Protection(guard=Guard.MEMORY, holds=False, how=how)


def _disk(facts: Facts, limits: SandboxLimits) -> Protection:
    size = f"{limits.scratch_bytes >> 20} MiB of scratch"
    how = f"{size}, in memory" if _holds(facts, Facility.VIEW) else f"{size}, watched"
    return Protection(guard=Guard.DISK, holds=True, how=how)


def _kernel(facts: Facts) -> Protection:
    if _holds(facts, Facility.SECCOMP):
        return Protection(guard=Guard.KERNEL, holds=True, how="a filter of system calls")
    how = f"the kernel refuses {_why(facts, Facility.SECCOMP)}"
    return Protection(guard=Guard.KERNEL, holds=False, how=how)
