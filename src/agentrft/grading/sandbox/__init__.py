"""Processes that run a user's python grader, outside the worker and away from everything."""

from agentrft.grading.sandbox.pool import SandboxPool, SandboxResult
from agentrft.grading.sandbox.process import Facility, SandboxBroken, SandboxLimits, SandboxSetup
from agentrft.grading.sandbox.statement import (
    Guard,
    Protection,
    SandboxStatement,
    find_isolation_problem,
    probe_sandbox,
    runs_python,
)

__all__ = [
    "Facility",
    "Guard",
    "Protection",
    "SandboxBroken",
    "SandboxLimits",
    "SandboxPool",
    "SandboxResult",
    "SandboxSetup",
    "SandboxStatement",
    "find_isolation_problem",
    "probe_sandbox",
    "runs_python",
]
