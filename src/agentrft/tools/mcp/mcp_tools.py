"""The `Tools` port for the tools of MCP servers: listed when the job starts, called during its episodes."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from mcp_types import Tool

from agentrft.domain.episode import ToolCall, ToolResult, ToolSpec
from agentrft.domain.errors import JobFailed, UserError
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.domain.job import McpServer
from agentrft.outbound.transport import Failure, backoff_s
from agentrft.ports import CallContext
from agentrft.tools.arguments import find_problem, read_arguments
from agentrft.tools.mcp.results import FAILED, show_result
from agentrft.tools.mcp.session import McpSession

PARAM = "method.reinforcement.agentrft.mcp_servers"


class McpTools:
    """Calls the tools of MCP servers. Use as an async context manager; entering it connects and lists the tools.

    Args:
        servers: of one job.
        taken: names that the job's HTTP tools have.
        backoff_s: seconds to pause after the n-th failed try, n from 1.

    Raises (on entering):
        JobFailed: a server cannot be reached.
        UserError: two tools have one name, or `allowed_tools` names one that the server does not list.
    """

    def __init__(
        self, servers: Sequence[McpServer], *, taken: Sequence[str] = (), backoff_s: Callable[[int], float] = backoff_s
    ) -> None:
        self._servers = servers
        self._taken = taken
        self._sessions = [McpSession(server, backoff_s=backoff_s) for server in servers]
        self._owners: dict[str, McpSession] = {}
        self._specs: list[ToolSpec] = []

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """The tools, in the order of the servers and of their listings."""
        return self._specs

    async def __aenter__(self) -> Self:
        try:
            listings = await asyncio.gather(*(session.list_tools() for session in self._sessions))
            for index, listing in enumerate(listings):
                self._adopt(index, listing)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()

    async def call(self, call: ToolCall, context: CallContext) -> ToolResult | Fault:
        """What the model is shown for `call`, or whose fault it is that there is nothing to show. Never raises."""
        problem = find_problem(call, context.item.tools)
        arguments = read_arguments(call.arguments)
        if problem is not None or isinstance(arguments, str):
            text = f"Error: {problem or arguments}"
            return ToolResult(call_id=call.call_id, name=call.name, output=text, status=FAILED, is_error=True)
        session = self._owners.get(call.name)
        if session is None:
            text = f"no MCP server of the job lists the tool '{call.name}'"
            return Fault(owner=FaultOwner.PLATFORM, kind=FaultKind.INTERNAL, where=call.name, message=text)
        outcome = await session.call(call.name, arguments, meta=_identify(call, context))
        if isinstance(outcome, Failure):
            return Fault(
                owner=FaultOwner.TOOL_ENDPOINT,
                kind=outcome.kind,
                where=call.name,
                message=outcome.message,
                attempts=outcome.attempts,
            )
        return show_result(call, outcome.result, latency_s=outcome.latency_s)

    async def _close(self) -> None:
        await asyncio.gather(*(session.close() for session in self._sessions))

    def _adopt(self, index: int, listing: Sequence[Tool] | Failure) -> None:
        """Serve the tools of one server, as far as the job allows them."""
        server, param = self._servers[index], f"{PARAM}[{index}]"
        if isinstance(listing, Failure):
            raise JobFailed(f"{listing.message}.", code="mcp_server_unavailable", param=param)
        listed = {tool.name: tool for tool in listing}
        names = list(listed) if server.allowed_tools is None else server.allowed_tools
        for name in names:
            if name not in listed:
                text = (
                    f"The MCP server '{server.name}' lists no tool '{name}'; it lists: {', '.join(listed) or 'none'}."
                )
                raise UserError(text, param=f"{param}.allowed_tools", code="missing_tool")
            if name in self._taken or name in self._owners:
                text = (
                    f"The tool '{name}' of the MCP server '{server.name}' has the name of another tool of the job; "
                    "leave one of the two out, with 'allowed_tools'."
                )
                raise UserError(text, param=param, code="duplicate_tool")
            self._owners[name] = self._sessions[index]
            self._specs.append(_read_spec(listed[name]))


def _read_spec(tool: Tool) -> ToolSpec:
    return ToolSpec(name=tool.name, description=tool.description or "", parameters=tool.input_schema)


def _identify(call: ToolCall, context: CallContext) -> Mapping[str, Any]:
    """Sent with every try of the call, so that a server knows the episode and recognises a retry."""
    return {
        "agentrft/trace_id": context.trace_id,
        "agentrft/call_id": call.call_id,
        "agentrft/step": context.step,
        "agentrft/group": context.group,
        "agentrft/attempt": context.attempt,
        "agentrft/turn": context.turn,
    }
