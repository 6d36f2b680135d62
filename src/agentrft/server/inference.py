"""One completion from whichever live worker serves."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import httpx2
from pydantic import ValidationError

from agentrft.server.errors import UpstreamError
from agentrft.server.services import Services
from agentrft.store.rows import WorkerRow
from agentrft.wire.inference import GenerateReply, GenerateRequest

log = logging.getLogger(__name__)
_NOBODY = "No worker is serving. Start one beside this server and try again."


async def generate(services: Services, request: GenerateRequest) -> GenerateReply:
    """Ask the workers in turn until one can be reached.

    Raises:
        UpstreamError: nobody serves (503), nobody answered in time (504), or what the worker said.
    """
    try:
        async with asyncio.timeout(services.settings.generate_timeout_s):
            for worker in await services.store.workers.serving():
                try:
                    reply = await _post(services.client, worker, request)
                except (httpx2.ConnectError, httpx2.ConnectTimeout):
                    log.warning("worker %s cannot be reached", worker.id)
                    continue
                return _read(reply, worker)
    except (TimeoutError, httpx2.TimeoutException):
        limit_s = services.settings.generate_timeout_s
        raise UpstreamError(f"The worker did not answer within {limit_s:g} s.", status=504) from None
    except httpx2.TransportError:
        raise UpstreamError("The worker stopped while it answered. Try again.", status=502) from None
    raise UpstreamError(_NOBODY, status=503)


async def _post(client: httpx2.AsyncClient, worker: WorkerRow, request: GenerateRequest) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {worker.token}"} if worker.token else {}
    return await client.post(f"{worker.url}/generate", json=request.model_dump(), headers=headers)


def _read(reply: httpx2.Response, worker: WorkerRow) -> GenerateReply:
    if reply.status_code == 200:
        try:
            return GenerateReply.model_validate_json(reply.content)
        except ValidationError:
            log.error("worker %s sent no GenerateReply", worker.id)  # its content may hold the user's data
            raise UpstreamError("The worker sent a reply that cannot be read.", status=502) from None
    if reply.status_code in (401, 403):  # between us and the worker: the client's key is fine
        log.error("worker %s refused our token", worker.id)
        raise UpstreamError("The worker refused the server's token. Restart the worker.", status=502)
    body = _envelope(reply)
    status = reply.status_code if reply.status_code >= 400 else 502
    raise UpstreamError(f"The worker answered with status {reply.status_code}.", status=status, body=body)


def _envelope(reply: httpx2.Response) -> Mapping[str, Any] | None:
    try:
        body = reply.json()
    except ValueError:
        return None
    return body if isinstance(body, dict) and isinstance(body.get("error"), dict) else None
