"""/v1/fine_tuning/alpha: one grading, one check of a grader, one tool call, on a client's behalf.

What goes wrong in a grading is a flag in a reply of 200, as OpenAI has it; a tool server that fails is a 502 or a 504.
"""

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

from fastapi import APIRouter, Request

from agentrft.domain.errors import UserError
from agentrft.domain.faults import Fault, FaultKind
from agentrft.grading import run_grader, validate_grader
from agentrft.server.auth import Authenticated
from agentrft.server.body import read_json
from agentrft.server.errors import UpstreamError
from agentrft.server.services import Served
from agentrft.server.validation import check_judges
from agentrft.tools import run_tool
from agentrft.wire.graders import GraderRun, GraderValidate
from agentrft.wire.masking import mask
from agentrft.wire.strict import parse

router = APIRouter(prefix="/fine_tuning/alpha", tags=["fine-tuning"])
_MAY_START_PROCESSES = ("python", "multi")


@router.post("/graders/run")
async def grade(request: Request, services: Served, caller: Authenticated) -> dict[str, Any]:
    asked = parse(GraderRun, await read_json(request))
    judges = await check_judges(services.store, caller.project_id, asked.grader, param="grader")
    async with services.sandboxes if asked.grader.get("type") in _MAY_START_PROCESSES else nullcontext():
        return await run_grader(asked.grader, asked.item, asked.model_sample, asked.trace_id, judges=judges)


@router.post("/graders/validate")
async def validate(request: Request, services: Served, caller: Authenticated) -> dict[str, Any]:
    asked = parse(GraderValidate, await read_json(request))
    checked = await asyncio.to_thread(validate_grader, asked.grader, param="grader", trains=False)
    await check_judges(services.store, caller.project_id, checked, param="grader")
    return {"grader": mask(checked)}


@router.post("/tool/run")
async def call_tool(request: Request, services: Served, caller: Authenticated) -> dict[str, Any]:
    """Whoever has a key may have any address called, as with a job's tools. Keys that we do not know are ignored."""
    body = await read_json(request)
    if not isinstance(body, Mapping):
        raise UserError("The request's body must be a JSON object.", code="invalid_type")
    async with services.tool_calls:
        outcome = await run_tool(body)
    if isinstance(outcome, Fault):
        late = outcome.kind in (FaultKind.TIMEOUT, FaultKind.DEADLINE)
        raise UpstreamError(outcome.message, status=504 if late else 502)
    return outcome
