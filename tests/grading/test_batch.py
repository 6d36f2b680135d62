import asyncio

from agentrft.domain.episode import Episode, Grade
from agentrft.domain.faults import Fault, FaultKind
from agentrft.grading.batch import grade_all, grade_within
from agentrft.testing import an_episode, an_item, broken_grader


class Slow:
    """Grades by the item, yields while it does, and knows how many gradings there were at once."""

    def __init__(self) -> None:
        self.now = self.most = 0

    async def grade(self, episode: Episode) -> Grade | Fault:
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(1 + episode.item.index % 3):
            await asyncio.sleep(0)
        self.now -= 1
        return broken_grader() if episode.item.index == 3 else Grade(reward=float(episode.item.index))


async def test_all_are_graded_in_order_a_few_at_a_time() -> None:
    grader = Slow()
    done: list[int] = []
    episodes = [an_episode(an_item(index)) for index in range(10)]
    verdicts = await grade_all(grader, episodes, width=4, on_done=lambda: done.append(1))
    assert [verdict.reward if isinstance(verdict, Grade) else None for verdict in verdicts] == [
        0, 1, 2, None, 4, 5, 6, 7, 8, 9,
    ]  # fmt: skip
    assert (grader.most, len(done)) == (4, 10)
    assert await grade_all(grader, []) == []


async def test_a_grading_that_takes_too_long_is_a_fault() -> None:
    class Hanging:
        async def grade(self, episode: Episode) -> Grade | Fault:
            await asyncio.Event().wait()
            raise AssertionError

    verdict = await grade_within(Hanging(), an_episode(), deadline_s=0.01)
    assert isinstance(verdict, Fault)
    assert verdict.kind is FaultKind.DEADLINE
