"""`POST /v1/chat/completions`: the request as a `GenerateRequest`, and the reply as a completion object."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from agentrft.domain.errors import UserError
from agentrft.domain.ids import new_id
from agentrft.wire.content import read_text
from agentrft.wire.inference import Call, ChatMessage, GenerateReply, GenerateRequest
from agentrft.wire.sampling import Temperature, TopP, choose_tools, read_tools, refuse_format, refuse_given
from agentrft.wire.strict import Strict, parse


class FunctionCall(Strict):
    name: str
    arguments: str


class ToolCall(Strict):
    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


class Message(Strict):
    """What SDKs send back of an earlier reply (`refusal`, `annotations`, ...) is taken and not read."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Any = None
    name: str | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None
    refusal: Any = None
    annotations: Any = None
    audio: None = None
    function_call: None = None


class ChatRequest(Strict):
    model: Annotated[str, Field(min_length=1)]
    messages: Annotated[list[Message], Field(min_length=1)]
    tools: list[Any] | None = None
    tool_choice: Any = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    reasoning_effort: str | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    seed: int | None = None
    n: int | None = None
    stop: Any = None
    stream: bool | None = None
    stream_options: Any = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    logit_bias: Any = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    store: bool | None = None
    metadata: dict[str, str] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    service_tier: str | None = None


def read_chat_request(body: object) -> ChatRequest:
    """Raises UserError for what is malformed or not supported yet."""
    request = parse(ChatRequest, body)
    refuse_given(
        {
            "stream": request.stream,
            "n": request.n if request.n != 1 else None,
            "stop": request.stop or None,
            "logprobs": request.logprobs,
            "top_logprobs": request.top_logprobs or None,
            "logit_bias": request.logit_bias or None,
            "frequency_penalty": request.frequency_penalty or None,
            "presence_penalty": request.presence_penalty or None,
        }
    )
    refuse_format(request.response_format, at="response_format")
    return request


def to_generate(request: ChatRequest, *, model: str) -> GenerateRequest:
    """What to ask of a worker."""
    tools = choose_tools(request.tool_choice, read_tools(request.tools, nested=True))
    return GenerateRequest(
        model=model,
        messages=_read_messages(request.messages),
        tools=tools,
        temperature=1.0 if request.temperature is None else request.temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        max_tokens=request.max_completion_tokens or request.max_tokens,
        seed=request.seed,
        parallel_tool_calls=request.parallel_tool_calls is not False,
        trace_id=(request.metadata or {}).get("trace_id"),
    )


def completion_object(request: ChatRequest, reply: GenerateReply, *, created: int) -> dict[str, Any]:
    """OpenAI's chat completion object."""
    choice = {"index": 0, "message": _reply_message(reply), "finish_reason": reply.finish_reason, "logprobs": None}
    return {
        "id": new_id("chatcmpl-", 29),
        "object": "chat.completion",
        "created": created,
        "model": request.model,
        "choices": [choice],
        "usage": _usage(reply),
        "service_tier": "default",
        "system_fingerprint": None,
    }


def _read_messages(messages: list[Message]) -> list[ChatMessage]:
    names: Mapping[str, str] = {
        call.id: call.function.name for message in messages for call in message.tool_calls or ()
    }
    return [_read_message(message, names, f"messages[{place}]") for place, message in enumerate(messages)]


def _read_message(message: Message, names: Mapping[str, str], at: str) -> ChatMessage:
    content = read_text(message.content, at=f"{at}.content")
    if message.role == "tool":
        call_id = message.tool_call_id
        if call_id is None or call_id not in names:
            where = f"{at}.tool_call_id"
            raise UserError(f"'{where}' names no tool call that comes before it.", param=where, code="invalid_value")
        return ChatMessage(role="tool", content=content, call_id=call_id, name=names[call_id])
    calls = [
        Call(call_id=call.id, name=call.function.name, arguments=call.function.arguments)
        for call in message.tool_calls or ()
    ]
    reasoning = message.reasoning_content or ""
    return ChatMessage(role=message.role, content=content, reasoning=reasoning, tool_calls=calls, name=message.name)


def _reply_message(reply: GenerateReply) -> dict[str, Any]:
    calls = [
        {"id": call.call_id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in reply.tool_calls
    ]
    content = None if calls and not reply.text else reply.text
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
    message |= {"tool_calls": calls} if calls else {}
    return message | ({"reasoning_content": reply.reasoning} if reply.reasoning else {})


def _usage(reply: GenerateReply) -> dict[str, Any]:
    return {
        "prompt_tokens": reply.prompt_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.prompt_tokens + reply.output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reply.reasoning_tokens,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
            "audio_tokens": 0,
        },
    }
