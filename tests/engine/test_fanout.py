"""No task outlives the call that made it."""

import asyncio

import pytest

from agentrft.domain.errors import JobFailed
from agentrft.engine.fanout import all_of


async def _forever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("ended")


async def _after(event: asyncio.Event, value: int) -> int:
    await event.wait()
    return value


async def _release(event: asyncio.Event) -> int:
    event.set()
    return 2


async def test_results_come_in_the_order_given_and_not_of_completion() -> None:
    event = asyncio.Event()
    assert await all_of([_after(event, 1), _release(event)]) == [1, 2]


async def test_one_failure_cancels_the_others_and_is_raised_as_it_is() -> None:
    ended: list[str] = []

    async def fail() -> None:
        await asyncio.sleep(0)
        raise JobFailed("no more", code="test")

    with pytest.raises(JobFailed, match="no more"):
        await all_of([_forever(ended), fail(), _forever(ended)])
    assert ended == ["ended", "ended"]


async def test_being_cancelled_takes_the_tasks_along() -> None:
    ended: list[str] = []
    task = asyncio.ensure_future(all_of([_forever(ended), _forever(ended)]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["ended", "ended"]
