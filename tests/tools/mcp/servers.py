"""Real MCP servers made with the official package. `python servers.py FOLDER` serves on standard input and output."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError


def make_server(folder: Path) -> MCPServer:
    """A server whose tools misbehave on purpose; `folder` outlives it."""
    server = MCPServer("test")
    waiting: list[int] = []
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
    def environment(name: str) -> str:
        return os.environ.get(name, "not set")

    return server


if __name__ == "__main__":
    make_server(Path(sys.argv[1])).run("stdio")
