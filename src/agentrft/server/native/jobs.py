"""/agentrft/v1/jobs: curves, episodes and progress of a job."""

import asyncio
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Query

from agentrft.server.auth import Authenticated
from agentrft.server.services import Served
from agentrft.server.v1.fine_tuning import find_job
from agentrft.store.episodes import EpisodeFiles
from agentrft.wire.objects import list_object

router = APIRouter(prefix="/agentrft/v1/jobs/{job_id}", tags=["agentrft"])
MAX_EPISODES = 1000


@router.get("/metrics")
async def read_metrics(job_id: str, services: Served, caller: Authenticated) -> dict[str, Any]:
    """The data of the metrics events, in the order of steps."""
    await find_job(services, caller.project_id, job_id)
    return list_object(await services.store.jobs.metrics(job_id), has_more=False)


@router.get("/episodes")
async def read_episodes(
    job_id: str,
    services: Served,
    caller: Authenticated,
    split: Annotated[str, Query(pattern="^[a-z]{1,32}$")] = "train",
    step: Annotated[int | None, Query(ge=0)] = None,
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_EPISODES)] = 100,
) -> dict[str, Any]:
    """The episodes of one step in order of completion; without `step`, which steps there are."""
    await find_job(services, caller.project_id, job_id)
    files = EpisodeFiles(services.store.runs_dir / job_id)
    if step is None:
        found = await asyncio.to_thread(files.steps)
        return list_object([{"split": name, "step": number} for name, number in found], has_more=False)
    episodes = await asyncio.to_thread(lambda: list(islice(files.read(split, step), offset, offset + limit + 1)))
    return list_object(episodes[:limit], has_more=len(episodes) > limit)


@router.get("/progress")
async def read_progress(job_id: str, services: Served, caller: Authenticated) -> dict[str, Any]:
    """Where the job is; `progress` is null before its first sign of life."""
    job = await find_job(services, caller.project_id, job_id)
    progress = dict(job.progress) if job.progress else None
    return {"object": "agentrft.job.progress", "job_id": job_id, "status": job.status.value, "progress": progress}
