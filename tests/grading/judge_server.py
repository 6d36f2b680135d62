"""A judge behind a real OpenAI-compatible HTTP server: a function answers each request."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from agentrft.domain.job import JudgeEndpoint
from tests.server.conftest import serving

Answer = Callable[[Mapping[str, Any]], Any]


class JudgeServer:
    """`bodies` and `keys` hold what came. `answer` gives the assistant's text, an object to be written as JSON, or a
    whole reply (a dict with `choices`, or a JSONResponse). `most_at_once` requests were under way together."""

    def __init__(self, answer: Answer, *, pause_s: float = 0.0) -> None:
        self.most_at_once = 0
        under_way = 0
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.url = ""
        self.app = FastAPI()

        @self.app.post("/v1/chat/completions")
        async def complete(request: Request) -> JSONResponse:
            nonlocal under_way
            self.bodies.append(await request.json())
            under_way += 1
            self.most_at_once = max(self.most_at_once, under_way)
            await asyncio.sleep(pause_s)
            under_way -= 1
            self.keys.append(request.headers.get("authorization"))
            given = answer(self.bodies[-1])
            if isinstance(given, JSONResponse):
                return given
            whole = isinstance(given, dict) and "choices" in given
            return JSONResponse(given if whole else completion(given))

    def endpoint(self, **fields: Any) -> JudgeEndpoint:
        given = {"name": "judge", "model": "judge-1", "headers": {"Authorization": "Bearer sk-hush-hush"}}
        return JudgeEndpoint(**{**given, "url": f"{self.url}/v1/chat/completions", **fields})


@asynccontextmanager
async def judging(answer: Answer, *, pause_s: float = 0.0) -> AsyncIterator[JudgeServer]:
    server = JudgeServer(answer, pause_s=pause_s)
    async with serving(server.app) as server.url:
        yield server


def completion(content: Any, *, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    """OpenAI's reply with this text, or this object as JSON, and a usage of 100 + 20 tokens."""
    text = content if isinstance(content, str) or content is None else json.dumps(content)
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "judge-1-2026",
        "choices": [
            {
                "index": 0,
                "finish_reason": finish_reason,
                "message": {"role": "assistant", "content": text, "refusal": None, **message},
            }
        ],
        "usage": {**usage, "prompt_tokens_details": {"cached_tokens": 64}},
    }


def verdict(result: Any) -> dict[str, Any]:
    """What a judge answers that keeps to the schema of score_model and label_model."""
    return {"steps": [{"description": "read", "conclusion": "fine"}], "result": result}
