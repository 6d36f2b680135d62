"""A server as all episodes share it: one connection at a time, made again when it is lost, and calls with retries."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from mcp_types import CallToolResult, Tool

from agentrft.domain.faults import FaultKind
from agentrft.domain.job import McpServer
from agentrft.outbound.transport import MAX_RETRIES, Failure
from agentrft.tools.mcp.link import Link

Result = TypeVar("Result")


class McpSession:
    """Calls to one server.

    Args:
        backoff_s: seconds to pause after the n-th failed try, n from 1.
    """

    def __init__(self, server: McpServer, *, backoff_s: Callable[[int], float]) -> None:
        self._server = server
        self._backoff_s = backoff_s
        self._link: Link | None = None
        self._links: list[Link] = []  # that are not closed yet

    async def list_tools(self) -> Sequence[Tool] | Failure:
        """Connect, and what the server lists."""

        async def attempt(end: float) -> Sequence[Tool] | Failure:
            link = await self._connect(end)
            return link if isinstance(link, Failure) else list(link.tools.values())

        return await self._persist(attempt)

    async def call(
        self, name: str, arguments: Mapping[str, Any], *, meta: Mapping[str, Any]
    ) -> CallToolResult | Failure:
        """The result of a call, after as many tries as its deadline allows; each try sends the same `meta`."""

        async def attempt(end: float) -> CallToolResult | Failure:
            link = await self._connect(end)
            if isinstance(link, Failure):
                return link
            if name not in link.tools:
                text = f"the server does not list the tool '{name}' any more"
                return Failure(kind=FaultKind.INVALID_REPLY, message=text, retry=False)
            timeout_s = max(0.0, min(self._server.timeout_s, end - asyncio.get_running_loop().time()))
            return await link.call(name, arguments, meta=meta, timeout_s=timeout_s)

        return await self._persist(attempt)

    async def close(self) -> None:
        """End all connections and the processes behind them."""
        await asyncio.gather(*(link.close() for link in self._links))

    async def _connect(self, end: float) -> Link | Failure:
        """The connection that takes new calls; whoever needs it waits for the same one."""
        link = self._link
        if link is None or link.retired:
            link = self._link = Link(self._server)
            self._links = [*(old for old in self._links if not old.closed), link]
        try:
            async with asyncio.timeout_at(end):
                failure = await link.ready()
        except TimeoutError:
            return Failure(kind=FaultKind.TIMEOUT, message=f"no connection within {self._server.deadline_s:g} s")
        return failure or link

    async def _persist(self, attempt: Callable[[float], Awaitable[Result | Failure]]) -> Result | Failure:
        """Try until it succeeds, the retries are used up or the deadline comes; `attempt` is told when that is."""
        clock = asyncio.get_running_loop().time
        end = clock() + self._server.deadline_s
        tries = 0
        while True:
            tries += 1
            outcome = await attempt(end)
            if not isinstance(outcome, Failure):
                return outcome
            pause_s = self._backoff_s(tries)
            if not outcome.retry or tries > MAX_RETRIES or clock() + pause_s >= end:
                count = "1 try" if tries == 1 else f"{tries} tries"
                message = f"MCP server '{self._server.name}': {outcome.message} ({count})"
                return replace(outcome, message=message, attempts=tries)
            await asyncio.sleep(pause_s)
