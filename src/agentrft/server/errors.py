"""Whatever goes wrong leaves as OpenAI's envelope: SDKs read nothing else."""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from agentrft.domain.errors import UserError
from agentrft.wire.errors import envelope, of_user_error

NO_RETRY = {"x-should-retry": "false"}  # SDKs send a POST again on any 5xx unless they are told not to


class UpstreamError(Exception):
    """A worker or a client's tool could not answer. `body` is its own envelope, or None for ours."""

    def __init__(self, message: str, *, status: int, body: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.body = body


def add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(UserError, _user_error)
    app.add_exception_handler(UpstreamError, _upstream_error)
    app.add_exception_handler(RequestValidationError, _invalid_query)
    app.add_exception_handler(HTTPException, _http_error)


async def _user_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, UserError)
    return JSONResponse(of_user_error(error), status_code=error.status)


async def _upstream_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, UpstreamError)
    body = error.body or envelope(error.message, kind="server_error")
    return JSONResponse(dict(body), status_code=error.status, headers=NO_RETRY if error.status >= 500 else None)


async def _invalid_query(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    param = str(first["loc"][-1])
    return JSONResponse(envelope(f"Invalid '{param}': {first['msg']}.", param=param, code="invalid_value"), 400)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code in (404, 405):
        error.detail = f"Invalid URL ({request.method} {request.url.path})"
    body = envelope(str(error.detail), code="unknown_url" if error.status_code in (404, 405) else None)
    return JSONResponse(body, status_code=error.status_code, headers=error.headers)


def server_error() -> JSONResponse:
    """Our own bug. It may have had effects, so a client must not try again by itself."""
    message = "The server had an error while processing your request. Its log has the cause under this request id."
    return JSONResponse(envelope(message, kind="server_error"), status_code=500, headers=NO_RETRY)
