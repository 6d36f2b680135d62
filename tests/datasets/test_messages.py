import pytest

from agentrft.datasets import load_items
from agentrft.domain.errors import UserError


def refuse(write_rows, row) -> str:
    with pytest.raises(UserError) as caught:
        load_items(write_rows(row))
    return caught.value.message.removeprefix("Invalid file format. Example 1")


@pytest.mark.parametrize("messages", [[], None, {}, "x"])
def test_there_must_be_messages(write_rows, messages) -> None:
    assert refuse(write_rows, {"messages": messages}).startswith(" has no 'messages'")


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("hello", "is not an object but a string"),
        ({"content": "x"}, "Discriminator 'role' is missing in value"),
        ({"role": "robot", "content": "x"}, 'has the role "robot"; expected one of system, developer'),
        ({"role": ["user"], "content": "x"}, "has the role"),
        ({"role": "user"}, "has no 'content'"),
        ({"role": "user", "content": None}, "has no 'content'"),
        ({"role": "user", "content": 5}, "has a 'content' that is a number"),
        ({"role": "user", "content": [{"type": "image_url"}]}, 'content part 1 of type "image_url"; only "text"'),
        ({"role": "user", "content": ["x"]}, "content part 1 that is a string"),
        ({"role": "user", "content": [{"type": "text"}]}, "content part 1 without a string 'text'"),
        ({"role": "user", "content": "x", "weight": 1}, 'contains an extra "weight"'),
        ({"role": "user", "content": "x", "name": 1}, "has a 'name' that is a number"),
        ({"role": "assistant", "content": None}, "has no 'content'"),
    ],
)
def test_a_bad_message_is_named_by_number(write_rows, message, said) -> None:
    text = refuse(write_rows, {"messages": [{"role": "user", "content": "Q?"}, message]})
    assert text.startswith(", message 2 ")
    assert said in text


def test_keys_that_are_null_are_as_good_as_absent(write_rows) -> None:
    row = {"messages": [{"role": "user", "content": "x", "name": None, "audio": None}]}
    assert load_items(write_rows(row))[0].messages[0].content == "x"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": None}, "has a tool call 1 without a string 'id'"),
        ({"type": "custom"}, "has a tool call 1 that is not of the form"),
        ({"function": "search"}, "has a tool call 1 that is not of the form"),
        ({"function": {"arguments": "{}"}}, "has a tool call 1 without a 'function.name'"),
        ({"function": {"name": "search", "arguments": {"query": "x"}}}, "is not a string that holds a JSON object"),
        ({"function": {"name": "search", "arguments": "[1]"}}, "is not a string that holds a JSON object"),
        ({"function": {"name": "search", "arguments": "{"}}, "is not a string that holds a JSON object"),
        ({"function": {"name": "serch", "arguments": "{}"}}, "calls \"serch\", which is not among the row's 'tools'"),
    ],
)
def test_a_bad_tool_call_is_described(write_rows, shown_row, change, said) -> None:
    row = shown_row()
    row["messages"][2]["tool_calls"][0].update(change)
    text = refuse(write_rows, row)
    assert text.startswith(", message 3 ")
    assert said in text


def test_tool_calls_must_be_a_list(write_rows, shown_row) -> None:
    row = shown_row()
    row["messages"][2]["tool_calls"] = {"id": "call_1"}
    assert "'tool_calls' that are not a list" in refuse(write_rows, row)


def test_a_tool_message_must_answer_an_open_call(write_rows, shown_row) -> None:
    row = shown_row()
    row["messages"][3]["tool_call_id"] = "call_2"
    assert refuse(write_rows, row) == ', message 4 answers "call_2", which is not an open tool call before it'


def test_a_tool_message_needs_the_id_of_its_call(write_rows, shown_row) -> None:
    row = shown_row()
    del row["messages"][3]["tool_call_id"]
    assert "no string 'tool_call_id'" in refuse(write_rows, row)


def test_every_call_is_answered_before_the_talk_goes_on(write_rows, shown_row) -> None:
    row = shown_row()
    del row["messages"][3]
    assert refuse(write_rows, row) == ', message 4 comes before the tool message for "call_1"'


def test_parallel_calls_may_be_answered_in_any_order(write_rows, shown_row, make_tool_call) -> None:
    row = shown_row()
    row["messages"][2]["tool_calls"].append(make_tool_call("call_2"))
    row["messages"].insert(3, {"role": "tool", "tool_call_id": "call_2", "content": "95"})
    row["messages"].append({"role": "user", "content": "And?"})
    [item] = load_items(write_rows(row))
    assert [message.call_id for message in item.messages if message.role == "tool"] == ["call_2", "call_1"]


def test_a_call_id_is_used_once(write_rows, shown_row, make_tool_call) -> None:
    row = shown_row()
    row["messages"][2]["tool_calls"].append(make_tool_call("call_1"))
    assert 'uses the tool call id "call_1" a second time' in refuse(write_rows, row)
