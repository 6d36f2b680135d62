import json
from pathlib import Path

import pytest

from agentrft.datasets import load_demonstrations
from agentrft.demo.corpus import Split, build_corpus
from agentrft.demo.demonstrations import MAX_CALLS, Demonstration, demonstrate
from agentrft.demo.grader import grade
from agentrft.demo.questions import draw_questions


def demonstrations(seed: int, count: int = 240) -> list[Demonstration]:
    corpus = build_corpus(seed)
    questions = draw_questions(corpus, Split.TRAINING, count=count, seed=seed)
    return demonstrate(corpus, questions, seed=seed)


@pytest.mark.parametrize("seed", range(3))
def test_the_careless_agent_is_often_right_and_calls_too_much(seed: int) -> None:
    played = demonstrations(seed)
    reward = sum(grade(one.sample(), one.question.row()) for one in played) / len(played)
    calls = sum(len(one.calls) for one in played) / len(played)
    assert 0.6 < reward < 0.8
    assert 3.0 < calls < 3.8
    assert max(len(one.calls) for one in played) <= MAX_CALLS


def test_demonstrations_come_by_seed() -> None:
    assert demonstrations(5, 20) == demonstrations(5, 20)


def test_a_row_is_a_conversation_in_chat_completions_form() -> None:
    for row in (one.row() for one in demonstrations(0, 50)):
        roles = [message["role"] for message in row["messages"]]
        assert roles[:2] == ["system", "user"]
        assert roles[2:-1] == ["assistant", "tool"] * ((len(roles) - 3) // 2)
        for call, reply in zip(row["messages"][2:-1:2], row["messages"][3:-1:2], strict=True):
            assert reply["tool_call_id"] == call["tool_calls"][0]["id"]
            assert json.loads(call["tool_calls"][0]["function"]["arguments"])
        assert row["messages"][-1]["role"] == "assistant"
        assert row["messages"][-1]["content"]


def test_the_platform_reads_the_rows(tmp_path: Path) -> None:
    played = demonstrations(0, 20)
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(one.row()) + "\n" for one in played))
    read = load_demonstrations(file)
    assert [len(row.messages) for row in read] == [3 + 2 * len(one.calls) for one in played]
