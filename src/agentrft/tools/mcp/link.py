"""One connection to an MCP server.

The `mcp` package wants a client to be closed by the task that opened it. `_hold` is that task: it connects, lists the
tools, and stays until the connection is to end, whatever becomes of the episodes that call through it.
"""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from mcp import Client, StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolResult, Implementation, Tool

from agentrft.domain.faults import FaultKind
from agentrft.domain.job import McpAddress, McpServer
from agentrft.outbound.transport import Failure, cut_short
from agentrft.tools.mcp.failures import describe_failure
from agentrft.tools.mcp.http_client import MAX_EVENT_BYTES, McpHttpClient
from agentrft.tools.mcp.results import error_result

log = logging.getLogger(__name__)
CLOSE_TIMEOUT_S = 8.0  # a process is given 2 s to end by itself, 2 s after SIGTERM, 2 s after SIGKILL
MAX_PAGES = 100  # of a listing


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a tool returned, and how long it took: without connecting, and without the tries before."""

    result: CallToolResult
    latency_s: float


class Link:
    """A connection from its making to its end. Make it inside a running event loop."""

    def __init__(self, server: McpServer) -> None:
        self.tools: Mapping[str, Tool] = {}
        self.retired = False  # takes no new calls
        self._server = server
        self._client: Client | None = None
        self._calls = 0
        self._heard_at = 0.0
        self._closing = asyncio.Event()
        self._outcome: asyncio.Future[Failure | None] = asyncio.get_running_loop().create_future()
        self._owner = asyncio.create_task(self._hold())

    async def ready(self) -> Failure | None:
        """Wait for the connection; what kept it from being made, or None."""
        return await asyncio.shield(self._outcome)

    async def call(
        self, name: str, arguments: Mapping[str, Any], *, meta: Mapping[str, Any], timeout_s: float
    ) -> Answer | Failure:
        """Call a tool of a connection that is ready, and say for how long we wait. Any number of calls overlap."""
        assert self._client is not None, "the link is not ready"
        clock = asyncio.get_running_loop().time
        started = clock()
        told: Any = {**meta, "agentrft/deadline_ms": int(1000 * timeout_s)}
        self._calls += 1
        try:
            async with asyncio.timeout(timeout_s):
                result = await self._client.call_tool(name, dict(arguments), meta=told)
            self._heard_at = clock()
        except TimeoutError:
            if self._heard_at < started and not self._cut_short(timeout_s):  # nobody had an answer meanwhile: it hangs
                self.retire()
            return Failure(kind=FaultKind.TIMEOUT, message=f"no result within {timeout_s:.3g} s")
        except Exception as error:  # noqa: BLE001  the border to the server: whatever the package makes of its replies
            return self._judge(error, latency_s=clock() - started)
        finally:
            self._calls -= 1
            self._close_when_idle()
        return Answer(result=result, latency_s=clock() - started)

    def retire(self) -> None:
        """Take no more calls; the connection closes when those under way have ended."""
        self.retired = True
        self._close_when_idle()

    async def close(self) -> None:
        """End the connection and its process now. Takes a few seconds at most."""
        self.retired = True
        self._closing.set()
        if not self._outcome.done():
            self._owner.cancel()
        _, late = await asyncio.wait([self._owner], timeout=CLOSE_TIMEOUT_S)
        for task in late:
            task.cancel()
        await asyncio.gather(self._owner, return_exceptions=True)

    @property
    def closed(self) -> bool:
        return self._owner.done()

    def _judge(self, error: Exception, *, latency_s: float) -> Answer | Failure:
        if isinstance(error, MCPError) and error.code == INVALID_PARAMS:
            return Answer(result=error_result(error.message), latency_s=latency_s)
        failure = describe_failure(error, self._server)
        if failure.kind is FaultKind.CONNECTION:
            self.retire()
        return failure

    def _cut_short(self, timeout_s: float) -> bool:
        return cut_short(timeout_s, timeout_s=self._server.timeout_s, deadline_s=self._server.deadline_s)

    def _close_when_idle(self) -> None:
        if self.retired and self._calls == 0:
            self._closing.set()

    async def _hold(self) -> None:
        failure: Failure | None = Failure(kind=FaultKind.CONNECTION, message="the connection was given up")
        try:
            async with asyncio.timeout(self._server.deadline_s) as limit, _open_client(self._server) as client:
                self.tools = {tool.name: tool for tool in await _list_tools(client)}
                limit.reschedule(None)
                self._client = client
                self._outcome.set_result(None)
                await self._closing.wait()
        except Exception as error:  # noqa: BLE001  the border to the server: whatever the package raises
            failure = describe_failure(error, self._server)
            if not self._closing.is_set():  # at the end of a connection the package may stumble over its own streams
                log.warning("MCP server %s: %s", self._server.name, failure.message)
        finally:
            self.retired = True
            if not self._outcome.done():
                self._outcome.set_result(failure)


@asynccontextmanager
async def _open_client(server: McpServer) -> AsyncIterator[Client]:
    async with AsyncExitStack() as stack:
        if isinstance(server.at, McpAddress):
            http = await stack.enter_async_context(McpHttpClient(server.at))
            transport = streamable_http_client(server.at.url, http_client=http, max_sse_event_size=MAX_EVENT_BYTES)
        else:
            command, *arguments = server.at.argv
            process = StdioServerParameters(command=command, args=arguments, env=dict(server.at.env))
            transport = stdio_client(process, errlog=sys.stderr)
        who = Implementation(name="agentrft", version=version("agentrft"))
        yield await stack.enter_async_context(Client(transport, client_info=who, cache=None))


async def _list_tools(client: Client) -> list[Tool]:
    tools: list[Tool] = []
    cursor: str | None = None
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        cursor = page.next_cursor
        if cursor is None:
            break
    return tools
