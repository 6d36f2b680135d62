from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from openai import OpenAI

from agentrft.demo.conversation import Line, converse
from agentrft.demo.corpus import Split, build_corpus
from agentrft.demo.jobs import tool_endpoints
from agentrft.demo.questions import draw_questions
from agentrft.demo.tool_server import report_app
from tests.demo.fake_platform import KEY, FakePlatform, fake_platform, serving

CORPUS = build_corpus(0)
QUESTION = draw_questions(CORPUS, Split.HELD_OUT, count=1, seed=0)[0]


def call(name: str, arguments: str) -> dict[str, Any]:
    return {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": name, "arguments": arguments}


def message(text: str) -> dict[str, Any]:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": content}


@pytest.fixture
def platform() -> Iterator[FakePlatform]:
    with fake_platform() as fake:
        yield fake


@pytest.fixture(scope="module")
def tools_url() -> Iterator[str]:
    with serving(report_app(0, token="secret")) as url:
        yield url


def transcript(platform: FakePlatform, url: str, token: str = "secret", max_turns: int = 4) -> list[Line]:
    endpoints = tool_endpoints(url, ("search", "cat"), token=token)
    with OpenAI(base_url=f"{platform.url}/v1", api_key=KEY) as client:
        return list(converse(client, QUESTION.row(), endpoints, model="m", max_turns=max_turns, max_output_tokens=64))


def test_tool_calls_are_run_and_their_output_is_sent_back(platform: FakePlatform, tools_url: str) -> None:
    path = QUESTION.report.path
    platform.replies = [[call("cat", f'{{"path": "{path}"}}')], [message("42")]]
    assert transcript(platform, tools_url) == [
        Line(speaker="user", text=QUESTION.text),
        Line(speaker="tool call", text=f"cat(path={path!r})"),
        Line(speaker="tool", text=QUESTION.report.text),
        Line(speaker="answer", text="42"),
    ]
    first, second = platform.asked
    assert first["tools"][0]["name"] == "search"
    assert [item.get("type", "message") for item in second["input"][-2:]] == ["function_call", "function_call_output"]
    assert second["input"][-1] == {
        "type": "function_call_output",
        "call_id": "call_1",
        "output": QUESTION.report.text,
    }


def test_calls_that_cannot_be_made_are_told_to_the_model(platform: FakePlatform, tools_url: str) -> None:
    platform.replies = [[call("rm", "{}")], [call("cat", "{")], [message("")]]
    told = [line.text for line in transcript(platform, tools_url)][1:]
    assert told == [
        "rm()",
        "error: there is no tool rm",
        "cat({)",
        "error: the arguments are a JSON object with path",
        "",
    ]


def test_it_ends_at_the_turn_limit(platform: FakePlatform, tools_url: str) -> None:
    platform.replies = [[call("search", '{"query": "x"}')]] * 2
    assert [line.speaker for line in transcript(platform, tools_url, max_turns=2)][-1] == "tool"
    assert platform.replies == []


def test_a_wrong_token_shows_in_the_transcript(platform: FakePlatform, tools_url: str) -> None:
    platform.replies = [[call("search", '{"query": "x"}')], [message("?")]]
    assert "bearer token" in transcript(platform, tools_url, token="wrong")[2].text


def test_a_dead_tool_server_is_an_error(platform: FakePlatform) -> None:
    platform.replies = [[call("search", '{"query": "x"}')]]
    with pytest.raises(httpx2.HTTPError):
        transcript(platform, "http://127.0.0.1:9")
