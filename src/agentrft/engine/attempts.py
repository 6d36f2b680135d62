"""All attempts at one item: played, graded, and tried again where an endpoint failed.

A fault never becomes a reward: scoring it zero would teach the policy not to call tools (rl-engine reference,
section 1.6). The faulted attempt stays in the group for the record, and a new one takes its place.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from agentrft.domain.episode import Episode, Grade, GradedEpisode, Group, Item
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.engine.fanout import all_of
from agentrft.engine.rollout import Agent, run_episode
from agentrft.ports import Grader, GroupGrader, Journal

T = TypeVar("T")


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
    """Has an agent attempt items, and grades what it did. `max_attempts` counts tries at one place of a group.

    A `GroupGrader` grades when every place is filled; until then an attempt without a fault has no grade.
    """

    agent: Agent
    grader: Grader | GroupGrader
    max_attempts: int

    async def run_group(self, item: Item, *, size: int, first_attempt: int, progress: Progress) -> Group:
        """`size` attempts at the item, all at once, and those that replaced faulted ones.

        Attempts are numbered from `first_attempt`; the k-th replacement of an attempt has its number plus k * size, so
        that no number comes twice below `first_attempt + size * max_attempts`.
        """
        places = await all_of(
            self._fill_place(item, attempts=self._numbers(first_attempt + place, size), progress=progress)
            for place in range(size)
        )
        episodes = [graded for place in places for graded in place]
        if isinstance(self.grader, GroupGrader):
            episodes = await ranked(episodes, self.grader, deadline_s=self.agent.limits.wall_clock_s)
            for each in episodes:
                await progress.played(each)
        return Group(item=item, episodes=tuple(episodes))

    def _numbers(self, first: int, size: int) -> range:
        return range(first, first + size * self.max_attempts, size)

    async def _fill_place(self, item: Item, *, attempts: range, progress: Progress) -> list[GradedEpisode]:
        played: list[GradedEpisode] = []
        for attempt in attempts:
            episode = await run_episode(self.agent, item, step=progress.step, attempt=attempt)
            if isinstance(self.grader, GroupGrader):
                result = GradedEpisode(episode=episode, grade=None, fault=episode.fault)
            else:
                result = await graded(episode, self.grader, deadline_s=self.agent.limits.wall_clock_s)
                await progress.played(result)
            played.append(result)
            if result.fault is None:
                break
        await progress.settled()
        return played


async def graded(episode: Episode, grader: Grader, *, deadline_s: float) -> GradedEpisode:
    """The episode with its grade, or with the fault of whoever failed: the episode's own, or else the grader's."""
    if episode.fault is not None:
        return GradedEpisode(episode=episode, grade=None, fault=episode.fault)
    verdict = await _within(deadline_s, grader.grade(episode))
    if isinstance(verdict, Fault):
        return GradedEpisode(episode=episode, grade=None, fault=verdict)
    return GradedEpisode(episode=episode, grade=verdict)


async def ranked(episodes: Sequence[GradedEpisode], grader: GroupGrader, *, deadline_s: float) -> list[GradedEpisode]:
    """The attempts of a group: those without a fault now have a grade, or the fault that kept them from one.

    One that is left alone has nothing to be compared with: it shares the fault of the last of its peers.
    """
    waiting = [each.episode for each in episodes if each.fault is None]
    faults = [each.fault for each in episodes if each.fault is not None]
    if len(waiting) == 1 and faults:
        verdict: Sequence[Grade] | Fault = replace(
            faults[-1], message=f"no other attempt is left: {faults[-1].message}"
        )
    else:
        verdict = await _within(deadline_s, grader.rank(waiting)) if waiting else []
    if isinstance(verdict, Fault):
        return [each if each.fault else replace(each, fault=verdict) for each in episodes]
    grades = iter(verdict)
    return [each if each.fault else replace(each, grade=next(grades)) for each in episodes]


async def _within(deadline_s: float, grading: Coroutine[Any, Any, T]) -> T | Fault:
    deadline = asyncio.timeout(deadline_s)
    try:
        async with deadline:
            return await grading
    except TimeoutError:
        if not deadline.expired():
            raise
        return Fault(
            owner=FaultOwner.GRADER_ENDPOINT,
            kind=FaultKind.DEADLINE,
            where="grader",
            message=f"the grader gave no grade within {deadline_s:g} s",
        )
