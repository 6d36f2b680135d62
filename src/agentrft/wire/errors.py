"""OpenAI's error envelope."""

from typing import Any

from agentrft.domain.errors import UserError


def envelope(
    message: str, *, param: str | None = None, code: str | None = None, kind: str = "invalid_request_error"
) -> dict[str, Any]:
    """All four keys are there always: SDKs read them."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def of_user_error(error: UserError) -> dict[str, Any]:
    return envelope(error.message, param=error.param, code=error.code)
