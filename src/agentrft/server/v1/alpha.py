"""/v1/fine_tuning/alpha: one grading, one check of a grader, one tool call, on a client's behalf.

What goes wrong in a grading is a flag in a reply of 200, as OpenAI has it; a tool server that fails is a 502 or a 504.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request

from agentrft.domain.errors import UserError
from agentrft.domain.faults import Fault, FaultKind
from agentrft.grading import run_grader, validate_grader
from agentrft.server.auth import Authenticated
from agentrft.server.body import read_json
from agentrft.server.errors import UpstreamError
from agentrft.server.services import Served
from agentrft.tools import run_tool
from agentrft.wire.masking import mask

router = APIRouter(prefix="/fine_tuning/alpha", tags=["fine-tuning"])


@router.post("/graders/run")
async def grade(request: Request, services: Served, caller: Authenticated) -> dict[str, Any]:
    body = await _read(request)
    async with services.gradings:
        return await run_grader(
            _required(body, "grader"), body.get("item"), _required(body, "model_sample"), _trace_id(body)
        )


@router.post("/graders/validate")
async def validate(request: Request, caller: Authenticated) -> dict[str, Any]:
    body = await _read(request)
    checked = await asyncio.to_thread(validate_grader, _required(body, "grader"), param="grader")
    return {"grader": mask(checked)}


@router.post("/tool/run")
async def call_tool(request: Request, caller: Authenticated) -> dict[str, Any]:
    outcome = await run_tool(await _read(request))
    if isinstance(outcome, Fault):
        raise UpstreamError(
            outcome.message, status=504 if outcome.kind in (FaultKind.TIMEOUT, FaultKind.DEADLINE) else 502
        )
    return outcome


async def _read(request: Request) -> Mapping[str, Any]:
    body = await read_json(request)
    if not isinstance(body, Mapping):
        raise UserError("The request's body must be a JSON object.", code="invalid_type")
    return body


def _required(body: Mapping[str, Any], key: str) -> Any:
    if key not in body:
        raise UserError(f"Missing required parameter: '{key}'.", param=key, code="missing_required_parameter")
    return body[key]


def _trace_id(body: Mapping[str, Any]) -> str | None:
    given = body.get("trace_id")
    if given is not None and not isinstance(given, str):
        raise UserError("'trace_id' must be a string.", param="trace_id", code="invalid_type")
    return given
