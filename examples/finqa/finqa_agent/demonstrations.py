"""Scripted conversations to imitate: a model that has never seen tools makes no call, and has nothing to learn from."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

SHOWN_WORDS = 150  # of a page; enough to see what pages are like, and short enough to train on

CallTool = Callable[[str, Mapping[str, str]], str]


def demonstration(row: Mapping[str, Any], call_tool: CallTool) -> dict[str, Any]:
    """A supervised row for a question's row: search for the question, read the right page, answer.

    Args:
        call_tool: runs a tool by name with its arguments; the reply.
    """
    question = row["messages"][-1]["content"]
    calls = [("search", {"query": question}), ("cat", {"path": row["page"]})]
    messages = list(row["messages"])
    for number, (name, arguments) in enumerate(calls):
        messages += _exchange(f"call_{number}", name, arguments, call_tool(name, arguments))
    messages.append({"role": "assistant", "content": written(row["value"])})
    return {"messages": messages, "tools": row["tools"]}


def written(value: float | str) -> str:
    """A value as an answer: no trailing zeros, no more digits than the grader looks at."""
    return value if isinstance(value, str) else f"{value:.6g}"


def _exchange(call_id: str, name: str, arguments: Mapping[str, str], output: str) -> Sequence[dict[str, Any]]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    shown = " ".join(output.split(" ")[:SHOWN_WORDS])
    return [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call_id, "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call_id, "content": shown},
    ]
