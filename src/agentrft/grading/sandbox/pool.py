"""A few warm sandbox processes for one grader; as many calls at once as there are processes, the others wait."""

import asyncio
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrft.grading.sandbox.process import Facility, SandboxBroken, SandboxLimits, SandboxProcess, SandboxSetup

_TRIES = 2  # a process that is gone is replaced once per call


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxResult:
    """Exactly one of the two: the reward, or what the grader did wrong."""

    reward: float | None = None
    error: str | None = None


class SandboxPool:
    """Runs `grade(sample, item)` of one source.

    Args:
        size: processes, started when they are first needed.
    """

    def __init__(
        self,
        source: str,
        *,
        size: int | None = None,
        limits: SandboxLimits | None = None,
        setup: SandboxSetup | None = None,
    ) -> None:
        self._source = source
        self._limits = limits or SandboxLimits()
        self._setup = setup or SandboxSetup()
        self._turns = asyncio.Semaphore(size or min(4, os.cpu_count() or 1))
        self._idle: list[SandboxProcess] = []
        self._ending: set[asyncio.Task[None]] = set()
        self.facts: Mapping[Facility, str | None] = {}  # once a process has started: None, or what the kernel refused

    async def close(self) -> None:
        """End all processes. Calls must be over or cancelled."""
        while self._idle:
            self._retire(self._idle.pop())
        await asyncio.gather(*self._ending)

    async def run(self, sample: Mapping[str, Any], item: Mapping[str, Any]) -> SandboxResult:
        """Grade one subject.

        Raises:
            SandboxBroken: no sandbox process could do it.
        """
        request = json.dumps({"sample": sample, "item": item}).encode()
        async with self._turns:
            for _ in range(_TRIES - 1):
                try:
                    return await self._run(request)
                except SandboxBroken:
                    continue
            return await self._run(request)

    async def _run(self, request: bytes) -> SandboxResult:
        process = (
            self._idle.pop() if self._idle else await SandboxProcess.start(self._source, self._limits, self._setup)
        )
        self.facts = process.facts
        healthy = False
        try:
            result = await self._ask(process, request)
            healthy = True
            return result
        except TimeoutError:
            return SandboxResult(error=f"grade took more than {self._limits.wall_s:g} s")
        finally:
            if healthy:
                self._idle.append(process)
            else:
                self._retire(process)

    async def _ask(self, process: SandboxProcess, request: bytes) -> SandboxResult:
        if process.load_error is not None:
            return SandboxResult(error=process.load_error)
        reply = await process.ask(request, timeout_s=self._limits.wall_s)
        reward = reply.get("reward")
        if isinstance(reward, float) and math.isfinite(reward):
            return SandboxResult(reward=reward)
        return SandboxResult(error=str(reply.get("error")))

    def _retire(self, process: SandboxProcess) -> None:
        task = asyncio.create_task(process.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
