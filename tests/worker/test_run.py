import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request

from agentrft.domain.job import JobStatus, Method
from agentrft.store import Store
from agentrft.store.episodes import EpisodeFiles
from agentrft.store.keys import DEFAULT_PROJECT
from agentrft.store.rows import JobRow
from agentrft.worker.models import ModelLoader
from agentrft.worker.run import run_claim
from agentrft.worker.serving import Serving, create_serving_app
from tests.server.conftest import serving
from tests.worker.requests import ASK, GRADER, SHOWN, submit

DEADLINE_S = 120
LESSONS = {
    "hyperparameters": {"batch_size": 1, "n_epochs": 50},
    "agentrft": {"full_weights": True, "learning_rate": 0.01},
}
SHORT = {"full_weights": True, "max_steps": 2, "group_size": 4, "max_turn_tokens": 40, "learning_rate": 0.001}


@dataclass
class ToolServer:
    app: FastAPI = field(default_factory=FastAPI)
    calls: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        @self.app.post("/search")
        async def search(request: Request) -> dict[str, str]:
            self.calls.append({"authorization": request.headers.get("authorization"), **await request.json()})
            return {"type": "function_call_output", "output": "It was 42."}


def reinforcement(url: str, **agentrft: Any) -> dict[str, Any]:
    tool = {"name": "search", "server_url": f"{url}/search", "headers": {"Authorization": "Bearer hush"}}
    return {
        "tools": [tool],
        "grader": GRADER,
        "max_episode_steps": 3,
        "hyperparameters": {"batch_size": 2, "eval_interval": 1, "eval_samples": 1},
        "agentrft": {**SHORT, **agentrft},
    }


async def work(store: Store, loader: ModelLoader) -> str:
    """Claim the next job and run it to its end."""
    worker = await store.workers.register(device="cpu")
    claim = await store.queue.claim(worker)
    assert claim is not None
    async with asyncio.timeout(DEADLINE_S):
        await run_claim(claim, store=store, loader=loader, worker_id=worker)
    return claim.job.id


async def find(store: Store, job_id: str) -> JobRow:
    job = await store.jobs.find(DEFAULT_PROJECT, job_id)
    assert job is not None
    return job


async def events(store: Store, job_id: str) -> list[str]:
    page = await store.jobs.events(job_id, after=None, limit=100)
    return [event.message for event in reversed(page.data)]


async def teach(store: Store, loader: ModelLoader) -> str:
    """A supervised job that ends with a model which calls its tool; returns the model's name."""
    await submit(store, Method.SUPERVISED, LESSONS, rows=[SHOWN])
    job = await find(store, await work(store, loader))
    assert job.status is JobStatus.SUCCEEDED, job.error
    assert job.fine_tuned_model is not None
    return job.fine_tuned_model


async def test_a_demonstrated_agent_is_reinforced_with_tools_over_http(store: Store, loader: ModelLoader) -> None:
    server = ToolServer()
    async with serving(server.app) as url:
        model = await teach(store, loader)
        asked = reinforcement(url, monitor_graders=[{**GRADER, "name": "watching"}])
        await submit(store, Method.REINFORCEMENT, asked, rows=[ASK] * 4, validation=[ASK] * 2, model=model)
        job = await find(store, await work(store, loader))
    assert job.status is JobStatus.SUCCEEDED, job.error
    assert job.fine_tuned_model is not None
    assert job.fine_tuned_model.startswith("ft:tiny:local:demo:")
    assert job.error is None
    assert job.hyperparameters is not None
    assert job.hyperparameters["batch_size"] == 2
    said = await events(store, job.id)
    assert [message.split(" ,")[0] for message in said if message.startswith("Step ")] == [
        "Step 0/2",
        "Step 1/2",
        "Step 2/2",
    ]
    assert said[-2:] == [f"New fine-tuned model created: {job.fine_tuned_model}", "The job has successfully completed"]
    checkpoints = (await store.jobs.checkpoints(job.id, after=None, limit=10)).data
    assert [checkpoint.step_number for checkpoint in checkpoints] == [2, 1]
    assert all((Path(checkpoint.path) / "model.safetensors").is_file() for checkpoint in checkpoints)
    assert len(job.result_files) == 1
    for row in await store.jobs.metrics(job.id):
        assert row["agentrft"]["valid_monitor_mean_watching"] == row["agentrft"]["valid_reward_mean"]
    check_episodes(store, job, server)


def check_episodes(store: Store, job: JobRow, server: ToolServer) -> None:
    files = EpisodeFiles(store.runs_dir / job.id)
    assert {("valid", 0), ("train", 1), ("valid", 1), ("train", 2), ("valid", 2)} == set(files.steps())
    baseline = list(files.read("valid", 0))
    assert len(baseline) == 2
    called = [call for record in baseline for turn in record["turns"] for call in turn["tool_calls"]]
    assert [json.loads(call["arguments"]) for call in called] == [{"query": "revenue"}] * 2
    assert {turn["results"][0]["output"] for record in baseline for turn in record["turns"] if turn["results"]} == {
        "It was 42."
    }
    assert server.calls[0]["authorization"] == "Bearer hush"
    assert server.calls[0]["name"] == "search"
    traces = {record["trace_id"] for split, step in files.steps() for record in files.read(split, step)}
    assert {call["trace_id"] for call in server.calls} <= traces


async def test_the_model_that_a_job_made_is_served(store: Store, loader: ModelLoader) -> None:
    model = await teach(store, loader)
    models = Serving(store, loader)
    tool = ASK["tools"][0]["function"]  # type: ignore[index]
    question = {"model": model, "messages": ASK["messages"], "tools": [tool], "temperature": 0.0, "max_tokens": 60}
    async with (
        serving(create_serving_app(store, models, "t")) as url,
        httpx2.AsyncClient(base_url=url, timeout=30) as client,
    ):
        reply = (await client.post("/generate", json=question, headers={"Authorization": "Bearer t"})).json()
    await models.close()
    assert (reply["finish_reason"], [call["name"] for call in reply["tool_calls"]]) == ("tool_calls", ["search"])


async def test_a_job_can_be_cancelled_in_the_middle(store: Store, loader: ModelLoader) -> None:
    server = ToolServer()
    async with serving(server.app) as url:
        asked = reinforcement(url, max_steps=50, max_turn_tokens=400)
        asked["hyperparameters"]["n_epochs"] = 50
        job_id = await submit(store, Method.REINFORCEMENT, asked, rows=[ASK] * 4, validation=[ASK] * 2)
        running = asyncio.create_task(work(store, loader))
        async with asyncio.timeout(DEADLINE_S):
            while (await find(store, job_id)).progress is None:
                await asyncio.wait([running], timeout=0.02)
        await store.jobs.cancel(DEFAULT_PROJECT, job_id)
        await running
    job = await find(store, job_id)
    assert (job.status, job.error, job.fine_tuned_model) == (JobStatus.CANCELLED, None, None)
    assert "The job has been cancelled" in await events(store, job_id)


async def begin(store: Store, loader: ModelLoader, *, until: str) -> str:
    """A worker that takes the next job and dies as soon as the job has said `until`."""
    worker = await store.workers.register(device="cpu")
    claim = await store.queue.claim(worker)
    assert claim is not None
    running = asyncio.create_task(run_claim(claim, store=store, loader=loader, worker_id=worker))
    async with asyncio.timeout(DEADLINE_S):
        while not any(message.startswith(until) for message in await events(store, claim.job.id)):
            await asyncio.wait([running], timeout=0.02)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await store.workers.remove(worker)
    return claim.job.id


@pytest.mark.parametrize("damaged", [False, True])
async def test_another_worker_goes_on_behind_the_last_checkpoint(
    store: Store, loader: ModelLoader, damaged: bool
) -> None:
    server = ToolServer()
    async with serving(server.app) as url:
        asked = reinforcement(url, max_steps=4)
        await submit(store, Method.REINFORCEMENT, asked, rows=[ASK] * 4, validation=[ASK] * 2)
        job_id = await begin(store, loader, until="Checkpoint created at step 2")
        if damaged:
            (checkpoint, *_) = (await store.jobs.checkpoints(job_id, after=None, limit=1)).data
            (Path(checkpoint.path) / "optimizer.safetensors").write_bytes(b"broken off")
        before = len(await events(store, job_id))
        assert await work(store, loader) == job_id
    job = await find(store, job_id)
    assert job.status is JobStatus.SUCCEEDED, job.error
    said = (await events(store, job_id))[before:]
    steps = [message[: len("Step 0/4")] for message in said if message.startswith("Step ")]
    assert steps == [f"Step {n}/4" for n in range(0 if damaged else 3, 5)]
    assert any("damaged (SafetensorError): starting over" in message for message in said) is damaged
    files = EpisodeFiles(store.runs_dir / job_id)
    sizes = {place: len(list(files.read(*place))) for place in files.steps()}
    assert sizes == {("valid", n): 2 for n in range(5)} | {("train", n): 8 for n in range(1, 5)}
    (last, *_) = (await store.jobs.checkpoints(job_id, after=None, limit=1)).data
    version = json.loads((Path(last.path) / "checkpoint.json").read_text())["version"]
    assert version == (5 if damaged else 6)  # restored, versions go on behind the checkpoint's
    rows = store.files.path(job.result_files[0]).read_text().splitlines()
    assert [row.split(",")[0] for row in rows[1:]] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("lost", ["config.json", "model.safetensors", "tokenizer.json"])
async def test_a_job_whose_model_vanishes_fails_with_a_reason(store: Store, loader: ModelLoader, lost: str) -> None:
    job_id = await submit(store, Method.SUPERVISED, LESSONS, rows=[SHOWN])
    worker = await store.workers.register(device="cpu")
    claim = await store.queue.claim(worker)
    assert claim is not None
    assert store.settings.models_dir is not None
    (store.settings.models_dir / "tiny" / lost).unlink()
    await run_claim(claim, store=store, loader=loader, worker_id=worker)
    job = await find(store, job_id)
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert job.error["code"] in ("model_not_available", "invalid_model")
    assert (await events(store, job_id))[-1] == job.error["message"]


async def test_a_row_that_does_not_fit_fails_the_job_and_names_it(store: Store, loader: ModelLoader) -> None:
    settings = {**LESSONS, "agentrft": {"full_weights": True, "max_context_tokens": 64}}
    await submit(store, Method.SUPERVISED, settings, rows=[SHOWN])
    job = await find(store, await work(store, loader))
    assert job.error is not None
    assert "Example 1" in job.error["message"]
    assert job.error["code"] == "invalid_training_file"


async def test_a_tool_that_is_served_nowhere_fails_the_job(store: Store, loader: ModelLoader) -> None:
    asked = reinforcement("http://127.0.0.1:9")
    asked["tools"][0]["name"] = "other"
    await submit(store, Method.REINFORCEMENT, asked, rows=[ASK], validation=[ASK])
    job = await find(store, await work(store, loader))
    assert job.status is JobStatus.FAILED
    assert job.error is not None
    assert "search" in job.error["message"]


async def test_a_job_that_was_cancelled_before_it_began_leaves_no_model(store: Store, loader: ModelLoader) -> None:
    job_id = await submit(store, Method.SUPERVISED, LESSONS, rows=[SHOWN])
    worker = await store.workers.register(device="cpu")
    claim = await store.queue.claim(worker)
    assert claim is not None
    await store.jobs.cancel(DEFAULT_PROJECT, job_id)
    await run_claim(claim, store=store, loader=loader, worker_id=worker)
    assert (await find(store, job_id)).fine_tuned_model is None


@pytest.mark.slow
async def test_adapters_are_trained_on_a_process_per_core(store: Store, loader: ModelLoader) -> None:
    server = ToolServer()
    async with serving(server.app) as url:
        model = await teach(store, loader)
        asked = reinforcement(url)
        asked["agentrft"] = {**asked["agentrft"], "full_weights": None, "lora_rank": 8}
        await submit(store, Method.REINFORCEMENT, asked, rows=[ASK] * 4, validation=[ASK] * 2, model=model)
        job = await find(store, await work(store, loader))
    assert job.status is JobStatus.SUCCEEDED, job.error
    assert server.calls
    (last, _) = (await store.jobs.checkpoints(job.id, after=None, limit=10)).data
    assert (Path(last.path) / "adapter_model.safetensors").is_file()
    assert not (Path(last.path).parent / "weights").exists()
