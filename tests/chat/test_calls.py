import json

import pytest

from agentrft.chat.calls import parse_assistant

CALL = '<tool_call>\n{"name": "search", "arguments": {"query": "a"}}\n</tool_call>'


def test_plain_text_is_the_answer() -> None:
    message = parse_assistant("  The answer is 42.\n")
    assert (message.role, message.content, message.reasoning, message.tool_calls) == (
        "assistant", "The answer is 42.", "", (),
    )  # fmt: skip


def test_a_call_is_read_with_its_arguments() -> None:
    (call,) = parse_assistant(CALL).tool_calls
    assert (call.name, json.loads(call.arguments), call.error) == ("search", {"query": "a"}, None)
    assert call.call_id.startswith("call_")


def test_calls_in_parallel_have_ids_of_their_own_and_keep_their_order() -> None:
    message = parse_assistant("Let me look.\n" + CALL + "\n" + CALL.replace('"a"', '"b"'))
    assert [json.loads(call.arguments)["query"] for call in message.tool_calls] == ["a", "b"]
    assert len({call.call_id for call in message.tool_calls}) == 2
    assert message.content == "Let me look."


def test_a_thought_is_set_apart_from_what_follows() -> None:
    message = parse_assistant(f"<think>\nI should search.\n</think>\n\n{CALL}")
    assert (message.reasoning, message.content, len(message.tool_calls)) == ("I should search.", "", 1)


def test_calls_inside_a_thought_are_not_made() -> None:
    message = parse_assistant(f"<think>maybe {CALL}</think>No need.")
    assert (message.tool_calls, message.content) == ((), "No need.")


def test_a_thought_that_never_ends_leaves_no_answer() -> None:
    message = parse_assistant("<think>so many")
    assert (message.reasoning, message.content) == ("so many", "")


def test_arguments_may_be_absent_or_quoted() -> None:
    bare, quoted = (
        parse_assistant(f"<tool_call>{body}</tool_call>").tool_calls[0]
        for body in ('{"name": "list"}', json.dumps({"name": "list", "arguments": '{"n": 1}'}))
    )
    assert (bare.arguments, bare.error) == ("{}", None)
    assert (json.loads(quoted.arguments), quoted.error) == ({"n": 1}, None)


def test_letters_beyond_ascii_stay_as_they_are() -> None:
    (call,) = parse_assistant(
        '<tool_call>{"name": "search", "arguments": {"query": "\\u00e9t\\u00e9 \U0001f989"}}</tool_call>'
    ).tool_calls
    assert call.arguments == '{"query": "\u00e9t\u00e9 \U0001f989"}'


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("<tool_call>", "not closed"),
        ('<tool_call>{"name": "search"}', "not closed"),
        ("<tool_call>search(a)</tool_call>", "not valid JSON"),
        ("<tool_call></tool_call>", "not valid JSON"),
        ('<tool_call>{"name": "search", "arguments": {"q": "a}}</tool_call>', "not valid JSON"),
        ("<tool_call>[1]</tool_call>", '"name" and "arguments"'),
        ('<tool_call>{"arguments": {}}</tool_call>', '"name" and "arguments"'),
        ('<tool_call>{"name": 3}</tool_call>', '"name" and "arguments"'),
        ('<tool_call>{"name": "search", "arguments": [1]}</tool_call>', "must be a JSON object"),
        ('<tool_call>{"name": "search", "arguments": null}</tool_call>', "must be a JSON object"),
        ('<tool_call>{"name": "search", "arguments": "a"}</tool_call>', "must be a JSON object"),
        ("<tool_call>" + "[" * 100_000 + "</tool_call>", ""),
        ('<tool_call>{"name": "search", "arguments": {"n": ' + "9" * 5000 + "}}</tool_call>", ""),
    ],
)
def test_a_malformed_call_comes_back_with_what_is_wrong(text: str, complaint: str) -> None:
    (call,) = parse_assistant(text).tool_calls
    assert call.error is not None
    assert complaint in call.error


def test_numbers_that_json_does_not_know_are_no_arguments() -> None:
    (call,) = parse_assistant('<tool_call>{"name": "search", "arguments": {"n": NaN}}</tool_call>').tool_calls
    assert call.error is not None


def test_one_malformed_call_does_not_spoil_its_neighbours() -> None:
    calls = parse_assistant(f"<tool_call>nonsense</tool_call>{CALL}<tool_call>cut").tool_calls
    assert [call.error is None for call in calls] == [False, True, False]


def test_a_stray_closing_mark_beside_a_call_is_no_content() -> None:
    message = parse_assistant(CALL + "\n</tool_call>")
    assert (message.content, len(message.tool_calls)) == ("", 1)
