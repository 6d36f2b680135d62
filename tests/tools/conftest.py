from collections.abc import Callable
from typing import Any

import pytest

from agentrft.domain.episode import Item, Message, ToolCall, ToolSpec
from agentrft.domain.job import ToolEndpoint
from agentrft.ports import CallContext

SEARCH = ToolSpec(
    name="search",
    parameters={
        "type": "object",
        "properties": {"query": {"type": "string"}, "top_k": {"type": "integer"}},
        "required": ["query"],
    },
)


@pytest.fixture
def context() -> CallContext:
    row = {"messages": [{"name": None, "role": "user", "content": "Q?"}], "tools": None, "reference_answer": "94"}
    item = Item(index=0, messages=(Message(role="user", content="Q?"),), tools=(SEARCH,), row=row)
    return CallContext(trace_id="trace_0123", item=item, step=3, attempt=1, turn=2, group="group_9")


@pytest.fixture
def make_call() -> Callable[..., ToolCall]:
    def make(arguments: str = '{"query": "revenue"}', **fields: Any) -> ToolCall:
        return ToolCall(**{"call_id": "call_abc", "name": "search", "arguments": arguments, **fields})

    return make


@pytest.fixture
def make_endpoint() -> Callable[..., ToolEndpoint]:
    def make(url: str, **fields: Any) -> ToolEndpoint:
        return ToolEndpoint(name="search", server_url=url, **fields)

    return make
