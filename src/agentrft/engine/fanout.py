"""Many awaits at once, none left behind: the only place of the engine where tasks are created.

`asyncio.TaskGroup` would wrap a `JobFailed` in an exception group, which hides it from the worker that waits for it.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


async def all_of(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all at once and return their results in the order given.

    The first exception is raised as it is, after every other task has been cancelled and has ended; being cancelled
    itself, it takes its tasks along.
    """
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
