"""/v1/fine_tuning/jobs."""

import secrets
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from agentrft.domain.errors import UserError
from agentrft.server.auth import Authenticated
from agentrft.server.body import read_json
from agentrft.server.services import Served, Services
from agentrft.server.v1.shapes import show_checkpoint, show_event, show_job
from agentrft.server.validation import check_grader, check_job, check_monitors
from agentrft.store.jobs import NewJob, Submission, request_hash
from agentrft.store.rows import JobRow
from agentrft.wire.fine_tuning import MAX_SEED
from agentrft.wire.job_request import JobSpec, read_job_request
from agentrft.wire.objects import list_object

router = APIRouter(prefix="/fine_tuning/jobs", tags=["fine-tuning"])
REPEAT_WINDOW_S = 60  # SDKs give up on their retries well before
MAX_PAGE = 1000
MAX_IDEMPOTENCY_KEY = 255

Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


@router.post("")
async def create_job(request: Request, services: Served, caller: Authenticated) -> dict[str, Any]:
    """Check everything, then create the job; a request that is sent again gets the job it made before."""
    body = await read_json(request)
    spec = read_job_request(body)
    submission = _identify(request, body)
    job = await services.store.jobs.find_earlier(caller.project_id, submission)
    if job is None:
        spec = await check_grader(services.store, caller.project_id, spec)
        spec = await check_monitors(services.store, caller.project_id, spec)
        base = await check_job(services.store, caller.project_id, spec)
        new = _new_job(spec, base_model=base.name, project_id=caller.project_id, submission=submission)
        job = await services.store.jobs.create(new)
        await services.store.jobs.enqueue(job.id)
    return show_job(job, services.settings)


@router.get("")
async def list_jobs(
    request: Request, services: Served, caller: Authenticated, after: str | None = None, limit: Limit = 20
) -> dict[str, Any]:
    metadata = _read_metadata_filter(request)
    page = await services.store.jobs.page(caller.project_id, after=after, limit=limit, metadata=metadata)
    return list_object([show_job(job, services.settings) for job in page.data], has_more=page.has_more)


@router.get("/{job_id}")
async def retrieve_job(job_id: str, services: Served, caller: Authenticated) -> dict[str, Any]:
    return show_job(await find_job(services, caller.project_id, job_id), services.settings)


@router.post("/{job_id}/cancel")
async def cancel_job(job_id: str, services: Served, caller: Authenticated) -> dict[str, Any]:
    job = await services.store.jobs.cancel(caller.project_id, job_id)
    if job is None:
        raise missing_job(job_id)
    return show_job(job, services.settings)


@router.post("/{job_id}/pause")
@router.post("/{job_id}/resume")
async def refuse_pause(job_id: str, services: Served, caller: Authenticated) -> JSONResponse:
    await find_job(services, caller.project_id, job_id)
    message = "Pausing and resuming jobs is not supported yet. Cancel the job and continue from one of its checkpoints."
    raise UserError(message, code="unsupported_operation")


@router.get("/{job_id}/events")
async def list_events(
    job_id: str, services: Served, caller: Authenticated, after: str | None = None, limit: Limit = 20
) -> dict[str, Any]:
    await find_job(services, caller.project_id, job_id)
    page = await services.store.jobs.events(job_id, after=after, limit=limit)
    return list_object([show_event(event) for event in page.data], has_more=page.has_more)


@router.get("/{job_id}/checkpoints")
async def list_checkpoints(
    job_id: str, services: Served, caller: Authenticated, after: str | None = None, limit: Limit = 10
) -> dict[str, Any]:
    await find_job(services, caller.project_id, job_id)
    page = await services.store.jobs.checkpoints(job_id, after=after, limit=limit)
    return list_object([show_checkpoint(row) for row in page.data], has_more=page.has_more, ends=True)


async def find_job(services: Services, project_id: str, job_id: str) -> JobRow:
    """Raises UserError with status 404 when the project has no such job."""
    job = await services.store.jobs.find(project_id, job_id)
    if job is None:
        raise missing_job(job_id)
    return job


def missing_job(job_id: str) -> UserError:
    message = f"Could not find fine tune: {job_id}"
    return UserError(message, param="fine_tune_id", code="fine_tune_not_found", status=404)


def _identify(request: Request, body: Any) -> Submission:
    key = request.headers.get("idempotency-key") or None
    if key is not None and len(key) > MAX_IDEMPOTENCY_KEY:
        message = f"The Idempotency-Key is longer than {MAX_IDEMPOTENCY_KEY} characters."
        raise UserError(message, param="Idempotency-Key", code="invalid_value")
    retried = request.headers.get("x-stainless-retry-count", "0") not in ("", "0")
    since = int(time.time()) - REPEAT_WINDOW_S if retried else None
    return Submission(request_hash=request_hash(body), idempotency_key=key, repeats_since=since)


def _new_job(spec: JobSpec, *, base_model: str, project_id: str, submission: Submission) -> NewJob:
    return NewJob(
        project_id=project_id,
        method=spec.method,
        model=spec.model,
        base_model=base_model,
        training_file=spec.training_file,
        validation_file=spec.validation_file,
        suffix=spec.suffix,
        seed=spec.seed if spec.seed is not None else secrets.randbelow(MAX_SEED + 1),
        metadata=spec.metadata,
        request=spec.masked_settings,
        secret_request=spec.settings,
        submission=submission,
    )


def _read_metadata_filter(request: Request) -> dict[str, str] | None:
    """`metadata[key]=value` for jobs with the pair, `metadata=null` for jobs without metadata."""
    query = request.query_params
    pairs = {key[9:-1]: value for key, value in query.items() if key.startswith("metadata[") and key.endswith("]")}
    if pairs:
        return pairs
    return {} if query.get("metadata") == "null" else None
