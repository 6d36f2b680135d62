"""The user's HTTP tools: the `Tools` and `Lifecycle` ports of the engine, and single calls for `/tool/run`."""

from agentrft.tools.http_tools import HttpTools
from agentrft.tools.lifecycle import HttpLifecycle
from agentrft.tools.proxy import run_tool

__all__ = ["HttpLifecycle", "HttpTools", "run_tool"]
