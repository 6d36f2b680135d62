"""Whose turn is it to send a request to an endpoint? Its owner's limits and its breaker decide, for all episodes.

Two kinds of waiting, told apart: behind a limit a call queues because we were asked to be gentle, which says nothing
about the endpoint, so its deadline stands still; before an open breaker it waits for an endpoint that is down, and its
deadline runs.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager, nullcontext

from agentrft.outbound.breaker import Breaker
from agentrft.outbound.rate_limit import RateLimit


class Countdown:
    """The seconds that are left of a deadline."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left_s(self) -> float:
        """Never negative."""
        return max(0.0, self._end - time.monotonic())

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What is spent inside is not counted."""
        started = time.monotonic()
        try:
            yield
        finally:
            self._end += time.monotonic() - started


class Turn:
    """The right to send one request. Whoever has it says what became of the request, or leaves it open."""

    def __init__(self, breaker: Breaker, number: int) -> None:
        self._breaker = breaker
        self._number = number
        self._settled = False

    @property
    def valid(self) -> bool:
        """False when the breaker has changed its mind since."""
        return self._number == self._breaker.generation

    def answered(self) -> None:
        """The endpoint replied, be it a 4xx."""
        self._settled = True
        self._breaker.answered(self._number)

    def failed(self, why: str) -> None:
        """The endpoint failed; `why` holds no secret."""
        self._settled = True
        self._breaker.failed(self._number, why)

    def end(self) -> None:
        """A request that was cancelled, or cut short by us, says nothing about the endpoint."""
        if not self._settled:
            self._breaker.withdraw(self._number)


class Turnstile:
    """Gives turns to the requests of one endpoint.

    Args:
        max_concurrency: requests under way at once; None for any number.
        rate_limit: requests per second, retries included; None for any number.
        breaker: the endpoint's; one of its own when absent.
    """

    def __init__(
        self, *, max_concurrency: int | None = None, rate_limit: float | None = None, breaker: Breaker | None = None
    ) -> None:
        self.breaker = breaker or Breaker()
        self._rate = RateLimit(rate_limit)
        self._places: AbstractAsyncContextManager[None] = (
            nullcontext() if max_concurrency is None else asyncio.Semaphore(max_concurrency)
        )
        self._generation = self.breaker.generation
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def turn(self, countdown: Countdown) -> AsyncIterator[Turn | None]:
        """A turn to send one request; None when the breaker stays open for as long as the caller can wait."""
        while await self._passable(countdown):
            with ExitStack() as queueing:
                queueing.enter_context(countdown.stopped())
                async with self._places:
                    turn = self._admit()
                    if turn is None:
                        continue
                    try:
                        await self._rate.wait()
                        if turn.valid:
                            queueing.close()
                            yield turn
                            return
                    finally:
                        turn.end()
                        self._tell_waiting()
        yield None

    def _admit(self) -> Turn | None:
        number = self.breaker.admit()
        return None if number is None else Turn(self.breaker, number)

    async def _passable(self, countdown: Countdown) -> bool:
        while (pause_s := self.breaker.wait_s) > 0:
            if countdown.left_s == 0.0:
                return False
            try:
                async with asyncio.timeout(min(pause_s, countdown.left_s)):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return True

    def _tell_waiting(self) -> None:
        if self.breaker.generation != self._generation:
            self._generation = self.breaker.generation
            self._changed.set()
            self._changed = asyncio.Event()
