"""Who is calling. Keys come as bearer tokens and are never repeated in an answer."""

from typing import Annotated

from fastapi import Depends, Request

from agentrft.domain.errors import UserError
from agentrft.server.services import Served
from agentrft.store.keys import Caller

_MISSING = (
    "You didn't provide an API key. Send it in an Authorization header with Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY)."
)
_WRONG = "Incorrect API key provided. The server showed its key when it first started."


async def authenticate(request: Request, services: Served) -> Caller:
    """Raises UserError with status 401 unless the request carries a key of ours."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise UserError(_MISSING, code="invalid_api_key", status=401)
    caller = await services.store.keys.find(key.strip())
    if caller is None:
        raise UserError(_WRONG, code="invalid_api_key", status=401)
    return caller


Authenticated = Annotated[Caller, Depends(authenticate)]
