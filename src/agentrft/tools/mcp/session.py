"""A server as all episodes share it: one connection at a time, made again when it is lost, and calls with retries."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from mcp_types import Tool

from agentrft.domain.faults import FaultKind
from agentrft.domain.job import McpServer
from agentrft.outbound.transport import MAX_RETRIES, Failure, cut_short
from agentrft.outbound.turnstile import Countdown, Turn, Turnstile
from agentrft.tools.mcp.link import Answer, Link

Result = TypeVar("Result")
_SERVER_FAILURES = (FaultKind.HTTP_5XX, FaultKind.TIMEOUT, FaultKind.CONNECTION)


class McpSession:
    """Calls to one server, within its limits and its circuit breaker.

    Args:
        backoff_s: seconds to pause after the n-th failed try, n from 1.
    """

    def __init__(self, server: McpServer, *, backoff_s: Callable[[int], float]) -> None:
        self._server = server
        self._backoff_s = backoff_s
        self._turnstile = Turnstile(max_concurrency=server.max_concurrency, rate_limit=server.rate_limit)
        self._link: Link | None = None
        self._links: list[Link] = []  # that are not closed yet

    async def list_tools(self) -> Sequence[Tool] | Failure:
        """Connect, and what the server lists."""

        async def attempt(countdown: Countdown) -> Sequence[Tool] | Failure:
            link = await self._connect(countdown.left_s)
            return link if isinstance(link, Failure) else list(link.tools.values())

        return await self._persist(attempt)

    async def call(self, name: str, arguments: Mapping[str, Any], *, meta: Mapping[str, Any]) -> Answer | Failure:
        """The result of a call, after as many tries as its deadline allows; each try sends the same `meta`."""

        async def attempt(countdown: Countdown) -> Answer | Failure:
            link = await self._connect(countdown.left_s)
            if isinstance(link, Failure):
                return link
            if name not in link.tools:
                text = f"the server does not list the tool '{name}' any more"
                return Failure(kind=FaultKind.INVALID_REPLY, message=text, retry=False)
            timeout_s = min(self._server.timeout_s, countdown.left_s)
            return await link.call(name, arguments, meta=meta, timeout_s=timeout_s)

        return await self._persist(attempt)

    async def close(self) -> None:
        """End all connections and the processes behind them."""
        await asyncio.gather(*(link.close() for link in self._links))

    async def _connect(self, left_s: float) -> Link | Failure:
        """The connection that takes new calls; whoever needs it waits for the same one."""
        link = self._link
        if link is None or link.retired:
            link = self._link = Link(self._server)
            self._links = [*(old for old in self._links if not old.closed), link]
        try:
            async with asyncio.timeout(left_s):
                failure = await link.ready()
        except TimeoutError:
            return Failure(kind=FaultKind.TIMEOUT, message=f"no connection within {self._server.deadline_s:g} s")
        return failure or link

    async def _persist(self, attempt: Callable[[Countdown], Awaitable[Result | Failure]]) -> Result | Failure:
        """Try until it succeeds, the retries are used up or the deadline comes."""
        countdown = Countdown(self._server.deadline_s)
        tries = 0
        while True:
            async with self._turnstile.turn(countdown) as turn:
                if turn is None:
                    return self._conclude(_left_alone(self._turnstile), tries=tries)
                tries += 1
                left_s = countdown.left_s
                outcome = await attempt(countdown)
                self._settle(turn, outcome, left_s=left_s)
            if not isinstance(outcome, Failure):
                return outcome
            pause_s = max(self._backoff_s(tries), outcome.retry_after_s)
            if not outcome.retry or tries > MAX_RETRIES or pause_s >= countdown.left_s:
                return self._conclude(outcome, tries=tries)
            await asyncio.sleep(pause_s)

    def _settle(self, turn: Turn, outcome: object, *, left_s: float) -> None:
        """Tell the breaker of a try that had `left_s` to go, unless we cut it short ourselves."""
        if not isinstance(outcome, Failure) or outcome.kind not in _SERVER_FAILURES:
            turn.answered()
        elif outcome.kind is not FaultKind.TIMEOUT or not cut_short(
            left_s, timeout_s=self._server.timeout_s, deadline_s=self._server.deadline_s
        ):
            turn.failed(outcome.message)

    def _conclude(self, failure: Failure, *, tries: int) -> Failure:
        count = "1 try" if tries == 1 else f"{tries} tries"
        message = f"MCP server '{self._server.name}': {failure.message} ({count})"
        return replace(failure, message=message, attempts=tries)


def _left_alone(turnstile: Turnstile) -> Failure:
    text = f"too many calls failed, so that it is left alone; the last failure: {turnstile.breaker.last_failure}"
    return Failure(kind=FaultKind.BREAKER_OPEN, message=text)
