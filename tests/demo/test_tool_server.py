import json
import time
from collections.abc import Iterator

import httpx2
import pytest

from agentrft.demo.corpus import build_corpus
from agentrft.demo.tool_server import TOKEN_VARIABLE, answer, arguments, report_app, tool_app
from tests.demo.fake_platform import serving

TOKEN = {"Authorization": "Bearer secret"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(report_app(0, token="secret")) as address:
        yield address


def call(url: str, tool: str, given: object, **changes: object) -> httpx2.Response:
    body = {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "call_1",
        "name": tool,
        "arguments": json.dumps(given),
        "trace_id": "trace_1",
        "item": {"reference_answer": "1"},
    }
    return httpx2.post(f"{url}/{tool}", json={**body, **changes}, headers=TOKEN)


def test_a_call_is_answered_with_its_ids_and_an_output(url: str) -> None:
    report = next(iter(build_corpus(0).reports.values()))
    reply = call(url, "cat", {"path": report.path})
    assert reply.status_code == 200
    assert reply.json() == {
        "type": "function_call_output",
        "call_id": "call_1",
        "id": "fc_1",
        "output": report.text,
    }


def test_arguments_may_be_an_object_too(url: str) -> None:
    assert call(url, "list", {}, arguments={"path": "/"}).json()["output"].endswith("folders)")


def test_an_unknown_path_is_the_agents_mistake(url: str) -> None:
    reply = call(url, "cat", {"path": "nowhere"})
    assert (reply.status_code, reply.json()["output"]) == (200, "not found")


@pytest.mark.parametrize("given", ["", "[1]", '{"where": "x"}', "{", '{"path": "a", "more": 1}'])
def test_wrong_arguments_are_told_to_the_agent(url: str, given: str) -> None:
    reply = call(url, "cat", {}, arguments=given)
    assert reply.status_code == 200
    assert reply.json()["output"] == "error: the arguments are a JSON object with path"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic secret"}])
def test_a_call_without_the_token_is_refused(url: str, headers: dict[str, str]) -> None:
    reply = httpx2.post(f"{url}/search", json={"name": "search", "arguments": "{}"}, headers=headers)
    assert reply.status_code == 401


def test_an_unknown_tool_is_a_404(url: str) -> None:
    assert call(url, "rm", {}).status_code == 404


def test_health_needs_no_token(url: str) -> None:
    assert httpx2.get(f"{url}/health").status_code == 200


def test_latency_can_be_added() -> None:
    with serving(tool_app({"echo": lambda text: text}, token="secret", latency_s=0.05)) as url:
        started = time.monotonic()
        assert call(url, "echo", {"text": "x"}).json()["output"] == "x"
        assert time.monotonic() - started >= 0.05


def test_numbers_are_taken_as_text() -> None:
    assert answer(lambda query: query + "!", '{"query": 2015}') == "2015!"


def test_the_token_may_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(TOKEN_VARIABLE, "hidden")
    assert arguments(["--port", "1"]).token == "hidden"
    monkeypatch.delenv(TOKEN_VARIABLE)
    with pytest.raises(SystemExit):
        arguments(["--port", "1"])
    assert TOKEN_VARIABLE in capsys.readouterr().err
