import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agentrft.domain.episode import Item, Message, ToolCall, ToolResult
from agentrft.domain.faults import Fault
from agentrft.domain.job import McpAddress, McpCommand, McpServer
from agentrft.ports import CallContext
from agentrft.tools.mcp import McpTools
from tests.server.conftest import serving


class Caller:
    """Calls tools as an episode would whose item offers all that was listed."""

    def __init__(self, tools: McpTools) -> None:
        self.tools = tools
        item = Item(index=0, messages=(Message(role="user", content="Q?"),), tools=tuple(tools.specs))
        self._context = CallContext(trace_id="trace_0123", item=item, step=3, attempt=1, turn=2, group="group_9")

    async def __call__(self, name: str, **arguments: Any) -> ToolResult | Fault:
        call = ToolCall(call_id="call_abc", name=name, arguments=json.dumps(arguments))
        return await self.tools.call(call, self._context)


def no_wait(attempt: int) -> float:
    return 0.0


@asynccontextmanager
async def connect(*servers: McpServer, taken: tuple[str, ...] = ()) -> AsyncIterator[Caller]:
    async with McpTools(servers, taken=taken, backoff_s=no_wait) as tools:
        yield Caller(tools)


@asynccontextmanager
async def over_http(app: Any, **fields: Any) -> AsyncIterator[Caller]:
    """Tools of `app`, served over streamable HTTP."""
    headers = fields.pop("headers", {})
    async with serving(app) as url, connect(at(f"{url}/mcp", headers=headers, **fields)) as caller:
        yield caller


def at(url: str, *, name: str = "web", headers: dict[str, str] | None = None, **fields: Any) -> McpServer:
    return McpServer(name=name, at=McpAddress(url=url, headers=headers or {}), **fields)


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., McpServer]:
    """A server that is started as a process."""

    def make(**env: str) -> McpServer:
        script = str(Path(__file__).with_name("servers.py"))
        return McpServer(name="local", at=McpCommand(argv=(sys.executable, script, str(tmp_path)), env=env))

    return make
