"""All attempts at one item: played, graded, and made anew where an endpoint failed.

What follows from a failure is decided by the table of domain/faults.py. A faulted attempt stays in the group for the
record, without a reward, and a new one takes its place: with a trace id, a session of the sampler, a number and random
draws of its own, so that nothing of the old one gets into it.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from agentrft.domain.episode import Episode, GradedEpisode, Group, Item, StopReason, Tokens
from agentrft.domain.errors import JobFailed
from agentrft.domain.faults import Fault, JobFate
from agentrft.domain.ids import new_hex_id
from agentrft.engine.fanout import all_of
from agentrft.engine.gate import Gate
from agentrft.engine.health import GRADER, LIFECYCLE, Seen
from agentrft.engine.probe import call_again
from agentrft.engine.progress import Progress
from agentrft.engine.rollout import Agent, run_episode
from agentrft.engine.verdicts import grade_again, graded, ranked
from agentrft.ports import CallContext, Grader, GroupGrader, Lifecycle


@dataclass(frozen=True, slots=True, kw_only=True)
class Examiner:
    """Has an agent attempt items, and grades what it did. `max_attempts` counts tries at one place of a group.

    A `GroupGrader` grades when every place is filled; until then an attempt without a fault has no grade.
    """

    agent: Agent
    grader: Grader | GroupGrader
    gate: Gate
    max_attempts: int
    lifecycle: Lifecycle | None = None

    async def run_group(self, item: Item, *, size: int, first_attempt: int, progress: Progress) -> Group:
        """`size` attempts at the item, all at once, and those that replaced faulted ones.

        Attempts are numbered from `first_attempt`; the k-th replacement of an attempt has its number plus k * size, so
        that no number comes twice below `first_attempt + size * max_attempts`.

        Raises:
            JobFailed: the platform failed, or an endpoint for longer than the job waits.
        """
        here = CallContext(
            trace_id="", item=item, step=progress.step, attempt=first_attempt, turn=0, group=new_hex_id("group_")
        )
        places = await all_of(
            self._fill_place(here, attempts=self._numbers(first_attempt + place, size), progress=progress)
            for place in range(size)
        )
        episodes = [result for place in places for result in place]
        if isinstance(self.grader, GroupGrader):
            episodes = await self._rank(episodes, self.grader, here, progress)
        return Group(item=item, episodes=tuple(episodes))

    async def _rank(
        self, episodes: Sequence[GradedEpisode], grader: GroupGrader, here: CallContext, progress: Progress
    ) -> list[GradedEpisode]:
        """Have the attempts of a group compared. Those with a fault of their own are settled already."""
        results = await ranked(episodes, grader, deadline_s=self.agent.limits.wall_clock_s)
        peers = [result.episode for result in results if result.episode.fault is None]
        judged = True
        for result in results:
            if result.episode.fault is None:
                await self._settle(result, here, progress, judged=judged, peers=peers)
                judged = False  # one ruling is one call of the grader
        return results

    def _numbers(self, first: int, size: int) -> range:
        return range(first, first + size * self.max_attempts, size)

    async def _fill_place(self, here: CallContext, *, attempts: range, progress: Progress) -> list[GradedEpisode]:
        played: list[GradedEpisode] = []
        for attempt in attempts:
            await self.gate.enter(progress, self._probe)
            context = replace(here, trace_id=new_hex_id("trace_"), attempt=attempt)
            with _told_apart(context):
                played.append(await self._attempt(context))
            fault = played[-1].fault
            if fault is not None or not isinstance(self.grader, GroupGrader):
                await self._settle(played[-1], context, progress)
            if fault is None or len(played) > fault.treatment.new_attempts:
                break
        await progress.settled()
        return played

    async def _attempt(self, context: CallContext) -> GradedEpisode:
        """Announced, played, graded, announced again: the grader may still want to look at the episode's machine."""
        stop: StopReason | None = None
        try:
            episode = await self._play(context)
            if isinstance(self.grader, GroupGrader):
                result = GradedEpisode(episode=episode, grade=None, fault=episode.fault)
            else:
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

    async def _settle(
        self,
        result: GradedEpisode,
        context: CallContext,
        progress: Progress,
        *,
        judged: bool = True,
        peers: Sequence[Episode] = (),
    ) -> None:
        """An attempt is over: it is written down, counted, and where the platform failed the job ends."""
        await progress.played(result)
        begun = len(result.episode.tokens) > 0 if self.lifecycle is not None else None
        self.gate.record(result, at=context, begun=begun, judged=judged, peers=peers)
        if result.fault is not None and result.fault.treatment.job is JobFate.FAILS:
            raise _platform_failure(result.fault, replace(context, attempt=result.episode.attempt))

    async def _probe(self, seen: Seen) -> Fault | None:
        """Try again what an attempt did at a border: begin, call a tool, be graded.

        With a lifecycle the attempt's machine is gone: the probe has one of its own, and a grader that looks at
        machines gets a whole attempt to grade, with the same random draws, which is in no group.
        """
        context = replace(seen.at, trace_id=seen.episode.trace_id, attempt=seen.episode.attempt)
        if self.lifecycle is not None:
            context = replace(context, trace_id=new_hex_id("trace_"))
        if seen.border == GRADER:
            if self.lifecycle is not None and not isinstance(self.grader, GroupGrader):
                return (await self._attempt(context)).fault
            return await grade_again(
                seen.peers or (seen.episode,), self.grader, deadline_s=self.agent.limits.wall_clock_s
            )
        if self.lifecycle is None:
            return await call_again(self.agent, seen.episode, seen.border[1], at=context)
        try:
            fault = await self.lifecycle.begin(context)
            if fault is None and seen.border != LIFECYCLE:
                fault = await call_again(self.agent, seen.episode, seen.border[1], at=context)
            return fault
        finally:
            self.lifecycle.end(context, None)


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


@contextmanager
def _told_apart(context: CallContext) -> Iterator[None]:
    """A bug that ends the job says in which attempt it showed."""
    try:
        yield
    except Exception as error:
        error.add_note(_name(context))
        raise


def _platform_failure(fault: Fault, context: CallContext) -> JobFailed:
    message = f"{fault.where} failed in {_name(context)}: {fault.message}. {fault.treatment.advice}"
    return JobFailed(message, code=fault.treatment.code)


def _name(context: CallContext) -> str:
    return f"attempt {context.attempt} at row {context.item.index + 1} in step {context.step}"
