"""The outermost border: every answer gets an id, every crash becomes an envelope and one log entry."""

import logging
import time

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agentrft.domain.ids import new_hex_id
from agentrft.server.errors import server_error

log = logging.getLogger(__name__)
OPENAI_VERSION = "2020-10-01"


class Border:
    def __init__(self, app: ASGIApp, *, organization: str) -> None:
        self._app = app
        self._organization = organization

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_at = time.perf_counter()
        request_id = new_hex_id("req_")
        answered = False

        async def stamp(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["openai-processing-ms"] = str(round((time.perf_counter() - started_at) * 1000))
                headers["openai-version"] = OPENAI_VERSION
                headers["openai-organization"] = self._organization
                headers["x-content-type-options"] = "nosniff"
            await send(message)

        try:
            await self._app(scope, receive, stamp)
        except ClientDisconnect:
            log.info("%s %s broke off (%s)", scope["method"], scope["path"], request_id)
        except Exception:
            log.exception("%s %s crashed (%s)", scope["method"], scope["path"], request_id)
            if answered:
                raise
            await server_error()(scope, receive, stamp)
