"""Models of this worker as a service for the API server: `POST /generate` (wire/inference.py).

Models are loaded when first asked for; the most recent ones stay in memory. A conversation that goes on is sampled
like an episode: its whole history is the prompt, rendered by the same chat format as in training.
"""

import asyncio
import secrets
import time
from collections import OrderedDict
from contextlib import AsyncExitStack
from dataclasses import dataclass

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.responses import Response

from agentrft.domain.episode import Completion, FinishReason, Message, ToolCall, ToolSpec
from agentrft.domain.errors import JobFailed, UserError
from agentrft.domain.ids import new_id
from agentrft.domain.job import Sampling
from agentrft.ports import ChatFormat, SampleRequest
from agentrft.sampling.embedded import EmbeddedSampler
from agentrft.sampling.model import build_model
from agentrft.sampling.thread import ThreadShard
from agentrft.store import Store
from agentrft.store.rows import ModelRow
from agentrft.wire.errors import envelope
from agentrft.wire.inference import Call, ChatMessage, GenerateReply, GenerateRequest
from agentrft.worker.models import ModelLoader

MAX_MODELS = 2  # samplers in memory
MAX_SESSIONS = 16  # completions at once, per model
DEFAULT_MAX_TOKENS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    sampler: EmbeddedSampler
    chat: ChatFormat
    context_tokens: int
    closing: AsyncExitStack


class Serving:
    """Samplers of the models that were asked for most recently."""

    def __init__(self, store: Store, loader: ModelLoader) -> None:
        self._store = store
        self._loader = loader
        self._served: OrderedDict[str, _Served] = OrderedDict()
        self._lock = asyncio.Lock()

    async def close(self) -> None:
        """Stop all samplers."""
        while self._served:
            _, served = self._served.popitem()
            await served.closing.aclose()

    async def generate(self, request: GenerateRequest, model: ModelRow) -> GenerateReply:
        """One completion.

        Raises:
            UserError: the conversation does not fit into the model's context.
            JobFailed: the model cannot be loaded.
        """
        served = await self._get(model)
        messages = [_message(message) for message in request.messages]
        tools = [ToolSpec(name=t.name, description=t.description, parameters=t.parameters) for t in request.tools]
        prompt = tuple(token for span in served.chat.open(messages, tools) for token in span.ids)
        room = served.context_tokens - len(prompt)
        if room < 1:
            raise UserError(
                f"This conversation is {len(prompt)} tokens long; the model's context holds {served.context_tokens}.",
                param="input",
                code="context_length_exceeded",
            )
        session = new_id("session_")
        try:
            completion = await served.sampler.sample(
                SampleRequest(
                    session=session,
                    prompt=prompt,
                    max_tokens=min(room, request.max_tokens or DEFAULT_MAX_TOKENS),
                    stop_ids=served.chat.stop_ids,
                    sampling=Sampling(temperature=request.temperature, top_p=request.top_p),
                    seed=time.time_ns() if request.seed is None else request.seed,
                    deadline_s=self._store.settings.generate_timeout_s,  # nobody waits for more
                )
            )
        finally:
            await served.sampler.release(session)
        return _reply(request, served.chat, completion, prompt_tokens=len(prompt))

    async def _get(self, model: ModelRow) -> _Served:
        async with self._lock:
            if model.name not in self._served:
                while len(self._served) >= MAX_MODELS:
                    _, oldest = self._served.popitem(last=False)
                    await oldest.closing.aclose()
                self._served[model.name] = await self._start(model)
            self._served.move_to_end(model.name)
            return self._served[model.name]

    async def _start(self, model: ModelRow) -> _Served:
        loaded = await self._loader.load(model)
        built = await asyncio.to_thread(lambda: build_model(self._loader.weights(loaded), loaded.adapters, 0))
        closing = AsyncExitStack()
        sampler = EmbeddedSampler([ThreadShard(built, lambda weights: built, MAX_SESSIONS)])
        await closing.enter_async_context(sampler)
        limit = loaded.shapes.config.max_positions
        return _Served(sampler=sampler, chat=loaded.chat, context_tokens=limit, closing=closing)


def create_serving_app(store: Store, serving: Serving, token: str) -> FastAPI:
    """The worker's own HTTP app; only the API server calls it, with `token`."""
    app = FastAPI(title="agentrft worker", docs_url=None, redoc_url=None, openapi_url=None)

    @app.post("/generate")
    async def generate(request: GenerateRequest, http: Request) -> Response:
        given = http.headers.get("authorization", "")
        if not secrets.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return _error(401, "This worker serves its API server alone.", "invalid_api_key")
        row = await store.models.by_name(request.model)
        if row is None:
            return _error(404, f"The model `{request.model}` does not exist.", "model_not_found")
        try:
            reply = await serving.generate(request, row)
        except UserError as error:
            return _error(error.status, error.message, error.code, error.param)
        except JobFailed as error:
            return _error(503, error.message, error.code)
        return JSONResponse(reply.model_dump())

    return app


def _error(status: int, message: str, code: str | None, param: str | None = None) -> JSONResponse:
    return JSONResponse(envelope(message, param=param, code=code), status_code=status)


def _message(message: ChatMessage) -> Message:
    return Message(
        role=message.role,
        content=message.content,
        reasoning=message.reasoning,
        tool_calls=tuple(ToolCall(call_id=c.call_id, name=c.name, arguments=c.arguments) for c in message.tool_calls),
        call_id=message.call_id,
        name=message.name,
    )


def _reply(request: GenerateRequest, chat: ChatFormat, completion: Completion, *, prompt_tokens: int) -> GenerateReply:
    message = chat.parse(completion.ids)
    calls = [call for call in message.tool_calls if call.name]
    calls = calls if request.parallel_tool_calls else calls[:1]
    return GenerateReply(
        text=message.content,
        reasoning=message.reasoning,
        tool_calls=[Call(call_id=call.call_id, name=call.name, arguments=call.arguments) for call in calls],
        finish_reason="length" if completion.finish is not FinishReason.STOP else "tool_calls" if calls else "stop",
        prompt_tokens=prompt_tokens,
        output_tokens=len(completion.ids),
        reasoning_tokens=chat.count_reasoning(completion.ids),
    )
