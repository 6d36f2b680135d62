"""Grades for attempts, within a deadline: one by one, or those of a group against each other."""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from agentrft.domain.episode import Episode, Grade, GradedEpisode
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.ports import Grader, GroupGrader

T = TypeVar("T")


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


async def grade_again(episodes: Sequence[Episode], grader: Grader | GroupGrader, *, deadline_s: float) -> Fault | None:
    """Whether the grader can grade what it was asked before; None: it can. The grade itself is not wanted.

    Args:
        episodes: the attempts to rank against each other; for a grader of single ones, one.
    """
    if isinstance(grader, GroupGrader):
        ranking = await _within(deadline_s, grader.rank(episodes))
        return ranking if isinstance(ranking, Fault) else None
    verdict = await _within(deadline_s, grader.grade(episodes[0]))
    return verdict if isinstance(verdict, Fault) else None


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
