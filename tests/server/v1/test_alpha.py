import asyncio
import json
from typing import Any

import httpx2
import openai
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from agentrft.grading.judge import VERDICT_TOKENS
from agentrft.server import create_app
from agentrft.server.services import MAX_SANDBOXES, Services
from agentrft.store import Settings, Store
from tests.server.conftest import API_KEY, GRADER
from tests.tools.scripted_endpoint import Answer, ScriptedEndpoint

PYTHON = {"type": "python", "name": "half", "source": "def grade(sample, item):\n    return item['worth'] / 2\n"}
ENDPOINT = {"type": "endpoint", "name": "mine", "url": "http://127.0.0.1:9/grade", "headers": {"X-Key": "hush-hush"}}
JUDGED = {
    "type": "score_model", "name": "judged", "model": "gpt-5",
    "input": [{"role": "user", "content": "How good is {{sample.output_text}}?"}],
}  # fmt: skip
LABELLED = {**JUDGED, "type": "label_model", "labels": ["good", "bad"], "passing_labels": ["good"]}


@pytest.fixture
async def raw(base_url: str) -> Any:
    """As client code does that posts to these routes without an SDK."""
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with httpx2.AsyncClient(base_url=f"{base_url}/v1/fine_tuning/alpha", headers=headers, timeout=30) as client:
        yield client


async def test_the_sdk_runs_and_validates_graders(client: openai.AsyncOpenAI) -> None:
    graders = client.fine_tuning.alpha.graders
    done = await graders.run(grader=PYTHON, model_sample="x", item={"worth": 1})  # type: ignore[arg-type]
    assert (done.reward, done.metadata.type, done.metadata.errors.python_grader_runtime_error) == (0.5, "python", False)
    failed = await graders.run(grader=PYTHON, model_sample="x", item={})  # type: ignore[arg-type]
    assert failed.reward == 0.0
    assert failed.metadata.errors.python_grader_runtime_error
    checked = await graders.validate(grader=GRADER)  # type: ignore[arg-type]
    assert checked.grader is not None
    assert checked.grader.name == "exact"


async def test_secrets_do_not_come_back(raw: httpx2.AsyncClient) -> None:
    reply = await raw.post("/graders/validate", json={"grader": ENDPOINT})
    assert reply.status_code == 200
    assert reply.json()["grader"]["name"] == "mine"
    assert "hush-hush" not in reply.text


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/graders/run", {"model_sample": "x"}, "grader"),
        ("/graders/run", {"grader": GRADER}, "model_sample"),
        ("/graders/run", {"grader": GRADER, "model_sample": 3}, "model_sample"),
        ("/graders/run", {"grader": GRADER, "model_sample": "x", "item": []}, "item"),
        ("/graders/run", {"grader": GRADER, "model_sample": "x", "trace_id": 3}, "trace_id"),
        ("/graders/validate", {"grader": {**PYTHON, "source": "def ("}}, "grader.source"),
        ("/graders/validate", {"grader": []}, "grader"),
        ("/graders/validate", {"grader": JUDGED | {"model": "gpt-9"}}, "grader.model"),
        ("/graders/run", {"grader": {"type": "ruler", "model": "tiny"}, "model_sample": "x"}, "grader.type"),
        ("/graders/validate", [], None),
        ("/graders/run", {"grader": GRADER, "model_sample": "x", "items": {}}, "items"),
        ("/graders/validate", {"grader": {**GRADER, "input": "\ud83d"}}, None),
        ("/tool/run", {"name": "search", "server_url": "http://127.0.0.1:9", "call_id": "\ud83d"}, None),
        ("/tool/run", {"name": "search", "server_url": "ftp://x"}, "server_url"),
        ("/tool/run", {"server_url": "http://127.0.0.1:9"}, "name"),
    ],
)
async def test_malformed_requests_name_what_is_wrong(raw: httpx2.AsyncClient, path: str, body: Any, param: Any) -> None:
    reply = await raw.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


async def test_a_tool_is_called_for_the_client(raw: httpx2.AsyncClient, run_app: Any) -> None:
    app = FastAPI()

    @app.post("/search")
    async def search(request: Request) -> JSONResponse:
        body = await request.json()
        if "crash" in body["arguments"]:
            return JSONResponse({"detail": "down"}, 500)
        return JSONResponse({"output": f"{body['arguments']} {request.headers['x-key']} {body['trace_id']}"})

    async with run_app(app) as url:
        call = {"type": "function_call", "name": "search", "server_url": f"{url}/search", "headers": {"X-Key": "k"}}
        given = {"arguments": '{"q": 1}', "trace_id": "trace_1", "call_id": "call_1"}
        done = await raw.post("/tool/run", json=call | given)
        failed = await raw.post("/tool/run", json=call | {"arguments": '{"q": "crash"}'})
    assert (done.status_code, done.json()["output"]) == (200, '{"q": 1} k trace_1')
    assert done.json()["call_id"] == "call_1"
    assert failed.status_code == 502
    assert failed.json()["error"]["type"] == "server_error"
    assert failed.headers["x-should-retry"] == "false"


async def test_a_model_of_this_platform_is_a_judge_without_any_configuration(
    raw: httpx2.AsyncClient, run_app: Any, store: Store, base_url: str
) -> None:
    """Over our own /v1, with the key that server and worker share; the worker behind it is played by the test."""
    address = httpx2.URL(base_url)
    store.judges.announce(address.host, address.port or 0)
    worker, asked = FastAPI(), []

    @worker.post("/generate")
    async def generate(request: Request) -> JSONResponse:
        asked.append(await request.json())
        text = 'It is fine: {"steps": [], "result": 0.75}'
        return JSONResponse({"text": text, "finish_reason": "stop", "prompt_tokens": 50, "output_tokens": 12})

    async with run_app(worker) as url:
        await store.workers.register(device="cpu", url=url, token="tok-1")
        reply = await raw.post("/graders/run", json={"grader": JUDGED, "model_sample": "94"})
    found = reply.json()
    assert (reply.status_code, found["reward"]) == (200, 0.75)
    assert found["model_grader_token_usage_per_model"]["gpt-5"]["total_tokens"] == 62
    assert (asked[0]["model"], asked[0]["max_tokens"]) == ("tiny", VERDICT_TOKENS)  # 512 is what it gets otherwise
    assert asked[0]["messages"][0]["content"].startswith("How good is 94?\n\nAnswer with one JSON object")


async def test_a_label_model_and_a_ruler_can_be_validated(raw: httpx2.AsyncClient) -> None:
    for grader in (LABELLED, {"type": "ruler", "name": "r", "model": "tiny"}):
        reply = await raw.post("/graders/validate", json={"grader": grader})
        assert reply.json() == {"grader": grader}


async def test_strangers_may_not(raw: httpx2.AsyncClient) -> None:
    for path in ("/graders/run", "/graders/validate", "/tool/run"):
        assert (await raw.post(path, json={}, headers={"Authorization": "Bearer no"})).status_code == 401


async def run(raw: httpx2.AsyncClient, grader: dict[str, Any]) -> dict[str, Any]:
    body = {"grader": grader, "model_sample": "42", "item": {"reference_answer": "42", "worth": 1}, "trace_id": None}
    reply = await raw.post("/graders/run", json=body)
    assert reply.status_code == 200, reply.text
    found: dict[str, Any] = reply.json()
    return found


async def test_a_grading_is_not_refused_for_nulls_and_for_what_clients_add_to_endpoints(
    raw: httpx2.AsyncClient,
) -> None:
    assert (await run(raw, {**GRADER, "pass_threshold": None, "image_tag": None}))["reward"] == 1.0
    async with ScriptedEndpoint(Answer(body={"score": 0.25})) as server:
        endpoint = {**ENDPOINT, "url": server.url, "id": "mine-1", "grdr_id": None, "inactive_at": 3}
        assert (await run(raw, endpoint))["reward"] == 0.25
        part = {"type": "multi", "graders": {"e": endpoint}, "calculate_output": "2 * e"}
        assert (await run(raw, part))["reward"] == 0.5
        assert (await raw.post("/graders/validate", json={"grader": endpoint})).status_code == 400


async def test_a_judge_that_there_is_not_is_a_flag_and_no_refusal(raw: httpx2.AsyncClient) -> None:
    strange = JUDGED | {"model": "gpt-9", "name": "strange"}
    multi = {"type": "multi", "graders": {"known": JUDGED, "strange": strange}, "calculate_output": "known + strange"}
    for grader in (strange, multi):
        found = await run(raw, grader)
        errors = {key: value for key, value in found["metadata"]["errors"].items() if value}
        assert (found["reward"], set(errors)) == (
            0.0,
            {"model_grader_server_error", "model_grader_server_error_details"},
        )
        assert "'gpt-9'" in errors["model_grader_server_error_details"]


async def test_only_graders_that_run_python_take_a_sandbox(settings: Settings, run_app: Any) -> None:
    app = create_app(settings)
    exact = {"type": "multi", "graders": {"exact": GRADER}, "calculate_output": "exact"}
    half = {"type": "multi", "graders": {"half": PYTHON}, "calculate_output": "half"}
    headers = {"Authorization": f"Bearer {API_KEY}"}
    async with (
        run_app(app) as url,
        httpx2.AsyncClient(base_url=f"{url}/v1/fine_tuning/alpha", headers=headers, timeout=30) as client,
        asyncio.timeout(30),
    ):
        services: Services = app.state.services
        for _ in range(MAX_SANDBOXES):
            await services.sandboxes.acquire()
        assert (await run(client, exact))["reward"] == 1.0
        services.sandboxes.release()
        grading = asyncio.create_task(run(client, half))
        while not services.sandboxes.locked():  # noqa: ASYNC110  # nothing else tells
            await asyncio.sleep(0)
        assert (await grading)["reward"] == 0.5
