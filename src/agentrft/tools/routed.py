"""Tools of several sources behind one port."""

from collections.abc import Mapping

from agentrft.domain.episode import ToolCall, ToolResult
from agentrft.domain.faults import Fault
from agentrft.ports import CallContext, Tools


class RoutedTools:
    """`agentrft.ports.Tools` that hands each call to the source of its tool.

    Args:
        sources: by the name of a tool.
        default: takes all other calls, and says what is wrong with a name that nobody knows.
    """

    def __init__(self, sources: Mapping[str, Tools], *, default: Tools) -> None:
        self._sources = sources
        self._default = default

    async def call(self, call: ToolCall, context: CallContext) -> ToolResult | Fault:
        return await self._sources.get(call.name, self._default).call(call, context)
