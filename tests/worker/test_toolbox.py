import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from agentrft.domain.episode import Item, Message, ToolSpec
from agentrft.domain.errors import JobFailed, UserError
from agentrft.domain.job import McpAddress, McpCommand, McpServer, ToolEndpoint
from agentrft.testing import InProcessTools, some_rules
from agentrft.worker.toolbox import Toolbox, open_toolbox
from tests.server.conftest import serving
from tests.worker.test_run import mcp_server

HTTP = InProcessTools({})
CAT = ToolEndpoint(name="cat", server_url="http://127.0.0.1:9")


def item(*tools: str, silent: bool = False) -> Item:
    specs = tuple(ToolSpec(name=name) for name in tools)
    return Item(
        index=0, messages=(Message(role="user", content="Q?"),), tools=specs, row={"tools": None if silent else []}
    )


async def box(servers: tuple[McpServer, ...], *, training: Item, validation: Item, **fields: Any) -> Toolbox:
    rules = replace(some_rules(), tools=(CAT,), mcp_servers=servers)
    given = {"training": [training], "validation": [validation], "allow_mcp_stdio": False, **fields}
    async with open_toolbox(rules, HTTP, **given) as opened:
        return opened


async def test_without_mcp_servers_the_http_tools_are_all() -> None:
    opened = await box((), training=item("cat"), validation=item())
    assert opened.tools is HTTP
    assert opened.names == ("cat",)


def test_jobs_without_mcp_servers_do_not_load_the_package() -> None:
    code = "import sys, agentrft.tools, agentrft.worker.toolbox; print('mcp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"


async def test_listed_tools_join_the_others() -> None:
    async with serving(mcp_server([])) as url:
        server = McpServer(name="web", at=McpAddress(url=f"{url}/mcp"))
        opened = await box((server,), training=item("cat"), validation=item(silent=True))
        assert opened.names == ("cat", "search")
        assert [tool.name for tool in opened.validation[0].tools] == ["search"]
        for files in (
            {"training": item("cat", "grep"), "validation": item()},
            {"training": item("cat"), "validation": item("grep")},
        ):
            with pytest.raises(UserError, match="the tool 'grep', which has no server_url"):
                await box((server,), **files)


async def test_a_process_is_started_only_where_the_operator_allows_it() -> None:
    server = McpServer(name="local", at=McpCommand(argv=("/no/such/program",)))
    with pytest.raises(JobFailed) as refused:
        await box((server,), training=item("cat"), validation=item())
    assert (refused.value.code, refused.value.param) == (
        "mcp_stdio_not_allowed",
        "method.reinforcement.agentrft.mcp_servers[0].command",
    )
    with pytest.raises(JobFailed, match="cannot be run"):
        await box((server,), training=item("cat"), validation=item(), allow_mcp_stdio=True)
