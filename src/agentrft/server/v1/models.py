"""/v1/models. Names may hold slashes, so that the path takes whatever follows."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter

from agentrft.domain.errors import UserError
from agentrft.server.auth import Authenticated
from agentrft.server.services import Served
from agentrft.server.v1.shapes import show_model
from agentrft.server.validation import find_model
from agentrft.wire.objects import deleted_object

router = APIRouter(prefix="/models", tags=["models"])


@router.get("")
async def list_models(services: Served, caller: Authenticated) -> dict[str, Any]:
    models = await services.store.models.available(caller.project_id)
    return {"object": "list", "data": [show_model(model, services.settings) for model in models]}


@router.get("/{name:path}")
async def retrieve_model(name: str, services: Served, caller: Authenticated) -> dict[str, Any]:
    model = await find_model(services.store, caller.project_id, name)
    return show_model(replace(model, name=name), services.settings)


@router.delete("/{name:path}")
async def delete_model(name: str, services: Served, caller: Authenticated) -> dict[str, Any]:
    if not await services.store.models.delete(caller.project_id, name):
        message = f"The model `{name}` does not exist or you do not have access to it."
        raise UserError(message, param="model", code="model_not_found", status=404)
    return deleted_object(name, kind="model")
