"""Real MCP servers made with the official package. `python servers.py FOLDER` serves on standard input and output."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from starlette.responses import PlainTextResponse


def make_server(folder: Path) -> MCPServer:
    """A server whose tools misbehave on purpose; `folder` outlives it."""
    server = MCPServer("test")
    waiting: list[int] = []
    napping: list[int] = []
    all_there = asyncio.Event()

    @server.tool()
    def add(a: int, b: int) -> str:
        """Add two numbers."""
        return str(a + b)

    @server.tool()
    def fail(reason: str) -> str:
        raise ToolError(reason)

    @server.tool()
    async def gather(count: int) -> str:
        """Answer when `count` calls wait at once."""
        waiting.append(1)
        if len(waiting) == count:
            all_there.set()
        await all_there.wait()
        return "together"

    @server.tool()
    def crash(times: int) -> str:
        """End the process, `times` times."""
        crashes = len(list(folder.glob("crash-*")))
        if crashes < times:
            folder.joinpath(f"crash-{crashes}").touch()
            os._exit(3)
        return f"alive after {crashes} crashes"

    @server.tool()
    async def nap() -> int:
        """How many naps are under way."""
        napping.append(1)
        await asyncio.sleep(0.02)
        count = len(napping)
        napping.pop()
        return count

    @server.tool()
    async def hang() -> str:
        await asyncio.sleep(3600)
        return "never"

    @server.tool(structured_output=False)
    def picture() -> list[Any]:
        return ["a picture:", Image(data=b"\x89PNG....", format="png")]

    @server.tool()
    def large() -> str:
        return "x" * (1 << 20) + "x"

    @server.tool()
    def meta(context: Context) -> str:
        """What the call carries besides its arguments."""
        found = context.request_context.meta or {}
        return " ".join(f"{key}={found[key]}" for key in sorted(found) if key.startswith("agentrft/"))

    @server.tool()
    def process() -> dict[str, Any]:
        """The environment, and the process's number."""
        return {"pid": os.getpid(), "environment": dict(os.environ)}

    return server


class Border:
    """An MCP server over HTTP behind a border that misbehaves by script: a status for each `tools/call`, then none.

    Args:
        legacy: refuse what is newer than the handshake with session ids.
    """

    def __init__(self, folder: Path, *statuses: int, legacy: bool = False, json_response: bool = False) -> None:
        self._app = make_server(folder).streamable_http_app(json_response=json_response)
        self._statuses = list(statuses)
        self._legacy = legacy
        self.methods: list[str] = []
        self.headers: dict[str, str] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        self.headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        body = await _read(receive)
        method = json.loads(body)["method"]
        self.methods.append(method)
        status = self._refusal(method)
        if status:
            await PlainTextResponse(f"no: {self.headers.get('authorization')}", status)(scope, receive, send)
            return

        async def replay() -> Any:
            nonlocal body
            message = {"type": "http.request", "body": body, "more_body": False} if body else await receive()
            body = b""
            return message

        await self._app(scope, replay, send)

    def _refusal(self, method: str) -> int | None:
        if method == "server/discover" and self._legacy:
            return 404
        return self._statuses.pop(0) if method == "tools/call" and self._statuses else None


async def _read(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


if __name__ == "__main__":
    make_server(Path(sys.argv[1])).run("stdio")
