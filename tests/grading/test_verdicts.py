import asyncio

import pytest

from agentrft.grading.verdicts import Verdicts


class Judge:
    """Answers when it is allowed to; `answers` are used up one by one."""

    def __init__(self, *answers: str) -> None:
        self.allowed = asyncio.Event()
        self._answers = list(answers)
        self.asked = 0

    async def __call__(self) -> str:
        self.asked += 1
        await self.allowed.wait()
        return self._answers.pop(0)


def verdicts(max_kept: int = 10) -> Verdicts[str]:
    return Verdicts(keeps=lambda answer: answer != "failed", max_kept=max_kept)


async def test_whoever_asks_what_is_being_asked_waits_for_that_answer() -> None:
    known, judge = verdicts(), Judge("yes")
    waiting = [asyncio.create_task(known.get("q", judge)) for _ in range(5)]
    await asyncio.sleep(0)
    judge.allowed.set()
    assert await asyncio.gather(*waiting) == [("yes", True)] + [("yes", False)] * 4
    assert await known.get("q", judge) == ("yes", False)
    assert judge.asked == 1


async def test_a_failure_is_shared_by_those_who_wait_and_then_forgotten() -> None:
    known, judge = verdicts(), Judge("failed", "yes")
    waiting = [asyncio.create_task(known.get("q", judge)) for _ in range(2)]
    await asyncio.sleep(0)
    judge.allowed.set()
    assert await asyncio.gather(*waiting) == [("failed", True), ("failed", False)]
    assert await known.get("q", judge) == ("yes", True)


async def test_when_the_one_who_asked_is_called_off_another_asks() -> None:
    known, judge = verdicts(), Judge("yes")
    first, second = (asyncio.create_task(known.get("q", judge)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    judge.allowed.set()
    assert await second == ("yes", True)
    assert judge.asked == 2
    assert first.cancelled()


async def test_one_who_waits_can_be_called_off_alone() -> None:
    known, judge = verdicts(), Judge("yes")
    first, second = (asyncio.create_task(known.get("q", judge)) for _ in range(2))
    await asyncio.sleep(0)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    judge.allowed.set()
    assert await first == ("yes", True)


async def test_the_least_recently_used_is_forgotten_first() -> None:
    known, judge = verdicts(max_kept=2), Judge("a", "b", "c", "b again")
    judge.allowed.set()
    for key in ("a", "b", "a", "c"):
        await known.get(key, judge)
    assert await known.get("a", judge) == ("a", False)
    assert await known.get("b", judge) == ("b again", True)
