"""A multipart upload, read within bounds: OpenAI's form fields around one file."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException
from starlette.types import Message

from agentrft.domain.errors import UserError

PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
FORM_OVERHEAD_BYTES = 1_000_000
MIN_EXPIRY_S = 3600
MAX_EXPIRY_S = 2_592_000
_FIELDS = frozenset({"purpose", "file", "expires_after[anchor]", "expires_after[seconds]"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    filename: str
    purpose: str
    expires_after_s: int | None
    file: UploadFile


@asynccontextmanager
async def read_upload(request: Request, *, max_file_bytes: int) -> AsyncIterator[Upload]:
    """The form of `POST /v1/files`; what was spooled of the file goes at the end.

    Raises:
        UserError: a field is missing, unknown or invalid, or the file is too large.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise UserError("Send the file as multipart/form-data.", param="file", code="invalid_content_type")
    bounded = _bound(request, max_file_bytes)
    try:
        async with bounded.form() as form:
            yield _read_form(form, max_file_bytes)
    except MultiPartException as error:
        raise UserError(f"The upload cannot be read: {error.message}", param="file", code="invalid_multipart") from None


def _bound(request: Request, max_file_bytes: int) -> Request:
    """The same request, which ends in an error once it has sent more than a form around a file may hold."""
    limit = max_file_bytes + FORM_OVERHEAD_BYTES
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(max_file_bytes)
    received = 0

    async def receive() -> Message:
        nonlocal received
        message = await request.receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise _too_large(max_file_bytes)
        return message

    return Request(request.scope, receive)


def _read_form(form: FormData, max_file_bytes: int) -> Upload:
    unknown = next((key for key in form if key not in _FIELDS), None)
    if unknown is not None:
        raise UserError(f"Unknown parameter: '{unknown}'.", param=unknown, code="unknown_parameter")
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise UserError("Missing required parameter: 'file'.", param="file", code="missing_required_parameter")
    if file.size is not None and file.size > max_file_bytes:
        raise _too_large(max_file_bytes)
    return Upload(
        filename=(file.filename or "upload").replace("\\", "/").rpartition("/")[2][:255] or "upload",
        purpose=_read_purpose(form),
        expires_after_s=_read_expiry(form),
        file=file,
    )


def _read_purpose(form: FormData) -> str:
    purpose = form.get("purpose")
    if purpose is None:
        raise UserError("Missing required parameter: 'purpose'.", param="purpose", code="missing_required_parameter")
    if not isinstance(purpose, str) or purpose not in PURPOSES:
        raise UserError(
            f"Invalid 'purpose': must be one of {', '.join(PURPOSES)}.", param="purpose", code="invalid_value"
        )
    return purpose


def _read_expiry(form: FormData) -> int | None:
    anchor, seconds = form.get("expires_after[anchor]"), form.get("expires_after[seconds]")
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        param = "expires_after.anchor"
        raise UserError(f"Invalid '{param}': must be 'created_at'.", param=param, code="invalid_value")
    if not isinstance(seconds, str) or not seconds.isdigit() or not MIN_EXPIRY_S <= int(seconds) <= MAX_EXPIRY_S:
        param = "expires_after.seconds"
        message = f"Invalid '{param}': must be an integer from {MIN_EXPIRY_S} to {MAX_EXPIRY_S}."
        raise UserError(message, param=param, code="invalid_value")
    return int(seconds)


def _too_large(max_file_bytes: int) -> UserError:
    message = f"The file is larger than {max_file_bytes / 1_000_000:g} MB."
    return UserError(message, param="file", code="file_too_large", status=413)
