import pytest

from agentrft.datasets import load_demonstrations
from agentrft.domain.episode import Message, ToolCall
from agentrft.domain.errors import UserError


def refuse(path) -> UserError:
    with pytest.raises(UserError) as caught:
        load_demonstrations(path)
    return caught.value


def test_a_row_becomes_a_demonstration(write_rows, shown_row) -> None:
    [shown] = load_demonstrations(write_rows(shown_row()))
    call = ToolCall(call_id="call_1", name="search", arguments='{"query": "x"}')
    assert shown.messages[2:] == (
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content="94", call_id="call_1"),
        Message(role="assistant", content="94", reasoning="It says 94."),
    )
    assert [tool.name for tool in shown.tools] == ["search"]
    assert (shown.index, shown.parallel_tool_calls) == (0, True)


def test_a_conversation_may_end_in_a_tool_call(write_rows, shown_row) -> None:
    row = shown_row()
    row["messages"] = row["messages"][:3]
    [shown] = load_demonstrations(write_rows(row))
    assert shown.messages[-1].tool_calls


def test_there_must_be_something_to_learn(write_rows, shown_row) -> None:
    error = refuse(write_rows(shown_row(), {"messages": [{"role": "user", "content": "Q?"}]}))
    assert error.message == (
        'Invalid file format. Example 2, key "messages": At least one message must be from the assistant.'
    )
    assert (error.param, error.code) == ("training_file", "invalid_training_file")


def test_a_key_that_supervised_rows_do_not_have_is_refused(write_rows, shown_row) -> None:
    assert refuse(write_rows(shown_row(weight=1))).message == (
        'Invalid file format. Example 1 contains an extra "weight".'
    )
