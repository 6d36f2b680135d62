"""A few warm sandbox processes for one grader; as many calls at once as there are processes, the others wait."""

import asyncio
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agentrft.grading.sandbox.process import Facility, SandboxBroken, SandboxLimits, SandboxProcess, SandboxSetup


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
        self._source_loads = False  # it has, in some process
        self.facts: Mapping[Facility, str | None] = {}  # once a process has started: None, or what the kernel refused

    async def close(self) -> None:
        """End all processes. Calls must be over or cancelled."""
        while self._idle:
            self._retire(self._idle.pop())
        await asyncio.gather(*self._ending)

    async def run(self, sample: Mapping[str, Any], item: Mapping[str, Any]) -> SandboxResult:
        """Grade one subject.

        Raises:
            SandboxBroken: no sandbox process could do it, twice.
        """
        request = json.dumps({"sample": sample, "item": item}).encode()
        async with self._turns:
            try:
                return await self._run(request, self._idle.pop() if self._idle else await self._start())
            except SandboxBroken:  # what ended one process may have ended the idle ones too: none of those
                return await self._run(request, await self._start())

    async def _start(self) -> SandboxProcess:
        process = await SandboxProcess.start(self._source, self._limits, self._setup)
        self.facts = process.facts
        return process

    async def _run(self, request: bytes, process: SandboxProcess) -> SandboxResult:
        well = False
        try:
            result = await self._ask(process, request)
            well = process.serves
            return result
        except TimeoutError:
            return SandboxResult(error=f"grade took more than {self._limits.wall_s:g} s")
        finally:
            if well:
                self._idle.append(process)
            else:
                self._retire(process)

    async def _ask(self, process: SandboxProcess, request: bytes) -> SandboxResult:
        failure = process.load_failure
        if failure is not None:
            if failure.unsure and self._source_loads:
                raise SandboxBroken(f"a source that was loaded before cannot be loaded: {failure.error}")
            return SandboxResult(error=failure.error)
        self._source_loads = True
        reply = await process.ask(request, timeout_s=self._limits.wall_s)
        reward = reply.get("reward")
        if isinstance(reward, float) and math.isfinite(reward):
            return SandboxResult(reward=reward)
        return SandboxResult(error=str(reply.get("error")))

    def _retire(self, process: SandboxProcess) -> None:
        task = asyncio.create_task(process.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
