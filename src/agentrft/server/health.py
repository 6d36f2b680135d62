"""Is the server up? For whoever starts it."""

from fastapi import APIRouter

from agentrft.server.services import Served

router = APIRouter()


@router.get("/healthz", include_in_schema=False)
async def healthz(services: Served) -> dict[str, object]:
    """Answers when the store does. Needs no key and tells nothing but how many workers serve."""
    return {"status": "ok", "serving_workers": len(await services.store.workers.serving())}
