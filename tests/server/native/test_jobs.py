from typing import Any

import httpx2
import openai
import pytest

from agentrft.store import Store
from agentrft.store.episodes import EpisodeFiles


@pytest.fixture
async def job_id(client: openai.AsyncOpenAI, job_body: dict[str, Any], store: Store) -> str:
    job = await client.fine_tuning.jobs.create(**job_body)
    await store.queue.claim(await store.workers.register(device="cpu"))
    return job.id


async def test_metrics_come_in_the_order_of_steps(http: httpx2.AsyncClient, store: Store, job_id: str) -> None:
    for step in (2, 1):
        await store.queue.append_event(job_id, "m", type="metrics", data={"step": step, "loss": float("nan")})
    reply = await http.get(f"/agentrft/v1/jobs/{job_id}/metrics")
    assert reply.json()["data"] == [{"step": 1, "loss": None}, {"step": 2, "loss": None}]


async def test_episodes_are_read_step_by_step(http: httpx2.AsyncClient, store: Store, job_id: str) -> None:
    files = EpisodeFiles(store.runs_dir / job_id)
    for n in range(3):
        files.append("valid", 0, {"n": n})
    path = f"/agentrft/v1/jobs/{job_id}/episodes"
    assert (await http.get(path)).json()["data"] == [{"split": "valid", "step": 0}]
    reply = await http.get(path, params={"split": "valid", "step": 0, "offset": 1, "limit": 1})
    assert (reply.json()["data"], reply.json()["has_more"]) == ([{"n": 1}], True)
    assert (await http.get(path, params={"split": "../x", "step": 0})).status_code == 400
    assert (await http.get(path, params={"split": "train", "step": 9})).json()["data"] == []


async def test_progress_is_the_latest_row(http: httpx2.AsyncClient, store: Store, job_id: str) -> None:
    path = f"/agentrft/v1/jobs/{job_id}/progress"
    assert (await http.get(path)).json()["progress"] is None
    await store.queue.set_progress(job_id, phase="sampling", step=1, done=3, expected=64)
    found = (await http.get(path)).json()
    assert (found["status"], found["progress"]["phase"], found["progress"]["done"]) == ("running", "sampling", 3)


async def test_a_job_that_is_not_there_is_not_found(http: httpx2.AsyncClient) -> None:
    for part in ("metrics", "episodes", "progress"):
        assert (await http.get(f"/agentrft/v1/jobs/ftjob-none/{part}")).status_code == 404
