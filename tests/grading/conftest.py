from collections.abc import Callable
from typing import Any

import pytest

from agentrft.domain.episode import Episode, Item, Message, StopReason, Tokens, ToolCall, ToolResult, Turn

ROW = {
    "messages": [{"name": None, "role": "user", "content": "Q?"}],
    "tools": None,
    "parallel_tool_calls": True,
    "reference_answer": "94",
}


@pytest.fixture
def row() -> dict[str, Any]:
    return dict(ROW)


@pytest.fixture
def make_episode() -> Callable[..., Episode]:
    """An episode of one search and an answer."""

    def make(answer: str = "94", output: str = "found 94", **fields: Any) -> Episode:
        call = ToolCall(call_id="call_1", name="search", arguments='{"query": "x"}')
        result = ToolResult(call_id="call_1", name="search", output=output, latency_s=0.25)
        turns = (
            Turn(
                message=Message(role="assistant", content="Let me look.", tool_calls=(call,)),
                results=(result,),
                sampled_tokens=20,
                latency_s=1.5,
            ),
            Turn(
                message=Message(role="assistant", content=answer, reasoning="It says so."),
                sampled_tokens=10,
                reasoning_tokens=4,
                latency_s=0.5,
            ),
        )
        base: dict[str, Any] = {
            "trace_id": "trace_0123",
            "item": Item(index=0, messages=(Message(role="user", content="Q?"),), row=ROW),
            "attempt": 2,
            "turns": turns,
            "tokens": Tokens(ids=(), kinds=(), logps=(), turns=(), versions=()),
            "stop": StopReason.ANSWER,
            "latency_s": 2.25,
        }
        return Episode(**{**base, **fields})

    return make
