"""`POST /v1/responses`: the request as a `GenerateRequest`, and the reply as a response object."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from agentrft.domain.ids import new_hex_id
from agentrft.wire.inference import GenerateReply, GenerateRequest
from agentrft.wire.response_items import Unseal, read_input
from agentrft.wire.sampling import (
    Temperature,
    TopP,
    choose_tools,
    read_tools,
    refuse_format,
    refuse_given,
)
from agentrft.wire.strict import Strict, parse

ENCRYPTED_REASONING = "reasoning.encrypted_content"


class Reasoning(Strict):
    effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    generate_summary: Literal["auto", "concise", "detailed"] | None = None


class Text(Strict):
    format: dict[str, Any] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None


class ResponseRequest(Strict):
    """What is taken. `user` and its like are taken and have no effect, as they ask for nothing."""

    model: Annotated[str, Field(min_length=1)]
    input: Any
    instructions: str | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    reasoning: Reasoning | None = None
    include: list[str] | None = None
    text: Text | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    metadata: dict[str, str] | None = None
    store: bool | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    service_tier: str | None = None
    stream: bool | None = None
    stream_options: Any = None
    background: bool | None = None
    previous_response_id: str | None = None
    conversation: Any = None
    prompt: Any = None
    max_tool_calls: int | None = None
    top_logprobs: int | None = None


def read_response_request(body: object) -> ResponseRequest:
    """Raises UserError for what is malformed or not supported yet."""
    request = parse(ResponseRequest, body)
    refuse_given(
        {
            "stream": request.stream,
            "background": request.background,
            "previous_response_id": request.previous_response_id,
            "conversation": request.conversation,
            "prompt": request.prompt,
            "max_tool_calls": request.max_tool_calls,
            "top_logprobs": request.top_logprobs or None,
        }
    )
    refuse_format(request.text.format if request.text else None, at="text.format")
    return request


def to_generate(request: ResponseRequest, *, model: str, unseal: Unseal) -> GenerateRequest:
    """What to ask of a worker. `unseal` opens `encrypted_content` of reasoning that we gave out before."""
    tools = choose_tools(request.tool_choice, read_tools(request.tools, nested=False))
    return GenerateRequest(
        model=model,
        messages=read_input(request.input, instructions=request.instructions, unseal=unseal),
        tools=tools,
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        max_tokens=request.max_output_tokens,
        parallel_tool_calls=request.parallel_tool_calls is not False,
        trace_id=(request.metadata or {}).get("trace_id"),
    )


def response_object(
    request: ResponseRequest, reply: GenerateReply, *, created_at: int, completed_at: int, seal: Callable[[str], str]
) -> dict[str, Any]:
    """OpenAI's response object. `seal` encrypts the reasoning for the client to carry, where it asked for that."""
    capped = reply.finish_reason == "length"
    encrypt = seal if ENCRYPTED_REASONING in (request.include or ()) else None
    return {
        "id": new_hex_id("resp_"),
        "object": "response",
        "created_at": created_at,
        "completed_at": None if capped else completed_at,
        "status": "incomplete" if capped else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if capped else None,
        "output": _output(reply, "incomplete" if capped else "completed", encrypt),
        "usage": _usage(reply),
        **_echo(request),
    }


def _echo(request: ResponseRequest) -> dict[str, Any]:
    reasoning = request.reasoning or Reasoning()
    return {
        "instructions": request.instructions,
        "model": request.model,
        "max_output_tokens": request.max_output_tokens,
        "max_tool_calls": None,
        "metadata": request.metadata or {},
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "previous_response_id": None,
        "background": False,
        "store": False,  # responses are not kept yet
        "reasoning": {"effort": reasoning.effort, "summary": reasoning.summary},
        "service_tier": "default",
        "temperature": 1.0 if request.temperature is None else request.temperature,
        "top_p": 1.0 if request.top_p is None else request.top_p,
        "top_logprobs": 0,
        "text": {"format": {"type": "text"}, "verbosity": (request.text or Text()).verbosity or "medium"},
        "tool_choice": request.tool_choice or "auto",
        "tools": [_echo_tool(tool) for tool in request.tools or ()],
        "truncation": request.truncation or "disabled",
        "user": request.user,
    }


def _echo_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": None, "parameters": None, "strict": None, **tool}


def _output(reply: GenerateReply, status: str, seal: Callable[[str], str] | None) -> list[dict[str, Any]]:
    """Reasoning, then text, then calls: what follows a call would read as the end of the episode."""
    output: list[dict[str, Any]] = []
    if reply.reasoning:
        item: dict[str, Any] = {"id": new_hex_id("rs_"), "type": "reasoning", "summary": []}
        output.append(item | ({"encrypted_content": seal(reply.reasoning)} if seal else {}))
    if reply.text or not reply.tool_calls:
        part = {"type": "output_text", "text": reply.text, "annotations": [], "logprobs": []}
        message = {"id": new_hex_id("msg_"), "type": "message", "role": "assistant", "status": status}
        output.append({**message, "content": [part]})
    for call in reply.tool_calls:
        head = {"id": new_hex_id("fc_"), "type": "function_call", "status": "completed"}
        output.append(head | call.model_dump())
    return output


def _usage(reply: GenerateReply) -> dict[str, Any]:
    return {
        "input_tokens": reply.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": reply.output_tokens,
        "output_tokens_details": {"reasoning_tokens": reply.reasoning_tokens},
        "total_tokens": reply.prompt_tokens + reply.output_tokens,
    }
