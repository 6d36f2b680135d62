"""Processes that run a user's python grader, outside the worker and away from everything."""

from agentrft.grading.sandbox.pool import SandboxPool, SandboxResult
from agentrft.grading.sandbox.process import SandboxBroken, SandboxLimits

__all__ = ["SandboxBroken", "SandboxLimits", "SandboxPool", "SandboxResult"]
