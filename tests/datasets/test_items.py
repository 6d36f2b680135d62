import copy

import pytest

from agentrft.datasets import load_items
from agentrft.domain.episode import Message, ToolSpec
from agentrft.domain.errors import UserError


def refuse(path) -> str:
    with pytest.raises(UserError) as caught:
        load_items(path)
    return caught.value.message


def test_a_row_becomes_an_item(write_rows, search_tool) -> None:
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Q?"}]
    [item] = load_items(write_rows({"messages": messages, "tools": [search_tool], "reference_answer": "94"}))
    assert item.index == 0
    assert item.messages == (Message(role="developer", content="Be brief."), Message(role="user", content="Q?"))
    function = search_tool["function"]
    assert item.tools == (ToolSpec(name="search", description="Find pages.", parameters=function["parameters"]),)
    assert item.parallel_tool_calls


def test_graders_receive_the_row_with_defaults_filled_in(write_rows, search_tool) -> None:
    row = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Q?"}]}],
        "tools": [search_tool],
        "target": 28,
        "nums": [25, 11],
    }
    [item] = load_items(write_rows(copy.deepcopy(row)))
    assert item.row == {
        "messages": [{"name": None, "role": "user", "content": [{"type": "text", "text": "Q?"}]}],
        "tools": [{"type": "function", "function": {**search_tool["function"], "strict": False}}],
        "parallel_tool_calls": True,
        "target": 28,
        "nums": [25, 11],
    }


def test_a_row_without_tools_says_so(write_rows, ask_row) -> None:
    [item] = load_items(write_rows(ask_row(parallel_tool_calls=False)))
    assert (item.row["tools"], item.tools, item.row["parallel_tool_calls"]) == (None, (), False)
    assert not item.parallel_tool_calls


def test_text_parts_are_joined(write_rows) -> None:
    parts = [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]
    [item] = load_items(write_rows({"messages": [{"role": "user", "content": parts}]}))
    assert item.messages[0].content == "AB"


def test_rows_with_the_same_tools_share_them(write_rows, ask_row, search_tool) -> None:
    first, second = load_items(write_rows(*[ask_row(tools=[search_tool])] * 2))
    assert first.tools is second.tools
    assert (first.index, second.index) == (0, 1)


def test_history_with_tool_calls_may_come_before_the_question(write_rows, shown_row) -> None:
    row = shown_row()
    row["messages"].append({"role": "user", "content": "And in 2016?"})
    [item] = load_items(write_rows(row))
    assert [message.role for message in item.messages] == ["system", "user", "assistant", "tool", "assistant", "user"]


def test_the_last_message_must_be_from_the_user(write_rows, ask_row, shown_row) -> None:
    said = refuse(write_rows(*[ask_row()] * 6, shown_row()))
    assert said.startswith("Invalid file format. Example 7, message 5 has the role 'assistant'; the last message must")


def test_the_number_of_the_example_is_named(write_rows, ask_row) -> None:
    assert refuse(write_rows(*[ask_row()] * 6, {"prompt": "Q?"})) == (
        "Invalid file format. Example 7 is missing key 'messages'"
    )


def test_the_validation_file_is_named_as_such(write_rows) -> None:
    with pytest.raises(UserError) as caught:
        load_items(write_rows({}), param="validation_file")
    assert (caught.value.param, caught.value.code) == ("validation_file", "invalid_validation_file")


def test_parallel_tool_calls_must_be_a_boolean(write_rows, ask_row) -> None:
    assert "Example 1 has a 'parallel_tool_calls' that is not" in refuse(write_rows(ask_row(parallel_tool_calls=1)))
