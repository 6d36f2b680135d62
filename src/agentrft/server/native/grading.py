"""/agentrft/v1: graders run on what is stored: what can this one be made to pay, and what would it have changed?

Both take as long as the grader does, so they answer with server-sent events: `{"progress": ...}` at least once a
second, and at the end `{"result": ...}`. What is wrong with the request is an error before the first event.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from agentrft.analysis.regrading import Regraded, report
from agentrft.analysis.tricks import Case
from agentrft.domain.episode import GradedEpisode
from agentrft.domain.errors import UserError
from agentrft.domain.job import Method
from agentrft.grading import SpecGrader, make_grader, normal_form, read_spec
from agentrft.grading.check import check_grader
from agentrft.grading.regrade import regrade
from agentrft.grading.sandbox import runs_python
from agentrft.outbound.signature import Signer
from agentrft.ports import Grader
from agentrft.server.auth import Authenticated
from agentrft.server.body import read_json
from agentrft.server.native.saved import SavedEpisodes, cases_of_file
from agentrft.server.services import Served, Services
from agentrft.server.v1.fine_tuning import find_job
from agentrft.server.validation import check_judges
from agentrft.store.finite import finite
from agentrft.store.keys import Caller
from agentrft.store.rows import JobRow
from agentrft.wire.guarding import GraderCheck, Regrade
from agentrft.wire.masking import holds_mask
from agentrft.wire.strict import MASK, parse

router = APIRouter(prefix="/agentrft/v1", tags=["agentrft"])
BEAT_S = 1.0
MAX_REGRADED = 20_000  # episodes of one request; the steps behind them are left out, and that is said

Tell = Callable[..., None]
Work = Callable[[Tell], Awaitable[Mapping[str, Any]]]


@router.post("/graders/check")
async def check(request: Request, services: Served, caller: Authenticated) -> StreamingResponse:
    """What a grader pays for tricks, against what it pays for real episodes."""
    asked = parse(GraderCheck, await read_json(request))
    job = await _find_reinforcement(services, caller, asked.job) if asked.job is not None else None
    plan = await _plan_grader(services, caller, asked.grader, job)
    cases = await _find_cases(services, caller, asked)
    if not cases:
        raise UserError("None of these episodes can be graded: all met a fault.", param="step", code="no_episodes")

    async def work(tell: Tell) -> Mapping[str, Any]:
        async with plan.place:
            found = await check_grader(plan.make, cases, on_progress=lambda done, total: tell(done=done, total=total))
        return {"object": "agentrft.grader.check", "grader": plan.name, "job": asked.job, **asdict(found)}

    return StreamingResponse(stream(work), media_type="text/event-stream")


@router.post("/jobs/{job_id}/regrade")
async def regrade_job(job_id: str, request: Request, services: Served, caller: Authenticated) -> StreamingResponse:
    """How the rewards of a job would have differed under another grader. Nothing that is stored changes."""
    asked = parse(Regrade, await read_json(request))
    job = await _find_reinforcement(services, caller, job_id)
    plan = await _plan_grader(services, caller, asked.grader, job)
    saved = SavedEpisodes(services.store, job_id)
    steps = await saved.steps(split=asked.split, step=asked.step)

    async def work(tell: Tell) -> Mapping[str, Any]:
        async with plan.place, plan.make() as grader:
            found, done = await regrade_steps(grader, saved.read, steps, tell)
        result = {"object": "agentrft.job.regrade", "job": job_id, "grader": plan.name, **asdict(report(found))}
        result["steps_left_out"] = len(steps) - done
        return result | ({"episodes": [asdict(each) for each in found]} if asked.episodes else {})

    return StreamingResponse(stream(work), media_type="text/event-stream")


async def regrade_steps(
    grader: Grader,
    read: Callable[[str, int], Awaitable[Sequence[GradedEpisode]]],
    steps: Sequence[tuple[str, int]],
    tell: Tell,
    *,
    limit: int = MAX_REGRADED,
) -> tuple[list[Regraded], int]:
    """Grade the episodes of steps anew, in their order, until there are `limit`; also how many steps that were."""
    found: list[Regraded] = []
    count = itertools.count(1)
    for place, (split, step) in enumerate(steps):
        if len(found) >= limit:
            return found, place
        tell(steps_done=place, steps=len(steps))
        episodes = await read(split, step)
        found += await regrade(grader, split, step, episodes, on_done=lambda: tell(done=next(count)))
    return found, len(steps)


async def stream(work: Work) -> AsyncIterator[str]:
    """Run `work` and tell how far it is until it is done; a client that goes away stops it."""
    progress: dict[str, int] = {}
    task = asyncio.ensure_future(work(progress.update))
    try:
        while not task.done():
            yield _event({"progress": progress})
            await asyncio.wait([task], timeout=BEAT_S)
        yield _event({"result": finite(task.result())})
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _event(data: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(data)}\n\n"


async def _find_reinforcement(services: Services, caller: Caller, job_id: str) -> JobRow:
    job = await find_job(services, caller.project_id, job_id)
    if job.method is not Method.REINFORCEMENT:
        message = f"Job {job_id} is a {job.method.value} job, and has no grader and no episodes."
        raise UserError(message, param="job", code="invalid_value")
    return job


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A grader that is known to be well-formed.

    Args:
        place: to be held while it grades: a turn, where it starts processes.
    """

    name: str
    make: Callable[[], SpecGrader]
    place: AbstractAsyncContextManager[Any]


async def _plan_grader(services: Services, caller: Caller, spec: Mapping[str, Any] | None, job: JobRow | None) -> _Plan:
    """The grader that was sent, or else the job's own; it reads answers and signs its requests as the job does."""
    request = await services.store.jobs.secret_request(caller.project_id, job.id) if job is not None else None
    rules = request["reinforcement"] if request is not None else {}
    if spec is not None and holds_mask(spec):
        message = f"The grader has a header that is masked ({MASK}), as jobs show it. Give the header's real value."
        raise UserError(message, param="grader", code="invalid_value")
    sent = rules.get("grader", {}) if spec is None else spec
    grader = await asyncio.to_thread(read_spec, sent, param="grader", trains=True)  # a long python source takes a while
    normal = normal_form(grader)
    judges = await check_judges(services.store, caller.project_id, normal, param="grader")
    ours = rules.get("agentrft") or {}
    secret = ours.get("signing_secret")
    make = partial(
        make_grader,
        grader,
        judges=judges,
        response_format=rules.get("response_format"),
        sees_trace=ours.get("grader_sees_trace") is not False,
        param="grader",
        signer=Signer(secret) if secret else None,
    )
    make()  # what cannot grade single attempts is refused here
    return _Plan(name=grader.name, make=make, place=services.sandboxes if runs_python(normal) else nullcontext())


async def _find_cases(services: Services, caller: Caller, asked: GraderCheck) -> Sequence[Case]:
    if asked.job is not None:
        saved = SavedEpisodes(services.store, asked.job)
        return await saved.cases(
            split=asked.split,
            step=asked.step,
            items=asked.items,
            attempts=asked.attempts,
            reference=asked.reference,
        )
    file = await services.store.files.find(caller.project_id, asked.file or "")
    if file is None:
        raise UserError(f"No such File object: {asked.file}", param="file", code="invalid_value")
    return await cases_of_file(services.store.files.path(file.id), items=asked.items, reference=asked.reference)
