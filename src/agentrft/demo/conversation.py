"""Asking a model with tools through `client.responses.create` and running its calls by HTTP, as OpenAI's notebooks."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import httpx2
from openai import OpenAI
from openai.types.responses import Response, ResponseFunctionToolCall, ResponseInputItemParam

from agentrft.domain.ids import new_hex_id

TOOL_DEADLINE_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a transcript: who speaks (user, tool call, tool, answer) and what."""

    speaker: str
    text: str


def converse(
    client: OpenAI,
    row: Mapping[str, Any],
    endpoints: Sequence[Mapping[str, Any]],
    *,
    model: str,
    max_turns: int,
    max_output_tokens: int,
) -> Iterator[Line]:
    """Put a data set's question to `model` and let it work; yields the transcript as it happens.

    Raises `httpx2.HTTPError` when a tool server fails.
    """
    history: list[dict[str, Any]] = [dict(message) for message in row["messages"]]
    yield Line(speaker="user", text=history[-1]["content"])
    trace_id = new_hex_id("trace_")
    for _ in range(max_turns):
        response = _respond(client, history, row, model=model, max_output_tokens=max_output_tokens)
        calls = [item for item in response.output if isinstance(item, ResponseFunctionToolCall)]
        if not calls:
            yield Line(speaker="answer", text=response.output_text)
            return
        history += [item.model_dump(exclude_unset=True) for item in response.output]
        for call in calls:
            yield Line(speaker="tool call", text=f"{call.name}({_shown(call.arguments)})")
            output = run_tool(endpoints, call.name, call.arguments, call_id=call.call_id, trace_id=trace_id)
            yield Line(speaker="tool", text=output)
            history.append({"type": "function_call_output", "call_id": call.call_id, "output": output})


def _respond(
    client: OpenAI, history: list[dict[str, Any]], row: Mapping[str, Any], *, model: str, max_output_tokens: int
) -> Response:
    tools = [{"type": "function", **schema["function"]} for schema in row["tools"]]
    return client.responses.create(
        model=model,
        input=cast(list[ResponseInputItemParam], history),
        tools=tools,  # type: ignore[arg-type]
        max_output_tokens=max_output_tokens,
        temperature=0.0,  # what it does best: a small model's rare slips at temperature 1 would fill the transcript
        store=False,
    )


def run_tool(endpoints: Sequence[Mapping[str, Any]], name: str, arguments: str, *, call_id: str, trace_id: str) -> str:
    """Run one call on its tool server, in the Agent RFT tool protocol; what the model is shown.

    Raises `httpx2.HTTPError` when the server fails.
    """
    endpoint = next((endpoint for endpoint in endpoints if endpoint["name"] == name), None)
    if endpoint is None:
        return f"error: there is no tool {name}"
    body: dict[str, Any] = {
        "type": "function_call",
        "id": call_id.replace("call_", "fc_"),
        "call_id": call_id,
        "name": name,
        "arguments": arguments,
        "trace_id": trace_id,
        "item": {},
    }
    reply = httpx2.post(endpoint["server_url"], json=body, headers=endpoint["headers"], timeout=TOOL_DEADLINE_S)
    if reply.is_server_error:
        reply.raise_for_status()
    content = reply.json()
    return str(content.get("output", content))


def _shown(arguments: str) -> str:
    """Arguments for people: `path="a/b"` instead of JSON, where they are JSON."""
    try:
        given = json.loads(arguments)
    except ValueError:
        return arguments
    return ", ".join(f"{key}={value!r}" for key, value in given.items()) if isinstance(given, dict) else arguments
