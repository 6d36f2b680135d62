"""/v1/chat/completions."""

import time
from typing import Any

from fastapi import APIRouter, Request

from agentrft.server.auth import Authenticated
from agentrft.server.body import read_json
from agentrft.server.inference import generate
from agentrft.server.services import Served
from agentrft.server.validation import find_model
from agentrft.wire.chat_completions import completion_object, read_chat_request, to_generate

router = APIRouter(tags=["inference"])


@router.post("/chat/completions")
async def create_completion(request: Request, services: Served, caller: Authenticated) -> dict[str, Any]:
    asked = read_chat_request(await read_json(request))
    model = await find_model(services.store, caller.project_id, asked.model)
    created = int(time.time())
    return completion_object(asked, await generate(services, to_generate(asked, model=model.name)), created=created)
