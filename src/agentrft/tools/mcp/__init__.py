"""MCP servers as tools. Not imported by `agentrft.tools`: the `mcp` package is heavy, and most jobs do without it."""

from agentrft.tools.mcp.mcp_tools import McpTools

__all__ = ["McpTools"]
