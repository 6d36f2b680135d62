from agentrft.domain.episode import Item, ToolCall, ToolResult
from agentrft.ports import CallContext
from agentrft.testing import InProcessTools
from agentrft.tools.routed import RoutedTools


async def test_each_call_goes_to_the_source_of_its_tool_and_unknown_names_to_the_default() -> None:
    names = ("search", "cat", "made up")
    http = InProcessTools({name: lambda call, context: "http" for name in names})
    mcp = InProcessTools({name: lambda call, context: "mcp" for name in names})
    tools = RoutedTools({"search": mcp}, default=http)
    context = CallContext(trace_id="t", item=Item(index=0, messages=()), step=0, attempt=0, turn=0)
    results = [await tools.call(ToolCall(call_id="c", name=name, arguments="{}"), context) for name in names]
    assert [result.output for result in results if isinstance(result, ToolResult)] == ["mcp", "http", "http"]
