import json
from dataclasses import replace
from typing import Any

import pytest

from agentrft.domain.episode import Message, StopReason, Tokens, ToolCall, Turn
from agentrft.grading.samples import MAX_EXTRA_BYTES, sample_from_episode, sample_from_text
from agentrft.testing import broken_tool


def test_openais_fields_are_those_of_the_reference(make_episode) -> None:
    sample = sample_from_episode(make_episode(), structured=False)
    sample.pop("agentrft")
    assert sample == {
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "94", "tool_calls": []},
                "finish_reason": "stop",
            }
        ],
        "output_text": "94",
        "output_json": None,
        "output_tools": [
            {"id": "call_1", "type": "function", "function": {"name": "search", "arguments": '{"query": "x"}'}}
        ],
        "output_reasoning_summary": "It says so.",
        "output_audio": None,
    }


def test_the_whole_way_to_the_answer_is_told_beside_them(make_episode) -> None:
    extra = sample_from_episode(make_episode(), structured=False)["agentrft"]
    assert json.loads(json.dumps(extra)) == {
        "trace_id": "trace_0123",
        "item_index": 0,
        "stop_reason": "answer",
        "fault": None,
        "attempt": 2,
        "context_tokens": 0,
        "token_ids": [],
        "tool_latency_s": 0.25,
        "sampled_tokens": 30,
        "reasoning_tokens": 4,
        "latency_s": 2.25,
        "truncated": False,
        "turns": [
            {
                "content": "Let me look.",
                "reasoning": "",
                "tool_calls": [
                    {
                        "call_id": "call_1",
                        "name": "search",
                        "arguments": '{"query": "x"}',
                        "error": None,
                        "fault": None,
                        "output": "found 94",
                        "status": 200,
                        "is_error": False,
                        "latency_s": 0.25,
                    }
                ],
                "sampled_tokens": 20,
                "reasoning_tokens": 0,
                "latency_s": 1.5,
            },
            {
                "content": "94",
                "reasoning": "It says so.",
                "tool_calls": [],
                "sampled_tokens": 10,
                "reasoning_tokens": 4,
                "latency_s": 0.5,
            },
        ],
    }


@pytest.mark.parametrize(
    ("answer", "value"), [('{"a": 1}', {"a": 1}), ("94", 94), ("x", None), ("NaN", None), ("", None)]
)
def test_output_json_is_read_when_the_job_has_a_response_format(make_episode, answer, value) -> None:
    assert sample_from_episode(make_episode(answer), structured=True)["output_json"] == value
    assert sample_from_episode(make_episode(answer), structured=False)["output_json"] is None


@pytest.mark.parametrize(
    ("stop", "finish_reason"),
    [(StopReason.MAX_TURNS, "tool_calls"), (StopReason.MAX_TOKENS, "length"), (StopReason.CONTEXT, "length")],
)
def test_an_episode_without_an_answer_has_empty_text(make_episode, stop, finish_reason) -> None:
    sample = sample_from_episode(make_episode(stop=stop), structured=True)
    assert (sample["output_text"], sample["output_json"]) == ("", None)
    assert sample["choices"][0]["finish_reason"] == finish_reason


def test_an_episode_without_turns_can_be_told(make_episode) -> None:
    sample = sample_from_episode(make_episode(turns=(), stop=StopReason.CONTEXT), structured=True)
    assert (sample["output_tools"], sample["output_reasoning_summary"], sample["agentrft"]["turns"]) == ([], None, [])


def test_a_call_that_was_never_made_has_no_output(make_episode) -> None:
    call = ToolCall(call_id="call_9", name="search", arguments="{", error="not closed")
    turn = Turn(message=Message(role="assistant", tool_calls=(call,)))
    sample = sample_from_episode(make_episode(turns=(turn,), stop=StopReason.MAX_TURNS), structured=False)
    [told] = sample["agentrft"]["turns"][0]["tool_calls"]
    assert (told["output"], told["status"], told["error"]) == (None, None, "not closed")
    assert sample["choices"][0]["message"]["tool_calls"][0]["id"] == "call_9"


@pytest.mark.parametrize(("turns", "output"), [(1, "x" * 2_000_000), (200, "y" * 5_000), (5_000, "z")])
def test_the_extra_part_stays_small_and_says_what_was_cut(make_episode, turns, output) -> None:
    episode = make_episode(output=output)
    extra = sample_from_episode(replace(episode, turns=episode.turns * turns), structured=False)["agentrft"]
    assert len(json.dumps(extra)) <= MAX_EXTRA_BYTES
    assert extra["truncated"]
    assert extra["sampled_tokens"] == 30 * turns


def test_a_bare_text_has_the_same_shape_as_an_episode(make_episode) -> None:
    told = sample_from_episode(make_episode(), structured=False)
    bare = sample_from_text('{"a": 1}', trace_id="trace_0")
    assert bare.keys() == told.keys()
    assert bare["agentrft"].keys() == told["agentrft"].keys()
    assert bare["agentrft"]["turns"][0].keys() == told["agentrft"]["turns"][0].keys()
    assert bare["output_json"] == {"a": 1}


def test_the_way_to_the_answer_is_left_out_on_demand(make_episode) -> None:
    told = sample_from_episode(make_episode(), structured=False)
    without = sample_from_episode(make_episode(), structured=False, trace=False)
    assert without == {key: value for key, value in told.items() if key != "agentrft"}


def test_the_call_whose_endpoint_failed_is_told_apart_from_one_that_was_never_sent(make_episode) -> None:
    fault = broken_tool("search")
    calls = tuple(ToolCall(call_id=f"call_{name}", name=name, arguments="{}") for name in ("search", "list"))
    turn = Turn(message=Message(role="assistant", tool_calls=calls))
    episode = make_episode(turns=(turn,), stop=StopReason.FAULT, fault=fault)
    extra = sample_from_episode(episode, structured=False)["agentrft"]
    assert (extra["fault"]["owner"], extra["fault"]["kind"]) == ("tool_endpoint", "http_5xx")
    assert [call["fault"] for call in extra["turns"][0]["tool_calls"]] == [extra["fault"], None]


def test_token_ids_are_there_and_give_way_when_there_are_too_many(make_episode) -> None:
    def extra(count: int) -> dict[str, Any]:
        ids = tuple(range(count))
        tokens = Tokens(ids=ids, kinds=(), logps=(), turns=(), versions=())
        return sample_from_episode(make_episode(tokens=tokens), structured=False)["agentrft"]

    assert extra(3)["token_ids"] == [0, 1, 2]
    assert (extra(100_000)["token_ids"], extra(100_000)["truncated"]) == ([], True)


def test_token_ids_give_way_before_texts_and_turns_last_of_all(make_episode) -> None:
    tokens = Tokens(ids=tuple(range(100_000, 130_000)), kinds=(), logps=(), turns=(), versions=())  # 240 kB
    episode = make_episode(output="x" * 16_000, tokens=tokens)
    told = [
        sample_from_episode(replace(episode, turns=episode.turns * turns), structured=False)["agentrft"]
        for turns in (0, 5, 5_000)
    ]
    assert [(len(extra["token_ids"]), len(extra["turns"]), extra["truncated"]) for extra in told] == [
        (30_000, 0, False),
        (0, 10, True),
        (0, 0, True),
    ]
    assert len(told[1]["turns"][0]["tool_calls"][0]["output"]) == 16_000
