"""Many gradings, a few at a time, each within a deadline."""

import asyncio
from collections.abc import Callable, Iterator, Sequence

from agentrft.domain.episode import Episode, Grade
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.ports import Grader

WIDTH = 16  # at once
DEADLINE_S = 900.0  # of one grading


async def grade_all(
    grader: Grader,
    episodes: Sequence[Episode],
    *,
    width: int = WIDTH,
    deadline_s: float = DEADLINE_S,
    on_done: Callable[[], None] = lambda: None,
) -> list[Grade | Fault]:
    """Grade every episode once.

    Args:
        on_done: called after each grading, for whoever watches.

    Returns:
        A grade or a fault for each episode, in the order given.
    """
    verdicts: list[Grade | Fault | None] = [None] * len(episodes)

    async def work(waiting: Iterator[tuple[int, Episode]]) -> None:
        for place, episode in waiting:
            verdicts[place] = await grade_within(grader, episode, deadline_s=deadline_s)
            on_done()

    waiting = iter(enumerate(episodes))
    async with asyncio.TaskGroup() as tasks:
        for _ in range(min(width, len(episodes))):
            tasks.create_task(work(waiting))
    return [verdict for verdict in verdicts if verdict is not None]


async def grade_within(grader: Grader, episode: Episode, *, deadline_s: float) -> Grade | Fault:
    """One grading; a fault of the grader when it takes longer."""
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
