"""The HTTP client under an MCP session: what goes wrong with one request stays with that request.

The `mcp` package ends the whole session when a request cannot be sent, and keeps the status of a refusal to itself.
Here both become JSON-RPC errors of the one call: other episodes' calls go on, and the reason can be told.
"""

import json
from typing import Any

import httpx2
from mcp_types import CONNECTION_CLOSED, INTERNAL_ERROR

from agentrft.domain.job import McpAddress
from agentrft.outbound.lanes import CONNECT_TIMEOUT_S
from agentrft.outbound.transport import MAX_REPLY_BYTES, OVERLOADED_STATUSES, read_retry_after_s

STATUS_KEY = "http_status"  # in the `data` of the errors made here
RETRY_AFTER_KEY = "retry_after_s"  # beside it
MAX_EVENT_BYTES = 8 * MAX_REPLY_BYTES  # of one message; text in it may be escaped, pictures are described and dropped
_SESSION_HEADER = "mcp-session-id"
_LIMITS = httpx2.Limits(max_connections=1024, max_keepalive_connections=128, keepalive_expiry=30.0)
_LOOPBACK = ("all://localhost", "all://127.0.0.1", "all://[::1]")  # never sent through a proxy of the environment


class _TooLarge(Exception):
    """A reply grew over its limit."""


class McpHttpClient(httpx2.AsyncClient):
    """An HTTP client for the `mcp` package to speak through."""

    def __init__(self, address: McpAddress) -> None:
        super().__init__(
            headers=httpx2.Headers(dict(address.headers), encoding="utf-8"),
            limits=_LIMITS,
            timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT_S),  # each call has its own deadline
            mounts=dict.fromkeys(_LOOPBACK),
        )

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """As httpx2's; never raises for what the network does, and reads JSON replies no further than their limit."""
        try:
            response = await super().send(request, **options)
            if request.method != "POST" or response.is_redirect:
                return response
            if response.status_code >= 400:
                return await _explain(response)
            return await _read_json(response)
        except httpx2.TransportError as error:
            return _refuse(request, 503, code=CONNECTION_CLOSED, text=f"{type(error).__name__}: {error}".rstrip(": "))
        except _TooLarge:
            text = f"the reply is larger than {MAX_EVENT_BYTES >> 20} MB"
            return _refuse(request, 502, code=INTERNAL_ERROR, text=text)


async def _explain(response: httpx2.Response) -> httpx2.Response:
    """A refusal as a JSON-RPC error: the server's own if it gave one."""
    request, status = response.request, response.status_code
    content = await _read(response)
    if status == 404 and _SESSION_HEADER in request.headers:  # the protocol's way to say that the session is gone
        return _refuse(request, status, code=CONNECTION_CLOSED, text="the server does not know the session any more")
    if status not in OVERLOADED_STATUSES and _is_rpc_error(content):
        return httpx2.Response(status, content=content, headers={"content-type": "application/json"}, request=request)
    text = f"HTTP {status} {response.reason_phrase}".rstrip()
    data = {STATUS_KEY: status, RETRY_AFTER_KEY: read_retry_after_s(response.headers)}
    return _refuse(request, status, code=INTERNAL_ERROR, text=text, data=data)


async def _read_json(response: httpx2.Response) -> httpx2.Response:
    """A JSON reply with its body read; streams of events are left to the package, which bounds each event."""
    if not response.headers.get("content-type", "").lower().startswith("application/json"):
        return response
    content = await _read(response)
    kept = {name: response.headers[name] for name in ("content-type", _SESSION_HEADER) if name in response.headers}
    return httpx2.Response(response.status_code, content=content, headers=kept, request=response.request)


async def _read(response: httpx2.Response) -> bytes:
    content = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > MAX_EVENT_BYTES:
                raise _TooLarge
    finally:
        await response.aclose()
    return bytes(content)


def _is_rpc_error(content: bytes) -> bool:
    try:
        payload = json.loads(content)
    except (ValueError, RecursionError):
        return False
    error = payload.get("error") if isinstance(payload, dict) else None
    return isinstance(error, dict) and isinstance(error.get("code"), int)


def _refuse(request: httpx2.Request, status: int, *, code: int, text: str, data: Any = None) -> httpx2.Response:
    error = {"code": code, "message": text, "data": data}
    return httpx2.Response(status, json={"jsonrpc": "2.0", "id": None, "error": error}, request=request)
