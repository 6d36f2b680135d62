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
from agentrft.domain.job import JudgeEndpoint
from agentrft.grading import find_judges, normal_form, read_spec, run_grader, validate_grader, without_extras
from agentrft.grading.sandbox import runs_python
from agentrft.server.auth import Authenticated
from agentrft.server.body import read_json
from agentrft.server.errors import UpstreamError
from agentrft.server.services import Served, Services
from agentrft.server.validation import check_judges
from agentrft.store.keys import Caller
from agentrft.tools import run_tool
from agentrft.wire.graders import GraderRun, GraderValidate
from agentrft.wire.masking import mask
from agentrft.wire.strict import parse

router = APIRouter(prefix="/fine_tuning/alpha", tags=["fine-tuning"])


@router.post("/graders/run")
async def grade(request: Request, services: Served, caller: Authenticated) -> dict[str, Any]:
    asked = parse(GraderRun, await read_json(request))
    grader = await asyncio.to_thread(read_spec, without_extras(asked.grader), param="grader")
    spec = normal_form(grader)
    judges = await _find_judges(services, caller, spec)
    async with services.sandboxes if runs_python(spec) else nullcontext():
        return await run_grader(grader, asked.item, asked.model_sample, asked.trace_id, judges=judges)


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


async def _find_judges(services: Services, caller: Caller, spec: Mapping[str, Any]) -> Mapping[str, JudgeEndpoint]:
    """The judges that a grader asks, but for those that there are not: the reply to a grading has a flag for them."""
    known: dict[str, JudgeEndpoint] = {}

    async def find(name: str) -> JudgeEndpoint | None:
        judge = await services.store.judges.find(caller.project_id, name)
        if judge is not None:
            known[name] = judge
        return judge

    try:
        return await find_judges(spec, find, param="grader")
    except UserError as error:
        if error.code != "model_not_found":
            raise
        return known
