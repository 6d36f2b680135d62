from typing import Any

import pytest
from openai.types.responses import Response

from agentrft.domain.errors import UserError
from agentrft.wire.inference import Call, GenerateReply
from agentrft.wire.responses import read_response_request, response_object, to_generate

SEARCH = {"type": "function", "name": "search", "description": "find", "parameters": {"type": "object"}}


def unseal(sealed: str) -> str:
    if not sealed.startswith("sealed:"):
        raise ValueError
    return sealed.removeprefix("sealed:")


def generate(**body: Any) -> Any:
    request = read_response_request({"model": "m", **body})
    return to_generate(request, model="base", unseal=unseal)


def refused(**body: Any) -> tuple[str | None, str | None]:
    with pytest.raises(UserError) as caught:
        generate(**body)
    return caught.value.param, caught.value.code


def test_the_notebooks_call_is_read() -> None:
    found = generate(
        input=[{"role": "user", "content": "hi"}],
        tools=[SEARCH],
        tool_choice="auto",
        reasoning={"effort": "medium"},
        store=False,
        include=["reasoning.encrypted_content"],
        parallel_tool_calls=True,
        text={"format": None},
    )
    assert [(message.role, message.content) for message in found.messages] == [("user", "hi")]
    assert found.tools[0].name == "search"
    assert (found.model, found.temperature, found.max_tokens) == ("base", 1.0, None)


def test_the_items_of_one_reply_become_one_assistant_message_again() -> None:
    found = generate(
        instructions="be brief",
        input=[
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"id": "rs_1", "summary": [], "type": "reasoning", "encrypted_content": "sealed:hmm", "status": None},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
            {"arguments": "{}", "call_id": "c1", "name": "search", "type": "function_call", "status": "completed"},
            {"arguments": "{}", "call_id": "c2", "name": "list", "type": "function_call"},
            {"type": "function_call_output", "call_id": "c1", "output": "x"},
            {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "y"}]},
            {"role": "assistant", "content": "94"},
        ],
    )
    system, user, assistant, first, second, last = found.messages
    assert (system.role, system.content, user.content) == ("system", "be brief", "hi")
    assert (assistant.reasoning, assistant.content) == ("hmm", "I look.")
    assert [call.call_id for call in assistant.tool_calls] == ["c1", "c2"]
    assert [(m.call_id, m.name, m.content) for m in (first, second)] == [("c1", "search", "x"), ("c2", "list", "y")]
    assert (last.role, last.content) == ("assistant", "94")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"input": ""} | {"input": []}, "input"),
        ({"input": "x", "stream": True}, "stream"),
        ({"input": "x", "foo": 1}, "foo"),
        ({"input": "x", "temperature": 3}, "temperature"),
        ({"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": "x", "tool_choice": "required", "tools": [SEARCH]}, "tool_choice"),
        ({"input": "x", "tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"input": "x", "tools": [SEARCH | {"foo": 1}]}, "tools[0].foo"),
        ({"input": "x", "text": {"format": {"type": "json_object"}}}, "text.format"),
        ({"input": "x", "reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "function_call_output", "call_id": "c9", "output": "x"}]}, "input[0].call_id"),
        ({"input": [{"type": "reasoning", "encrypted_content": "zzz"}]}, "input[0].encrypted_content"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_path(body: dict[str, Any], param: str) -> None:
    assert refused(**body)[0] == param


def build(reply: GenerateReply, **body: Any) -> dict[str, Any]:
    request = read_response_request({"model": "m", "input": "x", **body})
    return response_object(request, reply, created_at=1, completed_at=2, seal=lambda text: f"sealed:{text}")


def test_a_reply_is_a_response_that_the_sdk_accepts() -> None:
    reply = GenerateReply(
        text="I look.",
        reasoning="hmm",
        tool_calls=[Call(call_id="call_1", name="search", arguments="{}")],
        finish_reason="tool_calls",
        prompt_tokens=10,
        output_tokens=7,
        reasoning_tokens=3,
    )
    found = build(reply, tools=[SEARCH], include=["reasoning.encrypted_content"])
    response = Response.model_validate(found)
    assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
    assert found["output"][0]["encrypted_content"] == "sealed:hmm"
    assert response.usage is not None
    assert (response.usage.total_tokens, response.usage.output_tokens_details.reasoning_tokens) == (17, 3)
    assert "encrypted_content" not in build(reply)["output"][0]


def test_no_empty_message_ends_a_list_of_calls() -> None:
    call = Call(call_id="call_1", name="search", arguments="{}")
    reply = GenerateReply(tool_calls=[call], finish_reason="tool_calls", prompt_tokens=1, output_tokens=1)
    assert [item["type"] for item in build(reply)["output"]] == ["function_call"]


def test_a_reply_that_met_its_budget_is_incomplete() -> None:
    found = build(
        GenerateReply(text="9", finish_reason="length", prompt_tokens=1, output_tokens=1), max_output_tokens=1
    )
    assert (found["status"], found["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert found["output"][0]["type"] == "message"
