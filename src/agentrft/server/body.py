"""Reading a JSON body, within bounds."""

import json
from typing import Any

from fastapi import Request

from agentrft.domain.errors import UserError

MAX_BODY_BYTES = 32_000_000


async def read_json(request: Request) -> Any:
    """The body as JSON.

    Raises:
        UserError: it is too large, or no JSON.
    """
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > MAX_BODY_BYTES:
            message = f"The request is larger than {MAX_BODY_BYTES // 1_000_000} MB."
            raise UserError(message, code="request_too_large", status=413)
    try:
        body = json.loads(bytes(received), parse_constant=_refuse_constant)
        if b"\\u" in received:
            json.dumps(body, ensure_ascii=False).encode()  # half a surrogate pair is no text: UnicodeEncodeError
        return body
    except (ValueError, RecursionError):
        message = (
            "We could not parse the JSON body of your request. Send it as UTF-8 with Content-Type: application/json."
        )
        raise UserError(message, code="invalid_json") from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
