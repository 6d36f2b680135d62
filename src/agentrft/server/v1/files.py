"""/v1/files."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse
from starlette.datastructures import UploadFile

from agentrft.datasets import count_rows
from agentrft.domain.errors import UserError
from agentrft.server.auth import Authenticated
from agentrft.server.services import Served, Services
from agentrft.server.v1.upload import Upload, read_upload
from agentrft.store.rows import FileRow
from agentrft.wire.objects import deleted_object, file_object, list_object

router = APIRouter(tags=["files"])
CHUNK_BYTES = 1 << 20
MAX_PAGE = 10_000


@router.post("/files")
async def create_file(request: Request, services: Served, caller: Authenticated) -> dict[str, Any]:
    """Take a file. A fine-tuning file whose lines are no JSON objects is kept with status `error` and the reason."""
    async with read_upload(request, max_file_bytes=services.settings.max_file_bytes) as upload:
        draft = await services.store.files.receive(_chunks(upload.file))
    return _show(await _adopt(services, caller.project_id, upload, draft))


@router.get("/files")
async def list_files(
    services: Served,
    caller: Authenticated,
    purpose: str | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = MAX_PAGE,
    order: Literal["asc", "desc"] = "desc",
) -> dict[str, Any]:
    page = await services.store.files.page(caller.project_id, purpose=purpose, after=after, limit=limit, order=order)
    return list_object([_show(row) for row in page.data], has_more=page.has_more, ends=True)


@router.get("/files/{file_id}")
async def retrieve_file(file_id: str, services: Served, caller: Authenticated) -> dict[str, Any]:
    return _show(await _find(services, caller.project_id, file_id))


@router.delete("/files/{file_id}")
async def delete_file(file_id: str, services: Served, caller: Authenticated) -> dict[str, Any]:
    """Jobs that use the file keep their own copy."""
    if not await services.store.files.delete(caller.project_id, file_id):
        raise _missing(file_id)
    return deleted_object(file_id, kind="file")


@router.get("/files/{file_id}/content")
async def read_content(file_id: str, services: Served, caller: Authenticated) -> FileResponse:
    row = await _find(services, caller.project_id, file_id)
    path = services.store.files.path(row.id)
    return FileResponse(path, media_type="application/octet-stream", filename=row.filename)


async def _adopt(services: Services, project_id: str, upload: Upload, draft: Path) -> FileRow:
    try:
        fault = await asyncio.to_thread(_find_fault, draft) if upload.purpose == "fine-tune" else None
    except BaseException:
        draft.unlink(missing_ok=True)  # noqa: ASYNC240 - one system call
        raise
    return await services.store.files.adopt(
        draft,
        project_id=project_id,
        filename=upload.filename,
        purpose=upload.purpose,
        expires_after_s=upload.expires_after_s,
        fault=fault,
    )


def _find_fault(path: Path) -> str | None:
    try:
        count_rows(path)
    except UserError as error:
        return error.message
    return None


async def _chunks(file: UploadFile) -> AsyncIterator[bytes]:
    while chunk := await file.read(CHUNK_BYTES):
        yield chunk


async def _find(services: Services, project_id: str, file_id: str) -> FileRow:
    row = await services.store.files.find(project_id, file_id)
    if row is None:
        raise _missing(file_id)
    return row


def _missing(file_id: str) -> UserError:
    return UserError(f"No such File object: {file_id}", param="id", status=404)


def _show(row: FileRow) -> dict[str, Any]:
    return file_object(**{item.name: getattr(row, item.name) for item in fields(row) if item.name != "project_id"})
