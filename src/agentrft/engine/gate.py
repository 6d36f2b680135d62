"""Where new attempts wait while an endpoint fails too often: the job pauses itself, and goes on by itself.

Training on what an outage leaves over would teach from the episodes that did not need the endpoint. Attempts that are
live keep what they have; only new ones wait. Whoever waits first probes for all: it tries the very call that failed
again, and not a new attempt, because new attempts that happen not to make the call would say nothing of the endpoint,
and as the only survivors of an outage they would bias the group that they are in.

A call can fail for ever though the endpoint is well, because of what is in it. After a few probes a call that once went
well is tried beside it; when that one is answered the job goes on, and says so.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

from agentrft.domain.episode import Episode, GradedEpisode
from agentrft.domain.errors import JobFailed
from agentrft.domain.faults import Fault
from agentrft.domain.job import FaultLimits
from agentrft.engine.health import Health, Seen, Trouble
from agentrft.engine.progress import Progress
from agentrft.ports import CallContext, Journal

MAX_PROBE_INTERVAL_S = 60.0
PATIENCE = 2  # probes of the call that failed, before one that went well is tried too

Probe = Callable[[Seen], Awaitable[Fault | None]]


class Gate:
    """One for all attempts of a job, those of its evaluations included."""

    def __init__(self, limits: FaultLimits, journal: Journal) -> None:
        self._limits = limits
        self._journal = journal
        self._health = Health(limits)
        self._door = asyncio.Lock()  # held by whoever probes; the others queue up for it

    def record(
        self,
        graded: GradedEpisode,
        *,
        at: CallContext,
        begun: bool | None = None,
        judged: bool = True,
        peers: Sequence[Episode] = (),
    ) -> None:
        """An attempt is over: see Health.record."""
        self._health.record(graded, at=at, begun=begun, judged=judged, peers=peers)

    async def enter(self, progress: Progress, probe: Probe) -> None:
        """Wait until no endpoint is over its limit.

        Args:
            progress: of the phase that waits.
            probe: tries again what an attempt did at a border; None: it went well.

        Raises:
            JobFailed: an endpoint has not recovered within `FaultLimits.max_pause_s`.
        """
        async with self._door:
            while (trouble := self._health.trouble()) is not None:
                await self._wait_out(trouble, progress, probe)

    async def _wait_out(self, trouble: Trouble, progress: Progress, probe: Probe) -> None:
        await self._journal.warn(f"Paused: {trouble.told}. New attempts wait until it answers again.")
        started = time.monotonic()
        deadline = asyncio.timeout(self._limits.max_pause_s)
        try:
            async with progress.waiting(), deadline:
                lasting = await self._until_healthy(trouble, probe)
        except TimeoutError:
            if not deadline.expired():
                raise
            raise _given_up(trouble, self._limits.max_pause_s) from None
        self._health.forget(trouble)
        but = f", but not what failed last: {lasting.message}" if lasting else ""
        await self._journal.warn(
            f"Resumed: {trouble.name} answers again after {time.monotonic() - started:.0f} s{but}."
        )

    async def _until_healthy(self, trouble: Trouble, probe: Probe) -> Fault | None:
        """None when what failed goes well now; else how it fails, while what once went well does so still."""
        pause_s, probes = self._limits.probe_interval_s, 0
        while True:
            await asyncio.sleep(pause_s)
            fault, probes = await probe(trouble.last), probes + 1
            if fault is None:
                return None
            good = self._health.good(trouble.last.border) if probes >= PATIENCE else None
            if good is not None and await probe(good) is None:
                return fault
            pause_s = max(pause_s, min(2 * pause_s, MAX_PROBE_INTERVAL_S))


def _given_up(trouble: Trouble, waited_s: float) -> JobFailed:
    return JobFailed(
        f"The job waited {waited_s:g} s, but {trouble.told}. {trouble.fault.treatment.advice} "
        "How long it waits is method.reinforcement.agentrft.faults.max_pause_s.",
        code=trouble.fault.treatment.code,
        param=trouble.param,
    )
