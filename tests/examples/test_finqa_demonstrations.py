import json
from collections.abc import Mapping
from pathlib import Path

from finqa_agent.demonstrations import SHOWN_WORDS, demonstration, written
from finqa_agent.grader import grade
from finqa_agent.pages import read_questions
from finqa_agent.rows import row

from agentrft.datasets import load_demonstrations


def long_reply(name: str, arguments: Mapping[str, str]) -> str:
    return f"{name} " * 1000


def test_a_demonstration_searches_reads_the_right_page_and_answers_right(data: Path, tmp_path: Path) -> None:
    rows = [row(question) for question in read_questions(data, "train.jsonl")]
    shown = [demonstration(asked, long_reply) for asked in rows]
    file = tmp_path / "demonstrations.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in shown))
    for asked, read in zip(rows, load_demonstrations(file), strict=True):
        calls = [call for message in read.messages for call in message.tool_calls]
        assert [call.name for call in calls] == ["search", "cat"]
        assert json.loads(calls[1].arguments) == {"path": asked["page"]}
        assert grade({"output_text": read.messages[-1].content}, asked) == 1.0
        assert all(len(message.content.split()) <= SHOWN_WORDS for message in read.messages)


def test_values_are_written_without_trailing_zeros() -> None:
    assert [written(value) for value in (94.0, 0.13145, 31903.61446, "yes")] == ["94", "0.13145", "31903.6", "yes"]
