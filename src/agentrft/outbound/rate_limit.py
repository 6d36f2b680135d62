"""Requests per second, as an endpoint's owner asked for: callers are let through one by one at even distance."""

import asyncio
from collections.abc import Awaitable, Callable


class RateLimit:
    """Lets `per_second` callers through each second; None lets everyone through.

    Args:
        clock: seconds; by default the event loop's.
        sleep: waits for seconds.
    """

    def __init__(
        self,
        per_second: float | None,
        *,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._interval_s = 1.0 / per_second if per_second is not None else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next_s = float("-inf")

    async def wait(self) -> None:
        """Return when it is the caller's turn."""
        if self._interval_s == 0.0:
            return
        now = self._clock() if self._clock is not None else asyncio.get_running_loop().time()
        turn = max(now, self._next_s)
        self._next_s = turn + self._interval_s
        if turn > now:
            await self._sleep(turn - now)
