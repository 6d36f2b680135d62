"""Functions served by a real server, called through the platform's own tools and endpoint grader."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

import agentrft
from agentrft.domain.episode import Episode, Grade, Item, Message, ToolCall, ToolResult, ToolSpec
from agentrft.domain.faults import Fault, FaultKind, FaultOwner
from agentrft.domain.job import ToolEndpoint
from agentrft.grading import make_grader
from agentrft.ports import CallContext
from agentrft.testing import an_episode
from agentrft.toolkit.app import create_app
from agentrft.toolkit.loading import collect
from agentrft.tools import HttpTools
from tests.server.conftest import serving

TOKEN = "s3cret-token"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
AT_ONCE = 64
all_there = threading.Barrier(AT_ONCE)


@agentrft.tool
def divide(a: float, b: float) -> float:
    """Divide a by b."""
    if b == 0:
        raise ValueError("b must not be 0")
    return a / b


@agentrft.tool
async def whoami(call: agentrft.Call) -> dict[str, Any]:
    return {"trace_id": call.trace_id, "call_id": call.call_id, "answer": call.item["reference_answer"]}


@agentrft.tool
def broken(kind: str) -> Any:
    match kind:
        case "raises":
            raise KeyError("index not loaded")
        case "parses":
            json.loads("{")
        case "decodes":
            b"\xff".decode()
        case "confuses types":
            len(5)  # type: ignore[arg-type]
        case "tells the model":
            raise agentrft.ToolError("ask for less")
    return object()


@agentrft.tool
def meet() -> str:
    all_there.wait(timeout=30)
    return "together"


@agentrft.grader
def exact(sample: dict[str, Any], item: dict[str, Any], trace_id: str) -> float:
    assert sample["agentrft"]["turns"]
    assert trace_id.startswith("trace_")
    return 0.25 if sample["output_text"] == item["reference_answer"] else 0


@agentrft.grader
async def undecided(sample: dict[str, Any], item: dict[str, Any]) -> float:
    return float("nan")


FUNCTIONS = (divide, whoami, broken, meet, exact, undecided)


@pytest.fixture
async def url() -> AsyncIterator[str]:
    async with serving(create_app(collect(FUNCTIONS), token=TOKEN)) as address:
        yield address


def context() -> CallContext:
    specs = [schema["function"] for schema in agentrft.tools_schema(divide, whoami, broken, meet)]
    item = Item(
        index=0,
        messages=(Message(role="user", content="Q?"),),
        tools=tuple(ToolSpec(**spec) for spec in specs),
        row={"reference_answer": "3"},
    )
    return CallContext(trace_id="trace_0123", item=item, step=0, attempt=0, turn=0)


async def call(url: str, name: str, *, token: str = TOKEN, **arguments: Any) -> ToolResult | Fault:
    """One call, as an episode makes it."""
    endpoint = ToolEndpoint(name=name, server_url=f"{url}/{name}", headers={"Authorization": f"Bearer {token}"})
    async with HttpTools([endpoint], backoff_s=lambda attempt: 0.0) as tools:
        asked = ToolCall(call_id="call_abc", name=name, arguments=json.dumps(arguments))
        return await tools.call(asked, context())


def shown(result: ToolResult | Fault) -> str:
    assert isinstance(result, ToolResult), result
    return result.output


async def test_a_served_function_answers_the_platforms_calls(url: str) -> None:
    assert shown(await call(url, "divide", a=1, b=2)) == "0.5"
    told = json.loads(shown(await call(url, "whoami")))
    assert told == {"trace_id": "trace_0123", "call_id": "call_abc", "answer": "3"}


async def test_a_value_error_is_shown_to_the_model_and_not_retried(url: str) -> None:
    result = await call(url, "divide", a=1, b=0)
    assert isinstance(result, ToolResult)
    assert (result.output, result.status, result.is_error) == ("Error: b must not be 0", 400, True)


async def test_a_tool_error_is_shown_to_the_model_too(url: str) -> None:
    result = await call(url, "broken", kind="tells the model")
    assert isinstance(result, ToolResult)
    assert (result.output, result.status) == ("Error: ask for less", 400)


@pytest.mark.parametrize("kind", ["raises", "parses", "decodes", "confuses types", "returns no JSON"])
async def test_any_other_failure_is_a_500_with_its_traceback_in_the_log_alone(
    url: str, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    fault = await call(url, "broken", kind=kind)
    assert isinstance(fault, Fault)
    assert (fault.owner, fault.kind, fault.attempts) == (FaultOwner.TOOL_ENDPOINT, FaultKind.HTTP_5XX, 4)
    assert "The tool 'broken' failed" in fault.message
    assert "index not loaded" not in fault.message
    assert ("index not loaded" in caplog.text) is (kind == "raises")
    assert "Traceback" in caplog.text


async def test_sync_functions_of_all_episodes_run_at_once(url: str) -> None:
    results = await asyncio.gather(*(call(url, "meet") for _ in range(AT_ONCE)))
    assert [shown(result) for result in results] == ["together"] * AT_ONCE


async def test_a_wrong_token_is_refused(url: str) -> None:
    result = await call(url, "divide", a=1, b=2, token="wrong")
    assert isinstance(result, ToolResult)
    assert result.status == 401


async def grade(url: str, name: str, episode: Episode) -> Grade | Fault:
    spec = {"type": "endpoint", "name": name, "url": f"{url}/graders/{name}", "headers": HEADERS}
    async with make_grader(spec, backoff_s=lambda attempt: 0.0) as grader:
        return await grader.grade(episode)


async def test_a_served_grader_scores_episodes(url: str) -> None:
    right, wrong = (an_episode(context().item), an_episode())
    grades = [await grade(url, "exact", right), await grade(url, "exact", wrong)]
    assert isinstance(grades[0], Grade)
    assert (grades[0].reward, grades[0].parts) == (0.25, {"exact": 0.25})
    assert isinstance(grades[1], Fault)  # the item has no reference_answer: a KeyError, and no zero
    assert (grades[1].owner, grades[1].kind) == (FaultOwner.GRADER_ENDPOINT, FaultKind.HTTP_5XX)


async def test_a_score_that_is_no_number_is_a_fault(url: str) -> None:
    fault = await grade(url, "undecided", an_episode())
    assert isinstance(fault, Fault)
    assert (fault.owner, fault.kind) == (FaultOwner.GRADER_ENDPOINT, FaultKind.HTTP_5XX)


async def test_schemas_are_listed_in_the_form_of_a_rows_tools(url: str) -> None:
    async with httpx2.AsyncClient(base_url=url, trust_env=False) as client:
        listed = (await client.get("/tools", headers=HEADERS)).json()
        assert listed == agentrft.tools_schema(divide, whoami, broken, meet)
        assert (await client.get("/tools")).status_code == 401
        assert (await client.get("/health")).status_code == 200
        for path in ("/nothing", "/graders/nothing"):
            reply = await client.post(path, headers=HEADERS, json={"sample": {}, "item": {}})
            assert reply.status_code == 404
            assert "there are: " in reply.json()["detail"]
