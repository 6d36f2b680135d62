from typing import Any

import pytest
from openai.types.chat import ChatCompletion

from agentrft.domain.errors import UserError
from agentrft.wire.chat_completions import completion_object, read_chat_request, to_generate
from agentrft.wire.inference import Call, GenerateReply

USER = {"role": "user", "content": "hi"}
SEARCH = {"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}


def test_a_conversation_with_tools_is_read() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "search", "arguments": "{}"}}
    answer = {"role": "assistant", "content": None, "refusal": None, "annotations": [], "tool_calls": [call]}
    body = {
        "model": "m",
        "messages": [USER, answer, {"role": "tool", "tool_call_id": "c1", "content": "x"}],
        "tools": [SEARCH],
        "max_tokens": 9,
        "temperature": 0,
        "seed": 4,
    }
    found = to_generate(read_chat_request(body), model="base")
    assert [message.role for message in found.messages] == ["user", "assistant", "tool"]
    assert found.messages[1].tool_calls[0].call_id == "c1"
    assert (found.messages[2].call_id, found.messages[2].name) == ("c1", "search")
    assert (found.max_tokens, found.temperature, found.seed, found.tools[0].name) == (9, 0.0, 4, "search")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [USER], "stream": True}, "stream"),
        ({"messages": [USER], "n": 2}, "n"),
        ({"messages": [USER], "stop": ["x"]}, "stop"),
        ({"messages": [USER | {"x": 1}]}, "messages[0].x"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "c"}]}, "messages[0].tool_call_id"),
        ({"messages": [USER], "tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"messages": [USER], "response_format": {"type": "json_object"}}, "response_format"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_path(body: dict[str, Any], param: str) -> None:
    with pytest.raises(UserError) as caught:
        to_generate(read_chat_request({"model": "m", **body}), model="m")
    assert caught.value.param == param


def test_a_reply_is_a_completion_that_the_sdk_accepts() -> None:
    request = read_chat_request({"model": "m", "messages": [USER]})
    call = Call(call_id="call_1", name="search", arguments="{}")
    reply = GenerateReply(tool_calls=[call], finish_reason="tool_calls", prompt_tokens=3, output_tokens=2)
    found = ChatCompletion.model_validate(completion_object(request, reply, created=5))
    message = found.choices[0].message
    assert (message.content, message.tool_calls and message.tool_calls[0].id) == (None, "call_1")
    assert found.usage is not None
    assert found.usage.total_tokens == 5
    text = completion_object(request, GenerateReply(finish_reason="stop", prompt_tokens=1, output_tokens=0), created=5)
    assert text["choices"][0]["message"]["content"] == ""
    assert "tool_calls" not in text["choices"][0]["message"]
