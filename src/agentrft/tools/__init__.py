"""The user's HTTP tools: the `Tools` port of the engine, and single calls for `/tool/run`."""

from agentrft.tools.http_tools import HttpTools
from agentrft.tools.proxy import run_tool

__all__ = ["HttpTools", "run_tool"]
