"""Decorated functions behind HTTP: the Agent RFT tool protocol and endpoint graders (API reference, 4 and 3.8).

POST /<tool>            {"type": "function_call", "arguments": "{...}", ...} -> {"type": "function_call_output", ...}
POST /graders/<grader>  {"sample": ..., "item": ..., "trace_id": ...}        -> {"score": <float>}
GET  /tools             the `tools` for a data set's rows
GET  /health            without a token
"""

import asyncio
import contextvars
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from agentrft.toolkit.graders import as_score
from agentrft.toolkit.loading import Functions
from agentrft.toolkit.tools import Call, ToolError, as_text, tools_schema

log = logging.getLogger(__name__)
MAX_THREADS = 128  # sync functions at once; more wait for their turn


class ToolCallBody(BaseModel):
    """The platform's request. `arguments` is JSON in a string; an object is taken too."""

    arguments: str | dict[str, Any] = "{}"
    id: str | None = None
    call_id: str | None = None
    trace_id: str | None = None
    item: dict[str, Any] | None = None


class GradeBody(BaseModel):
    sample: dict[str, Any]
    item: dict[str, Any]
    trace_id: str | None = None


class _Runner:
    """Runs sync functions in threads and async ones in the loop."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="tool")

    async def run(self, function: Callable[[], Any], *, is_async: bool) -> Any:
        if is_async:
            return await function()
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._threads, context.run, function)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def create_app(functions: Functions, *, token: str) -> FastAPI:
    """Serve `functions` to whoever has `token`."""
    runner = _Runner()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        runner.close()

    app = FastAPI(title="agentrft tools", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    app.include_router(_routes(functions, runner), dependencies=[Depends(_authorise(token))])
    return app


def _authorise(token: str) -> Callable[..., None]:
    bearer = HTTPBearer(auto_error=False)

    def authorise(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        if given is None or not secrets.compare_digest(given.credentials.encode(), token.encode()):
            raise HTTPException(401, "Missing or wrong bearer token")

    return authorise


def _routes(functions: Functions, runner: _Runner) -> APIRouter:
    router = APIRouter()

    @router.get("/tools")
    async def list_tools() -> list[dict[str, Any]]:
        return tools_schema(*functions.tools.values())

    @router.post("/graders/{name}")
    async def grade(name: str, body: GradeBody) -> dict[str, float]:
        grader = functions.graders.get(name)
        if grader is None:
            raise HTTPException(
                404, f"There is no grader {name!r}; there are: {', '.join(functions.graders) or 'none'}"
            )
        bound = grader.bind(body.sample, body.item, body.trace_id or "")
        try:
            return {"score": as_score(await runner.run(bound, is_async=grader.is_async))}
        except Exception:  # noqa: BLE001  the border to the user's function: its failure is one grading's, and logged
            raise _failure("grader", name) from None

    @router.post("/{name}")
    async def call(name: str, body: ToolCallBody) -> JSONResponse:
        tool = functions.tools.get(name)
        if tool is None:
            raise HTTPException(404, f"There is no tool {name!r}; there are: {', '.join(functions.tools) or 'none'}")
        context = Call(trace_id=body.trace_id or "", call_id=body.call_id or "", item=body.item or {})
        try:
            bound = tool.bind(body.arguments, context)
        except (ValueError, TypeError) as error:
            return _answer(body, f"Error: {error}", status=400)
        try:
            value = await runner.run(bound, is_async=tool.is_async)
        except Exception as error:  # noqa: BLE001  the border to the user's function: one call's failure, logged
            if _is_for_the_model(error):
                return _answer(body, f"Error: {error}", status=400)
            raise _failure("tool", name) from None
        return _answer(body, _encode(name, value))

    return router


def _is_for_the_model(error: Exception) -> bool:
    """Whether a bad argument is to blame. A subclass of ValueError, as parsers raise, is a bug of the function."""
    return type(error) is ValueError or isinstance(error, ToolError)


def _encode(name: str, value: Any) -> str:
    try:
        return as_text(value)
    except ValueError:  # not the model's doing, unlike a ValueError of the function
        raise _failure("tool", name) from None


def _answer(body: ToolCallBody, output: str, *, status: int = 200) -> JSONResponse:
    reply = {"type": "function_call_output", "call_id": body.call_id, "id": body.id, "output": output}
    return JSONResponse(reply, status_code=status)


def _failure(kind: str, name: str) -> HTTPException:
    """A 500 without details, which are in this server's log; call it where the exception is handled."""
    log.exception("the %s %s failed", kind, name)
    return HTTPException(500, f"The {kind} {name!r} failed; its server's log says why")
