"""A job's tools from all their sources behind one port, and its items once they offer them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agentrft.datasets import check_tools, offer_tools
from agentrft.domain.episode import Item, ToolSpec
from agentrft.domain.errors import JobFailed
from agentrft.domain.job import McpCommand, Reinforcement
from agentrft.ports import Tools
from agentrft.tools.routed import RoutedTools

MCP_PARAM = "method.reinforcement.agentrft.mcp_servers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolbox:
    tools: Tools
    names: tuple[str, ...]  # of all tools that the job serves
    training: list[Item]
    validation: list[Item]


@asynccontextmanager
async def open_toolbox(
    rules: Reinforcement,
    http_tools: Tools,
    *,
    training: Sequence[Item],
    validation: Sequence[Item],
    allow_mcp_stdio: bool,
) -> AsyncIterator[Toolbox]:
    """Connect the job's MCP servers, offer their tools to rows without any, and check that every tool is served.

    Raises:
        JobFailed: an MCP server cannot be reached, or would be a process that the operator does not allow.
        UserError: rows and job name different tools, or two tools have one name.
    """
    async with _add_mcp_tools(rules, http_tools, allow_stdio=allow_mcp_stdio) as (tools, listed):
        training = offer_tools(training, listed, param=MCP_PARAM)
        validation = offer_tools(validation, listed, param=MCP_PARAM)
        served, mcp_names = [tool.name for tool in rules.tools], [tool.name for tool in listed]
        check_tools(training, served, mcp_tools=mcp_names)
        check_tools(validation, served, mcp_tools=mcp_names, unused=False)
        yield Toolbox(tools=tools, names=(*served, *mcp_names), training=training, validation=validation)


@asynccontextmanager
async def _add_mcp_tools(
    rules: Reinforcement, http_tools: Tools, *, allow_stdio: bool
) -> AsyncIterator[tuple[Tools, Sequence[ToolSpec]]]:
    if not rules.mcp_servers:
        yield http_tools, ()
        return
    _check_commands(rules, allow_stdio=allow_stdio)
    from agentrft.tools.mcp import McpTools  # half a second and 15 MB, which jobs without MCP servers do not pay

    async with McpTools(rules.mcp_servers, taken=[tool.name for tool in rules.tools]) as mcp:
        yield RoutedTools({spec.name: mcp for spec in mcp.specs}, default=http_tools), mcp.specs


def _check_commands(rules: Reinforcement, *, allow_stdio: bool) -> None:
    """The API refuses such jobs already; the process would start here, so it is for this worker's operator to say."""
    for index, server in enumerate(rules.mcp_servers):
        if isinstance(server.at, McpCommand) and not allow_stdio:
            message = (
                f"This worker may not start the MCP server '{server.name}': it was started without "
                "AGENTRFT_ALLOW_MCP_STDIO=true."
            )
            raise JobFailed(message, code="mcp_stdio_not_allowed", param=f"{MCP_PARAM}[{index}].command")
