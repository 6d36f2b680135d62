"""/v1/fine_tuning/alpha: one grading, one check of a grader, one tool call, on a client's behalf.

What goes wrong in a grading is a flag in a reply of 200, as OpenAI has it; a tool server that fails is a 502 or a 504.
"""

import asyncio
from collections.abc import Mapping, Sequence
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
from agentrft.tools import run_tool
from agentrft.wire.masking import mask

router = APIRouter(prefix="/fine_tuning/alpha", tags=["fine-tuning"])


@router.post("/graders/run")
async def grade(request: Request, services: Served, caller: Authenticated) -> dict[str, Any]:
    body = await _read(request, known=("grader", "item", "model_sample", "trace_id"))
    grader, output = _required(body, "grader"), _required(body, "model_sample")
    checked = await asyncio.to_thread(validate_grader, grader, param="grader")
    async with services.sandboxes if checked["type"] == "python" else nullcontext():
        return await run_grader(checked, body.get("item"), output, _trace_id(body))


@router.post("/graders/validate")
async def validate(request: Request, caller: Authenticated) -> dict[str, Any]:
    body = await _read(request, known=("grader",))
    checked = await asyncio.to_thread(validate_grader, _required(body, "grader"), param="grader")
    return {"grader": mask(checked)}


@router.post("/tool/run")
async def call_tool(request: Request, services: Served, caller: Authenticated) -> dict[str, Any]:
    """Whoever has a key may have any address called, as with a job's tools. Keys that we do not know are ignored."""
    body = await _read(request)
    async with services.tool_calls:
        outcome = await run_tool(body)
    if isinstance(outcome, Fault):
        late = outcome.kind in (FaultKind.TIMEOUT, FaultKind.DEADLINE)
        raise UpstreamError(outcome.message, status=504 if late else 502)
    return outcome


async def _read(request: Request, *, known: Sequence[str] | None = None) -> Mapping[str, Any]:
    body = await read_json(request)
    if not isinstance(body, Mapping):
        raise UserError("The request's body must be a JSON object.", code="invalid_type")
    unknown = next((key for key in body if known is not None and key not in known), None)
    if unknown is not None:
        raise UserError(f"Unknown parameter: '{unknown}'.", param=unknown, code="unknown_parameter")
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
