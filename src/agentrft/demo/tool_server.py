"""An HTTP tool server as a customer writes one: plain functions behind the Agent RFT tool protocol and a bearer token.

    python -m agentrft.demo.tool_server --port 9000 --token SECRET --seed 0

The agent's own mistakes (a wrong path, a missing argument) are answered with 200 and an `output` that says so, since
the agent should read them; everything else keeps its HTTP status.
"""

import argparse
import asyncio
import inspect
import json
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from agentrft.demo.corpus import build_corpus
from agentrft.demo.toolbox import ReportTools

TOKEN_VARIABLE = "AGENTRFT_DEMO_TOOL_TOKEN"

Tool = Callable[..., str]


class ToolCallBody(BaseModel):
    """The platform's request. `arguments` is JSON in a string; an object is taken too."""

    name: str
    arguments: str | dict[str, Any] = "{}"
    type: str = "function_call"
    id: str | None = None
    call_id: str | None = None
    trace_id: str | None = None
    item: dict[str, Any] | None = None


class ToolReply(BaseModel):
    """What the platform shows to the model is `output` alone."""

    type: str = "function_call_output"
    call_id: str | None
    id: str | None
    output: str


def tool_app(tools: Mapping[str, Tool], *, token: str, latency_s: float = 0.0) -> FastAPI:
    """Serve each tool at `POST /<name>`, and `GET /health` without a token.

    Args:
        tools: functions of text arguments that return what the model reads; called in threads, several at once.
        token: the bearer token that every call must carry.
        latency_s: time added to every call, to see how the platform copes with slow tools.
    """
    app = FastAPI(title="agentrft tools", docs_url=None, redoc_url=None, openapi_url=None)
    bearer = HTTPBearer(auto_error=False)

    def authorised(given: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> None:
        if given is None or not secrets.compare_digest(given.credentials.encode(), token.encode()):
            raise HTTPException(401, "Missing or wrong bearer token")

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/{name}", dependencies=[Depends(authorised)])
    async def call(name: str, body: ToolCallBody) -> ToolReply:
        if name not in tools:
            raise HTTPException(404, f"There is no tool {name!r}; there are {', '.join(tools)}.")
        if latency_s:
            await asyncio.sleep(latency_s)
        output = await asyncio.to_thread(answer, tools[name], body.arguments)
        return ToolReply(call_id=body.call_id, id=body.id, output=output)

    return app


def answer(tool: Tool, arguments: str | Mapping[str, Any]) -> str:
    """Call a tool as the model asked for it; what the model got wrong is told in the reply."""
    signature = inspect.signature(tool)
    try:
        given = json.loads(arguments) if isinstance(arguments, str) else arguments
        bound = signature.bind(**{key: str(value) for key, value in given.items()})
    except (ValueError, AttributeError, TypeError):
        return f"error: the arguments are a JSON object with {', '.join(signature.parameters)}"
    return tool(*bound.args, **bound.kwargs)


def report_app(seed: int, *, token: str, latency_s: float = 0.0) -> FastAPI:
    """The demo's tool server over the corpus of `seed`."""
    tools = ReportTools(build_corpus(seed))
    return tool_app({"search": tools.search, "list": tools.list, "cat": tools.cat}, token=token, latency_s=latency_s)


def serve(app: FastAPI, port: int) -> None:
    """Serve on the loopback interface until a signal arrives."""
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m agentrft.demo.tool_server", description="Serve the demo's tools.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--token", help=f"bearer token; or set {TOKEN_VARIABLE}, which `ps` does not show")
    parser.add_argument("--seed", type=int, default=0, help="seed of the corpus")
    parser.add_argument("--latency-s", type=float, default=0.0, help="seconds added to every call")
    given = parser.parse_args(argv)
    given.token = given.token or os.environ.get(TOKEN_VARIABLE)
    if not given.token:
        parser.error(f"a bearer token is needed: pass --token or set {TOKEN_VARIABLE}")
    return given


def main() -> None:
    given = arguments()
    serve(report_app(given.seed, token=given.token, latency_s=given.latency_s), given.port)


if __name__ == "__main__":
    main()
