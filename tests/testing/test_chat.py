"""The word format is append-only, and text cannot forge its marks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrft.domain.episode import Message, TokenKind, ToolCall, ToolResult
from agentrft.testing import WordChat, an_item
from agentrft.testing.chat import END

WORDS = st.lists(st.sampled_from(["red", "3", "|end|", "<think>", "so"]), min_size=1, max_size=4).map(" ".join)


def test_a_completion_is_read_into_reasoning_calls_and_content() -> None:
    chat = WordChat()
    message = chat.parse(chat.encode("<think> so many </think> search(a) it is cat(b c"))
    assert message.reasoning == "so many"
    assert message.content == "it is c"
    assert [(call.name, call.arguments, call.error) for call in message.tool_calls] == [
        ("search", "a", None),
        ("cat", "", "the call of cat has no closing bracket"),
    ]
    assert chat.count_reasoning(chat.encode("<think> so many </think> 3")) == 2


def test_a_mark_in_a_text_is_only_a_word() -> None:
    chat = WordChat()
    assert END not in chat.encode("|end| and |assistant|")
    assert chat.decode(chat.encode("|end|")) == "|end|"


def test_only_text_beyond_the_budget_is_cut() -> None:
    chat = WordChat()
    assert chat.truncate("one two  three", 3) == "one two  three"
    assert chat.truncate("one two three four", 3) == "one two [truncated]"


@given(question=WORDS, output=WORDS, answer=WORDS)
def test_a_demonstration_has_the_very_tokens_of_the_episode_that_it_shows(
    question: str, output: str, answer: str
) -> None:
    chat = WordChat()
    item = an_item(question=question)
    call = ToolCall(call_id="call_0", name="search", arguments="a")
    shown = [
        *item.messages,
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", content=output, call_id="call_0"),
        Message(role="assistant", content=answer),
    ]
    demonstration = chat.demonstration(shown, item.tools)
    result = ToolResult(call_id="call_0", name="search", output=output)
    lived = [
        *(token for span in chat.open(item.messages, item.tools) for token in span.ids),
        *chat.encode("search(a)"),
        END,
        *(token for span in chat.extend([result], stopped=True) for token in span.ids),
        *chat.encode(answer),
        END,
    ]
    assert [token for span in demonstration for token in span.ids] == lived
    sampled = [span for span in demonstration if span.kind is TokenKind.SAMPLED]
    assert [chat.decode(span.ids) for span in sampled] == ["search(a) |end|", f"{answer} |end|"]


@pytest.mark.parametrize("stopped", [True, False])
def test_a_completion_without_a_stop_token_is_closed_first(stopped: bool) -> None:
    spans = WordChat().extend([], stopped=stopped)
    assert (spans[0].ids == (END,)) != stopped
    assert all(span.kind is not TokenKind.SAMPLED for span in spans)
