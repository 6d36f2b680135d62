"""/v1/responses."""

import time
from typing import Any

from fastapi import APIRouter, Request

from agentrft.server.auth import Authenticated
from agentrft.server.body import read_json
from agentrft.server.inference import generate
from agentrft.server.services import Served
from agentrft.server.validation import find_model
from agentrft.wire.responses import read_response_request, response_object, to_generate

router = APIRouter(tags=["inference"])


@router.post("/responses")
async def create_response(request: Request, services: Served, caller: Authenticated) -> dict[str, Any]:
    """One turn of a model. Reasoning travels encrypted, so that the next turn sees it as training did."""
    asked = read_response_request(await read_json(request))
    model = await find_model(services.store, caller.project_id, asked.model)
    vault = services.store.vault
    created_at = int(time.time())
    wanted = to_generate(asked, model=model.name, unseal=lambda sealed: vault.unseal(sealed.encode()))
    reply = await generate(services, wanted)
    return response_object(
        asked,
        reply,
        created_at=created_at,
        completed_at=int(time.time()),
        seal=lambda text: vault.seal(text).decode(),
    )
