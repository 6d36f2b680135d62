"""All attempts at one item: played, graded, and made anew where an endpoint failed.

What follows from a failure is decided by the table of domain/faults.py. A faulted attempt stays in the group for the
record, without a reward, and a new one takes its place: with a trace id, a session of the sampler, a number and random
draws of its own, so that nothing of the old one gets into it.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from agentrft.domain.episode import Episode, Grade, GradedEpisode, Group, Item
from agentrft.domain.errors import JobFailed
from agentrft.domain.faults import Fault, FaultKind, FaultOwner, JobFate
from agentrft.engine.fanout import all_of
from agentrft.engine.gate import Gate
from agentrft.engine.health import Failed
from agentrft.engine.probe import call_again
from agentrft.engine.progress import Progress
from agentrft.engine.rollout import Agent, run_episode
from agentrft.ports import Grader


@dataclass(frozen=True, slots=True, kw_only=True)
class Examiner:
    """Has an agent attempt items, and grades what it did. `max_attempts` counts tries at one place of a group."""

    agent: Agent
    grader: Grader
    gate: Gate
    max_attempts: int

    async def run_group(self, item: Item, *, size: int, first_attempt: int, progress: Progress) -> Group:
        """`size` attempts at the item, all at once, and those that replaced faulted ones.

        Attempts are numbered from `first_attempt`; the k-th replacement of an attempt has its number plus k * size, so
        that no number comes twice below `first_attempt + size * max_attempts`.

        Raises:
            JobFailed: the platform failed, or an endpoint for longer than the job waits.
        """
        places = await all_of(
            self._fill_place(item, attempts=self._numbers(first_attempt + place, size), progress=progress)
            for place in range(size)
        )
        return Group(item=item, episodes=tuple(graded for place in places for graded in place))

    def _numbers(self, first: int, size: int) -> range:
        return range(first, first + size * self.max_attempts, size)

    async def _fill_place(self, item: Item, *, attempts: range, progress: Progress) -> list[GradedEpisode]:
        played: list[GradedEpisode] = []
        for attempt in attempts:
            await self.gate.enter(progress, self._probe)
            played.append(await self._attempt(item, attempt, progress))
            fault = played[-1].fault
            if fault is None or len(played) > fault.treatment.new_attempts:
                break
        await progress.settled()
        return played

    async def _attempt(self, item: Item, attempt: int, progress: Progress) -> GradedEpisode:
        with _told_apart(item, attempt, progress.step):
            episode = await run_episode(self.agent, item, step=progress.step, attempt=attempt)
            result = await graded(episode, self.grader, deadline_s=self.agent.limits.wall_clock_s)
        await progress.played(result)
        self.gate.record(result, step=progress.step)
        if result.fault is not None and result.fault.treatment.job is JobFate.FAILS:
            raise _platform_failure(result.fault, item, attempt, progress.step)
        return result

    async def _probe(self, failed: Failed) -> Fault | None:
        """Try again what failed: the tool call that ended the episode, or its grading."""
        if failed.episode.episode.fault is not None:
            return await call_again(self.agent, failed.episode.episode, step=failed.step)
        verdict = await _verdict(failed.episode.episode, self.grader, self.agent.limits.wall_clock_s)
        return verdict if isinstance(verdict, Fault) else None


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


@contextmanager
def _told_apart(item: Item, attempt: int, step: int) -> Iterator[None]:
    """A bug that ends the job says in which attempt it showed."""
    try:
        yield
    except Exception as error:
        error.add_note(_name(item, attempt, step))
        raise


def _platform_failure(fault: Fault, item: Item, attempt: int, step: int) -> JobFailed:
    message = f"{fault.where} failed in {_name(item, attempt, step)}: {fault.message}. {fault.treatment.advice}"
    return JobFailed(message, code=fault.treatment.code)


def _name(item: Item, attempt: int, step: int) -> str:
    return f"attempt {attempt} at row {item.index + 1} in step {step}"
