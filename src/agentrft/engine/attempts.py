"""All attempts at one item: played, graded, and tried again where an endpoint failed.

A fault never becomes a reward: scoring it zero would teach the policy not to call tools (rl-engine reference,
section 1.6). The faulted attempt stays in the group for the record, and a new one takes its place.
"""

import asyncio
import time
from dataclasses import dataclass

from agentrft.domain.episode import Episode, Grade, GradedEpisode, Group, Item, StopReason, Tokens
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.domain.ids import new_hex_id
from agentrft.engine.fanout import all_of
from agentrft.engine.rollout import Agent, run_episode
from agentrft.ports import CallContext, Grader, Journal, Lifecycle


class Progress:
    """Tells the journal what is finished and how far a phase of a step has come."""

    def __init__(self, journal: Journal, *, split: str, step: int, phase: str) -> None:
        self._journal = journal
        self._split = split
        self.step = step
        self._phase = phase
        self._done = 0
        self._expected = 0

    async def expect(self, episodes: int) -> None:
        """So many more places are to be filled with an episode."""
        self._expected += episodes
        await self._report()

    async def played(self, graded: GradedEpisode) -> None:
        """One attempt is over, well or not."""
        await self._journal.episode(self._split, self.step, graded)

    async def settled(self) -> None:
        """One place is filled, or given up."""
        self._done += 1
        await self._report()

    async def _report(self) -> None:
        await self._journal.progress(self.step, self._phase, self._done, self._expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examiner:
    """Has an agent attempt items, and grades what it did. `max_attempts` counts tries at one place of a group."""

    agent: Agent
    grader: Grader
    max_attempts: int
    lifecycle: Lifecycle | None = None

    async def run_group(self, item: Item, *, size: int, first_attempt: int, progress: Progress) -> Group:
        """`size` attempts at the item, all at once, and those that replaced faulted ones.

        Attempts are numbered from `first_attempt`; the k-th replacement of an attempt has its number plus k * size, so
        that no number comes twice below `first_attempt + size * max_attempts`.
        """
        name = new_hex_id("group_")
        places = await all_of(
            self._fill_place(item, name, attempts=self._numbers(first_attempt + place, size), progress=progress)
            for place in range(size)
        )
        return Group(item=item, episodes=tuple(graded for place in places for graded in place))

    def _numbers(self, first: int, size: int) -> range:
        return range(first, first + size * self.max_attempts, size)

    async def _fill_place(self, item: Item, group: str, *, attempts: range, progress: Progress) -> list[GradedEpisode]:
        played: list[GradedEpisode] = []
        for attempt in attempts:
            trace_id = new_hex_id("trace_")
            result = await self._attempt(
                CallContext(trace_id=trace_id, item=item, step=progress.step, attempt=attempt, turn=0, group=group)
            )
            await progress.played(result)
            played.append(result)
            if result.valid:
                break
        await progress.settled()
        return played

    async def _attempt(self, context: CallContext) -> GradedEpisode:
        """Announced, played, graded, announced again: the grader may still want to look at the episode's machine."""
        stop: StopReason | None = None
        try:
            episode = await self._play(context)
            result = await graded(episode, self.grader, deadline_s=self.agent.limits.wall_clock_s)
            stop = episode.stop
            return result
        finally:
            if self.lifecycle is not None:
                self.lifecycle.end(context, stop)

    async def _play(self, here: CallContext) -> Episode:
        fault = await self.lifecycle.begin(here) if self.lifecycle is not None else None
        if fault is not None:
            return _not_begun(here, fault)
        return await run_episode(
            self.agent, here.item, step=here.step, attempt=here.attempt, group=here.group, trace_id=here.trace_id
        )


def _not_begun(context: CallContext, fault: Fault) -> Episode:
    return Episode(
        trace_id=context.trace_id,
        item=context.item,
        attempt=context.attempt,
        turns=(),
        tokens=Tokens(ids=(), kinds=(), logps=(), turns=(), versions=()),
        stop=StopReason.FAULT,
        fault=fault,
        started_at=time.time(),
    )


async def graded(episode: Episode, grader: Grader, *, deadline_s: float) -> GradedEpisode:
    """The episode with its grade, or with the fault of whoever failed: the episode's own, or else the grader's."""
    if episode.fault is not None:
        return GradedEpisode(episode=episode, grade=None, fault=episode.fault)
    verdict = await _verdict(episode, grader, deadline_s)
    if isinstance(verdict, Fault):
        return GradedEpisode(episode=episode, grade=None, fault=verdict)
    return GradedEpisode(episode=episode, grade=verdict)


async def _verdict(episode: Episode, grader: Grader, deadline_s: float) -> Grade | Fault:
    deadline = asyncio.timeout(deadline_s)
    try:
        async with deadline:
            return await grader.grade(episode)
    except TimeoutError:
        if not deadline.expired():
            raise
        return Fault(
            owner=FaultOwner.GRADER_ENDPOINT,
            kind=FaultKind.DEADLINE,
            where="grader",
            message=f"the grader gave no grade within {deadline_s:g} s",
        )
