"""What a judge said before: the same prompt is paid for once.

Attempts of a group often end in the same answer, at the same moment: whoever asks what is being asked already waits
for that answer. Kept in memory and for one job: identical texts then earn identical rewards even from a judge that
samples, and nothing stale outlives a change of the judge behind its address.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")
MAX_KEPT = 4096


class Verdicts(Generic[T]):
    """The last `max_kept` answers.

    Args:
        keeps: whether an answer may be given again; a failure may not.
    """

    def __init__(self, *, keeps: Callable[[T], bool], max_kept: int = MAX_KEPT) -> None:
        self._keeps = keeps
        self._max_kept = max_kept
        self._kept: OrderedDict[str, T] = OrderedDict()
        self._asked: dict[str, asyncio.Future[T]] = {}

    async def get(self, key: str, ask: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """The answer to `key`, and whether it was asked for just now and for this caller."""
        while True:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key], False
            if key not in self._asked:
                return await self._ask(key, ask), True
            try:
                return await asyncio.shield(self._asked[key]), False
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise  # it is this caller who is called off; otherwise the one who asked was, and somebody must

    async def _ask(self, key: str, ask: Callable[[], Awaitable[T]]) -> T:
        answer = self._asked[key] = asyncio.get_running_loop().create_future()
        try:
            found = await ask()
            answer.set_result(found)
        finally:
            answer.cancel()  # nothing, where there is a result
            del self._asked[key]
        if self._keeps(found):
            self._kept[key] = found
            if len(self._kept) > self._max_kept:
                self._kept.popitem(last=False)
        return found
