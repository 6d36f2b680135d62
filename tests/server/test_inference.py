import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from agentrft.store import Settings, Store
from agentrft.wire.inference import Call, GenerateReply, GenerateRequest

REPLY = GenerateReply(
    text="", reasoning="I must look.", tool_calls=[Call(call_id="call_1", name="search", arguments='{"q": 1}')],
    finish_reason="tool_calls", prompt_tokens=11, output_tokens=9, reasoning_tokens=4,
)  # fmt: skip
SEARCH = {"type": "function", "name": "search", "parameters": {"type": "object", "properties": {}}}


class ScriptedWorker:
    """A worker's HTTP side, which answers what it is told to."""

    def __init__(self) -> None:
        self.asked: list[GenerateRequest] = []
        self.tokens: list[str | None] = []
        self.answer: Response = JSONResponse(REPLY.model_dump())
        self.app = FastAPI()
        self.app.add_api_route("/generate", self._generate, methods=["POST"])

    async def _generate(self, request: Request) -> Response:
        self.tokens.append(request.headers.get("authorization"))
        self.asked.append(GenerateRequest.model_validate(json.loads(await request.body())))
        return self.answer


@pytest.fixture
async def worker(store: Store, run_app: Any) -> AsyncIterator[ScriptedWorker]:
    scripted = ScriptedWorker()
    async with run_app(scripted.app) as url:
        await store.workers.register(device="cpu", url=url, token="tok-1")
        yield scripted


async def test_a_response_goes_to_a_worker_and_its_reasoning_comes_back_to_it(
    client: openai.AsyncOpenAI, worker: ScriptedWorker
) -> None:
    first = await client.responses.create(
        model="gpt-5", input=[{"role": "user", "content": "hi"}], tools=[SEARCH], store=False,
        include=["reasoning.encrypted_content"], reasoning={"effort": "medium"},
    )  # fmt: skip
    assert (first.model, [item.type for item in first.output]) == ("gpt-5", ["reasoning", "function_call"])
    assert first.usage is not None
    assert (first.usage.total_tokens, first.usage.output_tokens_details.reasoning_tokens) == (20, 4)
    assert "I must look" not in first.to_json()
    assert (worker.asked[0].model, worker.tokens) == ("tiny", ["Bearer tok-1"])
    output = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
    await client.responses.create(
        model="gpt-5", input=[{"role": "user", "content": "hi"}, *first.output, output], tools=[SEARCH]
    )  # fmt: skip
    _, assistant, tool = worker.asked[1].messages
    assert (assistant.reasoning, assistant.tool_calls[0].arguments) == ("I must look.", '{"q": 1}')
    assert (tool.content, tool.call_id, tool.name) == ("42", "call_1", "search")


async def test_a_chat_completion_goes_to_a_worker(client: openai.AsyncOpenAI, worker: ScriptedWorker) -> None:
    found = await client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "hi"}], temperature=0, max_completion_tokens=7
    )
    assert found.choices[0].finish_reason == "tool_calls"
    assert (worker.asked[0].temperature, worker.asked[0].max_tokens) == (0.0, 7)


async def test_without_a_worker_the_answer_says_so_and_is_not_retried(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.InternalServerError, match="No worker is serving") as caught:
        await client.responses.create(model="tiny", input="hi")
    assert (caught.value.status_code, caught.value.response.headers["x-should-retry"]) == (503, "false")


async def test_a_worker_that_cannot_be_reached_is_passed_over(
    client: openai.AsyncOpenAI, worker: ScriptedWorker, store: Store
) -> None:
    await store.workers.register(device="cpu", url="http://127.0.0.1:1", token="t")
    assert (await client.responses.create(model="tiny", input="hi")).status == "completed"


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (
            JSONResponse({"error": {"message": "too long", "type": "t", "param": "input", "code": "c"}}, 400),
            400,
            "too long",
        ),
        (JSONResponse({"detail": "bad token"}, 401), 502, "token"),
        (JSONResponse({"text": 1}), 502, "cannot be read"),
        (Response("oops", 500), 500, "status 500"),
    ],
)
async def test_what_a_worker_cannot_do_reaches_the_client(
    client: openai.AsyncOpenAI, worker: ScriptedWorker, answer: Response, status: int, words: str
) -> None:
    worker.answer = answer
    with pytest.raises(openai.APIStatusError, match=words) as caught:
        await client.responses.create(model="tiny", input="hi")
    assert caught.value.status_code == status


async def test_streams_and_unknown_models_are_refused_before_a_worker_is_asked(
    client: openai.AsyncOpenAI, worker: ScriptedWorker, settings: Settings
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="tiny", input="hi", stream=True)
    assert caught.value.param == "stream"
    with pytest.raises(openai.BadRequestError):
        await client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "x"}], stream=True)
    with pytest.raises(openai.NotFoundError) as missing:
        await client.responses.create(model="nothing", input="hi")
    assert missing.value.code == "model_not_found"
    assert worker.asked == []
